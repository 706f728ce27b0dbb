//! Puts progress reports together and hands them to the listeners.

use crate::checkpoint::record::PlanRecord;
use crate::dataflow::execute::OperatorReport;
use crate::deliver::Delivered;
use crate::ingest::{Ingest, Read};
use crate::operator::watermark::EventTimes;
use crate::progress::{
    Durations, EpochReport, EventTime, Latency, Listener, Progress, QueryStarted, SinkProgress, SinkReport,
    SourceProgress, StateOperator, TableName, iso, percentiles, raw,
};
use crate::resilience::stall::Stall;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidemill_core::{Clock, Offsets, Split, SplitRange};

/// Reports that are kept, as in Spark.
const RECENT: usize = 100;

/// Times of one epoch's steps.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    started: Duration,
    planned: Duration,
    logged: Duration,
    read: Duration,
    computed: Duration,
    delivered: Duration,
    committed: Duration,
    journal_bytes: u64,
}

impl Measured {
    /// The sources are about to be asked what is new.
    pub fn start(clock: &dyn Clock) -> Self {
        let now = clock.elapsed();
        Measured {
            started: now,
            planned: now,
            logged: now,
            read: now,
            computed: now,
            delivered: now,
            committed: now,
            journal_bytes: 0,
        }
    }

    /// It is known what to read.
    pub fn planned(&mut self, clock: &dyn Clock) {
        self.planned = clock.elapsed();
    }

    /// The plan is durable.
    pub fn logged(&mut self, clock: &dyn Clock) {
        self.logged = clock.elapsed();
    }

    /// Rows are read and decoded.
    pub fn read(&mut self, clock: &dyn Clock) {
        self.read = clock.elapsed();
    }

    /// Operators are done.
    pub fn computed(&mut self, clock: &dyn Clock) {
        self.computed = clock.elapsed();
    }

    /// Sinks have the rows.
    pub fn delivered(&mut self, clock: &dyn Clock) {
        self.delivered = clock.elapsed();
    }

    /// How long it all took.
    pub fn took(&self) -> Duration {
        self.committed.saturating_sub(self.started)
    }

    /// The commit is written down.
    pub fn committed(&mut self, clock: &dyn Clock, journal_bytes: u64) {
        self.committed = clock.elapsed();
        self.journal_bytes = journal_bytes;
    }
}

/// Recent reports of one query, shared with whoever asks.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<Progress>>);

impl Recent {
    fn push(&self, progress: Progress) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(progress);
    }

    /// The reports, oldest first.
    pub fn all(&self) -> Vec<Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The newest report.
    pub fn last(&self) -> Option<Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).back().cloned()
    }
}

/// Everything an epoch knows when it is done.
pub struct Done<'a> {
    /// What it was to read.
    pub plan: &'a PlanRecord,
    /// What it read from each table.
    pub reads: &'a [(String, Read)],
    /// The sources, in the order of `reads`.
    pub sources: &'a [Ingest],
    /// Operators with state, in the order of the plan.
    pub operators: Vec<&'a OperatorReport>,
    /// What went to each sink; that of the dead letters, if there is one, comes after the outputs'.
    pub delivered: &'a [Delivered],
    /// Outputs of the query.
    pub outputs: usize,
    /// Event times of the rows.
    pub event_times: Option<EventTimes>,
    /// The watermark it used and the next one's, in milliseconds.
    pub watermark: Option<(i64, i64)>,
    /// Rows that became dead letters.
    pub letters: u64,
    /// When its results were visible, in microseconds since 1970.
    pub visible: i64,
    /// Times of its steps.
    pub measured: Measured,
}

impl Done<'_> {
    /// Microseconds from a row's entry to its visible result, for every row whose entry is known.
    fn latencies(&self) -> Arc<[i64]> {
        let entered = self.reads.iter().flat_map(|(_, read)| &read.entered).filter(|entered| **entered > 0);
        entered.map(|entered| self.visible - entered).collect()
    }
}

/// Makes the reports of one query.
pub struct Reporter {
    /// Identity of the checkpoint.
    pub id: String,
    /// Identity of this run.
    pub run_id: String,
    /// Name of the query.
    pub name: String,
    /// Connector of each source table.
    pub connectors: BTreeMap<String, &'static str>,
    /// Recent reports.
    pub recent: Arc<Recent>,
    /// Who hears of them.
    pub listeners: Vec<Arc<dyn Listener>>,
    last_start: Option<Duration>,
}

impl Reporter {
    /// A reporter for a query.
    pub fn new(
        id: String,
        run_id: String,
        name: String,
        connectors: BTreeMap<String, &'static str>,
        recent: Arc<Recent>,
        listeners: Vec<Arc<dyn Listener>>,
    ) -> Self {
        Reporter { id, run_id, name, connectors, recent, listeners, last_start: None }
    }

    /// The loop starts.
    pub fn start(&self, started: &QueryStarted) {
        self.listeners.iter().for_each(|listener| listener.on_start(started));
    }

    /// An epoch begins.
    pub fn begin(&self) {
        self.listeners.iter().for_each(|listener| listener.on_begin(&self.name));
    }

    /// The query waits for rows.
    pub fn idle(&self) {
        self.listeners.iter().for_each(|listener| listener.on_idle(&self.name));
    }

    /// It waits for something to be mended outside.
    pub fn stalled(&self, stall: &Stall) {
        tracing::warn!(query = self.name, reason = stall.reason.word(), "{stall}; the query goes on by itself");
        self.still_stalled(stall);
    }

    /// It still does.
    pub fn still_stalled(&self, stall: &Stall) {
        self.listeners.iter().for_each(|listener| listener.on_stall(&self.name, stall));
    }

    /// It goes on.
    pub fn resumed(&self) {
        tracing::info!(query = self.name, "goes on");
        self.listeners.iter().for_each(|listener| listener.on_resume(&self.name));
    }

    /// An epoch is done.
    pub fn epoch(&mut self, done: &Done<'_>) {
        let since_last = self.last_start.map(|last| done.measured.started.saturating_sub(last).as_secs_f64());
        self.last_start = Some(done.measured.started);
        let latencies = done.latencies();
        let progress = self.progress(done, since_last, percentiles(&latencies));
        let report = EpochReport {
            progress: progress.clone(),
            latencies,
            watermark: done.watermark.map(|(used, _)| used),
            next_watermark: done.watermark.map(|(_, next)| next),
            lag: done.sources.iter().flat_map(lag).collect(),
            behind: done.sources.iter().flat_map(Ingest::behind).collect(),
            source_rows: done.reads.iter().map(|(table, read)| (table.clone(), read.row_count(), read.bytes)).collect(),
            sinks: done.delivered.iter().enumerate().map(|(at, sink)| sink_report(sink, at >= done.outputs)).collect(),
            future_rows: done.event_times.map_or(0, |times| times.ahead),
            journal_bytes: done.measured.journal_bytes,
        };
        self.recent.push(progress);
        self.listeners.iter().for_each(|listener| listener.on_epoch(&report));
    }

    fn progress(&self, done: &Done<'_>, since_last: Option<f64>, latency: Option<Latency>) -> Progress {
        let whole = done.measured.committed.saturating_sub(done.measured.started).as_secs_f64();
        let per_second = |rows: u64, seconds: Option<f64>| seconds.map_or(0.0, |seconds| rows as f64 / seconds);
        let rates = |rows: u64| (per_second(rows, since_last), per_second(rows, Some(whole)));
        let read_rows: u64 = done.reads.iter().map(|(_, read)| read.row_count()).sum();
        let (input_rate, processed_rate) = rates(read_rows);
        let sinks: Vec<SinkProgress> = done.delivered.iter().take(done.outputs).map(sink_progress).collect();
        let nothing = || SinkProgress { description: String::new(), num_output_rows: 0, commit_ms: 0.0 };
        Progress {
            id: self.id.clone(),
            run_id: self.run_id.clone(),
            name: self.name.clone(),
            timestamp: iso(done.plan.timestamp),
            batch_id: done.plan.epoch.0,
            batch_duration: (whole * 1000.0).round() as u64,
            num_input_rows: read_rows,
            input_rows_per_second: input_rate,
            processed_rows_per_second: processed_rate,
            duration_ms: durations(&done.measured),
            event_time: EventTime {
                min: done.event_times.map(|times| iso(times.least)),
                max: done.event_times.map(|times| iso(times.most)),
                avg: done.event_times.map(|times| iso(times.average)),
                watermark: done.watermark.map(|(used, _)| iso(used.saturating_mul(1000))),
                ahead: done.event_times.map(|times| times.ahead).filter(|ahead| *ahead > 0),
            },
            state_operators: done.operators.iter().rev().map(|operator| state_operator(operator)).collect(),
            sources: done
                .reads
                .iter()
                .zip(done.sources)
                .map(|((table, read), source)| self.source(table, read, source, done.plan, &rates))
                .collect(),
            sink: sinks.first().cloned().unwrap_or_else(nothing),
            sinks,
            dead_letters: done.letters,
            latency_ms: latency,
        }
    }

    fn source(
        &self,
        table: &str,
        read: &Read,
        source: &Ingest,
        plan: &PlanRecord,
        rates: &dyn Fn(u64) -> (f64, f64),
    ) -> SourceProgress {
        let ranges = plan.ranges.get(table).map_or(&[][..], Vec::as_slice);
        let of = |position: fn(&SplitRange) -> (u64, &String)| {
            let mut offsets = Offsets::default();
            for range in ranges {
                let (at, name) = position(range);
                offsets.set(range.split.clone(), at, name.clone());
            }
            offsets
        };
        let (input_rate, processed_rate) = rates(read.row_count());
        let mut metrics = BTreeMap::from([("bytes".to_owned(), read.bytes)]);
        let behind: Vec<u64> = lag(source).into_iter().map(|(_, _, behind)| behind).collect();
        if !behind.is_empty() {
            metrics.insert("lag".into(), behind.iter().sum());
        }
        if let Some(behind) = source.behind().into_iter().map(|(_, _, millis)| millis).max() {
            metrics.insert("millisBehindLatest".into(), behind);
        }
        SourceProgress {
            description: format!("{table} ({})", self.connectors.get(table).copied().unwrap_or("unknown")),
            start_offset: raw(&shown(&of(|range| (range.from, &range.from_name)))),
            end_offset: raw(&shown(&of(|range| (range.to, &range.to_name)))),
            latest_offset: raw(&shown(&source.newest)),
            num_input_rows: read.row_count(),
            input_rows_per_second: input_rate,
            processed_rows_per_second: processed_rate,
            metrics,
        }
    }

    /// The query has ended.
    pub fn end(&self, error: Option<&tidemill_core::Error>) {
        self.listeners.iter().for_each(|listener| listener.on_end(&self.name, error));
    }
}

/// Positions by split, as reports show them: by their names where they have some, and a name that is a JSON object or
/// list as what it says.
fn shown(offsets: &Offsets) -> serde_json::Map<String, serde_json::Value> {
    let one = |(split, at): (&Split, &u64)| {
        let position = match offsets.name(split) {
            None => (*at).into(),
            Some(name) if name.starts_with(['{', '[']) => serde_json::from_str(name).unwrap_or_else(|_| name.into()),
            Some(name) => name.into(),
        };
        (split.to_string(), position)
    };
    offsets.0.iter().map(one).collect()
}

/// Positions not yet read, for splits whose newest position is known. How far apart two names are nobody knows.
fn lag(source: &Ingest) -> Vec<(String, String, u64)> {
    let counted = source.newest.0.iter().filter(|(split, _)| source.newest.name(split).is_none());
    let behind = counted.map(|(split, newest)| {
        let read = source.offsets.get(split).unwrap_or(0);
        (source.table.clone(), split.to_string(), newest.saturating_sub(read))
    });
    behind.collect()
}

fn durations(measured: &Measured) -> Durations {
    let between = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() * 1000.0;
    Durations {
        latest_offset: between(measured.started, measured.planned),
        get_batch: between(measured.logged, measured.read),
        execute: between(measured.read, measured.computed),
        wal_commit: between(measured.planned, measured.logged),
        add_batch: between(measured.computed, measured.delivered),
        commit_offsets: between(measured.delivered, measured.committed),
        trigger_execution: between(measured.started, measured.committed),
    }
}

fn state_operator(operator: &OperatorReport) -> StateOperator {
    StateOperator {
        operator_name: operator.spark_name.to_owned(),
        id: operator.name.clone(),
        num_rows_total: operator.state.rows,
        num_rows_updated: operator.updated,
        num_rows_removed: operator.removed,
        num_rows_dropped_by_watermark: operator.late,
        memory_used_bytes: operator.state.bytes,
    }
}

fn sink_report(delivered: &Delivered, dead_letters: bool) -> SinkReport {
    SinkReport {
        name: TableName { table: delivered.table.clone(), connector: delivered.connector },
        rows: delivered.rows,
        bytes: delivered.bytes,
        took: delivered.took,
        dead_letters,
    }
}

fn sink_progress(delivered: &Delivered) -> SinkProgress {
    SinkProgress {
        description: format!("{} ({})", delivered.table, delivered.connector),
        num_output_rows: delivered.rows,
        commit_ms: delivered.took.as_secs_f64() * 1000.0,
    }
}
