//! A join of two streams: each side keeps its rows, and every new row meets those that the other side
//! has kept. Rows go when the watermark has passed their bound; what a side preserves comes out with
//! NULLs at that moment if it has met nothing.
//!
//! Source of the rules: SEMANTICS section 6 (Spark's `StreamingSymmetricHashJoinExec`). One difference
//! is meant: NULL matches nothing in a full outer join either.

pub mod bounds;
mod layout;
mod rows;
mod state;

pub use layout::{JoinLayout, PairFilter, SideLayout};

use super::{EpochContext, Keyed, KeyedOutput, KeyedRows, late};
use crate::pipeline::relation::JoinKind;
use crate::state::keys::KeyTable;
use crate::state::table::{StateShape, StateTable};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, TimestampMicrosecondArray, UInt32Array, new_null_array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Field, TimestampMicrosecondType};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use rows::{NEVER, NewRow, Rows};
use state::Changes;
use std::sync::Arc;
use tidemill_core::{Epoch, Result};

/// Pairs are tested and put together in blocks of this many.
const BLOCK_PAIRS: usize = 8192;

/// One partition of the operator.
pub struct Join {
    layout: Arc<JoinLayout>,
    keys: KeyTable,
    /// The rows of the left and of the right side.
    sides: [Rows; 2],
    changes: Changes,
    /// The columns of late rows that are kept, by their places in the rows of each side.
    late: Option<[Vec<usize>; 2]>,
}

/// A row of the left side and one of the right, by their slots.
type Pairs = Vec<(u32, u32)>;

impl Join {
    /// An empty partition.
    ///
    /// # Errors
    /// A type that cannot be a key.
    pub fn new(layout: Arc<JoinLayout>) -> Result<Self> {
        let keys = KeyTable::new(&layout.keys)?;
        let sides = [Rows::new(layout.sides[0].schema.clone()), Rows::new(layout.sides[1].schema.clone())];
        Ok(Join { layout, keys, sides, changes: Changes::default(), late: None })
    }

    /// Keeps these columns of late rows, by their places in the rows of the left and of the right side.
    #[must_use]
    pub fn keep_late(mut self, columns: Option<[Vec<usize>; 2]>) -> Self {
        self.late = columns;
        self
    }

    /// New rows of one side: late ones are dropped, those that cannot match come out at once or vanish,
    /// the others are kept and meet the other side.
    fn take_in(&mut self, input: &KeyedRows, context: &EpochContext, out: &mut KeyedOutput) -> Result<()> {
        let layout = self.layout.clone();
        let side = &layout.sides[input.port];
        let late = side.late.map(|column| instants(input.rows.column(column)));
        let passes = side.passes.map(|column| input.rows.column(column).as_boolean());
        let (mut kept, mut failed, mut dropped) = (Vec::with_capacity(input.select.len()), Vec::new(), Vec::new());
        for &row in input.select.iter() {
            let at = row as usize;
            if late.is_some_and(|times| times.is_valid(at) && times.value(at) <= context.late) {
                out.late += 1;
                dropped.push(row);
            } else if passes.is_none_or(|passes| passes.is_valid(at) && passes.value(at)) {
                kept.push(row);
            } else {
                failed.push(row);
            }
        }
        if let Some(columns) = self.late.as_ref().filter(|_| !dropped.is_empty()) {
            let rows = self.rows_of(input, dropped)?;
            out.late_rows.push(self.late_rows(input.port, &rows, columns)?);
        }
        if side.preserved && !failed.is_empty() {
            let rows = self.rows_of(input, failed)?;
            out.rows.push(self.alone(input.port, &rows)?);
        }
        if kept.is_empty() {
            return Ok(());
        }
        let slots = self.keep(input, &kept)?;
        self.meet(input, &kept, &slots, context.epoch, out)?;
        self.settle(input.port, &slots, context.watermark, out);
        Ok(())
    }

    /// Late rows of one side as they are kept: NULL in the columns of the other side.
    fn late_rows(&self, port: usize, rows: &RecordBatch, kept: &[Vec<usize>; 2]) -> Result<RecordBatch> {
        let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (vec![], vec![]);
        for (side, places) in kept.iter().enumerate() {
            for &place in places {
                let field = self.layout.sides[side].schema.field(place);
                columns.push(match side == port {
                    true => rows.column(place).clone(),
                    false => new_null_array(field.data_type(), rows.num_rows()),
                });
                fields.push(field.clone());
            }
        }
        late::without_window(fields, columns, rows.num_rows())
    }

    /// The columns of the side's own rows.
    fn rows_of(&self, input: &KeyedRows, rows: Vec<u32>) -> Result<RecordBatch> {
        let side = &self.layout.sides[input.port];
        let all = take_record_batch(&input.rows, &UInt32Array::from(rows))?;
        let options = RecordBatchOptions::new().with_row_count(Some(all.num_rows()));
        Ok(RecordBatch::try_new_with_options(side.schema.clone(), all.columns()[side.first_row..].to_vec(), &options)?)
    }

    fn keep(&mut self, input: &KeyedRows, kept: &[u32]) -> Result<Vec<u32>> {
        let expiry = self.layout.sides[input.port].expiry.map(|column| instants(input.rows.column(column)));
        let rows = self.rows_of(input, kept.to_vec())?;
        let mut fresh = Vec::with_capacity(kept.len());
        for &row in kept {
            let key = self.keys.intern(input.key(row), input.hashes[row as usize]);
            self.keys.retain(key);
            let expiry = expiry.filter(|times| times.is_valid(row as usize)).map(|times| times.value(row as usize));
            fresh.push(NewRow {
                key,
                number: input.arrival + u64::from(row),
                expiry: expiry.unwrap_or(NEVER),
                matched: false,
            });
        }
        self.sides[input.port].add(rows, &fresh)
    }

    /// Lets new rows meet what the other side keeps.
    fn meet(
        &mut self,
        input: &KeyedRows,
        kept: &[u32],
        slots: &[u32],
        epoch: Epoch,
        out: &mut KeyedOutput,
    ) -> Result<()> {
        let nullable: Vec<&ArrayRef> = (0..self.layout.keys.len())
            .filter(|key| !self.layout.null_safe[*key])
            .map(|key| input.rows.column(key))
            .filter(|column| column.null_count() > 0)
            .collect();
        let mut pairs: Pairs = Vec::new();
        for (&row, &slot) in kept.iter().zip(slots) {
            if nullable.iter().any(|column| column.is_null(row as usize)) {
                continue;
            }
            let key = self.sides[input.port].key(slot);
            let others = self.sides[1 - input.port].of_key(key);
            pairs.extend(others.map(|other| if input.port == 0 { (slot, other) } else { (other, slot) }));
            if pairs.len() >= BLOCK_PAIRS {
                self.join(&std::mem::take(&mut pairs), input.port, epoch, out)?;
            }
        }
        self.join(&pairs, input.port, epoch, out)
    }

    /// The pairs that fit come out, and are remembered where it matters. `port` is the side of the rows
    /// that are being taken in.
    fn join(&mut self, pairs: &[(u32, u32)], port: usize, epoch: Epoch, out: &mut KeyedOutput) -> Result<()> {
        for block in pairs.chunks(BLOCK_PAIRS) {
            let fitting = self.fitting(block)?;
            if fitting.is_empty() {
                continue;
            }
            if self.layout.kind == JoinKind::LeftSemi {
                self.first_matches(fitting, port, epoch, out)?;
                continue;
            }
            for side in (0..2).filter(|side| self.layout.sides[*side].preserved) {
                for (left, right) in &fitting {
                    let slot = if side == 0 { *left } else { *right };
                    if self.sides[side].mark(slot) {
                        self.changes.marked(side, slot, self.sides[side].number(slot));
                    }
                }
            }
            out.rows.push(self.beside(&fitting)?);
        }
        Ok(())
    }

    /// Left semi: a left row comes out at its first match and is not kept any longer.
    fn first_matches(&mut self, mut fitting: Pairs, port: usize, epoch: Epoch, out: &mut KeyedOutput) -> Result<()> {
        let left = &mut self.sides[0];
        fitting.retain(|(slot, _)| left.is_kept(*slot) && left.mark(*slot));
        let slots: Vec<u32> = fitting.iter().map(|(slot, _)| *slot).collect();
        if slots.is_empty() {
            return Ok(());
        }
        out.rows.push(left.take(&slots)?);
        // left rows that are being taken in are forgotten when that is done
        for slot in slots.into_iter().filter(|_| port == 1) {
            let (key, number) = (self.sides[0].key(slot), self.sides[0].number(slot));
            if number < first_number(epoch) {
                out.removed += 1;
                self.keys.retain(key);
                self.changes.gone(key, number);
            } else {
                // as if it had met the right rows first
                out.updated -= 1;
            }
            self.forget(0, slot);
        }
        Ok(())
    }

    /// The pairs that pass the rest of the condition.
    fn fitting(&self, pairs: &[(u32, u32)]) -> Result<Pairs> {
        let Some(filter) = &self.layout.filter else { return Ok(pairs.to_vec()) };
        if pairs.is_empty() {
            return Ok(vec![]);
        }
        let (left, right): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
        let mut columns = self.sides[0].columns(&left, &filter.columns[0])?;
        columns.extend(self.sides[1].columns(&right, &filter.columns[1])?);
        let passes = filter.passes(columns, pairs.len())?;
        let fits = |at: &usize| passes.is_valid(*at) && passes.value(*at);
        Ok((0..pairs.len()).filter(fits).map(|at| pairs[at]).collect())
    }

    fn beside(&self, pairs: &[(u32, u32)]) -> Result<RecordBatch> {
        let (left, right): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
        let mut columns = self.sides[0].take(&left)?.columns().to_vec();
        columns.extend(self.sides[1].take(&right)?.columns().iter().cloned());
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        Ok(RecordBatch::try_new_with_options(self.layout.schema.clone(), columns, &options)?)
    }

    /// Rows of one side with NULLs for the other.
    fn alone(&self, side: usize, rows: &RecordBatch) -> Result<RecordBatch> {
        let count = rows.num_rows();
        let nulls = self.layout.sides[1 - side].schema.fields().iter();
        let nulls = nulls.map(|field| new_null_array(field.data_type(), count));
        let columns: Vec<ArrayRef> = match side {
            0 => rows.columns().iter().cloned().chain(nulls).collect(),
            _ => nulls.chain(rows.columns().iter().cloned()).collect(),
        };
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(self.layout.schema.clone(), columns, &options)?)
    }

    /// What stays of new rows after they have met the other side. Left rows of a semi join that have
    /// matched do not; nor do right rows whose time is already over, unless they are still to come out.
    fn settle(&mut self, side: usize, slots: &[u32], watermark: i64, out: &mut KeyedOutput) {
        let bound = if side == 1 { self.layout.bounds.right.at(watermark) } else { None };
        let is_semi = self.layout.kind == JoinKind::LeftSemi && side == 0;
        let preserved = self.layout.sides[side].preserved;
        for &slot in slots {
            let rows = &self.sides[side];
            let over = bound.is_some_and(|bound| rows.expiry(slot) <= bound && (!preserved || rows.is_marked(slot)));
            if over || (is_semi && rows.is_marked(slot)) {
                self.forget(side, slot);
            } else {
                out.updated += 1;
                self.changes.fresh(side, slot, self.sides[side].number(slot));
            }
        }
    }

    fn forget(&mut self, side: usize, slot: u32) {
        let key = self.sides[side].key(slot);
        self.sides[side].remove(slot);
        self.keys.release(key);
    }

    /// Takes out the rows whose time is over: their slots are good until [`Join::forget`].
    fn expired(&mut self, side: usize, watermark: i64) -> Vec<u32> {
        let bound =
            if side == 0 { self.layout.bounds.left.at(watermark) } else { self.layout.bounds.right.at(watermark) };
        bound.map(|bound| self.sides[side].expired(bound)).unwrap_or_default()
    }

    fn expire(&mut self, watermark: i64, out: &mut KeyedOutput) -> Result<()> {
        for side in 0..2 {
            let expired = self.expired(side, watermark);
            if self.layout.sides[side].preserved {
                let unmatched: Vec<u32> =
                    expired.iter().copied().filter(|slot| !self.sides[side].is_marked(*slot)).collect();
                if !unmatched.is_empty() {
                    let rows = self.sides[side].take(&unmatched)?;
                    out.rows.push(self.alone(side, &rows)?);
                }
            }
            out.removed += expired.len() as u64;
            expired.into_iter().for_each(|slot| self.forget(side, slot));
        }
        Ok(())
    }
}

impl Keyed for Join {
    fn process(&mut self, context: &EpochContext, inputs: Vec<KeyedRows>) -> Result<KeyedOutput> {
        let mut out = KeyedOutput::default();
        for input in &inputs {
            self.take_in(input, context, &mut out)?;
        }
        self.expire(context.watermark, &mut out)?;
        self.sides.iter_mut().try_for_each(Rows::tidy)?;
        Ok(out)
    }

    fn state(&mut self) -> &mut dyn StateTable {
        self
    }

    fn shape(&self) -> StateShape {
        self.layout.state_shape()
    }
}

impl PairFilter {
    fn passes(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<BooleanArray> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        Ok(super::project::evaluate(&self.condition, &batch)?.as_boolean().clone())
    }
}

fn instants(column: &ArrayRef) -> &TimestampMicrosecondArray {
    column.as_primitive::<TimestampMicrosecondType>()
}

/// Rows of this epoch have numbers from here on.
fn first_number(epoch: Epoch) -> u64 {
    epoch.0 << 32
}

#[cfg(test)]
mod tests;
