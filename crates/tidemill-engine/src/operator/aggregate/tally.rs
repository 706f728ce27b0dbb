//! Values counted by slot: what aggregates keep that need every value (`percentile`, `mode`). A value is
//! kept once, however often it came and in however many slots.

use super::accumulator::{Scope, Selected};
use super::lists::{list_of, lists, range};
use crate::state::keys::KeyTable;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use hashbrown::HashTable;
use std::sync::Arc;
use tidemill_core::{Result, types};

/// Up to so many values a slot finds a value by looking at each.
const SCANNED_MAX: usize = 16;

#[derive(Clone, Copy)]
struct Counted {
    id: u32,
    count: i64,
    /// Has changed since it was last saved.
    changed: bool,
}

/// The values of one slot.
#[derive(Default, Clone)]
struct Tally {
    counted: Vec<Counted>,
    /// Positions by value, when there are many.
    lookup: HashTable<u32>,
    changed: Vec<u32>,
}

fn spread(id: u32) -> u64 {
    u64::from(id).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Tally {
    /// The count of a value, and whether it is new.
    fn count(&mut self, id: u32) -> (&mut i64, bool) {
        let counted = &self.counted;
        let known = if counted.len() <= SCANNED_MAX {
            counted.iter().position(|known| known.id == id)
        } else {
            let same = |position: &u32| counted[*position as usize].id == id;
            self.lookup.find(spread(id), same).map(|position| *position as usize)
        };
        let position = known.unwrap_or_else(|| self.push(id));
        if !std::mem::replace(&mut self.counted[position].changed, true) {
            self.changed.push(position as u32);
        }
        (&mut self.counted[position].count, known.is_none())
    }

    fn push(&mut self, id: u32) -> usize {
        self.counted.push(Counted { id, count: 0, changed: false });
        let (counted, last) = (&self.counted, self.counted.len() - 1);
        let hash = |position: &u32| spread(counted[*position as usize].id);
        if counted.len() == SCANNED_MAX + 1 {
            for (position, known) in counted.iter().enumerate() {
                self.lookup.insert_unique(spread(known.id), position as u32, hash);
            }
        } else if counted.len() > SCANNED_MAX {
            self.lookup.insert_unique(spread(id), last as u32, hash);
        }
        last
    }
}

/// Counted values, smallest first, and how often each came.
pub struct Sorted {
    /// The values of all slots, one slot after the other.
    pub values: ArrayRef,
    /// The count of each.
    pub counts: Vec<i64>,
    /// How many there are of each slot.
    pub lengths: Vec<usize>,
}

/// Counted values by slot.
pub struct Tallies {
    values: KeyTable,
    slots: Vec<Tally>,
}

impl Tallies {
    /// The saved columns of values of a type.
    pub fn state_types(of: &DataType) -> Vec<DataType> {
        [of.clone(), DataType::Int64].map(types::array_of).to_vec()
    }

    /// No values yet.
    ///
    /// # Errors
    /// A type that cannot be kept.
    pub fn new(of: &DataType) -> Result<Self> {
        Ok(Tallies { values: KeyTable::new(std::slice::from_ref(of))?, slots: vec![] })
    }

    /// Makes slots `0..count` exist.
    pub fn resize(&mut self, count: usize) {
        self.slots.resize(count, Tally::default());
    }

    fn count(&mut self, slot: u32, id: u32) -> &mut i64 {
        let (count, new) = self.slots[slot as usize].count(id);
        if new {
            self.values.retain(id);
        }
        count
    }

    /// Counts values, each as often as `times` says; NULLs are passed over.
    pub fn add(
        &mut self,
        values: &ArrayRef,
        selected: Selected<'_>,
        times: impl Fn(usize) -> Result<i64>,
    ) -> Result<()> {
        let rows = self.values.rows(std::slice::from_ref(values))?;
        let nulls = values.logical_nulls();
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row as usize)) {
                continue;
            }
            let times = times(row as usize)?;
            if times > 0 {
                let key = rows.row(row as usize);
                let hash = self.values.hash(key.as_ref());
                let id = self.values.intern(key.as_ref(), hash);
                *self.count(slot, id) += times;
            }
        }
        Ok(())
    }

    /// Adds the counts of slot `from[i]` to those of slot `into[i]`.
    pub fn merge(&mut self, from: &[u32], into: &[u32]) {
        for (&from, &into) in from.iter().zip(into) {
            let source = std::mem::take(&mut self.slots[from as usize]);
            source.counted.iter().for_each(|counted| *self.count(into, counted.id) += counted.count);
            self.slots[from as usize] = source;
        }
    }

    /// The values of some slots.
    pub fn sorted(&self, slots: &[u32]) -> Result<Sorted> {
        let (mut ids, mut counts, mut lengths) = (vec![], vec![], Vec::with_capacity(slots.len()));
        for &slot in slots {
            let mut counted = self.slots[slot as usize].counted.clone();
            counted.sort_unstable_by(|left, right| self.values.bytes(left.id).cmp(self.values.bytes(right.id)));
            lengths.push(counted.len());
            ids.extend(counted.iter().map(|counted| counted.id));
            counts.extend(counted.iter().map(|counted| counted.count));
        }
        Ok(Sorted { values: self.columns(&ids)?, counts, lengths })
    }

    fn columns(&self, ids: &[u32]) -> Result<ArrayRef> {
        let columns = self.values.columns(ids)?;
        columns.into_iter().next().ok_or_else(|| tidemill_core::Error::bug("no column of values"))
    }

    /// Makes slots empty.
    pub fn clear(&mut self, slots: &[u32]) {
        for &slot in slots {
            let gone = std::mem::take(&mut self.slots[slot as usize]);
            gone.counted.iter().for_each(|counted| self.values.release(counted.id));
        }
    }

    /// Values and counts of some slots, or those that have changed, as lists.
    pub fn save(&mut self, slots: &[u32], scope: Scope) -> Result<Vec<ArrayRef>> {
        let (mut ids, mut counts, mut lengths) = (vec![], vec![], Vec::with_capacity(slots.len()));
        for &slot in slots {
            let tally = &mut self.slots[slot as usize];
            let before = ids.len();
            let mut put = |counted: &Counted| {
                ids.push(counted.id);
                counts.push(counted.count);
            };
            match scope {
                Scope::Whole => tally.counted.iter().for_each(put),
                Scope::Changes => {
                    for position in std::mem::take(&mut tally.changed) {
                        put(&tally.counted[position as usize]);
                        tally.counted[position as usize].changed = false;
                    }
                }
            }
            lengths.push(ids.len() - before);
        }
        let values = list_of(self.columns(&ids)?, &lengths, None)?;
        Ok(vec![values, list_of(Arc::new(Int64Array::from(counts)), &lengths, None)?])
    }

    /// Puts saved counts back; those of values that were not saved stay unless the whole is loaded.
    pub fn load(&mut self, slots: &[u32], columns: &[ArrayRef], scope: Scope) -> Result<()> {
        let (values, counts) = (lists(&columns[0]), lists(&columns[1]));
        let rows = self.values.rows(std::slice::from_ref(values.values()))?;
        let numbers = counts.values().as_primitive::<Int64Type>();
        if scope == Scope::Whole {
            self.clear(slots);
        }
        for (row, &slot) in slots.iter().enumerate() {
            for (value, count) in range(values, row).zip(range(counts, row)) {
                let key = rows.row(value);
                let hash = self.values.hash(key.as_ref());
                let id = self.values.intern(key.as_ref(), hash);
                *self.count(slot, id) = numbers.value(count);
            }
            let tally = &mut self.slots[slot as usize];
            for position in std::mem::take(&mut tally.changed) {
                tally.counted[position as usize].changed = false;
            }
        }
        Ok(())
    }

    /// Memory held, in bytes.
    pub fn size(&self) -> usize {
        let tally = |tally: &Tally| {
            tally.counted.capacity() * size_of::<Counted>() + (tally.lookup.capacity() + tally.changed.capacity()) * 5
        };
        self.values.size() + self.slots.capacity() * size_of::<Tally>() + self.slots.iter().map(tally).sum::<usize>()
    }
}
