//! Sessions as a table of state: a row a session, and in the changes of an epoch a row without an end for
//! each session that has become part of another.

use super::store::{Name, Session};
use super::{SessionAggregator, SessionLayout};
use crate::operator::aggregate::accumulator::Scope;
use crate::state::table::{StateShape, StateSize, StateTable, Wake};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use std::ops::Range;
use std::sync::Arc;
use tidemill_core::Result;
use tidemill_core::sink::OutputMode;

/// Columns before the keys: start, end, greatest number of a row.
const BEFORE_KEYS: usize = 3;

impl SessionLayout {
    pub(super) fn shape(&self) -> StateShape {
        let instant = |name: &str, nullable| Field::new(name, DataType::Int64, nullable);
        let mut fields = vec![instant("start", false), instant("end", true), instant("last", true)];
        fields.extend(
            self.keys.iter().enumerate().map(|(index, of)| Field::new(format!("key{index}"), of.clone(), true)),
        );
        for (call, (function, ..)) in self.calls.iter().enumerate() {
            let types = function.state_types().into_iter().enumerate();
            fields.extend(types.map(|(index, of)| Field::new(format!("value{call}_{index}"), of, true)));
        }
        let keys = BEFORE_KEYS..BEFORE_KEYS + self.keys.len();
        StateShape { schema: Arc::new(Schema::new(fields)), keys, names: vec![0] }
    }

    /// Where the saved columns of each function are.
    fn values(&self) -> Vec<Range<usize>> {
        let mut next = BEFORE_KEYS + self.keys.len();
        let ranges = self.calls.iter().map(|(function, ..)| {
            let range = next..next + function.state_types().len();
            next = range.end;
            range
        });
        ranges.collect()
    }
}

impl SessionAggregator {
    fn saved(&mut self, all: &[(Name, Session)], scope: Scope) -> Result<RecordBatch> {
        let slots: Vec<u32> = all.iter().map(|(_, session)| session.slot).collect();
        let mut columns = self.named(all.iter().map(|(name, _)| *name))?;
        columns[1] = Arc::new(all.iter().map(|(_, session)| Some(session.end)).collect::<Int64Array>());
        columns[2] = Arc::new(all.iter().map(|(_, session)| Some(session.last)).collect::<Int64Array>());
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.save(&slots, scope)?);
        }
        Ok(RecordBatch::try_new(self.layout.shape().schema, columns)?)
    }

    /// The columns that name sessions, without an end.
    fn named(&self, names: impl Iterator<Item = Name>) -> Result<Vec<ArrayRef>> {
        let (keys, starts): (Vec<u32>, Vec<i64>) = names.unzip();
        let none = new_null_array(&DataType::Int64, starts.len());
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(starts)), none.clone(), none];
        if !self.layout.keys.is_empty() {
            columns.extend(self.keys.columns(&keys)?);
        }
        Ok(columns)
    }

    fn absorbed(&self, names: &[Name]) -> Result<RecordBatch> {
        let mut columns = self.named(names.iter().copied())?;
        let schema = self.layout.shape().schema;
        let values = schema.fields().iter().skip(columns.len());
        columns.extend(values.map(|field| new_null_array(field.data_type(), names.len())));
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    fn remove(&mut self, name: Name) {
        match self.sessions.absorb(name) {
            Some(session) => {
                self.accumulators.iter_mut().for_each(|accumulator| accumulator.clear(&[session.slot]));
                self.sessions.give_back(&[session.slot]);
                self.keys.release(name.0);
            }
            None => self.keys.drop_unreferenced(name.0),
        }
    }
}

impl StateTable for SessionAggregator {
    fn changes(&mut self) -> Result<Option<RecordBatch>> {
        let (changed, gone) = self.sessions.take_changes();
        if changed.is_empty() && gone.is_empty() {
            return Ok(None);
        }
        let of = |wanted: Scope| -> Vec<(Name, Session)> {
            let wanted = changed.iter().filter(|(.., scope)| *scope == wanted);
            wanted.map(|(name, session, _)| (*name, *session)).collect()
        };
        let (more, whole) = (of(Scope::Changes), of(Scope::Whole));
        let batches = [self.absorbed(&gone)?, self.saved(&more, Scope::Changes)?, self.saved(&whole, Scope::Whole)?];
        // what was saved whole has no changes left to save
        self.saved(&whole, Scope::Changes)?;
        gone.iter().for_each(|(key, _)| self.keys.release(*key));
        Ok(Some(concat_batches(&self.layout.shape().schema, &batches)?))
    }

    fn whole(&mut self) -> Result<RecordBatch> {
        let all = self.sessions.all();
        self.saved(&all, Scope::Whole)
    }

    fn load(&mut self, rows: &RecordBatch, select: &[u32], scope: Scope) -> Result<()> {
        let selected = take_record_batch(rows, &UInt32Array::from(select.to_vec()))?;
        let column = |number: usize| selected.column(number).as_primitive::<Int64Type>().clone();
        let (starts, ends, lasts) = (column(0), column(1), column(2));
        let columns: Vec<ArrayRef> = selected.columns()[self.layout.shape().keys].to_vec();
        let keys = if columns.is_empty() { None } else { Some(self.keys.rows(&columns)?) };
        let (mut kept, mut slots) = (vec![], vec![]);
        for row in 0..selected.num_rows() {
            let key = match &keys {
                None => self.keys.intern(&[], 0),
                Some(keys) => {
                    let bytes = keys.row(row).data();
                    let hash = self.keys.hash(bytes);
                    self.keys.intern(bytes, hash)
                }
            };
            let name = (key, starts.value(row));
            if ends.is_null(row) {
                self.remove(name);
                continue;
            }
            let slot = match self.sessions.get(name) {
                Some(session) => session.slot,
                None => {
                    self.keys.retain(key);
                    self.sessions.new_slot()
                }
            };
            self.sessions.put(name, Session { end: ends.value(row), last: lasts.value(row), slot }, scope);
            kept.push(row as u32);
            slots.push(slot);
        }
        self.sessions.forget_changes();
        let count = self.sessions.capacity();
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.resize(count));
        let values = take_record_batch(&selected, &UInt32Array::from(kept))?;
        for (range, accumulator) in self.layout.values().into_iter().zip(&mut self.accumulators) {
            accumulator.load(&slots, &values.columns()[range], scope)?;
        }
        Ok(())
    }

    fn evict(&mut self, watermark: i64) -> Result<()> {
        self.remove_final(watermark);
        Ok(())
    }

    fn size(&self) -> StateSize {
        let values: usize = self.accumulators.iter().map(|accumulator| accumulator.size()).sum();
        let bytes = (values + self.keys.size() + self.sessions.size()) as u64;
        StateSize { rows: self.sessions.len() as u64, bytes }
    }

    fn clear(&mut self) -> Result<()> {
        *self = SessionAggregator::new(self.layout.clone())?;
        Ok(())
    }

    fn wakes(&self, rows: &RecordBatch, _watermark: i64) -> Vec<Option<Wake>> {
        if !self.layout.evicts || self.layout.mode == OutputMode::Complete {
            return vec![None; rows.num_rows()];
        }
        rows.column(1).as_primitive::<Int64Type>().values().iter().map(|end| Wake::at_watermark(*end)).collect()
    }

    fn reads_all(&self) -> bool {
        self.layout.mode == OutputMode::Complete
    }
}
