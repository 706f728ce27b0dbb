//! Takes away the columns nobody reads, down to the source, so that the decoder builds only what the
//! pipeline needs. Plans that several queries share keep what any of them reads.

use crate::pipeline::plan::{Attribute, Node, Plan, references};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tidemill_core::{Error, Result};

type Needed = HashMap<usize, BTreeSet<u32>>;

/// The plans with only the columns that are read; the roots keep all of theirs.
///
/// # Errors
/// A bug: a column is read that its input does not have.
pub fn prune(roots: &[Arc<Plan>]) -> Result<Vec<Arc<Plan>>> {
    let order = order(roots);
    let mut needed: Needed = HashMap::new();
    for root in roots {
        needed.entry(key(root)).or_default().extend(root.attributes.iter().map(|attribute| attribute.id));
    }
    for plan in order.iter().rev() {
        let own = needed.get(&key(plan)).cloned().unwrap_or_default();
        for (input, wanted) in wanted_of_inputs(plan, &own) {
            needed.entry(key(&input)).or_default().extend(wanted);
        }
    }
    let mut rebuilt: HashMap<usize, Arc<Plan>> = HashMap::new();
    for plan in &order {
        let own = needed.get(&key(plan)).cloned().unwrap_or_default();
        let new = rebuild(plan, &own, &rebuilt)?;
        rebuilt.insert(key(plan), new);
    }
    roots
        .iter()
        .map(|root| rebuilt.get(&key(root)).cloned().ok_or_else(|| Error::bug("a root was not rebuilt")))
        .collect()
}

fn key(plan: &Arc<Plan>) -> usize {
    Arc::as_ptr(plan) as usize
}

/// Every plan once, inputs before the plans that read them.
fn order(roots: &[Arc<Plan>]) -> Vec<Arc<Plan>> {
    let mut seen = BTreeSet::new();
    roots.iter().flat_map(|root| root.walk()).filter(|plan| seen.insert(key(plan))).collect()
}

fn ids(attributes: &[Attribute]) -> BTreeSet<u32> {
    attributes.iter().map(|attribute| attribute.id).collect()
}

fn wanted_of_inputs(plan: &Plan, own: &BTreeSet<u32>) -> Vec<(Arc<Plan>, BTreeSet<u32>)> {
    let passed = |input: &Arc<Plan>, more: BTreeSet<u32>| {
        let there = ids(&input.attributes);
        vec![(input.clone(), own.union(&more).copied().filter(|id| there.contains(id)).collect())]
    };
    match &plan.node {
        Node::Source { .. } | Node::Static { .. } | Node::Values { .. } => vec![],
        Node::Project { input, list } => {
            let kept = list.iter().zip(&plan.attributes).filter(|(_, attribute)| own.contains(&attribute.id));
            vec![(input.clone(), kept.flat_map(|(expr, _)| references(expr)).collect())]
        }
        Node::Filter { input, condition } => passed(input, references(condition)),
        Node::Watermark { input, column, .. } => passed(input, BTreeSet::from([*column])),
        Node::Window { input, time, .. } => passed(input, references(time)),
        Node::Expand { input, lists } => {
            let kept = plan.attributes.iter().enumerate().filter(|(_, attribute)| own.contains(&attribute.id));
            let positions: Vec<usize> = kept.map(|(position, _)| position).collect();
            let exprs = lists.iter().flat_map(|list| positions.iter().map(|position| &list[*position]));
            vec![(input.clone(), exprs.flat_map(references).collect())]
        }
        Node::Explode { input, argument, .. } => passed(input, references(argument)),
        Node::Aggregate { input, keys, calls } => {
            let arguments =
                calls.iter().flat_map(|call| call.arguments.iter().chain(&call.filter)).flat_map(references);
            vec![(input.clone(), arguments.chain(keys.iter().copied()).collect())]
        }
        Node::Deduplicate { input, keys, .. } => {
            let times = input.attributes.iter().filter(|attribute| attribute.watermark.is_some());
            passed(input, keys.iter().copied().chain(times.map(|attribute| attribute.id)).collect())
        }
        Node::StaticJoin { left, right, on, filter, .. } => {
            let mut all: BTreeSet<u32> = own.clone();
            all.extend(on.iter().flat_map(|(left, right)| references(left).into_iter().chain(references(right))));
            all.extend(filter.iter().flat_map(references));
            let of = |side: &Arc<Plan>| (side.clone(), all.intersection(&ids(&side.attributes)).copied().collect());
            vec![of(left), of(right)]
        }
        Node::Union { inputs, columns } => {
            let kept: Vec<bool> = plan.attributes.iter().map(|attribute| own.contains(&attribute.id)).collect();
            let of = |(input, columns): (&Arc<Plan>, &Vec<u32>)| {
                (input.clone(), columns.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(id, _)| *id).collect())
            };
            inputs.iter().zip(columns).map(of).collect()
        }
        Node::Sort { input, keys } => passed(input, keys.iter().flat_map(|key| references(&key.by)).collect()),
        Node::Limit { input, .. } => passed(input, BTreeSet::new()),
    }
}

fn rebuild(plan: &Arc<Plan>, own: &BTreeSet<u32>, rebuilt: &HashMap<usize, Arc<Plan>>) -> Result<Arc<Plan>> {
    let new = |input: &Arc<Plan>| {
        rebuilt.get(&key(input)).cloned().ok_or_else(|| Error::bug("an input was not rebuilt before its reader"))
    };
    let kept = |attributes: &[Attribute]| -> Vec<Attribute> {
        attributes.iter().filter(|attribute| own.contains(&attribute.id)).cloned().collect()
    };
    // a plan that passes its input's columns has the input's new columns, as this plan knows them
    let passing = |input: &Arc<Plan>| -> Vec<Attribute> {
        let there = ids(&input.attributes);
        plan.attributes.iter().filter(|attribute| there.contains(&attribute.id)).cloned().collect()
    };
    let with_new = |input: &Arc<Plan>, before: &Arc<Plan>| -> Vec<Attribute> {
        let (mut attributes, old) = (passing(input), ids(&before.attributes));
        attributes.extend(plan.attributes.iter().filter(|attribute| !old.contains(&attribute.id)).cloned());
        attributes
    };
    let (node, attributes) = match &plan.node {
        Node::Source { table, columns } => {
            let columns = positions(plan, own).into_iter().map(|position| columns[position]).collect();
            (Node::Source { table: table.clone(), columns }, kept(&plan.attributes))
        }
        Node::Static { table, columns } => {
            let columns = positions(plan, own).into_iter().map(|position| columns[position]).collect();
            (Node::Static { table: table.clone(), columns }, kept(&plan.attributes))
        }
        Node::Values { .. } => return Ok(plan.clone()),
        Node::Project { input, list } => {
            let list = positions(plan, own).into_iter().map(|position| list[position].clone()).collect();
            (Node::Project { input: new(input)?, list }, kept(&plan.attributes))
        }
        Node::Filter { input, condition } => {
            let input = new(input)?;
            let attributes = passing(&input);
            (Node::Filter { input, condition: condition.clone() }, attributes)
        }
        Node::Watermark { input, column, delay } => {
            let input = new(input)?;
            let attributes = passing(&input);
            (Node::Watermark { input, column: *column, delay: *delay }, attributes)
        }
        Node::Window { input: before, time, kind } => {
            let input = new(before)?;
            let attributes = with_new(&input, before);
            (Node::Window { input, time: time.clone(), kind: *kind }, attributes)
        }
        Node::Expand { input, lists } => {
            let positions = positions(plan, own);
            let lists =
                lists.iter().map(|list| positions.iter().map(|position| list[*position].clone()).collect()).collect();
            (Node::Expand { input: new(input)?, lists }, kept(&plan.attributes))
        }
        Node::Explode { input: before, generator, argument, outer } => {
            let input = new(before)?;
            let attributes = with_new(&input, before);
            (Node::Explode { input, generator: *generator, argument: argument.clone(), outer: *outer }, attributes)
        }
        Node::Aggregate { input, keys, calls } => {
            (Node::Aggregate { input: new(input)?, keys: keys.clone(), calls: calls.clone() }, plan.attributes.clone())
        }
        Node::Deduplicate { input, keys, within_watermark } => {
            let input = new(input)?;
            let attributes = passing(&input);
            (Node::Deduplicate { input, keys: keys.clone(), within_watermark: *within_watermark }, attributes)
        }
        Node::StaticJoin { left, right, kind, on, filter } => {
            let (left, right) = (new(left)?, new(right)?);
            let mut there = ids(&left.attributes);
            there.extend(ids(&right.attributes));
            let left_only = matches!(
                kind,
                crate::pipeline::relation::JoinKind::LeftSemi | crate::pipeline::relation::JoinKind::LeftAnti
            );
            let sides = if left_only { vec![&left] } else { vec![&left, &right] };
            let attributes = sides.iter().flat_map(|side| side.attributes.iter().cloned()).collect();
            (Node::StaticJoin { left, right, kind: *kind, on: on.clone(), filter: filter.clone() }, attributes)
        }
        Node::Union { inputs, columns } => {
            let positions = positions(plan, own);
            let columns = columns.iter().map(|ids| positions.iter().map(|position| ids[*position]).collect()).collect();
            let inputs = inputs.iter().map(new).collect::<Result<_>>()?;
            (Node::Union { inputs, columns }, kept(&plan.attributes))
        }
        Node::Sort { input, keys } => {
            let input = new(input)?;
            let attributes = passing(&input);
            (Node::Sort { input, keys: keys.clone() }, attributes)
        }
        Node::Limit { input, count, offset } => {
            let input = new(input)?;
            let attributes = passing(&input);
            (Node::Limit { input, count: *count, offset: *offset }, attributes)
        }
    };
    Ok(Arc::new(Plan { node, attributes, streaming: plan.streaming }))
}

fn positions(plan: &Plan, own: &BTreeSet<u32>) -> Vec<usize> {
    let kept = plan.attributes.iter().enumerate().filter(|(_, attribute)| own.contains(&attribute.id));
    kept.map(|(position, _)| position).collect()
}
