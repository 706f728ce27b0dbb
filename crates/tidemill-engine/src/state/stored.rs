//! A stateful operator whose rows are in a store. The operator itself is the one that works in memory; here
//! it gets, for each epoch, the rows of the keys that matter, and what has become of them is written back.

use super::codec::{Codec, Entries};
use super::groups::{group_of, groups_of};
use super::space::Space;
use super::table::{Clock, StateShape, StateSize, StateTable, Wake};
use crate::operator::aggregate::accumulator::Scope;
use crate::operator::{EpochContext, Keyed, KeyedOutput, KeyedRows};
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use tidemill_core::Result;
use tidemill_core::state::StateChange;

/// Keys that are worked on at once when nothing but time asks for them.
const KEYS_AT_ONCE: usize = 1 << 16;

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

/// Keys to look at, each with the reminders that pointed to it.
type Wanted = BTreeMap<Vec<u8>, Vec<Vec<u8>>>;

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

    /// What the store has of some keys.
    fn held<'a>(&self, keys: impl Iterator<Item = &'a Vec<u8>> + Clone) -> Result<Held> {
        let entry = |key: &Vec<u8>| [&[group_of(key)], &key[..]].concat();
        let places: Vec<Vec<u8>> = keys.clone().map(|key| self.space.place(&entry(key))).collect();
        let mut entries = Entries::new();
        if self.names_rows {
            self.space.store().scan_prefixes(&places, &mut |place, value| {
                entries.insert(Space::entry_at(place).to_vec(), value.to_vec());
                Ok(true)
            })?;
        } else {
            let found = self.space.store().get(&places)?;
            entries.extend(keys.map(entry).zip(found).filter_map(|(entry, value)| Some((entry, value?))));
        }
        self.as_held(entries)
    }

    fn held_all(&self) -> Result<Held> {
        let mut entries = Entries::new();
        let [from, until] = self.space.rows(&self.groups);
        self.space.store().scan(&from, &until, &mut |place, value| {
            entries.insert(Space::entry_at(place).to_vec(), value.to_vec());
            Ok(true)
        })?;
        self.as_held(entries)
    }

    fn as_held(&self, entries: Entries) -> Result<Held> {
        // in the order of their keys, so that the same rows come out in the same order every time
        let mut sorted: Vec<(&[u8], &[u8])> = entries.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        sorted.sort_unstable();
        let rows = self.codec.decode(sorted.into_iter())?;
        Ok(Held { entries, rows })
    }

    fn give(&mut self, held: &Held) -> Result<()> {
        if held.rows.num_rows() == 0 {
            return Ok(());
        }
        let all: Vec<u32> = (0..held.rows.num_rows() as u32).collect();
        self.operator.state().load(&held.rows, &all, Scope::Whole)
    }

    /// Keys that time asks for, in portions.
    fn due(&self, watermark: i64, epoch: Option<i64>) -> Result<Vec<Wanted>> {
        let mut due = self.space.due(Clock::Watermark, watermark, &self.groups)?;
        if let Some(instant) = epoch {
            due.extend(self.space.due(Clock::Alarm, instant, &self.groups)?);
            due.extend(self.space.due(Clock::Epoch, instant, &self.groups)?);
        }
        let mut by_key = Wanted::new();
        due.into_iter().for_each(|(reminder, key)| by_key.entry(key).or_default().push(reminder));
        let mut portions = vec![];
        while by_key.len() > KEYS_AT_ONCE {
            let next = by_key.keys().nth(KEYS_AT_ONCE).cloned().unwrap_or_default();
            let rest = by_key.split_off(&next);
            portions.push(std::mem::replace(&mut by_key, rest));
        }
        portions.push(by_key);
        Ok(portions)
    }

    /// Writes back what has become of rows. `before` and `after` are the watermarks their reminders were and
    /// are to be for.
    fn keep(&mut self, held: Held, wanted: Wanted, before: i64, after: i64) -> Result<()> {
        let due: HashSet<Vec<u8>> = wanted.into_values().flatten().collect();
        let whole = self.operator.state().whole()?;
        let known = self.reminders(&held.rows, before)?;
        let wanted = self.reminders(&whole, after)?;
        let mut changes: Vec<StateChange> = vec![];
        let gone = due.union(&known).filter(|reminder| !wanted.contains(*reminder));
        changes.extend(gone.map(|reminder| StateChange::Delete(reminder.clone())));
        let is_there = |reminder: &Vec<u8>| known.contains(reminder) && !due.contains(reminder);
        let new = wanted.iter().filter(|reminder| !is_there(reminder));
        changes.extend(new.map(|reminder| StateChange::Put(reminder.clone(), vec![])));
        let mut old = held.entries;
        for (entry, value) in self.codec.encode(&whole)? {
            if old.remove(&entry).as_ref() != Some(&value) {
                changes.push(StateChange::Put(self.space.place(&entry), value));
            }
        }
        changes.extend(old.keys().map(|entry| StateChange::Delete(self.space.place(entry))));
        if !changes.is_empty() {
            changes.extend(self.counted(&held.rows, &whole)?);
            self.space.store().write(changes)?;
            self.alarm = self.space.next(Clock::Alarm, &self.groups)?;
        }
        self.operator.state().clear()
    }

    fn reminders(&mut self, rows: &RecordBatch, watermark: i64) -> Result<HashSet<Vec<u8>>> {
        let wakes: Vec<Option<Wake>> = self.operator.state().wakes(rows, watermark);
        let keys = self.codec.keys(rows)?;
        let reminders = wakes.iter().enumerate();
        Ok(reminders.filter_map(|(row, wake)| Some(self.space.wake((*wake)?, keys.row(row)))).collect())
    }

    /// Counts rows that came and went; the changes that note it.
    fn counted(&mut self, before: &RecordBatch, after: &RecordBatch) -> Result<Vec<StateChange>> {
        let mut moved: BTreeMap<u8, i64> = BTreeMap::new();
        for (rows, sign) in [(before, -1), (after, 1)] {
            let keys = self.codec.keys(rows)?;
            (0..rows.num_rows()).for_each(|row| *moved.entry(group_of(keys.row(row))).or_default() += sign);
        }
        let mut changes = vec![];
        for (group, by) in moved.into_iter().filter(|(_, by)| *by != 0) {
            let place = usize::from(u16::from(group) - self.groups.start);
            self.counts[place] = self.counts[place].saturating_add_signed(by);
            changes.push(self.space.counted(group, self.counts[place]));
        }
        Ok(changes)
    }

    /// Lets the operator work on some keys, and notes what it changed.
    fn work(&mut self, wanted: Wanted, context: &EpochContext, inputs: Vec<KeyedRows>) -> Result<KeyedOutput> {
        let all = self.operator.state().reads_all();
        let held = if all { self.held_all()? } else { self.held(wanted.keys())? };
        self.give(&held)?;
        let out = self.operator.process(context, inputs)?;
        self.changed.extend(self.operator.state().changes()?);
        self.keep(held, wanted, context.late, context.watermark)?;
        Ok(out)
    }
}

impl Keyed for Stored {
    fn process(&mut self, context: &EpochContext, inputs: Vec<KeyedRows>) -> Result<KeyedOutput> {
        let mut portions = self.due(context.watermark, Some(context.timestamp))?;
        let mut first = portions.swap_remove(0);
        for (input, row) in inputs.iter().flat_map(|input| input.select.iter().map(move |row| (input, *row))) {
            let key = input.key(row);
            if !first.contains_key(key) {
                // what is due of it is done with the rest of it
                let due = portions.iter_mut().find_map(|portion| portion.remove(key));
                first.insert(key.to_vec(), due.unwrap_or_default());
            }
        }
        let mut out = self.work(first, context, inputs)?;
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
            let wanted: BTreeSet<Vec<u8>> = select.iter().map(|row| keys.row(*row as usize).to_vec()).collect();
            let held = self.held(wanted.iter())?;
            self.give(&held)?;
            self.operator.state().load(rows, select, scope)?;
            self.keep(held, Wanted::new(), UNKNOWN, UNKNOWN)?;
        }
        Ok(())
    }

    fn evict(&mut self, watermark: i64) -> Result<()> {
        for portion in self.due(watermark, None)? {
            if !portion.is_empty() {
                let held = self.held(portion.keys())?;
                self.give(&held)?;
                self.operator.state().evict(watermark)?;
                self.keep(held, portion, UNKNOWN, watermark)?;
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
