//! Stateful processors of Rust programs: the contract of Spark's `StatefulProcessor`, called key by key.
//!
//! ```
//! use tidemill_engine::pipeline::extension::Extensions;
//! use tidemill_engine::operator::transform_with_state::{KeyHandle, RustProcessor, StatefulProcessor, TimerValues};
//! # use arrow::array::{Int64Array, RecordBatch};
//! # use arrow::datatypes::{DataType, Field};
//! # use datafusion::common::ScalarValue;
//! # use std::sync::Arc;
//! # use tidemill_engine::operator::transform_with_state::contract::{Declarations, ProcessorSchemas};
//! # use tidemill_core::Result;
//! #[derive(Default)]
//! struct Counter {
//!     count: usize,
//! }
//!
//! impl StatefulProcessor for Counter {
//!     fn init(&mut self, schemas: &ProcessorSchemas, declare: &mut Declarations) -> Result<()> {
//!         let fields = vec![Field::new("n", DataType::Int64, true)];
//!         self.count = variable(declare, "count", fields)?;
//!         Ok(())
//!     }
//!
//!     fn handle_input_rows(
//!         &mut self,
//!         rows: &RecordBatch,
//!         _: &TimerValues,
//!         key: &mut KeyHandle<'_>,
//!     ) -> Result<Option<RecordBatch>> {
//!         let before = match key.value(self.count).as_deref() {
//!             Some([ScalarValue::Int64(Some(count))]) => *count,
//!             _ => 0,
//!         };
//!         let count = before + rows.num_rows() as i64;
//!         key.set_value(self.count, [ScalarValue::Int64(Some(count))].into());
//!         Ok(Some(RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![count])) as _)])?))
//!     }
//! }
//! # use tidemill_engine::operator::transform_with_state::rust::variable;
//!
//! let mut extensions = Extensions::default();
//! extensions.add_processor("counter", RustProcessor::new("counter", Counter::default));
//! ```

use super::contract::{
    Declarations, GroupedRows, PartitionProcessor, ProcessorCall, ProcessorFactory, ProcessorSchemas, SharedState,
    Variable, VariableKind,
};
use super::lock;
use super::state::{PartitionState, StateRow};
use arrow::array::ArrayRef;
use arrow::datatypes::Field;
use arrow::record_batch::RecordBatch;
use std::fmt;
use tidemill_core::Result;

/// The instants an epoch goes by, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerValues {
    /// The epoch's own instant.
    pub processing_time_ms: i64,
    /// The watermark.
    pub watermark_ms: i64,
}

/// A processor with state by key. One is made for each partition; what it keeps outside its state variables does
/// not survive a restart.
pub trait StatefulProcessor: Send {
    /// Declares the state variables.
    ///
    /// # Errors
    /// A declaration that does not fit.
    fn init(&mut self, schemas: &ProcessorSchemas, declare: &mut Declarations) -> Result<()>;

    /// Handles the rows of one key that came in an epoch, with the columns of the input; gives rows with those of
    /// the output.
    ///
    /// # Errors
    /// Fails the query; the epoch is not committed.
    fn handle_input_rows(
        &mut self,
        rows: &RecordBatch,
        timers: &TimerValues,
        key: &mut KeyHandle<'_>,
    ) -> Result<Option<RecordBatch>>;

    /// Handles a timer that is due; it is gone afterwards.
    ///
    /// # Errors
    /// As above.
    fn handle_expired_timer(
        &mut self,
        _expiry_ms: i64,
        _timers: &TimerValues,
        _key: &mut KeyHandle<'_>,
    ) -> Result<Option<RecordBatch>> {
        Ok(None)
    }

    /// Handles the rows of one key of the initial state, before everything else in the first epoch.
    ///
    /// # Errors
    /// As above.
    fn handle_initial_state(
        &mut self,
        _rows: &RecordBatch,
        _timers: &TimerValues,
        _key: &mut KeyHandle<'_>,
    ) -> Result<()> {
        Ok(())
    }

    /// The query has ended.
    fn close(&mut self) {}
}

/// Declares a variable with one value a key.
///
/// # Errors
/// A name that is taken.
pub fn variable(declare: &mut Declarations, name: &str, fields: Vec<Field>) -> Result<usize> {
    let kind = VariableKind::Value;
    declare.variable(Variable { name: name.to_owned(), kind, fields: fields.into(), ttl_ms: None })
}

/// The state of the key that is handled.
pub struct KeyHandle<'a> {
    state: &'a mut PartitionState,
    key: u32,
}

impl KeyHandle<'_> {
    /// The key's columns, one row.
    ///
    /// # Errors
    /// A bug.
    pub fn key(&self) -> Result<Vec<ArrayRef>> {
        self.state.key_columns(&[self.key])
    }

    /// The value of a variable.
    pub fn value(&self, variable: usize) -> Option<StateRow> {
        self.state.value(variable, self.key)
    }

    /// Sets the value of a variable: one scalar of its type a field.
    pub fn set_value(&mut self, variable: usize, row: StateRow) {
        self.state.put_value(variable, self.key, row);
    }

    /// The list of a variable.
    pub fn list(&self, variable: usize) -> Vec<StateRow> {
        self.state.list(variable, self.key)
    }

    /// Puts a value at the end of the list of a variable.
    pub fn append(&mut self, variable: usize, row: StateRow) {
        self.state.append(variable, self.key, row);
    }

    /// The entries of the map of a variable.
    pub fn map(&self, variable: usize) -> Vec<(StateRow, StateRow)> {
        self.state.map(variable, self.key)
    }

    /// The value of the map of a variable under a key.
    ///
    /// # Errors
    /// A key of the map that cannot be one.
    pub fn map_value(&self, variable: usize, map_key: &StateRow) -> Result<Option<StateRow>> {
        self.state.map_value(variable, self.key, map_key)
    }

    /// Sets a value of the map of a variable.
    ///
    /// # Errors
    /// A key of the map that cannot be one.
    pub fn set_map_value(&mut self, variable: usize, map_key: StateRow, row: StateRow) -> Result<()> {
        self.state.put_map(variable, self.key, map_key, row)
    }

    /// Takes a key out of the map of a variable.
    ///
    /// # Errors
    /// A key of the map that cannot be one.
    pub fn remove_map_key(&mut self, variable: usize, map_key: StateRow) -> Result<bool> {
        self.state.remove_map(variable, self.key, map_key)
    }

    /// True when a variable holds something.
    pub fn exists(&self, variable: usize) -> bool {
        self.state.exists(variable, self.key)
    }

    /// Empties a variable.
    pub fn clear(&mut self, variable: usize) {
        self.state.clear(variable, self.key);
    }

    /// Sets a timer, in milliseconds.
    pub fn register_timer(&mut self, expiry_ms: i64) {
        self.state.register_timer(self.key, expiry_ms);
    }

    /// Takes a timer away.
    pub fn delete_timer(&mut self, expiry_ms: i64) {
        self.state.delete_timer(self.key, expiry_ms);
    }

    /// The timers that are set, in order.
    pub fn timers(&self) -> Vec<i64> {
        self.state.timers(self.key)
    }
}

/// Makes processors of one kind.
pub struct RustProcessor<F> {
    name: String,
    make: F,
}

impl<F> RustProcessor<F> {
    /// A factory that calls `make` for each partition.
    pub fn new(name: impl Into<String>, make: F) -> Self {
        RustProcessor { name: name.into(), make }
    }
}

impl<F> fmt::Debug for RustProcessor<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "processor {}", self.name)
    }
}

impl<P: StatefulProcessor + 'static, F: Fn() -> P + Send + Sync> ProcessorFactory for RustProcessor<F> {
    fn open(&self, schemas: &ProcessorSchemas, declare: &mut Declarations) -> Result<Box<dyn PartitionProcessor>> {
        let mut processor = (self.make)();
        processor.init(schemas, declare)?;
        Ok(Box::new(ByKey(processor)))
    }
}

struct ByKey<P: StatefulProcessor>(P);

impl<P: StatefulProcessor> Drop for ByKey<P> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<P: StatefulProcessor> PartitionProcessor for ByKey<P> {
    fn process(&mut self, call: &ProcessorCall, shared: &SharedState) -> Result<Vec<RecordBatch>> {
        let timers = TimerValues { processing_time_ms: call.now_ms, watermark_ms: call.watermark_ms };
        let (state, mut out) = (&mut *lock(shared), Vec::new());
        let slices = |rows: &GroupedRows| -> Vec<(u32, RecordBatch)> {
            let slice =
                |group: &super::contract::Group| (group.key, rows.rows.slice(group.start, group.end - group.start));
            rows.groups.iter().map(slice).collect()
        };
        for (key, rows) in call.initial.as_ref().map(slices).unwrap_or_default() {
            self.0.handle_initial_state(&rows, &timers, &mut KeyHandle { state, key })?;
        }
        for (key, rows) in slices(&call.rows) {
            out.extend(self.0.handle_input_rows(&rows, &timers, &mut KeyHandle { state, key })?);
        }
        let due = call.due_ms.map(|due| state.due(due)).unwrap_or_default();
        for (key, expiry) in due {
            out.extend(self.0.handle_expired_timer(expiry, &timers, &mut KeyHandle { state, key })?);
            state.delete_timer(key, expiry);
        }
        Ok(out)
    }
}
