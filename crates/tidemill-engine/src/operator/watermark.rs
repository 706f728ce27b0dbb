//! Watches the event time of the rows that pass, for the watermark of later epochs. Changes nothing.

use super::Transform;
use arrow::array::AsArray;
use arrow::compute;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tidemill_core::Result;

/// What one watermark node has seen in the running epoch.
#[derive(Debug)]
pub struct Observed {
    least: AtomicI64,
    most: AtomicI64,
    /// Event times behind this do not count for the watermark.
    limit: AtomicI64,
    newest: AtomicI64,
    ahead: AtomicU64,
    rows: AtomicU64,
    sum_millis: AtomicI64,
}

/// Event times of an epoch: microseconds; `average` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTimes {
    /// Earliest.
    pub least: i64,
    /// Latest.
    pub most: i64,
    /// Average.
    pub average: i64,
    /// Latest of those that count for the watermark; `i64::MIN` when none does.
    pub newest: i64,
    /// Rows that do not count, because they are too far ahead of the clock.
    pub ahead: u64,
}

impl EventTimes {
    /// Those of two nodes together.
    pub fn and(self, other: EventTimes) -> EventTimes {
        EventTimes {
            least: self.least.min(other.least),
            most: self.most.max(other.most),
            average: i64::midpoint(self.average, other.average),
            newest: self.newest.max(other.newest),
            ahead: self.ahead + other.ahead,
        }
    }
}

impl Default for Observed {
    fn default() -> Self {
        Observed {
            least: AtomicI64::new(i64::MAX),
            most: AtomicI64::new(i64::MIN),
            limit: AtomicI64::new(i64::MAX),
            newest: AtomicI64::new(i64::MIN),
            ahead: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            sum_millis: AtomicI64::new(0),
        }
    }
}

impl Observed {
    /// Event times behind `limit`, in microseconds, do not count from now on.
    pub fn limit(&self, limit: i64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// What has been seen since this was last called; `None` for no event time at all.
    pub fn take(&self) -> Option<EventTimes> {
        let rows = self.rows.swap(0, Ordering::Relaxed);
        let least = self.least.swap(i64::MAX, Ordering::Relaxed);
        let most = self.most.swap(i64::MIN, Ordering::Relaxed);
        let sum = self.sum_millis.swap(0, Ordering::Relaxed);
        let newest = self.newest.swap(i64::MIN, Ordering::Relaxed);
        let ahead = self.ahead.swap(0, Ordering::Relaxed);
        let average = || (sum / rows as i64).saturating_mul(1000);
        (rows > 0).then(|| EventTimes { least, most, average: average(), newest, ahead })
    }
}

/// Watches one column.
pub struct Watch {
    /// Position of the event-time column.
    pub column: usize,
    /// True when the column is a window, whose end counts.
    pub is_window: bool,
    /// Where it is kept.
    pub observed: Arc<Observed>,
}

impl Transform for Watch {
    fn is_watermark(&self) -> bool {
        true
    }

    fn apply(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let column = rows.column(self.column);
        let column = if self.is_window { column.as_struct().column(1) } else { column };
        let times = column.as_primitive::<TimestampMicrosecondType>();
        if let (Some(least), Some(most)) = (compute::min(times), compute::max(times)) {
            self.observed.least.fetch_min(least, Ordering::Relaxed);
            self.observed.most.fetch_max(most, Ordering::Relaxed);
            let limit = self.observed.limit.load(Ordering::Relaxed);
            let newest = if most <= limit {
                Some(most)
            } else {
                let ahead = times.iter().flatten().filter(|time| *time > limit).count();
                self.observed.ahead.fetch_add(ahead as u64, Ordering::Relaxed);
                times.iter().flatten().filter(|time| *time <= limit).max()
            };
            self.observed.newest.fetch_max(newest.unwrap_or(i64::MIN), Ordering::Relaxed);
            let millis: i64 = times.iter().flatten().map(|micros| micros.div_euclid(1000)).fold(0, i64::wrapping_add);
            self.observed.sum_millis.fetch_add(millis, Ordering::Relaxed);
            let present = times.len() - arrow::array::Array::null_count(times);
            self.observed.rows.fetch_add(present as u64, Ordering::Relaxed);
        }
        Ok(rows)
    }
}
