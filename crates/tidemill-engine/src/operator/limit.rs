//! `LIMIT`: the first rows over the life of the query, or of each epoch's whole result.

use super::aggregate::accumulator::Scope;
use super::{EpochContext, Keyed, KeyedOutput, KeyedRows};
use crate::state::table::{StateShape, StateSize, StateTable, Wake};
use arrow::array::{AsArray, Int64Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use tidemill_core::Result;

/// Lets the first rows pass.
pub struct Limit {
    offset: u64,
    count: Option<u64>,
    /// True when every epoch brings the whole result anew.
    each_epoch: bool,
    seen: u64,
    changed: bool,
}

impl Limit {
    /// Passes over `offset` rows, then lets `count` pass.
    pub fn new(count: Option<u64>, offset: u64, each_epoch: bool) -> Self {
        Limit { offset, count, each_epoch, seen: 0, changed: false }
    }
}

impl Keyed for Limit {
    fn process(&mut self, _context: &EpochContext, inputs: Vec<KeyedRows>) -> Result<KeyedOutput> {
        let mut out = KeyedOutput::default();
        if self.each_epoch {
            self.seen = 0;
        }
        let last = self.count.map_or(u64::MAX, |count| self.offset.saturating_add(count));
        for input in inputs {
            let positions = self.seen..self.seen + input.select.len() as u64;
            let kept = positions.clone().zip(input.select.iter()).filter(|(at, _)| (self.offset..last).contains(at));
            let kept: Vec<u32> = kept.map(|(_, row)| *row).collect();
            self.changed |= !input.select.is_empty() && self.seen < last;
            self.seen = positions.end.min(last.max(self.seen));
            if !kept.is_empty() {
                out.updated += kept.len() as u64;
                out.rows.push(take_record_batch(&input.rows, &UInt32Array::from(kept))?);
            }
        }
        Ok(out)
    }

    fn state(&mut self) -> &mut dyn StateTable {
        self
    }

    fn shape(&self) -> StateShape {
        let schema = Arc::new(Schema::new(vec![Field::new("seen", DataType::Int64, false)]));
        StateShape { schema, keys: 0..0, names: vec![] }
    }
}

impl StateTable for Limit {
    fn changes(&mut self) -> Result<Option<RecordBatch>> {
        if !std::mem::take(&mut self.changed) || self.each_epoch { Ok(None) } else { self.whole().map(Some) }
    }

    fn whole(&mut self) -> Result<RecordBatch> {
        let seen = Int64Array::from_iter_values((self.seen > 0).then_some(self.seen as i64));
        Ok(RecordBatch::try_new(self.shape().schema, vec![Arc::new(seen)])?)
    }

    fn load(&mut self, rows: &RecordBatch, select: &[u32], _scope: Scope) -> Result<()> {
        if let Some(row) = select.last() {
            self.seen = rows.column(0).as_primitive::<Int64Type>().value(*row as usize) as u64;
        }
        Ok(())
    }

    fn evict(&mut self, _watermark: i64) -> Result<()> {
        Ok(())
    }

    fn size(&self) -> StateSize {
        StateSize { rows: u64::from(self.seen > 0), bytes: 8 }
    }

    fn clear(&mut self) -> Result<()> {
        (self.seen, self.changed) = (0, false);
        Ok(())
    }

    fn wakes(&self, rows: &RecordBatch, _watermark: i64) -> Vec<Option<Wake>> {
        vec![None; rows.num_rows()]
    }

    fn reads_all(&self) -> bool {
        true
    }
}
