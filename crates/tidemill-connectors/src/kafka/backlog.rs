//! What every partition is known to hold when a query starts. Pure.
//!
//! Partitions are fetched one after the other. Were the first planned alone, its event times would move the
//! watermark past the records of the others, which then came too late: so nothing is planned before every
//! partition with a backlog has been heard of.

use super::buffer::Buffer;
use std::collections::BTreeMap;
use std::time::Duration;
use tidemill_core::{Offsets, Split};

/// Partitions that hold records and of which none has come yet.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Where each of them ends.
    ends: BTreeMap<Split, u64>,
    /// The clock's time from which on the others do not wait for one that is silent.
    patience_ends: Duration,
}

impl Backlog {
    /// Of the partitions whose `positions` lie before their `ends`.
    pub(crate) fn new(positions: impl Iterator<Item = (Split, u64)>, ends: &Offsets, patience_ends: Duration) -> Self {
        let behind = |(split, position): (Split, u64)| {
            let end = ends.get(&split).filter(|end| *end > position)?;
            Some((split, end))
        };
        Backlog { ends: positions.filter_map(behind).collect(), patience_ends }
    }

    /// Until when to wait for the partitions that are still silent, or `None` when there is nothing to wait for.
    pub(crate) fn awaited(&self, now: Duration) -> Option<Duration> {
        (!self.ends.is_empty() && now < self.patience_ends).then_some(self.patience_ends)
    }

    /// Forgets the partitions of which `is_heard` says that they have been heard of.
    pub(crate) fn forget(&mut self, mut is_heard: impl FnMut(&Split, u64) -> bool) {
        self.ends.retain(|split, end| !is_heard(split, *end));
    }
}

/// True when the partition's records have come, or it is known that there are none.
pub(crate) fn is_heard(buffer: &Buffer, end: u64) -> bool {
    buffer.records() > 0 || buffer.at_end || buffer.next >= end
}

#[cfg(test)]
mod tests {
    use super::super::buffer::Headers;
    use super::*;

    #[test]
    fn only_partitions_with_a_backlog_are_waited_for_and_not_for_ever() {
        let ends = Offsets::from_iter([("a-0".into(), 10), ("a-1".into(), 7), ("a-2".into(), 3)]);
        let positions = [("a-0".into(), 0), ("a-1".into(), 7), ("a-2".into(), 1), ("a-3".into(), 5)];
        let mut backlog = Backlog::new(positions.into_iter(), &ends, Duration::from_secs(10));
        assert_eq!(backlog.awaited(Duration::ZERO), Some(Duration::from_secs(10)));
        backlog.forget(|split, end| &**split == "a-0" && end == 10);
        assert!(backlog.awaited(Duration::from_secs(9)).is_some(), "a-2 is behind");
        assert!(backlog.awaited(Duration::from_secs(10)).is_none(), "patience is over");
        backlog.forget(|split, _| &**split == "a-2");
        assert!(backlog.awaited(Duration::ZERO).is_none());
    }

    #[test]
    fn a_partition_is_heard_of_by_a_record_or_by_its_end() {
        let mut buffer = Buffer::default();
        buffer.reset(3);
        assert!(!is_heard(&buffer, 5));
        assert!(is_heard(&buffer, 3), "there is nothing to come");
        buffer.at_end = true;
        assert!(is_heard(&buffer, 5), "its last offsets are no records");
        buffer.reset(3);
        buffer.push(3, None, None, 0, Headers::Left);
        assert!(is_heard(&buffer, 5));
    }
}
