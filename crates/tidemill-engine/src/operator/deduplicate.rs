//! The first row of each key: `dropDuplicates`, `distinct`, `dropDuplicatesWithinWatermark`.
//!
//! A key goes when the watermark has passed its expiry: its own event time when that is among the
//! keys, the first row's time plus the delay within the watermark, otherwise never. NULL is a key
//! like any other.

use super::aggregate::accumulator::Scope;
use super::late::LateRows;
use super::{EpochContext, Keyed, KeyedOutput, KeyedRows};
use crate::state::keys::KeyTable;
use crate::state::table::{StateShape, StateSize, StateTable, Wake};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use tidemill_core::Result;

/// How the operator's input looks: the keys first, then the event time if there is one, then the row
/// as it comes out.
#[derive(Debug, Clone)]
pub struct DeduplicateLayout {
    /// Types of the key columns.
    pub keys: Vec<DataType>,
    /// Column of the event time that makes rows late, when a watermark reaches here.
    pub time: Option<usize>,
    /// When a key goes.
    pub expiry: Expiry,
    /// Columns of the input that come out.
    pub outputs: Range<usize>,
    /// Where the columns of late rows that are kept are in the input.
    pub late: Option<(usize, usize)>,
    /// The output: those columns.
    pub schema: SchemaRef,
}

/// When a key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Never.
    Never,
    /// When the watermark reaches its event time, which is one of the keys.
    EventTime,
    /// When the watermark reaches the first row's event time plus the delay, in microseconds.
    After(i64),
}

/// One partition of the operator.
pub struct Deduplicate {
    layout: Arc<DeduplicateLayout>,
    keys: KeyTable,
    expiries: BTreeMap<i64, Vec<u32>>,
    rows: u64,
    /// Keys kept since the changes were last taken, with their expiry.
    fresh: Vec<(u32, i64)>,
}

/// Expiry of a key that never goes.
const NEVER: i64 = i64::MAX;

impl Deduplicate {
    /// An empty partition.
    ///
    /// # Errors
    /// A type that cannot be a key.
    pub fn new(layout: Arc<DeduplicateLayout>) -> Result<Self> {
        let keys = KeyTable::new(&layout.keys)?;
        Ok(Deduplicate { layout, keys, expiries: BTreeMap::new(), rows: 0, fresh: vec![] })
    }

    /// When a row's key goes, by the row's time. A NULL time counts as 1970-01-01 for the delay and
    /// keeps a key for ever otherwise, as in Spark.
    fn expiry(&self, time: Option<i64>) -> i64 {
        match (self.layout.expiry, time) {
            (Expiry::Never, _) | (Expiry::EventTime, None) => NEVER,
            (Expiry::EventTime, Some(time)) => time,
            (Expiry::After(delay), time) => time.unwrap_or(0).saturating_add(delay),
        }
    }

    fn keep(&mut self, key: u32, expiry: i64) {
        self.keys.retain(key);
        self.expiries.entry(expiry).or_default().push(key);
        self.rows += 1;
    }

    fn first_rows(&mut self, input: &KeyedRows, late: i64, out: &mut KeyedOutput) -> Result<()> {
        let times =
            self.layout.time.map(|time| input.rows.column(time).as_primitive::<TimestampMicrosecondType>().clone());
        let (mut first, mut dropped) = (Vec::new(), LateRows::new(self.layout.late));
        for &row in input.select.iter() {
            let time = times.as_ref().and_then(|times| times.is_valid(row as usize).then(|| times.value(row as usize)));
            if time.is_some_and(|time| time <= late) {
                dropped.note(row, (None, None), out);
                continue;
            }
            let known = self.keys.len();
            let key = self.keys.intern(input.key(row), input.hashes[row as usize]);
            if self.keys.len() > known {
                let expiry = self.expiry(time);
                self.keep(key, expiry);
                self.fresh.push((key, expiry));
                first.push(row);
            }
        }
        dropped.hand_on(&input.rows, out)?;
        out.updated += first.len() as u64;
        if !first.is_empty() {
            let rows = take_record_batch(&input.rows, &UInt32Array::from(first))?;
            let columns = rows.columns()[self.layout.outputs.clone()].to_vec();
            out.rows.push(RecordBatch::try_new(self.layout.schema.clone(), columns)?);
        }
        Ok(())
    }

    fn remove_expired(&mut self, watermark: i64) -> u64 {
        let kept = self.expiries.split_off(&watermark.saturating_add(1));
        let expired = std::mem::replace(&mut self.expiries, kept);
        let mut removed = 0;
        for key in expired.into_values().flatten() {
            self.keys.release(key);
            removed += 1;
        }
        self.fresh.retain(|(_, expiry)| *expiry > watermark);
        self.rows -= removed;
        removed
    }

    fn state_rows(&self, kept: &[(u32, i64)]) -> Result<RecordBatch> {
        let expiries = kept.iter().map(|(_, expiry)| *expiry);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(expiries))];
        columns.extend(self.keys.columns(&kept.iter().map(|(key, _)| *key).collect::<Vec<_>>())?);
        Ok(RecordBatch::try_new(self.shape().schema, columns)?)
    }
}

impl Keyed for Deduplicate {
    fn process(&mut self, context: &EpochContext, inputs: Vec<KeyedRows>) -> Result<KeyedOutput> {
        let mut out = KeyedOutput::default();
        for input in &inputs {
            self.first_rows(input, context.late, &mut out)?;
        }
        out.removed = self.remove_expired(context.watermark);
        Ok(out)
    }

    fn state(&mut self) -> &mut dyn StateTable {
        self
    }

    fn shape(&self) -> StateShape {
        let mut fields = vec![Field::new("expiry", DataType::Int64, false)];
        let keys = self.layout.keys.iter().enumerate();
        fields.extend(keys.map(|(index, of)| Field::new(format!("key{index}"), of.clone(), true)));
        StateShape { schema: Arc::new(Schema::new(fields)), keys: 1..1 + self.layout.keys.len(), names: vec![] }
    }
}

impl StateTable for Deduplicate {
    fn changes(&mut self) -> Result<Option<RecordBatch>> {
        let fresh = std::mem::take(&mut self.fresh);
        if fresh.is_empty() { Ok(None) } else { self.state_rows(&fresh).map(Some) }
    }

    fn whole(&mut self) -> Result<RecordBatch> {
        let kept = self.expiries.iter().flat_map(|(expiry, keys)| keys.iter().map(|key| (*key, *expiry)));
        self.state_rows(&kept.collect::<Vec<_>>())
    }

    fn load(&mut self, rows: &RecordBatch, select: &[u32], _scope: Scope) -> Result<()> {
        let expiries = rows.column(0).as_primitive::<Int64Type>();
        let keys = self.keys.rows(&rows.columns()[self.shape().keys])?;
        for &row in select {
            let bytes = keys.row(row as usize).data();
            let hash = self.keys.hash(bytes);
            let known = self.keys.len();
            let key = self.keys.intern(bytes, hash);
            if self.keys.len() > known {
                self.keep(key, expiries.value(row as usize));
            }
        }
        Ok(())
    }

    fn evict(&mut self, watermark: i64) -> Result<()> {
        self.remove_expired(watermark);
        Ok(())
    }

    fn size(&self) -> StateSize {
        StateSize { rows: self.rows, bytes: (self.keys.size() + self.expiries.len() * 48) as u64 + self.rows * 4 }
    }

    fn clear(&mut self) -> Result<()> {
        *self = Deduplicate::new(self.layout.clone())?;
        Ok(())
    }

    fn wakes(&self, rows: &RecordBatch, _watermark: i64) -> Vec<Option<Wake>> {
        rows.column(0).as_primitive::<Int64Type>().values().iter().map(|expiry| Wake::at_watermark(*expiry)).collect()
    }
}
