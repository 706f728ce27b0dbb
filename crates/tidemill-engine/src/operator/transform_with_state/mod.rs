//! Arbitrary state by key: `transformWithState` and `applyInPandasWithState`. The operator brings a partition's rows
//! together by key, drops those that are late, calls the processor once an epoch, and saves what it changed.
//!
//! [`contract`] is what a processor is to the engine, [`state`] what it can keep, [`rust`] the processors of Rust
//! programs. Must not contain: Python.

pub mod contract;
pub mod evolution;
pub mod rust;
pub mod state;
pub mod table;
#[cfg(test)]
mod tests;

use super::aggregate::accumulator::Scope;
use super::late::LateRows;
use super::{EpochContext, Keyed, KeyedOutput, KeyedRows, take_rows};
use crate::state::table::{Clock, StateShape, StateSize, StateTable, Wake};
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use contract::{Group, GroupedRows, PartitionProcessor, ProcessorCall, SharedState, TimeMode};
use state::PartitionState;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use table::{FIRST_KEY, TableLayout};
use tidemill_core::{Epoch, Error, Kind, Result};

pub use rust::{KeyHandle, RustProcessor, StatefulProcessor, TimerValues};

/// How the operator's input looks and what it gives: keys first, then the event time if there is one, then the
/// processor's rows, then the rows as late rows are kept.
#[derive(Debug)]
pub struct ProcessLayout {
    /// Types of the key columns.
    pub keys: Vec<DataType>,
    /// Column of the event time that makes rows late.
    pub time: Option<usize>,
    /// The columns of the processor's rows.
    pub rows: Range<usize>,
    /// Their names and types as the processor sees them.
    pub input: SchemaRef,
    /// Where a late row's own columns are, when late rows are kept.
    pub late: Option<(usize, usize)>,
    /// What timers go by.
    pub mode: TimeMode,
    /// True when a timer is due only once its instant has passed, as for the timeouts of applyInPandasWithState.
    pub strict: bool,
    /// The columns that come out, inside the engine.
    pub output: SchemaRef,
    /// Which of them is event time, if one is.
    pub event_time: Option<usize>,
    /// The state as a table.
    pub table: TableLayout,
    /// Variables whose saved state is to go.
    pub dropped: Vec<String>,
}

/// One partition of the operator.
pub struct Process {
    layout: Arc<ProcessLayout>,
    state: SharedState,
    processor: Box<dyn PartitionProcessor>,
    /// Rows of the initial state, keys first; until the first epoch.
    initial: Option<RecordBatch>,
}

impl Process {
    /// A partition with its processor, and its rows of the initial state.
    ///
    /// # Errors
    /// A type that cannot be a key.
    pub fn new(
        layout: Arc<ProcessLayout>,
        processor: Box<dyn PartitionProcessor>,
        initial: Option<RecordBatch>,
    ) -> Result<Self> {
        let state = PartitionState::new(&layout.keys, &layout.table.variables)?;
        Ok(Process { layout, state: Arc::new(Mutex::new(state)), processor, initial })
    }

    fn lock(&self) -> MutexGuard<'_, PartitionState> {
        lock(&self.state)
    }

    /// The rows that are not late, each with its key's number; keys are held until the epoch ends.
    fn on_time(
        &self,
        context: &EpochContext,
        inputs: &[KeyedRows],
        out: &mut KeyedOutput,
    ) -> Result<(Vec<RecordBatch>, Vec<u32>)> {
        let (mut batches, mut keys) = (Vec::with_capacity(inputs.len()), Vec::new());
        for input in inputs {
            let times = self.layout.time.map(|time| input.rows.column(time).as_primitive::<TimestampMicrosecondType>());
            let mut late = LateRows::new(self.layout.late);
            let mut kept = Vec::with_capacity(input.select.len());
            let mut state = self.lock();
            for &row in input.select.iter() {
                let at = row as usize;
                let time = times.and_then(|times| times.is_valid(at).then(|| times.value(at)));
                if time.is_some_and(|time| time <= context.late) {
                    late.note(row, (None, None), out);
                    continue;
                }
                let key = state.keys().intern(input.key(row), input.hashes[at]);
                state.hold(key);
                keys.push(key);
                kept.push(row);
            }
            drop(state);
            late.hand_on(&input.rows, out)?;
            let columns = input.rows.columns()[self.layout.rows.clone()].to_vec();
            let options = RecordBatchOptions::new().with_row_count(Some(input.rows.num_rows()));
            let rows = RecordBatch::try_new_with_options(self.layout.input.clone(), columns, &options)?;
            batches.push(take_rows(&rows, &UInt32Array::from(kept))?);
        }
        Ok((batches, keys))
    }

    /// Rows with those of a key one after the other; keys ascend, rows of a key stay in order.
    fn grouped(&self, rows: &RecordBatch, keys: &[u32]) -> Result<GroupedRows> {
        let mut order: Vec<u32> = (0..keys.len() as u32).collect();
        {
            let mut state = self.lock();
            let table = state.keys();
            order.sort_by(|left, right| {
                let (left, right) = (keys[*left as usize], keys[*right as usize]);
                if left == right { std::cmp::Ordering::Equal } else { table.bytes(left).cmp(table.bytes(right)) }
            });
        }
        let mut groups: Vec<Group> = Vec::new();
        for (place, row) in order.iter().enumerate() {
            let key = keys[*row as usize];
            match groups.last_mut() {
                Some(group) if group.key == key => group.end = place + 1,
                _ => groups.push(Group { key, start: place, end: place + 1 }),
            }
        }
        Ok(GroupedRows { rows: take_rows(rows, &UInt32Array::from(order))?, groups })
    }

    /// The initial state in the first epoch, grouped; its keys are held as well.
    fn first_state(&mut self, epoch: Epoch) -> Result<Option<GroupedRows>> {
        let Some(rows) = self.initial.take().filter(|_| epoch == Epoch(0)) else { return Ok(None) };
        let width = self.layout.keys.len();
        let keys: Vec<u32> = {
            let mut state = self.lock();
            let bytes = state.keys().rows(&rows.columns()[..width])?;
            let number = |row: usize| {
                let bytes = bytes.row(row).data();
                let hash = state.keys().hash(bytes);
                let key = state.keys().intern(bytes, hash);
                state.hold(key);
                key
            };
            (0..rows.num_rows()).map(number).collect()
        };
        let schema = rows.schema().project(&(width..rows.num_columns()).collect::<Vec<_>>())?;
        let rows = RecordBatch::try_new(Arc::new(schema), rows.columns()[width..].to_vec())?;
        self.grouped(&rows, &keys).map(Some)
    }

    /// A row behind the watermark would be dropped by the operators that follow, without a word.
    fn expect_not_late(&self, columns: &[ArrayRef], late: i64) -> Result<()> {
        let Some(place) = self.layout.event_time else { return Ok(()) };
        let times = columns[place].as_primitive::<TimestampMicrosecondType>();
        match times.iter().flatten().find(|time| *time < late) {
            None => Ok(()),
            Some(time) => Err(Error::new(
                Kind::Data,
                format!(
                    "a row came out with the event time {} ms, which is behind the watermark {} ms",
                    time.div_euclid(1000),
                    late.div_euclid(1000)
                ),
            )
            .class("EMITTING_ROWS_OLDER_THAN_WATERMARK_NOT_ALLOWED")
            .help("give rows whose event time is not before the watermark, or leave eventTimeColumnName out")),
        }
    }

    fn due(&self, now_ms: i64, watermark_ms: i64) -> Option<i64> {
        let until = match self.layout.mode {
            TimeMode::None => return None,
            TimeMode::ProcessingTime => now_ms,
            TimeMode::EventTime => watermark_ms,
        };
        Some(if self.layout.strict { until.saturating_sub(1) } else { until })
    }
}

/// The state, also after a processor that panicked.
pub fn lock(state: &SharedState) -> MutexGuard<'_, PartitionState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keyed for Process {
    fn process(&mut self, context: &EpochContext, inputs: Vec<KeyedRows>) -> Result<KeyedOutput> {
        let mut out = KeyedOutput::default();
        let (now_ms, watermark_ms) = (context.timestamp.div_euclid(1000), context.watermark.div_euclid(1000));
        self.lock().begin(now_ms);
        let (batches, keys) = self.on_time(context, &inputs, &mut out)?;
        let rows = self.grouped(&concat_batches(&self.layout.input, &batches)?, &keys)?;
        let initial = self.first_state(context.epoch)?;
        let due_ms = self.due(now_ms, watermark_ms);
        let has_due = due_ms.is_some_and(|due| self.lock().next_timer().is_some_and(|next| next <= due));
        let call = ProcessorCall { now_ms, watermark_ms, initial, rows, due_ms };
        if call.initial.is_some() || !call.rows.groups.is_empty() || has_due {
            for batch in self.processor.process(&call, &self.state)? {
                let columns: Vec<ArrayRef> = batch.columns().to_vec();
                self.expect_not_late(&columns, context.late)?;
                let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                out.rows.push(RecordBatch::try_new_with_options(self.layout.output.clone(), columns, &options)?);
            }
        }
        let mut state = self.lock();
        state.end();
        (out.updated, out.removed) = state.counts();
        drop(state);
        Ok(out)
    }

    fn state(&mut self) -> &mut dyn StateTable {
        self
    }

    fn shape(&self) -> StateShape {
        let keys = FIRST_KEY..FIRST_KEY + self.layout.keys.len();
        StateShape { schema: self.layout.table.schema(), keys, names: self.layout.table.names() }
    }

    fn migrated(&self, rows: &RecordBatch, operator: &str) -> Result<RecordBatch> {
        evolution::migrated(&self.layout.table, &self.layout.dropped, operator, rows)
    }

    /// The next timer, in microseconds; those that wait for the watermark need no clock.
    fn alarm(&self) -> Option<i64> {
        if self.layout.mode != TimeMode::ProcessingTime {
            return None;
        }
        let next = self.lock().next_timer()?;
        Some(next.saturating_add(i64::from(self.layout.strict)).saturating_mul(1000))
    }
}

impl StateTable for Process {
    fn changes(&mut self) -> Result<Option<RecordBatch>> {
        let mut state = self.lock();
        let lines = state.take_log();
        if lines.is_empty() {
            return Ok(None);
        }
        let rows = self.layout.table.rows(&lines, &state)?;
        state.logged(&lines);
        Ok(Some(rows))
    }

    fn whole(&mut self) -> Result<RecordBatch> {
        let state = self.lock();
        self.layout.table.rows(&state.everything(), &state)
    }

    fn load(&mut self, rows: &RecordBatch, select: &[u32], _scope: Scope) -> Result<()> {
        self.layout.table.replay(rows, select, &mut lock(&self.state))
    }

    fn evict(&mut self, _watermark: i64) -> Result<()> {
        Ok(())
    }

    fn size(&self) -> StateSize {
        let (rows, bytes) = self.lock().size();
        StateSize { rows, bytes }
    }

    fn clear(&mut self) -> Result<()> {
        *self.lock() = PartitionState::new(&self.layout.keys, &self.layout.table.variables)?;
        Ok(())
    }

    fn wakes(&self, rows: &RecordBatch, _watermark: i64) -> Vec<Option<Wake>> {
        let clock = match self.layout.mode {
            TimeMode::EventTime => Clock::Watermark,
            TimeMode::ProcessingTime | TimeMode::None => Clock::Alarm,
        };
        self.layout.table.wakes(rows, clock, i64::from(self.layout.strict))
    }
}
