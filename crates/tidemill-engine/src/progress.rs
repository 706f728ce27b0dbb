//! What an epoch has done, as Spark reports it: the fields and names of `StreamingQueryProgress`,
//! and a few more (several sinks, dead letters, latency).

use crate::pipeline::settings::Trigger;
use crate::resilience::stall::Stall;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::retry::Vitals;

/// A progress report.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Identity of the checkpoint.
    pub id: String,
    /// Identity of this run.
    pub run_id: String,
    /// Name of the query.
    pub name: String,
    /// The epoch's instant, ISO 8601 with milliseconds.
    pub timestamp: String,
    /// The epoch.
    pub batch_id: u64,
    /// Whole time of the epoch, in milliseconds.
    pub batch_duration: u64,
    /// Rows read.
    pub num_input_rows: u64,
    /// Rows read a second since the epoch before.
    #[serde(serialize_with = "finite")]
    pub input_rows_per_second: f64,
    /// Rows read a second of the epoch's own time.
    #[serde(serialize_with = "finite")]
    pub processed_rows_per_second: f64,
    /// Times of the epoch's steps, in milliseconds.
    pub duration_ms: Durations,
    /// Event times and watermark, ISO 8601.
    pub event_time: EventTime,
    /// Stateful operators, furthest downstream first.
    pub state_operators: Vec<StateOperator>,
    /// Sources.
    pub sources: Vec<SourceProgress>,
    /// The first sink.
    pub sink: SinkProgress,
    /// Every sink, in the order of the pipeline; that of the dead letters is not among them.
    pub sinks: Vec<SinkProgress>,
    /// Bad records.
    pub dead_letters: u64,
    /// Time from a record's entry into its source to its commit in every sink, in milliseconds; absent
    /// when no source knows when its records entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
}

/// Times of an epoch's steps.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Durations {
    /// Asking the sources what is new.
    #[serde(serialize_with = "millis")]
    pub latest_offset: f64,
    /// Reading and decoding.
    #[serde(serialize_with = "millis")]
    pub get_batch: f64,
    /// Expressions, state and aggregates.
    #[serde(serialize_with = "millis")]
    pub execute: f64,
    /// Writing the plan.
    #[serde(serialize_with = "millis")]
    pub wal_commit: f64,
    /// Writing the sinks.
    #[serde(serialize_with = "millis")]
    pub add_batch: f64,
    /// Writing changes of state and the commit.
    #[serde(serialize_with = "millis")]
    pub commit_offsets: f64,
    /// All of it.
    #[serde(serialize_with = "millis")]
    pub trigger_execution: f64,
}

/// Event times of an epoch.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EventTime {
    /// Earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// Latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// Average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg: Option<String>,
    /// The watermark the epoch used; absent when the query declares none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<String>,
    /// Rows that did not raise the watermark, being further ahead of the clock than `max_future_skew`; absent for none.
    #[serde(rename = "rowsAheadOfClock", skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u64>,
}

/// A stateful operator in an epoch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateOperator {
    /// Spark's name of its kind.
    pub operator_name: String,
    /// Its name in the checkpoint.
    pub id: String,
    /// State rows.
    pub num_rows_total: u64,
    /// State rows changed.
    pub num_rows_updated: u64,
    /// State rows removed.
    pub num_rows_removed: u64,
    /// Rows dropped because they were late.
    pub num_rows_dropped_by_watermark: u64,
    /// Memory held, in bytes.
    pub memory_used_bytes: u64,
}

/// A source in an epoch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceProgress {
    /// The table and its connector.
    pub description: String,
    /// Positions before the epoch, of the splits it read.
    pub start_offset: Arc<RawValue>,
    /// Positions after it.
    pub end_offset: Arc<RawValue>,
    /// Newest positions known.
    pub latest_offset: Arc<RawValue>,
    /// Rows read.
    pub num_input_rows: u64,
    /// Rows read a second since the epoch before.
    #[serde(serialize_with = "finite")]
    pub input_rows_per_second: f64,
    /// Rows read a second of the epoch's own time.
    #[serde(serialize_with = "finite")]
    pub processed_rows_per_second: f64,
    /// `bytes` read, `lag` in positions and `millisBehindLatest` (each absent when it is not known).
    pub metrics: BTreeMap<String, u64>,
}

/// A sink in an epoch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkProgress {
    /// The table and its connector.
    pub description: String,
    /// Rows written.
    pub num_output_rows: u64,
    /// Time of the commit, in milliseconds.
    #[serde(serialize_with = "millis")]
    pub commit_ms: f64,
}

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Half of the records were faster.
    pub p50: f64,
    /// 95 of 100 were.
    pub p95: f64,
    /// 99 of 100 were.
    pub p99: f64,
    /// None was slower.
    pub max: f64,
}

/// A table of a query, by its name and connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableName {
    /// The table.
    pub table: String,
    /// What its connector calls itself.
    pub connector: &'static str,
}

/// What a listener hears when a query has been opened and its loop starts.
#[derive(Debug, Clone)]
pub struct QueryStarted {
    /// Identity of the checkpoint.
    pub id: String,
    /// Identity of this run.
    pub run_id: String,
    /// Name of the query.
    pub name: String,
    /// Source tables that stream.
    pub sources: Vec<TableName>,
    /// Sink tables, in the order of the pipeline.
    pub sinks: Vec<TableName>,
    /// How the systems of sinks do, by table, of those that count it.
    pub vitals: Vec<(String, Arc<Vitals>)>,
    /// Where bad records go; `None` when the first one stops the query.
    pub dead_letters: Option<TableName>,
    /// When epochs start.
    pub trigger: Trigger,
    /// Least time between two epochs that the sinks ask for when the trigger is as soon as possible.
    pub pace: Duration,
    /// Limit of memory that the pipeline sets, in bytes; 0 when it is not watched.
    pub memory_limit: Option<u64>,
    /// Directories of this machine it writes into, the checkpoint first.
    pub disks: Vec<PathBuf>,
}

/// What one sink did in an epoch.
#[derive(Debug, Clone)]
pub struct SinkReport {
    /// The table and its connector.
    pub name: TableName,
    /// Rows written.
    pub rows: u64,
    /// Size of the rows as Arrow arrays, before the sink's own format and compression, in bytes.
    pub bytes: u64,
    /// Time of the commit; zero when it had nothing to write.
    pub took: Duration,
    /// True for the table of the dead letters.
    pub dead_letters: bool,
}

/// What a listener hears of an epoch.
#[derive(Debug, Clone)]
pub struct EpochReport {
    /// The report people see.
    pub progress: Progress,
    /// Time from entry to commit of each record that has one, in microseconds.
    pub latencies: Arc<[i64]>,
    /// The watermark of the first part, in milliseconds; `None` when the query declares none.
    pub watermark: Option<i64>,
    /// The watermark after the epoch, in milliseconds.
    pub next_watermark: Option<i64>,
    /// Positions not yet read, by source table and split; absent where it is not known.
    pub lag: Vec<(String, String, u64)>,
    /// How far what was read last lies behind the newest record, in milliseconds, by source table and split; of
    /// sources that know it.
    pub behind: Vec<(String, String, u64)>,
    /// Rows and bytes read, by source table.
    pub source_rows: Vec<(String, u64, u64)>,
    /// What each sink did, in the order of the pipeline; that of the dead letters, if there is one, last.
    pub sinks: Vec<SinkReport>,
    /// Rows whose event time was too far in the future to raise the watermark.
    pub future_rows: u64,
    /// Bytes of the journal written by the epoch.
    pub journal_bytes: u64,
}

/// Hears of epochs and of the end. Called from the loop: must return at once.
pub trait Listener: Send + Sync {
    /// A query has been opened; what it is to do follows.
    fn on_start(&self, _query: &QueryStarted) {}

    /// An epoch begins: there is something to do, and until [`Listener::on_epoch`] it is not done.
    fn on_begin(&self, _query: &str) {}

    /// An epoch is committed.
    fn on_epoch(&self, report: &EpochReport);

    /// The query waits for rows.
    fn on_idle(&self, _query: &str) {}

    /// The query waits for something to be mended outside, and will go on by itself. Again and again until it is.
    fn on_stall(&self, _query: &str, _stall: &Stall) {}

    /// What it waited for is there.
    fn on_resume(&self, _query: &str) {}

    /// The query has ended; with its error if it failed.
    fn on_end(&self, _query: &str, _error: Option<&tidemill_core::Error>) {}
}

fn millis<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 1000.0).round() / 1000.0)
}

fn finite<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(if value.is_finite() { (value * 100.0).round() / 100.0 } else { 0.0 })
}

/// An instant in microseconds as ISO 8601 with milliseconds.
pub fn iso(micros: i64) -> String {
    match crate::time::wall_clock(micros) {
        Some(wall) => wall.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        None => micros.to_string(),
    }
}

/// Any value as raw JSON.
pub fn raw(value: &impl Serialize) -> Arc<RawValue> {
    let value = serde_json::value::to_raw_value(value).or_else(|_| RawValue::from_string("null".into()));
    value.map_or_else(|_| raw(&()), Arc::from)
}

/// Percentiles of latencies in microseconds; `None` for none.
pub fn percentiles(latencies: &[i64]) -> Option<Latency> {
    let mut sorted = latencies.to_vec();
    let last = sorted.len().checked_sub(1)?;
    let mut at = |quantile: f64| {
        let (_, value, _) = sorted.select_nth_unstable((last as f64 * quantile).ceil() as usize);
        *value as f64 / 1000.0
    };
    Some(Latency { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1.0) })
}
