//! A checked query for people: the plan as data flows, from sources to sinks, and the guarantee of
//! every output end to end.

use super::plan::{Attribute, Node, Plan};
use super::query::Query;
use super::relation::JoinKind;
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
    let _ = writeln!(text, "\nguarantee");
    for output in &query.outputs {
        let _ = writeln!(text, "  {}", guarantee(query, output));
    }
    text
}

type Numbered = Vec<(Arc<Plan>, String)>;

/// Every plan that does something, in the order rows meet them. Projections that only rename are left
/// out.
fn numbered(query: &Query) -> Numbered {
    let mut plans: Numbered = Vec::new();
    let tables = query.sources.iter().chain(&query.tables);
    let connectors: BTreeMap<&str, &str> =
        tables.map(|source| (source.name.as_str(), source.connector.describe().name)).collect();
    for plan in query.outputs.iter().flat_map(|output| output.plan.walk()) {
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

fn words(plan: &Plan, connectors: &BTreeMap<&str, &str>) -> String {
    let columns = |attributes: &[Attribute]| {
        attributes.iter().map(|attribute| attribute.name.clone()).collect::<Vec<_>>().join(", ")
    };
    match &plan.node {
        Node::Source { table, .. } => {
            format!(
                "source {table} ({}): {}",
                connectors.get(table.as_str()).unwrap_or(&"?"),
                columns(&plan.attributes)
            )
        }
        Node::Static { table, .. } => {
            format!(
                "table {table} ({}), read once: {}",
                connectors.get(table.as_str()).unwrap_or(&"?"),
                columns(&plan.attributes)
            )
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
            time(*delay)
        ),
        Node::Window { kind, time: by, .. } => window(*kind, &shown(by)),
        Node::Expand { lists, .. } => format!("repeat every row {} times for its grouping sets", lists.len()),
        Node::Explode { generator, argument, outer, .. } => {
            format!("{generator:?}{} {}", if *outer { " outer" } else { "" }, shown(argument))
        }
        Node::Aggregate { keys, calls, .. } => {
            let keys: Vec<&str> =
                keys.iter().filter_map(|key| plan.attribute(*key)).map(|key| key.name.as_str()).collect();
            let results: Vec<&str> =
                plan.attributes.iter().skip(keys.len()).take(calls.len()).map(|result| result.name.as_str()).collect();
            let closes = plan.attributes.iter().any(|attribute| attribute.watermark.is_some());
            let state = if closes { "state goes with the watermark" } else { "state stays" };
            format!("group by [{}] computing [{}]; {state}", keys.join(", "), results.join(", "))
        }
        Node::Deduplicate { keys, within_watermark, .. } => {
            let keys: Vec<&str> =
                keys.iter().filter_map(|key| plan.attribute(*key)).map(|key| key.name.as_str()).collect();
            format!(
                "first row of each [{}]{}",
                keys.join(", "),
                if *within_watermark { ", within the watermark" } else { "" }
            )
        }
        Node::StaticJoin { kind, on, filter, .. } => {
            let on: Vec<String> =
                on.iter().map(|(left, right)| format!("{} = {}", shown(left), shown(right))).collect();
            let rest = filter.as_ref().map(|filter| format!(" and {}", shown(filter))).unwrap_or_default();
            format!("{} join with a table on {}{rest}", join_word(*kind), on.join(" and "))
        }
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
        WindowKind::Tumbling(kind) => format!("tumbling window of {} by {by}", time(kind.length)),
        WindowKind::Sliding(kind) => {
            format!(
                "sliding window of {} every {} by {by}, kept in slices of {}",
                time(kind.length),
                time(kind.slide),
                time(kind.slice_width())
            )
        }
    }
}

/// Microseconds in the largest unit that leaves a whole number.
fn time(micros: i64) -> String {
    const UNITS: [(i64, &str); 6] = [
        (86_400_000_000, "day"),
        (3_600_000_000, "hour"),
        (60_000_000, "minute"),
        (1_000_000, "second"),
        (1_000, "millisecond"),
        (1, "microsecond"),
    ];
    if micros == 0 {
        return "0 seconds".into();
    }
    let (size, unit) = UNITS.into_iter().find(|(size, _)| micros % size == 0).unwrap_or((1, "microsecond"));
    let count = micros / size;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// An expression with the names people gave, without the numbers the engine added.
fn shown(expr: &Expr) -> String {
    let text = expr.to_string();
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
            format!("{} ({}, {replays})", source.name, describe.name)
        })
        .collect();
    steps.push("epoch log".into());
    let sink = output.sink.connector.describe();
    steps.push(format!("{} ({}, {})", output.sink.name, sink.name, sink.guarantee.words()));
    format!("{}: {}", query.guarantee(output).words(), steps.join(" -> "))
}

/// The columns of every output with their types.
pub fn schema(query: &Query) -> Vec<(String, Vec<(String, String)>)> {
    let columns = |plan: &Plan| {
        plan.attributes.iter().map(|attribute| (attribute.name.clone(), types::name(&attribute.data_type))).collect()
    };
    query.outputs.iter().map(|output| (output.sink.name.clone(), columns(&output.plan))).collect()
}
