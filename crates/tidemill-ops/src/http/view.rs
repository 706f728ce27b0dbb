//! The shapes of the JSON answers. Times are ISO 8601, durations milliseconds where the name ends in `Ms`,
//! else seconds; what is not known is absent or null.

use crate::cost::Bill;
use crate::monitor::Everything;
use crate::process::Usage;
use crate::record::history::SECONDS;
use crate::record::query::{Failure, Moment, Totals, steps};
use crate::record::{Percentiles, QueryRecord, Slot, Status};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tidemill_engine::pipeline::settings::Trigger;
use tidemill_engine::progress::{Durations, Progress, iso};

/// Seconds over which rates are taken.
const RATE_SECONDS: u64 = 5;

/// Seconds over which the steps of epochs are averaged.
const STEP_SECONDS: usize = 60;

/// Whether the process is ready, and why not.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    pub ready: bool,
    reasons: Vec<Reason>,
}

#[derive(Debug, Serialize)]
struct Reason {
    query: String,
    status: Status,
    reason: String,
}

/// The process and all its queries.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Queries {
    version: &'static str,
    now: String,
    started: String,
    uptime_seconds: f64,
    process: Process,
    cost: Bill,
    queries: Vec<Overview>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    #[serde(flatten)]
    usage: Usage,
    /// Processor seconds since monitoring began.
    cpu_seconds_here: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Overview {
    id: Option<String>,
    run_id: Option<String>,
    name: String,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    unready: Option<String>,
    /// What a stalled query waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    stall: Option<StallView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    trigger: Option<String>,
    started: Option<String>,
    committed: Option<String>,
    /// How long the epoch that is not committed has been running.
    epoch_runs_seconds: Option<f64>,
    #[serde(flatten)]
    totals: Totals,
    rows_in_per_second: f64,
    rows_out_per_second: f64,
    lag_records: Option<u64>,
    latency_ms: Option<Percentiles>,
    watermark: Option<String>,
    watermark_delay_seconds: Option<f64>,
    state_rows: u64,
    state_bytes: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StallView {
    reason: &'static str,
    message: String,
    seconds: f64,
}

/// One query, with the last minutes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail {
    #[serde(flatten)]
    overview: Overview,
    sources: Vec<SourceView>,
    sinks: Vec<SinkView>,
    operators: Vec<OperatorView>,
    /// Average of each step of the epochs of the last minute.
    steps_ms: Option<BTreeMap<&'static str, f64>>,
    newest_epochs: Vec<EpochView>,
    history: HistoryView,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SourceView {
    table: String,
    connector: &'static str,
    rows: u64,
    bytes: u64,
    lag_records: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SinkView {
    table: String,
    connector: &'static str,
    dead_letters: bool,
    rows: u64,
    bytes: u64,
    commit_ms: Option<f64>,
    commit_average_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OperatorView {
    id: String,
    kind: String,
    rows: u64,
    bytes: u64,
    updated: u64,
    removed: u64,
    late: u64,
}

/// An epoch, for the list of the newest.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EpochView {
    epoch: u64,
    timestamp: String,
    rows_in: u64,
    rows_out: u64,
    dead_letters: u64,
    duration_ms: f64,
    latency_p99_ms: Option<f64>,
}

/// The last minutes as columns: one value a second, oldest first; the last second has not ended.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct HistoryView {
    step_seconds: u64,
    rows_in: Vec<u64>,
    rows_out: Vec<u64>,
    dead_letters: Vec<u64>,
    late_rows: Vec<u64>,
    epochs: Vec<u64>,
    epoch_ms: Vec<Option<f64>>,
    latency_p50_ms: Vec<Option<f64>>,
    latency_p95_ms: Vec<Option<f64>>,
    latency_p99_ms: Vec<Option<f64>>,
    lag_records: Vec<Option<u64>>,
    watermark_delay_seconds: Vec<Option<f64>>,
    state_rows: Vec<Option<u64>>,
    state_bytes: Vec<Option<u64>>,
}

/// Newest epochs in the list.
const EPOCHS_SHOWN: usize = 8;

/// Queries that have stopped as they should do not count while another one lives.
pub(super) fn readiness(everything: &Everything<'_>) -> Readiness {
    let now = everything.now.elapsed;
    let stopped = |query: &&QueryRecord| query.course.status(now) == Status::Stopped;
    let all_stopped = everything.queries.iter().all(|query| stopped(&query));
    let reason = |query: &QueryRecord| {
        let reason = query.course.unready(now)?;
        Some(Reason { query: query.name.clone(), status: query.course.status(now), reason })
    };
    let counted = everything.queries.iter().filter(|query| all_stopped || !stopped(query));
    let reasons: Vec<Reason> = counted.filter_map(reason).collect();
    Readiness { ready: reasons.is_empty() && !everything.queries.is_empty(), reasons }
}

pub(super) fn queries(everything: &Everything<'_>) -> Queries {
    Queries {
        version: env!("CARGO_PKG_VERSION"),
        now: iso(everything.now.micros),
        started: iso(everything.began.micros),
        uptime_seconds: everything.now.elapsed.saturating_sub(everything.began.elapsed).as_secs_f64(),
        process: Process { usage: everything.usage, cpu_seconds_here: everything.cpu_seconds },
        cost: everything.bill.clone(),
        queries: everything.queries.iter().map(|query| overview(query, everything.now)).collect(),
    }
}

fn find<'a>(everything: &Everything<'a>, id: &str) -> Option<&'a QueryRecord> {
    let has_id = |query: &&QueryRecord| query.started.as_ref().is_some_and(|started| started.id == id);
    let named = everything.queries.iter().find(|query| query.name == id);
    named.or_else(|| everything.queries.iter().find(has_id))
}

pub(super) fn progress(everything: &Everything<'_>, id: &str, last: usize) -> Option<Vec<Progress>> {
    let query = find(everything, id)?;
    let skipped = query.recent.len().saturating_sub(last);
    Some(query.recent.iter().skip(skipped).cloned().collect())
}

pub(super) fn query(everything: &Everything<'_>, id: &str) -> Option<Detail> {
    let query = find(everything, id)?;
    let now = everything.now.elapsed.as_secs();
    let sources = query.sources.iter().map(|source| SourceView {
        table: source.name.table.clone(),
        connector: source.name.connector,
        rows: source.rows,
        bytes: source.bytes,
        lag_records: source.lag(),
    });
    let sinks = query.sinks.iter().map(|sink| SinkView {
        table: sink.name.table.clone(),
        connector: sink.name.connector,
        dead_letters: sink.dead_letters,
        rows: sink.rows,
        bytes: sink.bytes,
        commit_ms: sink.last_commit.map(|took| took.as_secs_f64() * 1000.0),
        commit_average_ms: (sink.commits.count > 0).then(|| sink.commits.sum * 1000.0 / sink.commits.count as f64),
    });
    let operators = query.operators.iter().map(|operator| OperatorView {
        id: operator.id.clone(),
        kind: operator.kind.clone(),
        rows: operator.rows,
        bytes: operator.bytes,
        updated: operator.updated,
        removed: operator.removed,
        late: operator.late,
    });
    Some(Detail {
        overview: overview(query, everything.now),
        sources: sources.collect(),
        sinks: sinks.collect(),
        operators: operators.collect(),
        steps_ms: average_steps(query, now),
        newest_epochs: query.recent.iter().rev().take(EPOCHS_SHOWN).map(epoch).collect(),
        history: history(query, now, everything.began.elapsed.as_secs()),
    })
}

fn overview(query: &QueryRecord, now: Moment) -> Overview {
    let second = now.elapsed.as_secs();
    let (rows_in_per_second, rows_out_per_second) = query.history.rates(second, RATE_SECONDS);
    let (state_rows, state_bytes) = query.state();
    let started = query.started.as_ref();
    Overview {
        id: started.map(|started| started.id.clone()),
        run_id: started.map(|started| started.run_id.clone()),
        name: query.name.clone(),
        status: query.course.status(now.elapsed),
        unready: query.course.unready(now.elapsed),
        stall: query.course.stall.as_ref().map(|(stall, since)| StallView {
            reason: stall.reason.word(),
            message: stall.message.clone(),
            seconds: now.elapsed.saturating_sub(*since).as_secs_f64(),
        }),
        failure: query.failure.clone(),
        trigger: started.map(|started| trigger(started.trigger)),
        started: query.started_at.map(iso),
        committed: query.committed_at.map(iso),
        epoch_runs_seconds: query.course.epoch_began.map(|began| now.elapsed.saturating_sub(began).as_secs_f64()),
        totals: query.totals,
        rows_in_per_second,
        rows_out_per_second,
        lag_records: query.lag(),
        latency_ms: query.history.latency(second),
        watermark: query.watermark.map(|millis| iso(millis.saturating_mul(1000))),
        watermark_delay_seconds: query.watermark_delay(now.micros),
        state_rows,
        state_bytes,
    }
}

fn trigger(trigger: Trigger) -> String {
    match trigger {
        Trigger::Asap | Trigger::ProcessingTime(Duration::ZERO) => "as soon as rows arrive".into(),
        Trigger::ProcessingTime(interval) => format!("every {} s", interval.as_secs_f64()),
        Trigger::AvailableNow => "available now".into(),
        Trigger::Once => "once".into(),
    }
}

fn average_steps(query: &QueryRecord, now: u64) -> Option<BTreeMap<&'static str, f64>> {
    let mut sums: BTreeMap<&'static str, f64> = BTreeMap::new();
    let mut epochs = 0;
    for slot in query.history.last(now, STEP_SECONDS).flatten() {
        epochs += slot.epochs;
        for (name, millis) in steps(&slot.steps) {
            *sums.entry(name).or_default() += millis;
        }
    }
    (epochs > 0).then(|| sums.into_iter().map(|(name, sum)| (name, sum / epochs as f64)).collect())
}

fn epoch(progress: &Progress) -> EpochView {
    EpochView {
        epoch: progress.batch_id,
        timestamp: progress.timestamp.clone(),
        rows_in: progress.num_input_rows,
        rows_out: progress.sinks.iter().map(|sink| sink.num_output_rows).sum(),
        dead_letters: progress.dead_letters,
        duration_ms: progress.duration_ms.trigger_execution,
        latency_p99_ms: progress.latency_ms.map(|latency| latency.p99),
    }
}

/// Counts of a second in which nothing happened are 0; what is held goes on as it was, and a watermark that
/// stands still falls behind.
fn history(query: &QueryRecord, now: u64, began: u64) -> HistoryView {
    let seconds = (now.saturating_sub(began) as usize + 1).min(SECONDS);
    let mut view = HistoryView { step_seconds: 1, ..HistoryView::default() };
    let nothing = Slot::default();
    let mut held: Option<&Slot> = None;
    let mut stood = 0.0;
    for slot in query.history.last(now, seconds) {
        stood = if slot.is_some() { 0.0 } else { stood + 1.0 };
        held = slot.or(held);
        let counted = slot.unwrap_or(&nothing);
        let whole = |steps: &Durations| steps.trigger_execution / counted.epochs.max(1) as f64;
        view.rows_in.push(counted.rows_in);
        view.rows_out.push(counted.rows_out);
        view.dead_letters.push(counted.dead_letters);
        view.late_rows.push(counted.late_rows);
        view.epochs.push(counted.epochs);
        view.epoch_ms.push(slot.map(|slot| whole(&slot.steps)));
        view.latency_p50_ms.push(counted.latency.map(|latency| latency.p50));
        view.latency_p95_ms.push(counted.latency.map(|latency| latency.p95));
        view.latency_p99_ms.push(counted.latency.map(|latency| latency.p99));
        view.lag_records.push(held.and_then(|slot| slot.lag));
        view.watermark_delay_seconds.push(held.and_then(|slot| slot.watermark_delay).map(|delay| delay + stood));
        view.state_rows.push(held.map(|slot| slot.state_rows));
        view.state_bytes.push(held.map(|slot| slot.state_bytes));
    }
    view
}
