//! Which plans fit a stream in which output mode: the matrix of SEMANTICS section 12, with Spark's
//! error classes.

use super::refuse::UNSUPPORTED_STREAM;
use crate::pipeline::plan::{Node, Plan};
use crate::pipeline::relation::JoinKind;
use crate::pipeline::session::session_key;
use std::sync::Arc;
use tidemill_core::sink::OutputMode;
use tidemill_core::{Error, Result};

/// Checks what an output mode asks of the whole plan.
///
/// # Errors
/// What Spark refuses too.
pub fn check_mode(plan: &Arc<Plan>, mode: OutputMode) -> Result<()> {
    if !plan.streaming {
        return Ok(());
    }
    let plans = plan.walk();
    let streaming: Vec<&Arc<Plan>> = plans.iter().filter(|plan| plan.streaming).collect();
    let aggregates: Vec<&&Arc<Plan>> =
        streaming.iter().filter(|plan| matches!(plan.node, Node::Aggregate { .. })).collect();
    match mode {
        OutputMode::Append => {
            if aggregates.iter().any(|aggregate| !closes(aggregate)) {
                return Err(mode_error(mode, "streaming aggregations without watermark").help(
                    "group by an event-time window or column with a watermark, or use output mode update or complete",
                ));
            }
        }
        OutputMode::Update => {
            if aggregates.iter().any(|aggregate| merges_sessions(aggregate)) {
                return Err(mode_error(mode, "session windows: a session shown may become part of another")
                    .help("use output mode append, or complete"));
            }
            let mut stateful = streaming.iter().filter(|plan| is_stateful(plan));
            if stateful.any(|plan| plan.inputs().iter().any(|input| above_aggregate(input))) {
                return Err(unsupported(
                    "a stateful operator above an aggregation in output mode update: later results could not correct earlier ones",
                )
                .help("use output mode append"));
            }
        }
        OutputMode::Complete => {
            if aggregates.is_empty() {
                return Err(mode_error(mode, "no streaming aggregations").help("use output mode append"));
            }
            if aggregates.len() > 1 {
                return Err(unsupported("several streaming aggregations in output mode complete")
                    .help("use output mode append"));
            }
        }
    }
    Ok(())
}

/// Checks every operator of a plan.
///
/// # Errors
/// What Spark refuses too.
pub fn check_operators(plan: &Arc<Plan>, mode: OutputMode) -> Result<()> {
    for plan in plan.walk().iter().filter(|plan| plan.streaming) {
        if mode != OutputMode::Complete {
            one_event_time(plan)?;
        }
        fits(plan, mode)?;
    }
    Ok(())
}

/// What one operator of a stream asks of the output mode.
fn fits(plan: &Plan, mode: OutputMode) -> Result<()> {
    match &plan.node {
        Node::Sort { input, .. } if mode != OutputMode::Complete || !above_aggregate(input) => {
            return Err(unsupported("sorting a stream: rows that come later belong before rows already out")
                .help("sort the whole result of an aggregation in output mode complete"));
        }
        // Spark's transformWithState takes any of the two
        Node::Process { spec, .. } if spec.timeouts && spec.mode != mode => {
            let (written, asked) = (spec.mode.word(), mode.word());
            return Err(unsupported(&format!(
                "applyInPandasWithState in output mode {written} with a query in output mode {asked}"
            ))
            .help("give both the same output mode"));
        }
        Node::StreamJoin { kind, .. }
            if mode == OutputMode::Complete
                || (mode == OutputMode::Update && !matches!(kind, JoinKind::Inner | JoinKind::LeftSemi)) =>
        {
            return Err(unsupported(&format!(
                "a {} join of two streams in output mode {}: rows that came out with NULLs could not be corrected",
                kind.spark_name(),
                mode.word()
            ))
            .help("use output mode append"));
        }
        Node::Limit { .. } if mode == OutputMode::Update => {
            return Err(
                unsupported("LIMIT on a stream in output mode update").help("use output mode append or complete")
            );
        }
        _ => {}
    }
    Ok(())
}

fn merges_sessions(plan: &Plan) -> bool {
    matches!(&plan.node, Node::Aggregate { input, keys, .. } if session_key(input, keys).is_some())
}

fn is_stateful(plan: &Plan) -> bool {
    match &plan.node {
        Node::Aggregate { .. } | Node::StreamJoin { .. } | Node::Process { .. } => true,
        // one without event time lets nothing go, so nothing is late for it
        Node::Deduplicate { input, keys, within_watermark } => {
            let is_event = |key: &u32| input.attribute(*key).is_some_and(|attribute| attribute.watermark.is_some());
            *within_watermark || keys.iter().any(is_event)
        }
        _ => false,
    }
}

/// True for an aggregate whose groups the watermark will close.
fn closes(plan: &Plan) -> bool {
    let Node::Aggregate { keys, .. } = &plan.node else { return false };
    keys.iter().any(|key| plan.attribute(*key).is_some_and(|attribute| attribute.watermark.is_some()))
}

/// A grouping by two event times, such as a window and its own time, has no one time that closes it.
fn one_event_time(plan: &Plan) -> Result<()> {
    let Node::Aggregate { keys, .. } = &plan.node else { return Ok(()) };
    let has_watermark = |key: &&u32| plan.attribute(**key).is_some_and(|attribute| attribute.watermark.is_some());
    if keys.iter().filter(has_watermark).count() < 2 {
        return Ok(());
    }
    Err(Error::invalid("a grouping by two event-time columns: it is not clear which of them closes the groups")
        .class("MULTIPLE_EVENT_TIME_COLUMNS")
        .help("group by one of them; wrap the other in an expression or an aggregate such as max()"))
}

fn above_aggregate(plan: &Plan) -> bool {
    let here = matches!(plan.node, Node::Aggregate { .. });
    plan.streaming && (here || plan.inputs().iter().any(|input| above_aggregate(input)))
}

fn mode_error(mode: OutputMode, what: &str) -> Error {
    Error::invalid(format!("output mode {} is not supported for {what}", mode.word()))
        .class("STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION")
}

fn unsupported(what: &str) -> Error {
    Error::invalid(format!("not supported on a stream: {what}")).class(UNSUPPORTED_STREAM)
}
