//! Everything that is remembered of one query.

use crate::record::history::{History, Slot};
use crate::record::latency::{Buckets, LATENCY_BOUNDS, LatencyHistogram, STEP_BOUNDS};
use crate::record::status::{Course, interval};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tidemill_core::Error;
use tidemill_engine::progress::{Durations, EpochReport, Progress, QueryStarted, SinkReport, TableName};
use tidemill_engine::resilience::stall::Stall;

/// Reports that are kept, as in Spark.
pub const RECENT: usize = 100;

/// A moment, by both clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moment {
    /// Since the clock's own start; never goes back.
    pub elapsed: Duration,
    /// Microseconds since 1970.
    pub micros: i64,
}

/// Totals since the query's start.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Epochs committed.
    pub epochs: u64,
    /// Good rows read.
    pub rows_in: u64,
    /// Rows written to all sinks, without the dead letters.
    pub rows_out: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Size of the rows written as Arrow arrays, in bytes.
    pub bytes_out: u64,
    /// Bad records.
    pub dead_letters: u64,
    /// Rows dropped because they were late.
    pub late_rows: u64,
    /// Rows too far in the future to raise the watermark.
    pub future_rows: u64,
    /// Bytes of changes of state written to the checkpoint.
    pub journal_bytes: u64,
}

/// A source table.
#[derive(Debug, Clone)]
pub struct SourceRecord {
    /// The table.
    pub name: TableName,
    /// Good rows read.
    pub rows: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Positions not yet read, by split; only splits whose newest position is known.
    pub lag: BTreeMap<String, u64>,
    /// How far the newest record is ahead of what was read, in milliseconds, by split; of sources that know it.
    pub behind: BTreeMap<String, u64>,
}

impl SourceRecord {
    /// Positions not yet read; `None` when that is not known.
    pub fn lag(&self) -> Option<u64> {
        (!self.lag.is_empty()).then(|| self.lag.values().sum())
    }
}

/// A sink table.
#[derive(Debug, Clone)]
pub struct SinkRecord {
    /// The table.
    pub name: TableName,
    /// True for that of the dead letters.
    pub dead_letters: bool,
    /// Rows written.
    pub rows: u64,
    /// Size of the rows as Arrow arrays, in bytes.
    pub bytes: u64,
    /// Times of the commits.
    pub commits: Buckets,
    /// Time of the last commit that wrote something.
    pub last_commit: Option<Duration>,
}

/// An operator with state.
#[derive(Debug, Clone)]
pub struct OperatorRecord {
    /// Its name in the checkpoint.
    pub id: String,
    /// Spark's name of its kind.
    pub kind: String,
    /// State rows after the last epoch.
    pub rows: u64,
    /// State bytes after the last epoch.
    pub bytes: u64,
    /// State rows changed.
    pub updated: u64,
    /// State rows removed.
    pub removed: u64,
    /// Rows dropped because they were late.
    pub late: u64,
}

/// How a query ended that failed.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Spark's error class, where it has one.
    pub class: Option<String>,
    /// What went wrong, where, why and what to do: several lines.
    pub message: String,
    /// Exit code of a program that ends with it.
    pub exit_code: u8,
}

/// One query.
#[derive(Debug)]
pub struct QueryRecord {
    /// Its name.
    pub name: String,
    /// What its start said; `None` until it has been opened.
    pub started: Option<QueryStarted>,
    /// When it was opened, in microseconds since 1970.
    pub started_at: Option<i64>,
    /// When its last epoch was committed, in microseconds since 1970.
    pub committed_at: Option<i64>,
    /// Its course.
    pub course: Course,
    /// How it failed.
    pub failure: Option<Failure>,
    /// Totals.
    pub totals: Totals,
    /// Sources, in the order of the query.
    pub sources: Vec<SourceRecord>,
    /// Sinks, in the order of the pipeline; that of the dead letters last.
    pub sinks: Vec<SinkRecord>,
    /// Operators with state, furthest downstream first.
    pub operators: Vec<OperatorRecord>,
    /// The watermark, in milliseconds since 1970; `None` when there is none yet.
    pub watermark: Option<i64>,
    /// Time from entry to commit, of all rows.
    pub latency: LatencyHistogram,
    /// The same for the metric.
    pub latency_buckets: Buckets,
    /// Times of the steps of epochs, under Spark's names.
    pub steps: [(&'static str, Buckets); 7],
    /// The longest epoch, in milliseconds.
    pub longest_epoch: f64,
    /// The last minutes.
    pub history: History,
    /// The newest reports, oldest first.
    pub recent: VecDeque<Progress>,
}

impl QueryRecord {
    /// A query that is about to be opened.
    pub fn announced(name: &str) -> Self {
        let step = |name| (name, Buckets::new(STEP_BOUNDS));
        QueryRecord {
            name: name.to_owned(),
            started: None,
            started_at: None,
            committed_at: None,
            course: Course::default(),
            failure: None,
            totals: Totals::default(),
            sources: vec![],
            sinks: vec![],
            operators: vec![],
            watermark: None,
            latency: LatencyHistogram::default(),
            latency_buckets: Buckets::new(LATENCY_BOUNDS),
            steps: steps(&Durations::default()).map(|(name, _)| step(name)),
            longest_epoch: 0.0,
            history: History::default(),
            recent: VecDeque::with_capacity(RECENT),
        }
    }

    /// It has been opened.
    pub fn start(&mut self, started: &QueryStarted, now: Moment) {
        let source = |name: &TableName| SourceRecord {
            name: name.clone(),
            rows: 0,
            bytes: 0,
            lag: BTreeMap::new(),
            behind: BTreeMap::new(),
        };
        self.sources = started.sources.iter().map(source).collect();
        let sinks = started.sinks.iter().map(|name| new_sink(name, false));
        self.sinks = sinks.chain(started.dead_letters.iter().map(|name| new_sink(name, true))).collect();
        self.course.started = Some(now.elapsed);
        self.course.interval = interval(started.trigger, started.pace);
        self.started_at = Some(now.micros);
        self.started = Some(started.clone());
    }

    /// An epoch begins.
    pub fn begin(&mut self, now: Moment) {
        self.course.epoch_began = Some(now.elapsed);
    }

    /// It waits for rows.
    pub fn idle(&mut self, now: Moment) {
        self.course.idle = Some(now.elapsed);
    }

    /// The limit of memory that its pipeline sets, in bytes.
    pub fn memory_limit(&self) -> Option<u64> {
        self.started.as_ref().and_then(|started| started.memory_limit)
    }

    /// It waits for something to be mended outside.
    pub fn stall(&mut self, stall: &Stall, now: Moment) {
        let same = self.course.stall.take().filter(|(before, _)| before.reason == stall.reason);
        self.course.stall = Some((stall.clone(), same.map_or(now.elapsed, |(_, since)| since)));
        self.course.epoch_began = None;
    }

    /// What it waited for is there.
    pub fn resume(&mut self) {
        self.course.stall = None;
    }

    /// It has ended.
    pub fn end(&mut self, error: Option<&Error>) {
        self.course.ended = Some(error.is_some());
        (self.course.epoch_began, self.course.stall) = (None, None);
        self.failure = error.map(|error| Failure {
            class: error.error_class().filter(|class| !class.starts_with('_')).map(str::to_owned),
            message: error.report(),
            exit_code: error.kind().exit_code(),
        });
    }

    /// An epoch is committed.
    pub fn epoch(&mut self, report: &EpochReport, now: Moment) {
        self.course.committed = Some(now.elapsed);
        (self.course.epoch_began, self.course.idle) = (None, None);
        self.committed_at = Some(now.micros);
        self.watermark = report.next_watermark.filter(|millis| *millis > 0);
        self.read(report);
        self.wrote(report);
        self.kept(report);
        self.timed(report, now);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(report.progress.clone());
    }

    fn read(&mut self, report: &EpochReport) {
        for (table, rows, bytes) in &report.source_rows {
            self.totals.rows_in += rows;
            self.totals.bytes_in += bytes;
            if let Some(source) = self.sources.iter_mut().find(|source| source.name.table == *table) {
                source.rows += rows;
                source.bytes += bytes;
            }
        }
        for source in &mut self.sources {
            let own = report.lag.iter().filter(|(table, _, _)| *table == source.name.table);
            source.lag = own.map(|(_, split, behind)| (split.clone(), *behind)).collect();
            let own = report.behind.iter().filter(|(table, _, _)| *table == source.name.table);
            source.behind = own.map(|(_, split, millis)| (split.clone(), *millis)).collect();
        }
        self.totals.dead_letters += report.progress.dead_letters;
    }

    fn wrote(&mut self, report: &EpochReport) {
        for SinkReport { name, rows, bytes, took, dead_letters } in &report.sinks {
            if !dead_letters {
                self.totals.rows_out += rows;
                self.totals.bytes_out += bytes;
            }
            let known = self.sinks.iter().position(|sink| sink.name.table == name.table);
            let place = known.unwrap_or_else(|| {
                self.sinks.push(new_sink(name, *dead_letters));
                self.sinks.len() - 1
            });
            let sink = &mut self.sinks[place];
            sink.rows += rows;
            sink.bytes += bytes;
            if !took.is_zero() {
                sink.commits.add_time(*took);
                sink.last_commit = Some(*took);
            }
        }
        self.totals.journal_bytes += report.journal_bytes;
        self.totals.future_rows += report.future_rows;
    }

    fn kept(&mut self, report: &EpochReport) {
        for state in &report.progress.state_operators {
            let known = self.operators.iter().position(|operator| operator.id == state.id);
            let place = known.unwrap_or_else(|| {
                self.operators.push(OperatorRecord {
                    id: state.id.clone(),
                    kind: state.operator_name.clone(),
                    rows: 0,
                    bytes: 0,
                    updated: 0,
                    removed: 0,
                    late: 0,
                });
                self.operators.len() - 1
            });
            let operator = &mut self.operators[place];
            (operator.rows, operator.bytes) = (state.num_rows_total, state.memory_used_bytes);
            operator.updated += state.num_rows_updated;
            operator.removed += state.num_rows_removed;
            operator.late += state.num_rows_dropped_by_watermark;
            self.totals.late_rows += state.num_rows_dropped_by_watermark;
        }
    }

    fn timed(&mut self, report: &EpochReport, now: Moment) {
        self.totals.epochs += 1;
        let durations = &report.progress.duration_ms;
        self.longest_epoch = self.longest_epoch.max(durations.trigger_execution);
        for ((_, buckets), (_, millis)) in self.steps.iter_mut().zip(steps(durations)) {
            buckets.add(millis / 1000.0, 1);
        }
        let runs = runs(&report.latencies);
        for (micros, rows) in &runs {
            self.latency.add(*micros, *rows);
            self.latency_buckets.add(*micros as f64 / 1e6, *rows);
        }
        let second = now.elapsed.as_secs();
        self.history.add_latencies(second, &runs);
        let (lag, watermark_delay) = (self.lag(), self.watermark_delay(now.micros));
        let (state_rows, state_bytes) = self.state();
        let slot: &mut Slot = self.history.at(second);
        slot.epochs += 1;
        slot.rows_in += report.progress.num_input_rows;
        slot.rows_out += report.sinks.iter().filter(|sink| !sink.dead_letters).map(|sink| sink.rows).sum::<u64>();
        slot.dead_letters += report.progress.dead_letters;
        slot.late_rows +=
            report.progress.state_operators.iter().map(|state| state.num_rows_dropped_by_watermark).sum::<u64>();
        (slot.lag, slot.watermark_delay) = (lag, watermark_delay);
        (slot.state_rows, slot.state_bytes) = (state_rows, state_bytes);
        add_steps(&mut slot.steps, durations);
    }

    /// Positions not yet read in all sources; `None` when any of them does not know.
    pub fn lag(&self) -> Option<u64> {
        let known: Option<u64> = self.sources.iter().map(SourceRecord::lag).sum();
        known.filter(|_| !self.sources.is_empty())
    }

    /// State rows and bytes.
    pub fn state(&self) -> (u64, u64) {
        self.operators.iter().fold((0, 0), |(rows, bytes), one| (rows + one.rows, bytes + one.bytes))
    }

    /// How far the watermark is behind the wall clock, in seconds; `None` when there is none yet.
    pub fn watermark_delay(&self, now_micros: i64) -> Option<f64> {
        self.watermark.map(|millis| (now_micros / 1000 - millis) as f64 / 1000.0)
    }
}

fn new_sink(name: &TableName, dead_letters: bool) -> SinkRecord {
    SinkRecord {
        name: name.clone(),
        dead_letters,
        rows: 0,
        bytes: 0,
        commits: Buckets::new(STEP_BOUNDS),
        last_commit: None,
    }
}

/// The steps of an epoch under Spark's names, in milliseconds; the whole last.
pub fn steps(durations: &Durations) -> [(&'static str, f64); 7] {
    [
        ("latestOffset", durations.latest_offset),
        ("walCommit", durations.wal_commit),
        ("getBatch", durations.get_batch),
        ("execute", durations.execute),
        ("addBatch", durations.add_batch),
        ("commitOffsets", durations.commit_offsets),
        ("triggerExecution", durations.trigger_execution),
    ]
}

fn add_steps(sum: &mut Durations, one: &Durations) {
    sum.latest_offset += one.latest_offset;
    sum.wal_commit += one.wal_commit;
    sum.get_batch += one.get_batch;
    sum.execute += one.execute;
    sum.add_batch += one.add_batch;
    sum.commit_offsets += one.commit_offsets;
    sum.trigger_execution += one.trigger_execution;
}

/// Equal neighbours counted together: rows that entered with one call have one latency.
fn runs(latencies: &[i64]) -> Vec<(u64, u64)> {
    let of_run = |run: &[i64]| (run.first().map_or(0, |micros| (*micros).max(0) as u64), run.len() as u64);
    latencies.chunk_by(|one, next| one == next).map(of_run).collect()
}
