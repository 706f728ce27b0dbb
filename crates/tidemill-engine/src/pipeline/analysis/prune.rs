//! Takes away the columns nobody reads, down to the source, so that the decoder builds only what the
//! pipeline needs. Plans that several queries share keep what any of them reads.

use crate::pipeline::plan::{Attribute, Node, Plan, references};
use crate::pipeline::relation::JoinKind;
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

/// An input of which every column is read.
fn whole(input: &Arc<Plan>) -> (Arc<Plan>, BTreeSet<u32>) {
    (input.clone(), ids(&input.attributes))
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
        Node::Late { of, columns } => wanted_by_late(of, columns),
        Node::Session { input, start, end } => {
            passed(input, references(start).union(&references(end)).copied().collect())
        }
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
        // as in Spark: an event time that nothing reads is gone, and then no row is late; not so within a watermark
        Node::Deduplicate { input, keys, within_watermark } => {
            let times = input.attributes.iter().filter(|attribute| *within_watermark && attribute.watermark.is_some());
            passed(input, keys.iter().copied().chain(times.map(|attribute| attribute.id)).collect())
        }
        // a program's function sees the whole row
        Node::Process { .. } | Node::MapRows { .. } => plan.inputs().into_iter().map(whole).collect(),
        Node::StaticJoin { left, right, on, filter, .. } => {
            let mut all: BTreeSet<u32> = own.clone();
            all.extend(on.iter().flat_map(|(left, right)| references(left).into_iter().chain(references(right))));
            all.extend(filter.iter().flat_map(references));
            let of = |side: &Arc<Plan>| (side.clone(), all.intersection(&ids(&side.attributes)).copied().collect());
            vec![of(left), of(right)]
        }
        Node::StreamJoin { left, right, on, .. } => {
            let all: BTreeSet<u32> = own.iter().copied().chain(on.iter().flat_map(references)).collect();
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

/// What the rows that an operator finds too late need of its inputs, and of itself.
fn wanted_by_late(of: &Arc<Plan>, columns: &[u32]) -> Vec<(Arc<Plan>, BTreeSet<u32>)> {
    let of_input = |input: &Arc<Plan>| {
        let there = ids(&input.attributes);
        (input.clone(), columns.iter().copied().filter(|column| there.contains(column)).collect())
    };
    // a join hands on what its sides have; the others have columns of their own
    let own = match of.node {
        Node::StreamJoin { .. } => columns.iter().copied().collect(),
        _ => BTreeSet::new(),
    };
    of.inputs().into_iter().map(of_input).chain([(of.clone(), own)]).collect()
}

fn rebuild(plan: &Arc<Plan>, own: &BTreeSet<u32>, rebuilt: &HashMap<usize, Arc<Plan>>) -> Result<Arc<Plan>> {
    let before: Vec<Arc<Plan>> = plan.inputs().into_iter().cloned().collect();
    let inputs: Option<Vec<_>> = before.iter().map(|input| rebuilt.get(&key(input)).cloned()).collect();
    let inputs = inputs.ok_or_else(|| Error::bug("an input was not rebuilt before its reader"))?;
    let inputs = match &plan.node {
        // what they do not read they do not keep, and an event time they do not keep makes nothing late
        Node::StreamJoin { .. } | Node::Deduplicate { .. } => {
            let wanted = wanted_of_inputs(plan, own).into_iter().zip(inputs);
            wanted.map(|((_, wanted), input)| narrowed(input, &wanted)).collect()
        }
        _ => inputs,
    };
    let attributes = columns(plan, own, &before, &inputs);
    let mut new = plan.with_inputs(inputs);
    new.attributes = attributes;
    let kept = positions(plan, own);
    match &mut new.node {
        Node::Source { columns, .. } | Node::Static { columns, .. } => *columns = at(columns, &kept),
        Node::Project { list, .. } => *list = at(list, &kept),
        Node::Expand { lists, .. } => lists.iter_mut().for_each(|list| *list = at(list, &kept)),
        Node::Union { columns, .. } => columns.iter_mut().for_each(|ids| *ids = at(ids, &kept)),
        _ => {}
    }
    Ok(Arc::new(new))
}

/// The plan with only these columns.
fn narrowed(plan: Arc<Plan>, wanted: &BTreeSet<u32>) -> Arc<Plan> {
    let attributes: Vec<Attribute> =
        plan.attributes.iter().filter(|attribute| wanted.contains(&attribute.id)).cloned().collect();
    if attributes.len() == plan.attributes.len() {
        return plan;
    }
    let list = attributes.iter().map(Attribute::reference).collect();
    let streaming = plan.streaming;
    Arc::new(Plan { node: Node::Project { input: plan, list }, attributes, streaming })
}

/// The columns a plan has when its inputs have only theirs.
fn columns(plan: &Plan, own: &BTreeSet<u32>, before: &[Arc<Plan>], inputs: &[Arc<Plan>]) -> Vec<Attribute> {
    match &plan.node {
        Node::Aggregate { .. } | Node::Values { .. } | Node::Process { .. } | Node::MapRows { .. } => {
            plan.attributes.clone()
        }
        Node::Source { .. } | Node::Static { .. } | Node::Project { .. } | Node::Expand { .. } | Node::Union { .. } => {
            positions(plan, own).into_iter().map(|at| plan.attributes[at].clone()).collect()
        }
        Node::StaticJoin { kind: JoinKind::LeftSemi | JoinKind::LeftAnti, .. }
        | Node::StreamJoin { kind: JoinKind::LeftSemi, .. } => inputs[0].attributes.clone(),
        Node::StaticJoin { .. } | Node::StreamJoin { .. } => {
            inputs.iter().flat_map(|side| side.attributes.iter().cloned()).collect()
        }
        // the input's columns as this plan knows them, and those it adds
        _ => {
            let (old, new) = (ids(&before[0].attributes), ids(&inputs[0].attributes));
            let stays = |attribute: &&Attribute| new.contains(&attribute.id) || !old.contains(&attribute.id);
            plan.attributes.iter().filter(stays).cloned().collect()
        }
    }
}

fn at<T: Clone>(list: &[T], positions: &[usize]) -> Vec<T> {
    positions.iter().map(|position| list[*position].clone()).collect()
}

fn positions(plan: &Plan, own: &BTreeSet<u32>) -> Vec<usize> {
    let kept = plan.attributes.iter().enumerate().filter(|(_, attribute)| own.contains(&attribute.id));
    kept.map(|(position, _)| position).collect()
}
