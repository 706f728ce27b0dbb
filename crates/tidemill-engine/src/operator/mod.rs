//! Operators: one file each. Two roles: a [`Transform`] changes batches one by one and keeps nothing;
//! a [`Keyed`] operator keeps state for a share of the keys. Neither waits, reads a clock or knows
//! what a source or sink is.

pub mod aggregate;
pub mod deduplicate;
pub mod enrich;
pub mod exchange;
pub mod expand;
pub mod explode;
pub mod join;
pub mod late;
pub mod limit;
pub mod map_rows;
pub mod project;
pub mod session;
pub mod session_rows;
pub mod sort;
pub mod transform_with_state;
pub mod watermark;
pub mod window;
pub mod window_rows;

use crate::state::table::{StateShape, StateTable};
use arrow::array::UInt32Array;
use arrow::compute::take;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::row::Rows;
use std::sync::Arc;
use tidemill_core::{Epoch, Error, Result};

/// What an operator knows of the epoch. Watermarks are those of the operator's own input.
#[derive(Debug, Clone, Copy)]
pub struct EpochContext {
    /// The epoch.
    pub epoch: Epoch,
    /// Rows behind this are late, in microseconds: the watermark of the epoch before.
    pub late: i64,
    /// What is behind this is final, in microseconds: the watermark of this epoch.
    pub watermark: i64,
    /// The epoch's own instant, in microseconds.
    pub timestamp: i64,
    /// True when a source brought something; false for an epoch run only because the watermark moved.
    pub has_data: bool,
}

/// Changes one batch into another.
pub trait Transform: Send + Sync {
    /// The changed batch.
    ///
    /// # Errors
    /// An expression that fails on a row.
    fn apply(&self, rows: RecordBatch) -> Result<RecordBatch>;

    /// True for one that declares a watermark on the rows that pass.
    fn is_watermark(&self) -> bool {
        false
    }

    /// True for one that fails on no row.
    fn is_total(&self) -> bool {
        self.is_watermark()
    }
}

/// The rows at these places. A batch without columns has rows to take as well.
///
/// # Errors
/// A bug: a place that is not there.
pub fn take_rows(rows: &RecordBatch, places: &UInt32Array) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(rows.num_columns());
    for column in rows.columns() {
        columns.push(take(column, places, None)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), columns, &options)?)
}

/// Rows for one partition of a keyed operator: some rows of a batch that several partitions share.
#[derive(Clone)]
pub struct KeyedRows {
    /// The batch.
    pub rows: RecordBatch,
    /// Its keys in row format; `None` when the operator has no key.
    pub keys: Option<Arc<Rows>>,
    /// Hash of each row's key.
    pub hashes: Arc<[u64]>,
    /// The rows of this partition.
    pub select: Arc<[u32]>,
    /// Number of the batch's first row in order of arrival.
    pub arrival: u64,
    /// The operator's input it came through: 0, or for the right side of a join 1.
    pub port: usize,
}

impl KeyedRows {
    /// Bytes of the key of a row.
    pub fn key(&self, row: u32) -> &[u8] {
        self.keys.as_ref().map_or(&[], |keys| keys.row_bytes(row as usize))
    }
}

trait RowBytes {
    fn row_bytes(&self, row: usize) -> &[u8];
}

impl RowBytes for Rows {
    fn row_bytes(&self, row: usize) -> &[u8] {
        self.row(row).data()
    }
}

/// What a keyed operator gives for an epoch.
#[derive(Debug, Default)]
pub struct KeyedOutput {
    /// The rows that come out.
    pub rows: Vec<RecordBatch>,
    /// Rows dropped because they were late.
    pub late: u64,
    /// Those rows, when a table takes them: see [`late`].
    pub late_rows: Vec<RecordBatch>,
    /// State rows changed.
    pub updated: u64,
    /// State rows removed.
    pub removed: u64,
}

/// One partition of a stateful operator.
pub trait Keyed: Send {
    /// Processes one epoch's rows, those of the first input first, then what the watermark has passed.
    ///
    /// # Errors
    /// An expression or aggregate that fails.
    fn process(&mut self, context: &EpochContext, inputs: Vec<KeyedRows>) -> Result<KeyedOutput>;

    /// Its state.
    fn state(&mut self) -> &mut dyn StateTable;

    /// The columns of its state.
    fn shape(&self) -> StateShape;

    /// Saved rows of another schema than [`Keyed::shape`] has now, as rows of that one; `operator` is its name.
    ///
    /// # Errors
    /// What was saved cannot be kept under the new schema, or at all.
    fn migrated(&self, rows: &RecordBatch, operator: &str) -> Result<RecordBatch> {
        let (saved, now) = (rows.schema(), self.shape().schema);
        Err(Error::invalid(format!("the saved state of operator {operator} has the columns {saved:?}, not {now:?}")))
    }

    /// When it wants an epoch, rows or not, in microseconds of the clock; `None` when it does not.
    fn alarm(&self) -> Option<i64> {
        None
    }
}
