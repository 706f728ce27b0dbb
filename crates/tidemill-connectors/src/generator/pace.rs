//! Which row is due when, and where each partition stands: arithmetic only.
//!
//! Rows are numbered over all partitions; row `i` belongs to partition `i` modulo their number. With a
//! start the first row is 0 and all rows are there at once. Without one the rows follow the wall clock:
//! row `i` is due when the clock shows `i / rate` since 1970, so that a position alone says which rows
//! come next and when, with nothing else to remember.

use std::time::Duration;

const SECOND: u128 = 1_000_000;

/// Most rows one epoch plans in a partition.
const EPOCH_ROWS_MAX: u64 = 1 << 20;

/// The order and time of rows.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// Rows a second of event time, at least one.
    pub rate: u64,
    /// When row 0 is due, in microseconds since 1970.
    pub start: i64,
    /// Rows are there when they are asked for, not when they are due.
    pub at_once: bool,
    pub partitions: u64,
    /// First row, over all partitions.
    pub first: u64,
    /// How many rows there will be, over all partitions.
    pub rows: Option<u64>,
}

impl Pace {
    /// When row `index` is due, in microseconds since 1970.
    pub fn due(&self, index: u64) -> i64 {
        let micros = (u128::from(index) * SECOND).div_ceil(u128::from(self.rate));
        self.start.saturating_add(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// The first row that is not due at `now`.
    pub fn not_due(&self, now: i64) -> u64 {
        let micros = now.saturating_sub(self.start);
        if micros < 0 {
            return 0;
        }
        u64::try_from(micros as u128 * u128::from(self.rate) / SECOND + 1).unwrap_or(u64::MAX)
    }

    /// The number of the row at `position` of `partition`.
    pub fn index(&self, partition: u64, position: u64) -> u64 {
        position * self.partitions + partition
    }

    /// Position of `partition` where it has passed all rows below `index`.
    pub fn position(&self, partition: u64, index: u64) -> u64 {
        index.saturating_sub(partition).div_ceil(self.partitions)
    }

    /// Where `partition` ends; `None` when it never does.
    pub fn end(&self, partition: u64) -> Option<u64> {
        self.rows.map(|rows| self.position(partition, self.first.saturating_add(rows)))
    }

    /// Where `partition` stands at `now`; `None` when there is always more.
    pub fn newest(&self, partition: u64, now: i64) -> Option<u64> {
        let due = (!self.at_once).then(|| self.position(partition, self.not_due(now)));
        match (self.end(partition), due) {
            (Some(end), Some(due)) => Some(end.min(due)),
            (end, due) => end.or(due),
        }
    }

    /// Where an epoch that begins at `from` may end.
    pub fn reach(&self, partition: u64, from: u64, now: i64, rows_max: u64) -> u64 {
        let limit = from.saturating_add(rows_max.clamp(1, EPOCH_ROWS_MAX));
        self.newest(partition, now).map_or(limit, |newest| newest.min(limit)).max(from)
    }

    /// How long until `partition`, which stands at `position`, has a row; `None` when it is at its end.
    pub fn delay(&self, partition: u64, position: u64, now: i64) -> Option<Duration> {
        if self.end(partition).is_some_and(|end| position >= end) {
            return None;
        }
        let due = if self.at_once { now } else { self.due(self.index(partition, position)) };
        Some(Duration::from_micros(u64::try_from(due.saturating_sub(now)).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wall(rate: u64, partitions: u64, first: u64, rows: Option<u64>) -> Pace {
        Pace { rate, start: 0, at_once: false, partitions, first, rows }
    }

    #[test]
    fn rows_are_due_at_the_rate_and_end_with_their_number() {
        let pace = wall(10, 1, 100, Some(5));
        assert_eq!(pace.newest(0, 10_000_000), Some(101), "row 100 is due at second 10");
        assert_eq!(pace.newest(0, 10_099_999), Some(101));
        assert_eq!(pace.newest(0, 10_100_000), Some(102));
        assert_eq!(pace.newest(0, 99_000_000), Some(105));
        assert_eq!(pace.delay(0, 101, 10_040_000), Some(Duration::from_millis(60)));
        assert_eq!(pace.delay(0, 105, 10_040_000), None);
        assert_eq!(pace.reach(0, 100, 99_000_000, 2), 102);
    }

    #[test]
    fn at_once_means_no_waiting() {
        let pace = Pace { at_once: true, ..wall(10, 2, 0, Some(5)) };
        assert_eq!((pace.newest(0, 0), pace.newest(1, 0)), (Some(3), Some(2)));
        assert_eq!(pace.delay(1, 0, 0), Some(Duration::ZERO));
        let endless = Pace { rows: None, ..pace };
        assert_eq!((endless.newest(0, 0), endless.reach(0, 7, 0, 3)), (None, 10));
    }

    proptest! {
        #[test]
        fn a_row_is_due_exactly_when_the_clock_passes_it(rate in 1u64..2_000_000, now in 0i64..4_000_000_000_000_000) {
            let pace = wall(rate, 1, 0, None);
            let next = pace.not_due(now);
            prop_assert!(pace.due(next) > now);
            prop_assert!(next == 0 || pace.due(next - 1) <= now);
        }

        #[test]
        fn partitions_share_the_rows(partitions in 1u64..9, index in 0u64..1000) {
            let pace = wall(1, partitions, 0, None);
            let total: u64 = (0..partitions).map(|partition| pace.position(partition, index)).sum();
            prop_assert_eq!(total, index);
        }
    }
}
