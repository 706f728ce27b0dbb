//! State as a table: what a stateful operator keeps, as rows that can be written, read and moved
//! between partitions.

use crate::operator::aggregate::accumulator::Scope;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::ops::Range;
use tidemill_core::Result;

/// Columns of an operator's state table.
#[derive(Debug, Clone, PartialEq)]
pub struct StateShape {
    /// The columns.
    pub schema: SchemaRef,
    /// The columns that are the key; rows go to the partition of their key.
    pub keys: Range<usize>,
    /// The columns that, with the key, name a row; rows that share them are kept in their order. None: all
    /// rows of a key are kept together.
    pub names: Vec<usize>,
}

/// What makes a row of state worth looking at again, input or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clock {
    /// The watermark.
    Watermark = 1,
    /// The time of epochs, and an epoch is wanted for it: a timer.
    Alarm = 2,
    /// The time of epochs, whenever there is one: an expiry.
    Epoch = 3,
}

/// When a row of state has to be looked at: as soon as the clock has reached the instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wake {
    /// Which clock.
    pub clock: Clock,
    /// The instant, in microseconds.
    pub at: i64,
}

impl Wake {
    /// When the watermark reaches `at`; never for [`i64::MAX`], nor for what no watermark reaches.
    pub fn at_watermark(at: i64) -> Option<Wake> {
        (at != i64::MAX && at != i64::MIN).then_some(Wake { clock: Clock::Watermark, at })
    }
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
    ///
    /// # Errors
    /// A store that fails.
    fn evict(&mut self, watermark: i64) -> Result<()>;

    /// Its size.
    fn size(&self) -> StateSize;

    /// Forgets every row without a trace, as if it were new. What has changed has been taken before.
    ///
    /// # Errors
    /// A bug.
    fn clear(&mut self) -> Result<()>;

    /// For each of these rows of the table, when it must be looked at although no input has its key, the
    /// watermark being `watermark`. Too early does no harm.
    fn wakes(&self, rows: &RecordBatch, watermark: i64) -> Vec<Option<Wake>>;

    /// True for one that shows or needs every row in every epoch.
    fn reads_all(&self) -> bool {
        false
    }
}
