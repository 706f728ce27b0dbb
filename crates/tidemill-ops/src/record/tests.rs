//! A query that tests tell things about.

use std::sync::Arc;
use std::time::Duration;
use tidemill_core::clock::ManualClock;
use tidemill_core::retry::{BreakerState, Vitals};
use tidemill_engine::pipeline::settings::Trigger;
use tidemill_engine::progress::{
    Durations, EpochReport, EventTime, Progress, QueryStarted, SinkProgress, SinkReport, StateOperator, TableName,
};

/// 2026-01-01T00:00:00Z in microseconds.
pub const START: i64 = 1_767_225_600_000_000;

/// A clock that stands at [`START`].
pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(START))
}

fn table(table: &str, connector: &'static str) -> TableName {
    TableName { table: table.into(), connector }
}

/// The start of the query `events.counts`: one source, one sink, which has tried once again and whose breaker is open,
/// dead letters.
pub fn started() -> QueryStarted {
    let vitals = Vitals::default();
    vitals.count_retry();
    vitals.set_breaker(BreakerState::Open);
    QueryStarted {
        id: "0b54".into(),
        run_id: "run-1".into(),
        name: "events.counts".into(),
        sources: vec![table("events", "kafka")],
        sinks: vec![table("counts", "delta")],
        vitals: vec![("counts".into(), Arc::new(vitals))],
        dead_letters: Some(table("bad", "files")),
        trigger: Trigger::Asap,
        pace: Duration::ZERO,
        memory_limit: None,
        disks: vec!["/".into()],
    }
}

/// Its epoch: 100 rows in, 10 out, 2 bad, 3 late, 7 behind in one of two partitions, two in three rows took
/// 5 ms and one 40 ms.
pub fn epoch(number: u64) -> EpochReport {
    let sink = SinkProgress { description: "counts (delta)".into(), num_output_rows: 10, commit_ms: 4.0 };
    let progress = Progress {
        id: "0b54".into(),
        run_id: "run-1".into(),
        name: "events.counts".into(),
        timestamp: "2026-01-01T00:00:00.000Z".into(),
        batch_id: number,
        batch_duration: 20,
        num_input_rows: 100,
        input_rows_per_second: 100.0,
        processed_rows_per_second: 5000.0,
        duration_ms: Durations {
            latest_offset: 1.0,
            wal_commit: 2.0,
            get_batch: 3.0,
            execute: 5.0,
            add_batch: 8.0,
            commit_offsets: 1.0,
            trigger_execution: 20.0,
        },
        event_time: EventTime::default(),
        state_operators: vec![StateOperator {
            operator_name: "stateStoreSave".into(),
            id: "aggregate-0".into(),
            num_rows_total: 50,
            num_rows_updated: 20,
            num_rows_removed: 5,
            num_rows_dropped_by_watermark: 3,
            memory_used_bytes: 4096,
        }],
        sources: vec![],
        sink: sink.clone(),
        sinks: vec![sink],
        dead_letters: 2,
        latency_ms: None,
    };
    let sink = |name, rows, dead_letters| SinkReport {
        name,
        rows,
        bytes: rows * 16,
        took: Duration::from_millis(4),
        dead_letters,
    };
    let watermark = START / 1000 - 60_000;
    EpochReport {
        progress,
        latencies: Arc::from([5_000, 5_000, 40_000]),
        watermark: Some(watermark),
        next_watermark: Some(watermark),
        lag: vec![("events".into(), "0".into(), 7), ("events".into(), "1".into(), 0)],
        behind: vec![("events".into(), "1".into(), 2_500)],
        source_rows: vec![("events".into(), 100, 12_345)],
        sinks: vec![sink(table("counts", "delta"), 10, false), sink(table("bad", "files"), 2, true)],
        future_rows: 0,
        journal_bytes: 512,
    }
}
