//! The contract of an accumulator: the running values of one aggregate function for many groups.
//!
//! A group has a *slot*, a small number. Accumulators work on whole arrays and lists of slots, hold
//! their values in columns, and can be read without being emptied: what update mode, snapshots and
//! overlapping windows need.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use std::fmt::Debug;
use tidemill_core::Result;

/// Rows to add: `rows[i]` of the arguments goes to `slots[i]`. Both have the same length; rows rise.
#[derive(Clone, Copy)]
pub struct Selected<'a> {
    /// Row numbers in the argument arrays.
    pub rows: &'a [u32],
    /// The slot of each.
    pub slots: &'a [u32],
    /// Number of the batch's first row in order of arrival, over the life of the query's run.
    pub arrival: u64,
    /// The number of every row of the batch, where values are not in order of arrival: in a session they are
    /// in order of time.
    pub order: Option<&'a [u64]>,
}

impl Selected<'_> {
    /// The number of a row: values of a group are in the order of their rows' numbers.
    pub fn number(&self, row: u32) -> u64 {
        match self.order {
            Some(order) => order[row as usize],
            None => self.arrival + u64::from(row),
        }
    }
}

/// Which part of a slot's value to save or load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole value; loading replaces.
    Whole,
    /// What has changed since the value was last saved: numbers are whole, collections have their
    /// new elements. Loading adds to what is there.
    Changes,
}

/// The running values of one aggregate function.
pub trait Accumulator: Saved + Send {
    /// Makes slots `0..count` exist; new ones are empty.
    fn resize(&mut self, count: usize);

    /// Adds rows.
    ///
    /// # Errors
    /// An overflow under ANSI rules.
    fn update(&mut self, arguments: &[ArrayRef], selected: Selected<'_>) -> Result<()>;

    /// Adds the value of slot `from[i]` to that of slot `into[i]`, for every i in turn: how a window is
    /// put together from its slices. No slot of `from` is one of `into`.
    ///
    /// # Errors
    /// An overflow under ANSI rules.
    fn merge(&mut self, from: &[u32], into: &[u32]) -> Result<()>;

    /// The results of these slots; nothing changes.
    ///
    /// # Errors
    /// An overflow under ANSI rules.
    fn evaluate(&self, slots: &[u32]) -> Result<ArrayRef>;

    /// Makes these slots empty.
    fn clear(&mut self, slots: &[u32]);
}

/// What an accumulator keeps across a restart.
pub trait Saved {
    /// The values of these slots as columns of the function's state types. With [`Scope::Changes`]
    /// the changes are then forgotten.
    fn save(&mut self, slots: &[u32], scope: Scope) -> Result<Vec<ArrayRef>>;

    /// Puts saved values back.
    fn load(&mut self, slots: &[u32], columns: &[ArrayRef], scope: Scope) -> Result<()>;

    /// Memory held, in bytes.
    fn size(&self) -> usize;
}

/// An aggregate function with its argument types settled.
pub trait AggregateFunction: Debug + Send + Sync {
    /// Name and parameters: two functions with one identity compute the same and save alike.
    fn identity(&self) -> String;

    /// Type of the result.
    fn result_type(&self) -> DataType;

    /// Types of the saved columns.
    fn state_types(&self) -> Vec<DataType>;

    /// False when it matters to the result in which order values are merged.
    fn merges_freely(&self) -> bool {
        true
    }

    /// An empty accumulator.
    ///
    /// # Errors
    /// An argument type that cannot be kept.
    fn accumulator(&self) -> Result<Box<dyn Accumulator>>;
}
