//! State as a table: what a stateful operator keeps, as rows that can be written, read and moved
//! between partitions.

use crate::operator::aggregate::accumulator::Scope;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::ops::Range;
use tidemill_core::Result;

/// Columns of an operator's state table.
#[derive(Debug, Clone)]
pub struct StateShape {
    /// The columns.
    pub schema: SchemaRef,
    /// The columns that are the key; rows go to the partition of their key.
    pub keys: Range<usize>,
}

/// Size of an operator's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateSize {
    /// Rows of the state table.
    pub rows: u64,
    /// Memory held, in bytes.
    pub bytes: u64,
}

/// The state of one partition of an operator.
pub trait StateTable {
    /// Rows changed since this was last called; then forgets the changes. `None` when nothing changed.
    fn changes(&mut self) -> Result<Option<RecordBatch>>;

    /// Every row.
    fn whole(&mut self) -> Result<RecordBatch>;

    /// Puts the selected rows back: replaces with [`Scope::Whole`], adds with [`Scope::Changes`].
    fn load(&mut self, rows: &RecordBatch, select: &[u32], scope: Scope) -> Result<()>;

    /// Drops what the watermark, in microseconds, has passed: replays the end of an epoch.
    fn evict(&mut self, watermark: i64);

    /// Its size.
    fn size(&self) -> StateSize;
}
