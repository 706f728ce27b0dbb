//! The last minutes of a query, second by second, for the charts of the page.

use crate::record::latency::{LatencyHistogram, Percentiles};
use tidemill_engine::progress::Durations;

/// Seconds that are remembered.
pub const SECONDS: usize = 300;

/// Seconds a latency of "now" looks back.
const LATENCY_SECONDS: u64 = 60;

/// Length of the parts in which those are forgotten, in seconds.
const LATENCY_PART: u64 = 10;

/// One second.
#[derive(Debug, Clone, Default)]
pub struct Slot {
    /// Epochs committed.
    pub epochs: u64,
    /// Rows read.
    pub rows_in: u64,
    /// Rows written to all sinks.
    pub rows_out: u64,
    /// Bad records.
    pub dead_letters: u64,
    /// Rows that came too late.
    pub late_rows: u64,
    /// Positions not yet read, at the last commit of the second; `None` when not known.
    pub lag: Option<u64>,
    /// Time behind the wall clock of the watermark, at the last commit, in seconds.
    pub watermark_delay: Option<f64>,
    /// State rows at the last commit.
    pub state_rows: u64,
    /// State bytes at the last commit.
    pub state_bytes: u64,
    /// Time from entry to commit of the second's rows.
    pub latency: Option<Percentiles>,
    /// Times of the epochs' steps, summed.
    pub steps: Durations,
}

/// A ring of seconds.
#[derive(Debug)]
pub struct History {
    slots: Vec<(u64, Slot)>,
    /// Latencies of the second that has not ended.
    current: LatencyHistogram,
    /// Latencies of the last minute, in parts.
    recent: Vec<(u64, LatencyHistogram)>,
}

impl Default for History {
    fn default() -> Self {
        let parts = (LATENCY_SECONDS / LATENCY_PART) as usize;
        History {
            slots: vec![(u64::MAX, Slot::default()); SECONDS],
            current: LatencyHistogram::default(),
            recent: vec![(u64::MAX, LatencyHistogram::default()); parts],
        }
    }
}

impl History {
    /// The slot of a second, counted from any fixed start.
    pub fn at(&mut self, second: u64) -> &mut Slot {
        let place = second as usize % SECONDS;
        if self.slots[place].0 != second {
            self.slots[place] = (second, Slot::default());
            self.current.clear();
        }
        &mut self.slots[place].1
    }

    /// Counts the latencies of rows committed in a second, as `(microseconds, rows)`.
    pub fn add_latencies(&mut self, second: u64, runs: &[(u64, u64)]) {
        self.at(second);
        let part = second / LATENCY_PART;
        let place = part as usize % self.recent.len();
        if self.recent[place].0 != part {
            self.recent[place].0 = part;
            self.recent[place].1.clear();
        }
        for (micros, rows) in runs {
            self.current.add(*micros, *rows);
            self.recent[place].1.add(*micros, *rows);
        }
        self.at(second).latency = self.current.percentiles();
    }

    /// The slot of a second; `None` when nothing happened in it or it is forgotten.
    pub fn get(&self, second: u64) -> Option<&Slot> {
        let (at, slot) = &self.slots[second as usize % SECONDS];
        (*at == second).then_some(slot)
    }

    /// The seconds that end with `now`, oldest first.
    pub fn last(&self, now: u64, seconds: usize) -> impl Iterator<Item = Option<&Slot>> {
        let first = (now + 1).saturating_sub(seconds.min(SECONDS) as u64);
        (first..=now).map(|second| self.get(second))
    }

    /// Latency of the last minute.
    pub fn latency(&self, now: u64) -> Option<Percentiles> {
        let newest = now / LATENCY_PART;
        let mut all = LatencyHistogram::default();
        for (part, histogram) in &self.recent {
            if *part <= newest && newest - part < self.recent.len() as u64 {
                all.merge(histogram);
            }
        }
        all.percentiles()
    }

    /// Rows read and written a second, over the last whole `seconds`.
    pub fn rates(&self, now: u64, seconds: u64) -> (f64, f64) {
        let (mut read, mut written) = (0, 0);
        for slot in (now.saturating_sub(seconds)..now).filter_map(|second| self.get(second)) {
            read += slot.rows_in;
            written += slot.rows_out;
        }
        let over = seconds.min(now).max(1) as f64;
        (read as f64 / over, written as f64 / over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_forgotten_when_its_place_is_needed() {
        let mut history = History::default();
        history.at(3).rows_in = 7;
        assert_eq!(history.get(3).map(|slot| slot.rows_in), Some(7));
        assert_eq!(
            history.last(5, 4).map(|slot| slot.map_or(0, |slot| slot.rows_in)).collect::<Vec<_>>(),
            [0, 7, 0, 0]
        );
        history.at(3 + SECONDS as u64).rows_in = 1;
        assert!(history.get(3).is_none());
    }

    #[test]
    fn rates_are_those_of_whole_seconds() {
        let mut history = History::default();
        (0..10).for_each(|second| history.at(second).rows_in = 100);
        history.at(10).rows_in = 1;
        assert_eq!(history.rates(10, 5), (100.0, 0.0));
        assert_eq!(history.rates(20, 20), (50.05, 0.0));
        assert_eq!(History::default().rates(0, 10), (0.0, 0.0));
    }

    #[test]
    fn latency_is_that_of_the_last_minute() {
        let mut history = History::default();
        assert_eq!(history.latency(0), None);
        history.add_latencies(1, &[(1_000, 10)]);
        history.add_latencies(30, &[(9_000, 1)]);
        assert_eq!(history.latency(31).map(|found| (found.count, found.max)), Some((11, 9.0)));
        assert_eq!(history.latency(80).map(|found| found.count), Some(1));
        assert_eq!(history.latency(200), None);
        assert_eq!(history.get(30).and_then(|slot| slot.latency).map(|found| found.count), Some(1));
    }
}
