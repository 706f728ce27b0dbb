//! Our errors as the one exception of this module. `tidemill.errors` turns it into those of the API.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use std::error::Error as _;
use std::fmt;
use tidemill_core::{Error, Kind};

create_exception!(
    _tidemill,
    TidemillError,
    PyException,
    "What went wrong in the engine. Attributes: kind (who can mend it, one word), error_class (Spark's, or None), \
     report (the whole text with its place and what to do), help (what to do, or None), exit_code."
);

/// An error as a Python exception; a Python exception that caused it becomes its cause.
pub fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    let raised = TidemillError::new_err(error.chain());
    let value = raised.value(py);
    let fields = || -> PyResult<()> {
        value.setattr("kind", word(error.kind()))?;
        value.setattr("error_class", error.error_class())?;
        value.setattr("report", error.report())?;
        value.setattr("help", error.help_text())?;
        value.setattr("exit_code", error.kind().exit_code())
    };
    if let Err(failed) = fields() {
        return failed;
    }
    if let Some(cause) = python_cause(error) {
        raised.set_cause(py, Some(cause.clone_ref(py)));
    }
    raised
}

/// An exception of the user's code whose text the message has already, cut to what helps.
#[derive(Debug)]
pub struct Told {
    /// The exception.
    pub raised: PyErr,
    /// What the message says of it.
    pub text: String,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Told {}

/// The exception of the user's code behind an error.
fn python_cause(error: &Error) -> Option<&PyErr> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(raised) = inner.downcast_ref::<PyErr>() {
            return Some(raised);
        }
        if let Some(told) = inner.downcast_ref::<Told>() {
            return Some(&told.raised);
        }
        cause = inner.source();
    }
    None
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Usage => "usage",
        Kind::Data => "data",
        Kind::Bug => "bug",
        Kind::Io => "io",
        Kind::Again => "again",
        Kind::Fenced => "fenced",
        Kind::Denied => "denied",
        Kind::Invalid => "invalid",
    }
}

/// Results of the engine as results of Python.
pub trait OrRaise<T> {
    /// The value, or our error as an exception.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for tidemill_core::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| to_python(py, &error))
    }
}
