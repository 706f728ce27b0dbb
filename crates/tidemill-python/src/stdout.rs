//! Python's standard output as a writer, so that what the console sink prints is seen in notebooks and caught
//! by tests.

use pyo3::prelude::*;
use std::io::{self, Write};

/// `sys.stdout`, as it is at each write.
#[derive(Debug, Clone, Copy)]
pub struct PythonStdout;

impl Write for PythonStdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        on_stdout(|stdout| stdout.call_method1("write", (String::from_utf8_lossy(bytes),)).map(drop))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        on_stdout(|stdout| stdout.call_method0("flush").map(drop))
    }
}

fn on_stdout(work: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()>) -> io::Result<()> {
    let done = Python::try_attach(|py| {
        let stdout = py.import("sys")?.getattr("stdout")?;
        // None in a program without a terminal
        if stdout.is_none() { Ok(()) } else { work(&stdout) }
    });
    match done {
        Some(done) => done.map_err(io::Error::from),
        None => Ok(()),
    }
}
