//! A stateful operator whose rows are in a store. The operator itself is the one that works in memory; here
//! it gets, for each epoch, the rows of the keys that matter, and what has become of them is written back.

use super::codec::{Codec, Entries, RowBytes};
use super::groups::{group_of, groups_of};
use super::space::Space;
use super::table::{Clock, StateShape, StateSize, StateTable, Wake};
use super::wanted::{Due, KEYS_AT_ONCE, Wanted};
use crate::operator::aggregate::accumulator::Scope;
use crate::operator::{EpochContext, Keyed, KeyedOutput, KeyedRows};
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use tidemill_core::Result;
use tidemill_core::state::StateChange;

/// One partition of an operator, its rows in a store.
pub struct Stored {
    operator: Box<dyn Keyed>,
    codec: Codec,
    space: Space,
    groups: Range<u16>,
    /// Rows in each of the groups.
    counts: Vec<u64>,
    changed: Vec<RecordBatch>,
    alarm: Option<i64>,
    /// Partitions of all operators that share the store's memory.
    sharers: usize,
    names_rows: bool,
}

/// What the store held of some keys.
struct Held {
    entries: Entries,
    rows: RecordBatch,
}

impl Stored {
    /// Partition `number` of `partitions`, with the rows the store has for it.
    ///
    /// # Errors
    /// A type that cannot be stored; the disk fails.
    pub fn new(
        operator: Box<dyn Keyed>,
        space: Space,
        (number, partitions): (usize, usize),
        sharers: usize,
    ) -> Result<Self> {
        let shape = operator.shape();
        let groups = groups_of(number, partitions);
        let counts = space.counts(&groups)?;
        let alarm = space.next(Clock::Alarm, &groups)?;
        let (codec, names_rows) = (Codec::new(&shape)?, !shape.names.is_empty());
        Ok(Stored { operator, codec, space, groups, counts, changed: vec![], alarm, sharers, names_rows })
    }

    /// What the store has of the keys at these places, which are in order.
    fn held(&self, places: &[Vec<u8>]) -> Result<Held> {
        let mut entries = Entries::with_capacity(places.len());
        if self.names_rows {
            self.space.store().scan_prefixes(places, &mut |place, value| {
                entries.push((place.to_vec(), value.to_vec()));
                Ok(true)
            })?;
        } else {
            let found = self.space.store().get(places)?;
            entries.extend(places.iter().zip(found).filter_map(|(place, value)| Some((place.clone(), value?))));
        }
        self.as_held(entries)
    }

    fn held_all(&self) -> Result<Held> {
        let mut entries = Entries::new();
        let [from, until] = self.space.rows(&self.groups);
        self.space.store().scan(&from, &until, &mut |place, value| {
            entries.push((place.to_vec(), value.to_vec()));
            Ok(true)
        })?;
        self.as_held(entries)
    }

    /// The rows of entries, in the order of their keys: the same rows come out in the same order every time.
    fn as_held(&self, entries: Entries) -> Result<Held> {
        let rows = self.codec.decode(entries.iter().map(|(place, value)| (Space::entry_at(place), &value[..])))?;
        Ok(Held { entries, rows })
    }

    fn give(&mut self, held: &Held) -> Result<()> {
        if held.rows.num_rows() == 0 {
            return Ok(());
        }
        let all: Vec<u32> = (0..held.rows.num_rows() as u32).collect();
        self.operator.state().load(&held.rows, &all, Scope::Whole)
    }

    /// Keys that time asks for.
    fn due(&self, watermark: i64, epoch: Option<i64>) -> Result<Vec<Due>> {
        let clocks = [(Clock::Watermark, Some(watermark)), (Clock::Alarm, epoch), (Clock::Epoch, epoch)];
        let mut due = vec![];
        for (clock, until) in clocks.into_iter().filter_map(|(clock, until)| Some((clock, until?))) {
            self.space.reminders(clock, until, &self.groups, &mut |reminder, key| {
                due.push(Due { place: self.space.place_of(key), reminder: reminder.to_vec() });
                true
            })?;
        }
        Ok(due)
    }

    /// Writes back what has become of rows whose reminders in `due` are done with. `before` and `after` are the
    /// watermarks their reminders were and are to be for.
    fn keep(&mut self, held: Held, due: &[Vec<u8>], before: i64, after: i64) -> Result<()> {
        let whole = self.operator.state().whole()?;
        let (keys_before, keys) = (self.codec.keys(&held.rows)?, self.codec.keys(&whole)?);
        let known = self.reminders(&held.rows, &keys_before, before);
        let wanted = self.reminders(&whole, &keys, after);
        let has = |reminders: &[Vec<u8>], one: &Vec<u8>| reminders.binary_search(one).is_ok();
        let mut changes: Vec<StateChange> = vec![];
        let gone = due.iter().chain(known.iter().filter(|reminder| !has(due, reminder)));
        let gone = gone.filter(|reminder| !has(&wanted, reminder));
        changes.extend(gone.map(|reminder| StateChange::Delete(reminder.clone())));
        let is_there = |reminder: &Vec<u8>| has(&known, reminder) && !has(due, reminder);
        let new = wanted.iter().filter(|reminder| !is_there(reminder));
        changes.extend(new.map(|reminder| StateChange::Put(reminder.clone(), vec![])));
        let entries = self.codec.encode(&whole, &keys, &self.space.rows_head())?;
        changes.extend(difference(held.entries, entries));
        if !changes.is_empty() {
            changes.extend(self.counted(&keys_before, &keys));
            self.space.store().write(changes)?;
            self.alarm = self.space.next(Clock::Alarm, &self.groups)?;
        }
        self.operator.state().clear()
    }

    /// The reminders of rows, which have these keys, in order.
    fn reminders(&mut self, rows: &RecordBatch, keys: &RowBytes, watermark: i64) -> Vec<Vec<u8>> {
        let wakes: Vec<Option<Wake>> = self.operator.state().wakes(rows, watermark);
        let reminders = wakes.iter().enumerate();
        let reminders = reminders.filter_map(|(row, wake)| Some(self.space.wake((*wake)?, keys.row(row))));
        let mut reminders: Vec<Vec<u8>> = reminders.collect();
        reminders.sort_unstable();
        reminders.dedup();
        reminders
    }

    /// Counts rows that came and went; the changes that note it.
    fn counted(&mut self, before: &RowBytes, after: &RowBytes) -> Vec<StateChange> {
        let mut moved: BTreeMap<u8, i64> = BTreeMap::new();
        for (keys, sign) in [(before, -1), (after, 1)] {
            keys.iter().for_each(|key| *moved.entry(group_of(key)).or_default() += sign);
        }
        let mut changes = vec![];
        for (group, by) in moved.into_iter().filter(|(_, by)| *by != 0) {
            let place = usize::from(u16::from(group) - self.groups.start);
            self.counts[place] = self.counts[place].saturating_add_signed(by);
            changes.push(self.space.counted(group, self.counts[place]));
        }
        changes
    }

    /// Lets the operator work on some keys, and notes what it changed.
    fn work(&mut self, wanted: Wanted, context: &EpochContext, inputs: Vec<KeyedRows>) -> Result<KeyedOutput> {
        let all = self.operator.state().reads_all();
        let held = if all { self.held_all()? } else { self.held(&wanted.places)? };
        self.give(&held)?;
        let out = self.operator.process(context, inputs)?;
        self.changed.extend(self.operator.state().changes()?);
        self.keep(held, &wanted.due, context.late, context.watermark)?;
        Ok(out)
    }
}

impl Keyed for Stored {
    fn process(&mut self, context: &EpochContext, inputs: Vec<KeyedRows>) -> Result<KeyedOutput> {
        let due = self.due(context.watermark, Some(context.timestamp))?;
        let rows = inputs.iter().flat_map(|input| input.select.iter().map(move |row| (input, *row)));
        let keys: HashSet<&[u8]> = rows.map(|(input, row)| input.key(row)).collect();
        let arrived = keys.into_iter().map(|key| self.space.place_of(key)).collect();
        let mut portions = Wanted::portions(arrived, due).into_iter();
        let mut out = self.work(portions.next().unwrap_or_default(), context, inputs)?;
        for portion in portions {
            let more = self.work(portion, context, vec![])?;
            out.rows.extend(more.rows);
            out.late_rows.extend(more.late_rows);
            out.late += more.late;
            out.updated += more.updated;
            out.removed += more.removed;
        }
        Ok(out)
    }

    fn state(&mut self) -> &mut dyn StateTable {
        self
    }

    fn shape(&self) -> StateShape {
        self.operator.shape()
    }

    fn migrated(&self, rows: &RecordBatch, operator: &str) -> Result<RecordBatch> {
        self.operator.migrated(rows, operator)
    }

    fn alarm(&self) -> Option<i64> {
        self.alarm
    }
}

/// Reminders for this watermark are due whatever they are for: too early does no harm.
const UNKNOWN: i64 = i64::MIN;

impl StateTable for Stored {
    fn changes(&mut self) -> Result<Option<RecordBatch>> {
        let changed = std::mem::take(&mut self.changed);
        match changed.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            several => Ok(Some(concat_batches(&self.shape().schema, several)?)),
        }
    }

    fn whole(&mut self) -> Result<RecordBatch> {
        Ok(self.held_all()?.rows)
    }

    fn load(&mut self, rows: &RecordBatch, select: &[u32], scope: Scope) -> Result<()> {
        let keys = self.codec.keys(rows)?;
        for select in select.chunks(KEYS_AT_ONCE) {
            let places = select.iter().map(|row| self.space.place_of(keys.row(*row as usize))).collect();
            let held = self.held(&Wanted::keys(places).places)?;
            self.give(&held)?;
            self.operator.state().load(rows, select, scope)?;
            self.keep(held, &[], UNKNOWN, UNKNOWN)?;
        }
        Ok(())
    }

    fn evict(&mut self, watermark: i64) -> Result<()> {
        for portion in Wanted::portions(vec![], self.due(watermark, None)?) {
            if !portion.places.is_empty() {
                let held = self.held(&portion.places)?;
                self.give(&held)?;
                self.operator.state().evict(watermark)?;
                self.keep(held, &portion.due, UNKNOWN, watermark)?;
            }
        }
        Ok(())
    }

    fn size(&self) -> StateSize {
        let memory = self.space.store().size().memory_bytes;
        StateSize { rows: self.counts.iter().sum(), bytes: memory / self.sharers.max(1) as u64 }
    }

    fn clear(&mut self) -> Result<()> {
        self.operator.state().clear()
    }

    fn wakes(&self, rows: &RecordBatch, _watermark: i64) -> Vec<Option<Wake>> {
        vec![None; rows.num_rows()]
    }
}

/// The changes that make new entries of old ones.
fn difference(old: Entries, new: Entries) -> Vec<StateChange> {
    let mut changes = vec![];
    let mut old = old.into_iter().peekable();
    for (place, value) in new {
        while let Some((gone, _)) = old.next_if(|(before, _)| *before < place) {
            changes.push(StateChange::Delete(gone));
        }
        match old.next_if(|(before, _)| *before == place) {
            Some((_, before)) if before == value => {}
            _ => changes.push(StateChange::Put(place, value)),
        }
    }
    changes.extend(old.map(|(gone, _)| StateChange::Delete(gone)));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_written() {
        let entries = |of: &[(&str, &str)]| of.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let (put, delete) = (
            |key: &str, to: &str| StateChange::Put(key.into(), to.into()),
            |key: &str| StateChange::Delete(key.into()),
        );
        let old = entries(&[("a", "1"), ("c", "2"), ("d", "3"), ("f", "4")]);
        let new = entries(&[("b", "5"), ("c", "2"), ("d", "6")]);
        assert_eq!(difference(old, new), [delete("a"), put("b", "5"), put("d", "6"), delete("f")]);
    }
}
