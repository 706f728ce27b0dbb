//! What was read ahead of one shard, and what is known of it. Pure.

use super::position::{Mark, Place};
use super::record::UserRecord;
use std::collections::VecDeque;
use std::time::Duration;
use tidemill_core::{Error, SplitRange};

/// User records in order, the first at position `front`.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Position of the first record there is.
    pub front: u64,
    records: VecDeque<UserRecord>,
    bytes: usize,
    /// The shard is closed, and its last record was read.
    pub ended: bool,
    /// How far the last answer was behind the newest record, in milliseconds.
    behind: Option<u64>,
    /// Until when everything was read: by the clock that nobody sets, and by the wall clock in milliseconds.
    reached: Option<(Duration, i64)>,
    /// When reading began, by the wall clock in milliseconds.
    begun: i64,
    /// Why reading has stopped.
    pub failure: Option<Error>,
    /// A query that reads only what is there at this time.
    bound: Option<Duration>,
    /// Where that ends in this shard, once it was reached.
    limit: Option<u64>,
}

impl Buffer {
    /// An empty one at a position; reading begins now, in milliseconds since 1970.
    pub fn at(front: u64, now: i64) -> Self {
        Buffer { front, begun: now, ..Buffer::default() }
    }

    /// The mark of an idle shard that was followed for so long that its own says too little; times in milliseconds.
    pub fn note(&self, mark: &Mark, least: i64) -> Option<Mark> {
        let (_, reached) = self.reached.filter(|_| self.records.is_empty())?;
        let known = mark.seen().map_or(self.begun, |seen| seen.max(self.begun));
        let followed = mark.followed(reached);
        (followed != *mark && reached.saturating_sub(known) >= least).then_some(followed)
    }

    /// Position of the next record to come.
    pub fn next(&self) -> u64 {
        self.front + self.records.len() as u64
    }

    /// About how much memory the records take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds records.
    pub fn push(&mut self, records: Vec<UserRecord>) {
        self.bytes += records.iter().map(UserRecord::bytes).sum::<usize>();
        self.records.extend(records);
    }

    /// An answer began at `reached` and was behind by so many milliseconds.
    pub fn reached(&mut self, behind: Option<u64>, begun: Duration, now: i64) {
        self.behind = behind;
        if let Some(behind) = behind {
            let reached = begun.saturating_sub(Duration::from_millis(behind));
            self.reached = Some((reached, now.saturating_sub_unsigned(behind)));
        }
        self.set_limit();
    }

    /// Asks for nothing that comes after a time of the clock.
    pub fn bound_at(&mut self, bound: Duration) {
        self.bound = Some(bound);
        self.set_limit();
    }

    fn set_limit(&mut self) {
        let is_reached = self.bound.is_some_and(|bound| self.reached.is_some_and(|(reached, _)| reached >= bound));
        if self.limit.is_none() && (is_reached || (self.ended && self.bound.is_some())) {
            self.limit = Some(self.next());
        }
    }

    /// How far the first record here, or else the last answer, is behind the newest record, in milliseconds.
    pub fn behind(&self) -> Option<u64> {
        let ends = self.records.front().zip(self.records.back());
        let held = ends.map_or(0, |(first, last)| last.arrived.saturating_sub(first.arrived).max(0));
        self.behind.map(|behind| behind.saturating_add_signed(held))
    }

    /// Position of the newest record of the shard, where that is known.
    pub fn newest(&self) -> Option<u64> {
        (self.behind == Some(0)).then(|| self.next())
    }

    /// Nothing more comes.
    pub fn end(&mut self) {
        self.ended = true;
        self.behind = Some(0);
        self.set_limit();
    }

    /// True when all that the bound asks for is here, or was.
    pub fn has_all(&self) -> bool {
        self.limit.is_some()
    }

    /// How many records may be read now.
    pub fn available(&self) -> u64 {
        self.limit.map_or(self.next(), |limit| limit.min(self.next())).saturating_sub(self.front)
    }

    /// Names the first and the last of the first `count` records in a range over them.
    pub fn range(&self, split: &str, count: u64) -> SplitRange {
        let mut range = SplitRange::new(split, self.front, self.front + count);
        let last = count.checked_sub(1).and_then(|last| self.records.get(last as usize));
        if let (Some(first), Some(last)) = (self.records.front(), last) {
            range.from_name = first.place.to_string();
            range.to_name = Mark::After(last.end(), last.arrived).to_string();
        }
        range
    }

    /// Takes the records of a range that begins at the front and at `first`; `None` when it does not, or when they are
    /// not all here.
    pub fn take(&mut self, range: &SplitRange, first: &Place) -> Option<Vec<UserRecord>> {
        let count = usize::try_from(range.len()).ok()?;
        let begins = self.front == range.from && self.records.front().is_some_and(|record| record.place == *first);
        if !begins || count > self.records.len() {
            return None;
        }
        let taken: Vec<UserRecord> = self.records.drain(..count).collect();
        self.front = range.to;
        self.bytes -= taken.iter().map(UserRecord::bytes).sum::<usize>();
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn record(sequence: &str, sub: Option<u32>, is_last: bool) -> UserRecord {
        let place = Place { sequence: sequence.into(), sub };
        UserRecord { place, is_last, arrived: 9, key: Some("k".into()), data: Bytes::from_static(b"data") }
    }

    fn filled() -> Buffer {
        let mut buffer = Buffer::at(5, 0);
        buffer.push(vec![
            record("10", None, true),
            record("12", Some(0), false),
            record("12", Some(3), true),
            record("13", None, true),
        ]);
        buffer
    }

    #[test]
    fn ranges_name_their_ends_inside_of_aggregated_records_too() {
        let buffer = filled();
        let named = |count| {
            let range = buffer.range("s", count);
            (range.from, range.to, range.from_name, range.to_name)
        };
        assert_eq!(named(2), (5, 7, "10".into(), "12/0 seen 9".into()));
        assert_eq!(named(3), (5, 8, "10".into(), "12 seen 9".into()), "all of the record");
        assert_eq!(named(0).3, "");
    }

    #[test]
    fn only_the_range_at_the_front_is_taken() {
        let mut buffer = filled();
        let range = buffer.range("s", 2);
        let first = Place::parse(&range.from_name).unwrap();
        assert!(buffer.take(&SplitRange::new("s", 4, 6), &first).is_none());
        assert!(buffer.take(&range, &Place { sequence: "9".into(), sub: None }).is_none());
        assert!(buffer.take(&SplitRange::new("s", 5, 10), &first).is_none(), "more than there is");
        assert_eq!(buffer.take(&range, &first).unwrap().len(), 2);
        assert!(buffer.take(&range, &first).is_none(), "it is gone");
        assert_eq!((buffer.front, buffer.next(), buffer.available()), (7, 9, 2));
        assert_eq!(buffer.range("s", 1).from_name, "12/3");
        let rest = buffer.range("s", 2);
        buffer.take(&rest, &Place::parse(&rest.from_name).unwrap()).unwrap();
        assert_eq!(buffer.bytes(), 0);
    }

    #[test]
    fn only_a_shard_that_was_idle_for_long_is_noted() {
        let hour = 3_600_000;
        let mut buffer = Buffer::at(0, 100 * hour);
        assert_eq!(buffer.note(&Mark::Horizon, 3 * hour), None, "nothing is known");
        buffer.reached(Some(0), Duration::ZERO, 102 * hour);
        assert_eq!(buffer.note(&Mark::Since(7), 3 * hour), None, "begun two hours ago");
        buffer.reached(Some(0), Duration::ZERO, 103 * hour);
        assert_eq!(buffer.note(&Mark::Since(7), 3 * hour), Some(Mark::Since(102 * hour)));
        assert_eq!(buffer.note(&Mark::Since(102 * hour), 3 * hour), None, "it is noted");
        buffer.push(vec![record("1", None, true)]);
        assert_eq!(buffer.note(&Mark::Horizon, 3 * hour), None, "a record says it");
    }

    #[test]
    fn a_bound_ends_where_the_shard_was_when_it_was_set() {
        let (at, second) = (Duration::from_secs, 1_000);
        let mut buffer = filled();
        buffer.bound_at(at(100));
        buffer.reached(Some(5 * second), at(101), 0);
        assert!(!buffer.has_all(), "96 s is before the bound");
        buffer.push(vec![record("14", None, true)]);
        buffer.reached(Some(0), at(102), 0);
        assert!(buffer.has_all());
        buffer.push(vec![record("15", None, true)]);
        assert_eq!((buffer.available(), buffer.next() - buffer.front), (5, 6), "15 came later");
        let mut closed = Buffer::at(0, 0);
        closed.bound_at(at(100));
        closed.end();
        assert!(closed.has_all());
    }
}
