//! Our errors through DataFusion and back: a function that fails inside an expression keeps its
//! Spark error class on the way out.

use datafusion::common::DataFusionError;
use tidemill_core::{Error, Kind};

/// Ours as DataFusion's.
pub fn to_datafusion(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// DataFusion's as ours: our own error if one is inside, else a bug that names what failed.
pub fn from_datafusion(error: DataFusionError) -> Error {
    match ours(error) {
        Ok(error) => error,
        Err(other) => Error::bug("an expression failed").caused_by(other),
    }
}

fn ours(error: DataFusionError) -> Result<Error, DataFusionError> {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(error) => Ok(*error),
            Err(other) => Err(DataFusionError::External(other)),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => ours(*inner),
        DataFusionError::ArrowError(inner, _) => match *inner {
            arrow::error::ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
                Ok(error) => Ok(*error),
                Err(other) => Err(DataFusionError::External(other)),
            },
            arrow::error::ArrowError::DivideByZero => Ok(divide_by_zero()),
            arrow::error::ArrowError::ArithmeticOverflow(_) => Ok(overflow("")),
            other => Err(DataFusionError::ArrowError(Box::new(other), None)),
        },
        other => Err(other),
    }
}

/// Spark's error for a division by zero under ANSI rules.
pub fn divide_by_zero() -> Error {
    Error::new(Kind::Data, "division by zero").class("DIVIDE_BY_ZERO").help("SET ansi = false to get NULL instead")
}

/// Spark's error for the remainder of a division by zero under ANSI rules.
pub fn remainder_by_zero() -> Error {
    Error::new(Kind::Data, "remainder by zero").class("REMAINDER_BY_ZERO").help("use try_mod to get NULL instead")
}

/// Spark's error for an arithmetic overflow under ANSI rules; `instead` is the `try_` function, if any.
pub fn overflow(instead: &str) -> Error {
    let error = Error::new(Kind::Data, "arithmetic overflow").class("ARITHMETIC_OVERFLOW");
    match instead {
        "" => error.help("SET ansi = false to let whole numbers wrap"),
        instead => error.help(format!("use {instead} to get NULL instead, or SET ansi = false")),
    }
}
