//! A scalar function that a crate without DataFusion brings into SQL: masking, hashing, encryption,
//! and the functions of a user's own program.

use crate::error::Result;
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use std::borrow::Cow;

/// What a function takes and gives.
#[derive(Debug, Clone)]
pub struct Signature {
    /// Name in SQL, lower case.
    pub name: Cow<'static, str>,
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

    /// The name its calls have in the names of columns.
    fn shown(&self) -> &str {
        &self.signature().name
    }

    /// True for a function that takes any number of arguments of any type, as they are: the types of its
    /// signature do not hold, the number is for the function to check.
    fn takes_anything(&self) -> bool {
        false
    }

    /// False for a function that may give something else for the same arguments: it is then called once
    /// for each row, and never before the epoch.
    fn is_deterministic(&self) -> bool {
        true
    }
}
