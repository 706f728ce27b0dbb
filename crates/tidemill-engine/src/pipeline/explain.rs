//! A checked query for people: the plan as data flows, from sources to sinks, and the guarantee of
//! every output end to end.

use super::join_condition::{JoinCondition, state_bounds};
use super::plan::{Attribute, Node, Plan, ProcessSpec};
use super::query::Query;
use super::relation::JoinKind;
use crate::time::interval::in_words;
use datafusion::logical_expr::Expr;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use tidemill_core::describe::Guarantee;
use tidemill_core::types;

/// The whole text.
pub fn query(query: &Query) -> String {
    let mut text = format!("query {}\n", query.name);
    let plans = numbered(query);
    for (number, (plan, words)) in plans.iter().enumerate() {
        let inputs: Vec<String> = plan
            .inputs()
            .iter()
            .filter_map(|input| position(&plans, input))
            .map(|input| format!("#{}", input + 1))
            .collect();
        let from = if inputs.is_empty() { String::new() } else { format!(" <- {}", inputs.join(", ")) };
        let _ = writeln!(text, "  #{} {words}{from}", number + 1);
    }
    for output in &query.outputs {
        let sink = output.sink.connector.describe();
        let from = position(&plans, &output.plan).map_or(0, |position| position + 1);
        let _ = writeln!(text, "  => {} ({}, {}) <- #{from}", output.sink.name, sink.name, output.mode.word());
    }
    for late in &query.late_letters {
        let from = position(&plans, &late.plan).map_or(0, |position| position + 1);
        let _ = writeln!(text, "  => dead letters (late rows of {}) <- #{from}", late.sink.name);
    }
    let _ = writeln!(text, "\nguarantee");
    for output in &query.outputs {
        let _ = writeln!(text, "  {}", guarantee(query, output));
    }
    text
}

type Numbered = Vec<(Arc<Plan>, String)>;

/// The connector of each table, and how one beside a stream is read.
type Connectors<'a> = BTreeMap<&'a str, (&'a str, &'a str)>;

/// Every plan that does something, in the order rows meet them. Projections that only rename are left
/// out.
fn numbered(query: &Query) -> Numbered {
    let mut plans: Numbered = Vec::new();
    let tables = query.sources.iter().chain(&query.tables);
    let connectors: Connectors<'_> = tables
        .map(|source| {
            let read = if source.is_followed() { "read again when it changes" } else { "read once" };
            (source.name.as_str(), (source.connector.describe().name, read))
        })
        .collect();
    for plan in query.outputs.iter().chain(&query.late_letters).flat_map(|output| output.plan.walk()) {
        if plans.iter().any(|(known, _)| Arc::ptr_eq(known, &plan)) || renames_only(&plan) {
            continue;
        }
        let words = words(&plan, &connectors);
        plans.push((plan, words));
    }
    plans
}

/// Number of the plan, or of what it renames.
fn position(plans: &Numbered, plan: &Arc<Plan>) -> Option<usize> {
    let found = plans.iter().position(|(known, _)| Arc::ptr_eq(known, plan));
    found.or_else(|| match &plan.node {
        Node::Project { input, .. } if renames_only(plan) => position(plans, input),
        _ => None,
    })
}

fn renames_only(plan: &Plan) -> bool {
    matches!(&plan.node, Node::Project { list, .. } if list.iter().all(|expr| matches!(expr, Expr::Column(_))))
}

fn process(plan: &Plan, spec: &ProcessSpec, has_initial: bool) -> String {
    let Node::Process { input, .. } = &plan.node else { return String::new() };
    let what = if spec.timeouts { "timeouts" } else { "timers" };
    let begins = if has_initial { ", with an initial state" } else { "" };
    format!("state of {} by [{}], {what} by {}{begins}", spec.name, key_names(input, &spec.keys), spec.time_mode.word())
}

fn words(plan: &Plan, connectors: &Connectors<'_>) -> String {
    match &plan.node {
        Node::Source { table, .. } => {
            format!("source {table} ({}): {}", connector(table, connectors).0, names(&plan.attributes))
        }
        Node::Static { table, .. } => {
            let (connector, read) = connector(table, connectors);
            format!("table {table} ({connector}), {read}: {}", names(&plan.attributes))
        }
        Node::Values { rows } => format!("values, {} rows", rows.num_rows()),
        Node::Project { list, .. } => {
            let computed = list.iter().zip(&plan.attributes).filter(|(expr, _)| !matches!(expr, Expr::Column(_)));
            format!(
                "compute {}",
                computed
                    .map(|(expr, attribute)| format!("{} = {}", attribute.name, shown(expr)))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        Node::Filter { condition, .. } => format!("keep rows where {}", shown(condition)),
        Node::Watermark { column, delay, .. } => format!(
            "watermark on {}, {} behind the newest",
            plan.attribute(*column).map_or("?", |attribute| &attribute.name),
            in_words(*delay)
        ),
        Node::Window { kind, time: by, .. } => window(*kind, &shown(by)),
        Node::Late { .. } => "rows it drops because they are late".into(),
        Node::Session { start, end, .. } => format!("session opened from {} to {}", shown(start), shown(end)),
        Node::Expand { lists, .. } => format!("repeat every row {} times for its grouping sets", lists.len()),
        Node::Explode { generator, argument, outer, .. } => {
            format!("{generator:?}{} {}", if *outer { " outer" } else { "" }, shown(argument))
        }
        Node::Aggregate { keys, calls, .. } => aggregate(plan, keys, calls.len()),
        Node::Deduplicate { keys, within_watermark, .. } => {
            let within = if *within_watermark { ", within the watermark" } else { "" };
            format!("first row of each [{}]{within}", key_names(plan, keys))
        }
        Node::Process { spec, initial, .. } => process(plan, spec, initial.is_some()),
        Node::MapRows { function, .. } => format!("batches through {function:?}"),
        Node::StaticJoin { kind, on, filter, .. } => {
            let on: Vec<String> =
                on.iter().map(|(left, right)| format!("{} = {}", shown(left), shown(right))).collect();
            let rest = filter.as_ref().map(|filter| format!(" and {}", shown(filter))).unwrap_or_default();
            format!("{} join with a table on {}{rest}", join_word(*kind), on.join(" and "))
        }
        Node::StreamJoin { left, right, kind, on } => stream_join(left, right, *kind, on),
        Node::Union { .. } => "rows of all".into(),
        Node::Sort { keys, .. } => {
            let keys: Vec<String> = keys
                .iter()
                .map(|key| format!("{}{}", shown(&key.by), if key.descending { " desc" } else { "" }))
                .collect();
            format!("sort by {}", keys.join(", "))
        }
        Node::Limit { count, offset, .. } => match (count, offset) {
            (Some(count), 0) => format!("first {count} rows"),
            (count, offset) => format!("rows after the first {offset}, at most {count:?}"),
        },
    }
}

fn connector<'a>(table: &str, connectors: &Connectors<'a>) -> (&'a str, &'a str) {
    connectors.get(table).copied().unwrap_or(("?", "read once"))
}

fn names(attributes: &[Attribute]) -> String {
    attributes.iter().map(|attribute| attribute.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn key_names(plan: &Plan, keys: &[u32]) -> String {
    let names = keys.iter().filter_map(|key| plan.attribute(*key)).map(|key| key.name.as_str());
    names.collect::<Vec<_>>().join(", ")
}

fn aggregate(plan: &Plan, keys: &[u32], calls: usize) -> String {
    let results = &plan.attributes[keys.len()..(keys.len() + calls).min(plan.attributes.len())];
    let closes = plan.attributes.iter().any(|attribute| attribute.watermark.is_some());
    let state = if closes { "state goes with the watermark" } else { "state stays" };
    format!("group by [{}] computing [{}]; {state}", key_names(plan, keys), names(results))
}

fn stream_join(left: &Plan, right: &Plan, kind: JoinKind, on: &[Expr]) -> String {
    let bounds = state_bounds(&JoinCondition::new(on, left, right), left, right);
    let state = match (bounds.left.is_bounded(), bounds.right.is_bounded()) {
        (true, true) => "state goes with the watermark",
        (true, false) => "left state goes with the watermark, right state stays",
        (false, true) => "right state goes with the watermark, left state stays",
        (false, false) => "state stays",
    };
    let on: Vec<String> = on.iter().map(shown).collect();
    format!("{} join of two streams on {}; {state}", join_word(kind), on.join(" and "))
}

fn join_word(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "inner",
        JoinKind::Cross => "cross",
        JoinKind::LeftOuter => "left outer",
        JoinKind::RightOuter => "right outer",
        JoinKind::FullOuter => "full outer",
        JoinKind::LeftSemi => "left semi",
        JoinKind::LeftAnti => "left anti",
    }
}

fn window(kind: crate::operator::window::WindowKind, by: &str) -> String {
    use crate::operator::window::WindowKind;
    match kind {
        WindowKind::Tumbling(kind) => format!("tumbling window of {} by {by}", in_words(kind.length)),
        WindowKind::Sliding(kind) => {
            format!(
                "sliding window of {} every {} by {by}, kept in slices of {}",
                in_words(kind.length),
                in_words(kind.slide),
                in_words(kind.slice_width())
            )
        }
        WindowKind::Cumulating(kind) => {
            format!("growing window up to {} in steps of {} by {by}", in_words(kind.length), in_words(kind.step))
        }
    }
}

/// An expression with the names people gave, without the numbers the engine added.
fn shown(expr: &Expr) -> String {
    unnumbered(&expr.to_string())
}

/// Text of expressions without the numbers of columns.
pub fn unnumbered(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '#' && letters.peek().is_some_and(char::is_ascii_digit) {
            while letters.next_if(char::is_ascii_digit).is_some() {}
        } else {
            plain.push(letter);
        }
    }
    plain
}

fn guarantee(query: &Query, output: &super::query::QueryOutput) -> String {
    let reached = output.plan.sources();
    let sources = query.sources.iter().filter(|source| reached.contains(&source.name));
    let mut steps: Vec<String> = sources
        .map(|source| {
            let describe = source.connector.describe();
            let replays = if describe.guarantee >= Guarantee::ExactlyOnce { "replays" } else { "cannot replay" };
            let promised = source.connector.guarantee(&source.options);
            let weaker = if promised < describe.guarantee { format!(", {}", promised.words()) } else { String::new() };
            format!("{} ({}, {replays}{weaker})", source.name, describe.name)
        })
        .collect();
    steps.push("epoch log".into());
    let sink = output.sink.connector.describe().name;
    let promised = output.sink.connector.guarantee(&output.sink.options).words();
    steps.push(format!("{} ({sink}, {promised})", output.sink.name));
    format!("{}: {}", query.guarantee(output).words(), steps.join(" -> "))
}

/// The columns of every output with their types.
pub fn schema(query: &Query) -> Vec<(String, Vec<(String, String)>)> {
    let columns = |plan: &Plan| {
        plan.attributes.iter().map(|attribute| (attribute.name.clone(), types::name(&attribute.data_type))).collect()
    };
    query.outputs.iter().map(|output| (output.sink.name.clone(), columns(&output.plan))).collect()
}
