//! The state of a join as a table: the rows that both sides keep, and in the changes of an epoch also
//! which rows have matched for the first time and which have gone before their time.

use super::layout::STATE_COLUMNS;
use super::rows::NewRow;
use super::{Join, JoinLayout};
use crate::operator::aggregate::accumulator::Scope;
use crate::operator::take_rows;
use crate::state::table::{StateSize, StateTable, Wake};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int8Array, Int64Array, UInt32Array, UInt64Array, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int8Type, Int64Type, UInt64Type};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;
use tidemill_core::Result;

/// What a line of the state table says.
const KEPT: i8 = 0;
const MATCHED: i8 = 1;
const GONE: i8 = 2;

/// What an epoch has changed. Rows that went by the watermark are not here: replay evicts them too.
#[derive(Default)]
pub struct Changes {
    /// Side, slot and number of new rows.
    fresh: Vec<(usize, u32, u64)>,
    /// The same of rows that have matched for the first time.
    marked: Vec<(usize, u32, u64)>,
    /// Key and number of left rows that have gone; each holds a reference to its key.
    gone: Vec<(u32, u64)>,
}

impl Changes {
    pub fn fresh(&mut self, side: usize, slot: u32, number: u64) {
        self.fresh.push((side, slot, number));
    }

    pub fn marked(&mut self, side: usize, slot: u32, number: u64) {
        self.marked.push((side, slot, number));
    }

    pub fn gone(&mut self, key: u32, number: u64) {
        self.gone.push((key, number));
    }
}

/// Lines of the state table that say the same of rows of one side.
struct Lines {
    change: i8,
    side: usize,
    numbers: Vec<u64>,
    expiries: Vec<i64>,
    matched: Vec<bool>,
    keys: Vec<u32>,
    rows: Option<RecordBatch>,
}

impl Join {
    /// Rows of one side that are still kept.
    fn kept(&self, side: usize, slots: &[u32]) -> Result<Lines> {
        let rows = &self.sides[side];
        Ok(Lines {
            change: KEPT,
            side,
            numbers: slots.iter().map(|slot| rows.number(*slot)).collect(),
            expiries: slots.iter().map(|slot| rows.expiry(*slot)).collect(),
            matched: slots.iter().map(|slot| rows.is_marked(*slot)).collect(),
            keys: slots.iter().map(|slot| rows.key(*slot)).collect(),
            rows: Some(rows.take(slots)?),
        })
    }

    fn noted(change: i8, side: usize, keys: Vec<u32>, numbers: Vec<u64>) -> Lines {
        let (expiries, matched) = (vec![0; keys.len()], vec![change == MATCHED; keys.len()]);
        Lines { change, side, numbers, expiries, matched, keys, rows: None }
    }

    fn table(&self, lines: Lines) -> Result<RecordBatch> {
        let count = lines.keys.len();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int8Array::from(vec![lines.change; count])),
            Arc::new(Int8Array::from(vec![lines.side as i8; count])),
            Arc::new(UInt64Array::from(lines.numbers)),
            Arc::new(Int64Array::from(lines.expiries)),
            Arc::new(BooleanArray::from(lines.matched)),
        ];
        columns.extend(self.keys.columns(&lines.keys)?);
        for (side, layout) in self.layout.sides.iter().enumerate() {
            match &lines.rows {
                Some(rows) if side == lines.side => columns.extend(rows.columns().iter().cloned()),
                _ => columns.extend(layout.schema.fields().iter().map(|of| new_null_array(of.data_type(), count))),
            }
        }
        let schema = self.layout.state_shape().schema;
        Ok(RecordBatch::try_new_with_options(schema, columns, &RecordBatchOptions::new().with_row_count(Some(count)))?)
    }

    fn tables(&self, parts: Vec<Lines>) -> Result<RecordBatch> {
        let parts = parts.into_iter().filter(|lines| !lines.keys.is_empty());
        let parts = parts.map(|lines| self.table(lines)).collect::<Result<Vec<_>>>()?;
        Ok(concat_batches(&self.layout.state_shape().schema, &parts)?)
    }

    /// Lines of one side that say that rows are kept.
    fn load_rows(&mut self, rows: &RecordBatch, side: usize) -> Result<()> {
        let (numbers, expiries) =
            (rows.column(2).as_primitive::<UInt64Type>(), rows.column(3).as_primitive::<Int64Type>());
        let matched = rows.column(4).as_boolean();
        let keys = self.keys.rows(&rows.columns()[self.layout.state_shape().keys])?;
        let mut fresh = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let bytes = keys.row(row).data();
            let hash = self.keys.hash(bytes);
            let key = self.keys.intern(bytes, hash);
            self.keys.retain(key);
            let (number, expiry, matched) = (numbers.value(row), expiries.value(row), matched.value(row));
            fresh.push(NewRow { key, number, expiry, matched });
        }
        let columns = row_columns(&self.layout, rows, side);
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let own = RecordBatch::try_new_with_options(self.layout.sides[side].schema.clone(), columns, &options)?;
        self.sides[side].add(own, &fresh)?;
        self.sides[side].tidy()
    }

    /// A line that says what happened to a row that is kept.
    fn load_note(&mut self, change: i8, side: usize, key: &[u8], number: u64) {
        let hash = self.keys.hash(key);
        let id = self.keys.intern(key, hash);
        let found = self.sides[side].of_key(id).find(|slot| self.sides[side].number(*slot) == number);
        match found {
            Some(slot) if change == GONE => self.forget(side, slot),
            Some(slot) => {
                self.sides[side].mark(slot);
            }
            None => self.keys.drop_unreferenced(id),
        }
    }
}

/// The columns of a row of this side in the state table.
fn row_columns(layout: &JoinLayout, rows: &RecordBatch, side: usize) -> Vec<ArrayRef> {
    let first = STATE_COLUMNS + layout.keys.len();
    let left = layout.sides[0].schema.fields().len();
    let range = if side == 0 { first..first + left } else { first + left..rows.num_columns() };
    rows.columns()[range].to_vec()
}

impl StateTable for Join {
    fn changes(&mut self) -> Result<Option<RecordBatch>> {
        let Changes { fresh, marked, gone } = std::mem::take(&mut self.changes);
        let mut parts = Vec::with_capacity(5);
        for side in 0..2 {
            let rows = &self.sides[side];
            let still = |(of, slot, number): &&(usize, u32, u64)| {
                *of == side && rows.is_kept(*slot) && rows.number(*slot) == *number
            };
            let slots: Vec<u32> = fresh.iter().filter(still).map(|(_, slot, _)| *slot).collect();
            parts.push(self.kept(side, &slots)?);
            let numbers: std::collections::HashSet<u64> = fresh.iter().map(|(.., number)| *number).collect();
            let marked = marked.iter().filter(still).filter(|(.., number)| !numbers.contains(number));
            let (keys, numbers) = marked.map(|(_, slot, number)| (rows.key(*slot), *number)).unzip();
            parts.push(Self::noted(MATCHED, side, keys, numbers));
        }
        let (keys, numbers): (Vec<u32>, Vec<u64>) = gone.into_iter().unzip();
        parts.push(Self::noted(GONE, 0, keys.clone(), numbers));
        let rows = self.tables(parts)?;
        keys.into_iter().for_each(|key| self.keys.release(key));
        Ok((rows.num_rows() > 0).then_some(rows))
    }

    fn whole(&mut self) -> Result<RecordBatch> {
        let parts = [0, 1].map(|side| self.kept(side, &self.sides[side].all()));
        self.tables(parts.into_iter().collect::<Result<Vec<_>>>()?)
    }

    fn load(&mut self, rows: &RecordBatch, select: &[u32], _scope: Scope) -> Result<()> {
        let selected = take_rows(rows, &UInt32Array::from(select.to_vec()))?;
        let changes = selected.column(0).as_primitive::<Int8Type>();
        let sides = selected.column(1).as_primitive::<Int8Type>();
        for side in 0..2 {
            let fits = |row: &u32| changes.value(*row as usize) == KEPT && sides.value(*row as usize) == side as i8;
            let kept: UInt32Array = (0..selected.num_rows() as u32).filter(fits).collect();
            if !kept.is_empty() {
                self.load_rows(&take_rows(&selected, &kept)?, side)?;
            }
        }
        if changes.values().iter().all(|change| *change == KEPT) {
            return Ok(());
        }
        let numbers = selected.column(2).as_primitive::<UInt64Type>();
        let keys = self.keys.rows(&selected.columns()[self.layout.state_shape().keys])?;
        for row in (0..selected.num_rows()).filter(|row| changes.value(*row) != KEPT) {
            let side = usize::from(sides.value(row) != 0);
            self.load_note(changes.value(row), side, keys.row(row).data(), numbers.value(row));
        }
        Ok(())
    }

    fn evict(&mut self, watermark: i64) -> Result<()> {
        for side in 0..2 {
            self.expired(side, watermark).into_iter().for_each(|slot| self.forget(side, slot));
        }
        Ok(())
    }

    fn size(&self) -> StateSize {
        let rows: usize = self.sides.iter().map(super::rows::Rows::len).sum();
        let bytes: usize = self.sides.iter().map(super::rows::Rows::bytes).sum();
        StateSize { rows: rows as u64, bytes: (bytes + self.keys.size()) as u64 }
    }

    fn clear(&mut self) -> Result<()> {
        *self = Join::new(self.layout.clone())?.keep_late(self.late.take());
        Ok(())
    }

    fn wakes(&self, rows: &RecordBatch, _watermark: i64) -> Vec<Option<Wake>> {
        let (sides, expiries) = (rows.column(1).as_primitive::<Int8Type>(), rows.column(3).as_primitive::<Int64Type>());
        let bounds = &self.layout.bounds;
        let wake = |(side, expiry): (&i8, &i64)| {
            let bound = if *side == 0 { &bounds.left } else { &bounds.right };
            bound.reaches(*expiry).and_then(Wake::at_watermark)
        };
        sides.values().iter().zip(expiries.values()).map(wake).collect()
    }
}
