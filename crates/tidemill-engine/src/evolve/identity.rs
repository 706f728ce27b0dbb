//! What a stateful operator computes, in words that do not change when something else in the query does: no
//! numbers of columns, no order of operators.

use crate::dataflow::{Dataflow, Part, Step};
use crate::operator::aggregate::AggregateCall;
use crate::pipeline::explain::unnumbered;
use crate::pipeline::join_condition::JoinCondition;
use crate::pipeline::plan::{Node, Plan, attribute_id};
use crate::pipeline::query::Query;
use datafusion::logical_expr::Expr;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_core::types;

/// What a checkpoint remembers of an operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// What it is: `aggregate`, `session`, `join`, ...
    pub kind: String,
    /// The tables its rows reach, in the order of the pipeline.
    pub outputs: Vec<String>,
    /// What its state is by.
    pub keys: Vec<String>,
    /// The functions of an aggregate, or the columns of the rows a join keeps, in the order of its state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// Everything it reads and does, shortened to a number.
    pub computes: String,
}

/// A value that is kept for a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Call {
    /// The function with its types, or the type: what is saved looks the same for the same words.
    pub function: String,
    /// What it is of.
    pub of: String,
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.function.split(['(', '<', ' ']).next().unwrap_or(&self.function);
        write!(f, "{name}({})", self.of)
    }
}

/// An operator of the query as it is now.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The part it is in.
    pub part: usize,
    /// The step it is.
    pub step: usize,
    /// Its name by kind and number, as checkpoints of earlier versions have it.
    pub numbered: String,
    /// What it computes.
    pub identity: Identity,
    /// What two states must agree on.
    pub layout: String,
    /// The layout without what may differ between the functions of an aggregate.
    pub frame: String,
}

/// Every stateful operator of a query, those nearest to the first table first.
pub fn operators(query: &Query, flow: &Dataflow) -> Vec<Operator> {
    let mut all: Vec<(usize, Operator)> = Vec::new();
    for (number, part) in flow.parts.iter().enumerate() {
        for (at, step) in part.steps.iter().enumerate() {
            let Step::Keyed(keyed) = step else { continue };
            let Some((_, plan)) = part.origins.iter().find(|(name, _)| *name == keyed.name) else { continue };
            let (first, outputs, distance) = reached(query, part, plan);
            let identity = Identity {
                kind: kind(&keyed.name).to_owned(),
                outputs,
                keys: keys(plan),
                calls: calls(plan),
                computes: format!("{:08x}", crc32fast::hash(text(plan).as_bytes())),
            };
            let functions: Vec<&str> = identity.calls.iter().map(|call| call.function.as_str()).collect();
            let frame = keyed.layout.strip_suffix(&functions.join(", ")).unwrap_or(&keyed.layout).to_owned();
            let operator = Operator {
                part: number,
                step: at,
                numbered: keyed.name.clone(),
                identity,
                layout: keyed.layout.clone(),
                frame,
            };
            all.push((first * 10_000 + distance, operator));
        }
    }
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, operator)| operator).collect()
}

/// The kind in `append-aggregate-0`.
fn kind(numbered: &str) -> &str {
    let kind = numbered.split_once('-').map_or(numbered, |(_, rest)| rest);
    kind.rsplit_once('-').map_or(kind, |(kind, _)| kind)
}

/// The first output a plan's rows reach in a part, all of them by name, and how far it is from the first.
fn reached(query: &Query, part: &Part, plan: &Arc<Plan>) -> (usize, Vec<String>, usize) {
    let mut numbers: Vec<usize> = part.outputs.iter().map(|(_, number)| *number).collect();
    numbers.sort_unstable();
    let mut found: Option<(usize, usize)> = None;
    let mut names = vec![];
    for output in numbers.into_iter().filter_map(|number| Some((number, query.outputs.get(number)?))) {
        let (number, output) = output;
        let above = output.plan.walk();
        let Some(place) = above.iter().position(|below| Arc::ptr_eq(below, plan)) else { continue };
        names.push(output.sink.name.clone());
        found = found.or(Some((number, above.len() - place)));
    }
    let (first, distance) = found.unwrap_or_default();
    (first, names, distance)
}

fn keys(plan: &Arc<Plan>) -> Vec<String> {
    match &plan.node {
        Node::Aggregate { input, keys, .. } | Node::Deduplicate { input, keys, .. } => {
            keys.iter().map(|key| column(*key, input)).collect()
        }
        Node::Process { input, spec, .. } => spec.keys.iter().map(|key| column(*key, input)).collect(),
        Node::StreamJoin { left, right, on, .. } => {
            let condition = JoinCondition::new(on, left, right);
            let sides = condition.keys.iter();
            sides.map(|key| format!("{} = {}", words(&key.left, left), words(&key.right, right))).collect()
        }
        _ => vec![],
    }
}

fn calls(plan: &Arc<Plan>) -> Vec<Call> {
    match &plan.node {
        Node::Aggregate { input, calls, .. } => calls.iter().map(|call| described(call, input)).collect(),
        // a join keeps rows: which columns they have is what its values are
        Node::StreamJoin { left, right, .. } => {
            let kept = |side: &Arc<Plan>| -> Vec<Call> {
                let columns = side.attributes.iter();
                columns.map(|one| Call { function: types::name(&one.data_type), of: column(one.id, side) }).collect()
            };
            [kept(left), kept(right)].concat()
        }
        _ => vec![],
    }
}

fn described(call: &AggregateCall, input: &Arc<Plan>) -> Call {
    let arguments: Vec<String> = call.arguments.iter().map(|argument| words(argument, input)).collect();
    let filter = call.filter.as_ref().map(|filter| format!(" where {}", words(filter, input)));
    Call { function: call.function.identity(), of: arguments.join(", ") + &filter.unwrap_or_default() }
}

/// Where a column comes from, through everything that only passes it on.
fn column(id: u32, plan: &Arc<Plan>) -> String {
    if let Node::Project { input, list } = &plan.node {
        let place = plan.attributes.iter().position(|attribute| attribute.id == id);
        if let Some(expr) = place.and_then(|place| list.get(place)) {
            return words(expr, input);
        }
    }
    if let Some(input) = plan.inputs().into_iter().find(|input| input.attribute(id).is_some()) {
        return column(id, input);
    }
    let name = plan.attribute(id).map_or("?", |attribute| attribute.name.as_str());
    match &plan.node {
        Node::Source { table, .. } | Node::Static { table, .. } => format!("{table}.{name}"),
        Node::Window { input, time, .. } => format!("window of {}", words(time, input)),
        Node::Session { input, start, .. } => format!("session from {}", words(start, input)),
        _ => name.to_owned(),
    }
}

/// An expression over a plan, with its columns told by where they come from.
fn words(expr: &Expr, input: &Arc<Plan>) -> String {
    let mut names: Vec<String> = expr.column_refs().into_iter().map(|column| column.name.clone()).collect();
    // one name may begin another
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let mut text = expr.to_string();
    for name in names {
        if let Some(id) = attribute_id(&name) {
            text = text.replace(&name, &column(id, input));
        }
    }
    unnumbered(&text)
}

/// What a plan computes from its sources on. Columns that are only handed on do not count: they come and go
/// with what others read.
fn text(plan: &Arc<Plan>) -> String {
    let inputs = || plan.inputs().into_iter().map(text).collect::<Vec<_>>().join("; ");
    let over = |what: String| format!("{what} <- ({})", inputs());
    match &plan.node {
        Node::Source { table, .. } | Node::Static { table, .. } => table.clone(),
        Node::Values { rows } => format!("{} values", rows.num_rows()),
        Node::Project { input, .. } => text(input),
        Node::Filter { input, condition } => over(format!("where {}", words(condition, input))),
        Node::Watermark { input, column: by, delay, .. } => over(format!("watermark {} {delay}", column(*by, input))),
        Node::Window { input, time, kind } => over(format!("{kind} {}", words(time, input))),
        Node::Session { input, start, end } => over(format!("{} to {}", words(start, input), words(end, input))),
        Node::Late { .. } => over("late".into()),
        Node::Expand { lists, .. } => over(format!("{} sets", lists.len())),
        Node::Explode { input, argument, .. } => over(format!("explode {}", words(argument, input))),
        Node::Aggregate { .. } | Node::Deduplicate { .. } => over(format!("{:?} by {:?}", calls(plan), keys(plan))),
        Node::Process { spec, .. } => over(format!("{} by {:?}", spec.name, keys(plan))),
        Node::MapRows { .. } => over("function of batches".into()),
        Node::StaticJoin { left, right, kind, on, .. } => {
            let on = on.iter().map(|(one, other)| format!("{} = {}", words(one, left), words(other, right)));
            over(format!("{} on {:?}", kind.spark_name(), on.collect::<Vec<_>>()))
        }
        Node::StreamJoin { kind, .. } => over(format!("{} on {:?}", kind.spark_name(), keys(plan))),
        Node::Union { .. } => over("union".into()),
        Node::Sort { .. } => over("sort".into()),
        Node::Limit { count, offset, .. } => over(format!("limit {count:?} {offset}")),
    }
}

/// Name of a part that stays when other parts come or go: its mode and the watermarks it goes by.
pub fn part_names(query: &Query, flow: &Dataflow) -> Vec<String> {
    let mut names: Vec<String> = vec![];
    for part in &flow.parts {
        let outputs = part.outputs.iter().filter_map(|(_, number)| query.outputs.get(*number));
        let plans = outputs.flat_map(|output| output.plan.walk());
        let marks: BTreeMap<usize, String> = plans
            .filter_map(|plan| match &plan.node {
                Node::Watermark { input, column: by, delay, .. } => {
                    Some((Arc::as_ptr(&plan) as usize, format!("{} {delay}", column(*by, input))))
                }
                _ => None,
            })
            .collect();
        let mut marks: Vec<String> = marks.into_values().collect();
        marks.sort();
        let name = format!("{} [{}]", part.mode.word(), marks.join(", "));
        names.push(unused(&name, |name| names.iter().any(|known| known == name)));
    }
    names
}

/// The name, with a number behind it when it is taken.
pub fn unused(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(name) {
        return name.to_owned();
    }
    let numbered = (2_u64..).map(|number| format!("{name}-{number}")).find(|name| !is_taken(name));
    numbered.unwrap_or_else(|| name.to_owned())
}
