//! A scalar function that a crate without DataFusion brings into SQL: masking, hashing, encryption.

use crate::error::Result;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

/// What a function takes and gives.
#[derive(Debug, Clone)]
pub struct Signature {
    /// Name in SQL, lower case.
    pub name: &'static str,
    /// Types of the arguments; arguments are cast to them.
    pub arguments: Vec<DataType>,
    /// How many of the arguments must be given.
    pub required: usize,
    /// Type of the result.
    pub result: DataType,
    /// One sentence for people.
    pub help: &'static str,
}

/// A function of columns to a column, row by row, without state.
pub trait ScalarFunction: Send + Sync + std::fmt::Debug {
    /// What it takes and gives.
    fn signature(&self) -> &Signature;

    /// Computes `rows` results. Every argument has `rows` values.
    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef>;
}
