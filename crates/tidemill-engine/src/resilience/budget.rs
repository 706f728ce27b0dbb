//! How much one epoch may read: as much as keeps it near its target time, and as the memory that is left can hold.
//! Decides only.
//!
//! Nothing is read while the sinks write, so a slow sink makes epochs long; they are then made smaller, the lag grows
//! where the source keeps it, and memory does not. When it gets faster they grow again, twofold at most.

use super::memory::{Memory, SOFT};
use std::time::Duration;

/// Least bytes of an epoch, whatever is short.
const BYTES_MIN: u64 = 4 << 10;

/// An epoch takes up to about so many times what it reads: decoded, computed, put into state, written to the journal.
const MEMORY_TIMES: u64 = 16;

/// An epoch that has read less than this share of what it might have says nothing about how long a full one takes.
const FULL_SHARE: f64 = 0.5;

/// Two epochs that differ by less than this share in size say nothing about what size costs.
const DIFFERENT: f64 = 0.2;

/// The budget of a query's epochs.
#[derive(Debug)]
pub struct Budget {
    most: u64,
    target: Duration,
    bytes: u64,
    /// What the epoch that runs was allowed.
    allowed: u64,
    /// Bytes and seconds of the epoch before.
    before: Option<(f64, f64)>,
    /// Seconds an epoch takes whatever it reads: a commit far away is not made faster by less to commit.
    fixed: f64,
}

impl Budget {
    /// At most `most` bytes, and about `target` of time; a target of zero leaves `most` alone.
    pub fn new(most: u64, target: Duration) -> Self {
        Budget { most, target, bytes: most, allowed: most, before: None, fixed: 0.0 }
    }

    /// Bytes that the next epoch may read.
    pub fn next(&mut self, memory: Option<Memory>) -> u64 {
        let fits = memory.map_or(u64::MAX, |memory| memory.left() / MEMORY_TIMES);
        if memory.is_some_and(|memory| memory.share() >= SOFT) {
            self.bytes /= 2;
        }
        self.bytes = self.bytes.max(BYTES_MIN).min(self.most);
        self.allowed = self.bytes.min(fits).max(BYTES_MIN).min(self.most);
        self.allowed
    }

    /// An epoch has read `bytes` and took `took`.
    pub fn ran(&mut self, bytes: u64, took: Duration) {
        if self.target.is_zero() || bytes == 0 {
            return;
        }
        let (size, took, target) = (bytes as f64, took.as_secs_f64().max(0.001), self.target.as_secs_f64());
        if let Some((size_before, took_before)) = self.before
            && (size - size_before).abs() > DIFFERENT * size.max(size_before)
        {
            let slope = ((took - took_before) / (size - size_before)).max(0.0);
            self.fixed = took - slope * size;
        }
        self.fixed = self.fixed.clamp(0.0, took);
        self.before = Some((size, took));
        // half of the time at least is for the rows
        let wanted = (target - self.fixed).max(self.fixed);
        let fitting = size * wanted / (took - self.fixed).max(0.001);
        let is_full = size >= self.allowed as f64 * FULL_SHARE;
        if took > target && fitting < self.bytes as f64 {
            self.bytes = fitting.max(self.bytes.min(bytes) as f64 * 0.1) as u64;
        } else if is_full {
            self.bytes = (fitting as u64).clamp(self.bytes, self.bytes.saturating_mul(2));
        }
        self.bytes = self.bytes.clamp(BYTES_MIN.min(self.most), self.most);
    }

    /// Bytes that an epoch may read by its time alone.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Runs epochs over a sink that takes `rate` bytes a second; gives the budget after them.
    fn epochs(budget: &mut Budget, rate: u64, count: usize) -> u64 {
        for _ in 0..count {
            let bytes = budget.next(None);
            budget.ran(bytes, Duration::from_secs_f64(bytes as f64 / rate as f64));
        }
        budget.bytes()
    }

    #[test]
    fn epochs_follow_a_sink_that_gets_slow_and_fast_again() {
        let mut budget = Budget::new(64 * MIB, Duration::from_secs(5));
        assert_eq!(epochs(&mut budget, 100 * MIB, 10), 64 * MIB, "fast enough");
        let slow = epochs(&mut budget, MIB, 5);
        assert!((4 * MIB..=6 * MIB).contains(&slow), "five seconds of a MiB a second: {slow}");
        assert_eq!(epochs(&mut budget, 100 * MIB, 10), 64 * MIB);
        assert_eq!(epochs(&mut budget, 100, 20), BYTES_MIN, "never nothing");
    }

    #[test]
    fn a_commit_that_takes_long_whatever_it_holds_is_not_made_smaller() {
        let mut budget = Budget::new(64 * MIB, Duration::from_secs(5));
        for _ in 0..40 {
            let bytes = budget.next(None);
            budget.ran(bytes, Duration::from_secs_f64(8.0 + bytes as f64 / (10 * MIB) as f64));
        }
        assert!(budget.bytes() > 32 * MIB, "{}", budget.bytes());
    }

    #[test]
    fn an_epoch_with_little_in_it_tells_nothing() {
        let mut budget = Budget::new(64 * MIB, Duration::from_secs(5));
        epochs(&mut budget, MIB, 5);
        let before = budget.bytes();
        for _ in 0..10 {
            budget.next(None);
            budget.ran(1000, Duration::from_millis(1));
        }
        assert_eq!(budget.bytes(), before);
    }

    #[test]
    fn memory_that_gets_short_makes_epochs_small() {
        let mut budget = Budget::new(64 * MIB, Duration::ZERO);
        let memory = |used: u64| Some(Memory { used: used * MIB, limit: 1000 * MIB });
        assert_eq!(budget.next(memory(100)), 850 * MIB / 16);
        assert_eq!(budget.next(memory(790)), 160 * MIB / 16);
        assert_eq!(budget.next(memory(940)), 10 * MIB / 16);
        assert_eq!(budget.next(memory(2000)), BYTES_MIN);
        assert_eq!(Budget::new(1000, Duration::ZERO).next(None), 1000, "less is what was asked for");
    }
}
