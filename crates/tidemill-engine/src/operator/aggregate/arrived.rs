//! Rows kept by slot in order of arrival: what collections hold. Rows are kept as they come and put in
//! order when they are read, so that the ones not yet saved are always the last.

use super::accumulator::{Scope, Selected};
use super::lists::{list_of, lists, range};
use crate::state::keys::{converter, hasher};
use ahash::RandomState;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::RowConverter;
use hashbrown::HashTable;
use std::sync::Arc;
use tidemill_core::{Result, types};

/// How rows are saved.
pub struct Layout;

impl Layout {
    /// The saved columns of rows of these types: a list a column, and the rows' numbers.
    pub fn state_types(of: &[DataType]) -> Vec<DataType> {
        of.iter().cloned().chain([DataType::Int64]).map(types::array_of).collect()
    }
}

/// The rows of one slot, as the row format writes them, one after the other.
#[derive(Default, Clone)]
struct Kept {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    numbers: Vec<u64>,
    /// Positions of different rows; used by sets only.
    known: HashTable<u32>,
    /// How many of the rows have been saved.
    saved: usize,
}

impl Kept {
    fn row(&self, position: usize) -> &[u8] {
        let start = if position == 0 { 0 } else { self.ends[position - 1] };
        &self.bytes[start..self.ends[position]]
    }

    fn push(&mut self, row: &[u8], number: u64) {
        self.bytes.extend_from_slice(row);
        self.ends.push(self.bytes.len());
        self.numbers.push(number);
    }

    /// Adds a row to a set; one that is there counts from when it first came.
    fn insert(&mut self, row: &[u8], number: u64, hasher: &RandomState) {
        let hash = hasher.hash_one(row);
        if let Some(position) = self.known.find(hash, |position| self.row(*position as usize) == row) {
            let known = &mut self.numbers[*position as usize];
            *known = (*known).min(number);
            return;
        }
        self.push(row, number);
        let (bytes, ends) = (&self.bytes, &self.ends);
        let row_at = |position: &u32| {
            let start = if *position == 0 { 0 } else { ends[*position as usize - 1] };
            hasher.hash_one(&bytes[start..ends[*position as usize]])
        };
        self.known.insert_unique(hash, (ends.len() - 1) as u32, row_at);
    }

    /// Positions of the rows in order of their numbers.
    fn in_order(&self) -> Vec<usize> {
        let mut positions: Vec<usize> = (0..self.ends.len()).collect();
        if !self.numbers.is_sorted() {
            positions.sort_by_key(|position| self.numbers[*position]);
        }
        positions
    }

    fn size(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 8 + self.numbers.capacity() * 8 + self.known.capacity() * 5
    }
}

/// Rows by slot.
pub struct Arrived {
    distinct: bool,
    with_nulls: bool,
    converter: RowConverter,
    hasher: RandomState,
    slots: Vec<Kept>,
}

impl Arrived {
    /// No rows yet, of these columns; of equal rows one is kept when `distinct`, those whose first column is
    /// NULL only when `with_nulls`.
    ///
    /// # Errors
    /// A type that cannot be kept.
    pub fn new(of: &[DataType], distinct: bool, with_nulls: bool) -> Result<Self> {
        Ok(Arrived { distinct, with_nulls, converter: converter(of)?, hasher: hasher(), slots: vec![] })
    }

    /// Makes slots `0..count` exist.
    pub fn resize(&mut self, count: usize) {
        self.slots.resize(count, Kept::default());
    }

    fn keep(&mut self, slot: usize, row: &[u8], number: u64) {
        if self.distinct {
            self.slots[slot].insert(row, number, &self.hasher);
        } else {
            self.slots[slot].push(row, number);
        }
    }

    /// Adds rows.
    pub fn add(&mut self, columns: &[ArrayRef], selected: Selected<'_>) -> Result<()> {
        let rows = self.converter.convert_columns(columns)?;
        let nulls = columns[0].logical_nulls();
        for (&row, &slot) in selected.rows.iter().zip(selected.slots) {
            if self.with_nulls || nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row as usize)) {
                self.keep(slot as usize, rows.row(row as usize).as_ref(), selected.number(row));
            }
        }
        Ok(())
    }

    /// Adds the rows of slot `from[i]` to slot `into[i]`.
    pub fn merge(&mut self, from: &[u32], into: &[u32]) {
        for (&from, &into) in from.iter().zip(into) {
            let source = std::mem::take(&mut self.slots[from as usize]);
            for position in 0..source.ends.len() {
                self.keep(into as usize, source.row(position), source.numbers[position]);
            }
            self.slots[from as usize] = source;
        }
    }

    /// The columns of all rows of some slots, each slot's in order of arrival, and how many each has.
    pub fn columns_in_order(&self, slots: &[u32]) -> Result<(Vec<ArrayRef>, Vec<usize>)> {
        let parser = self.converter.parser();
        let kept = || slots.iter().map(|&slot| &self.slots[slot as usize]);
        let rows = kept().flat_map(|kept| kept.in_order().into_iter().map(|position| kept.row(position)));
        let columns = self.converter.convert_rows(rows.map(|row| parser.parse(row)))?;
        Ok((columns, kept().map(|kept| kept.ends.len()).collect()))
    }

    /// Makes slots empty.
    pub fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.slots[slot as usize] = Kept::default());
    }

    /// The rows of some slots, or those not yet saved, as lists.
    pub fn save(&mut self, slots: &[u32], scope: Scope) -> Result<Vec<ArrayRef>> {
        let from = |kept: &Kept| if scope == Scope::Whole { 0 } else { kept.saved };
        let kept = || slots.iter().map(|&slot| &self.slots[slot as usize]);
        let parser = self.converter.parser();
        let rows = kept().flat_map(|kept| (from(kept)..kept.ends.len()).map(|position| kept.row(position)));
        let mut columns = self.converter.convert_rows(rows.map(|row| parser.parse(row)))?;
        let numbers = kept().flat_map(|kept| kept.numbers[from(kept)..].iter().map(|number| *number as i64));
        columns.push(Arc::new(Int64Array::from_iter_values(numbers)));
        let lengths: Vec<usize> = kept().map(|kept| kept.ends.len() - from(kept)).collect();
        if scope == Scope::Changes {
            slots.iter().for_each(|&slot| self.slots[slot as usize].saved = self.slots[slot as usize].ends.len());
        }
        columns.into_iter().map(|column| list_of(column, &lengths, None)).collect()
    }

    /// Puts saved rows back.
    pub fn load(&mut self, slots: &[u32], columns: &[ArrayRef], scope: Scope) -> Result<()> {
        let values: Vec<ArrayRef> = columns.iter().map(|column| lists(column).values().clone()).collect();
        let Some((numbers, values)) = values.split_last() else { return Ok(()) };
        let rows = self.converter.convert_columns(values)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        for (row, &slot) in slots.iter().enumerate() {
            if scope == Scope::Whole {
                self.slots[slot as usize] = Kept::default();
            }
            for element in range(lists(&columns[0]), row) {
                self.keep(slot as usize, rows.row(element).as_ref(), numbers.value(element) as u64);
            }
            self.slots[slot as usize].saved = self.slots[slot as usize].ends.len();
        }
        Ok(())
    }

    /// Memory held, in bytes.
    pub fn size(&self) -> usize {
        self.slots.iter().map(Kept::size).sum::<usize>() + self.slots.capacity() * size_of::<Kept>()
    }
}
