//! The user's Python functions as functions of the engine. A batch goes over once: the interpreter's lock is taken
//! for the whole batch, and Python gets columns, never single values by call.

use crate::aggregates::PythonAggregate;
use crate::errors::Told;
use crate::from_python;
use crate::processors::{PythonProcessor, PythonRows};
use crate::to_python::Tools;
use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3_arrow::PyArray;
use std::collections::HashMap;
use std::fmt;
use tidemill_core::function::{ScalarFunction, Signature};
use tidemill_core::{Error, Kind, Result, types};
use tidemill_engine::pipeline::extension::Extensions;

/// Frames of a traceback that an error tells, newest last.
const FRAMES_MAX: usize = 8;
/// Characters of an exception's own text that an error tells.
const TEXT_CHARS_MAX: usize = 1000;

/// How a function takes its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Lists of Python values in, a list of Python values out.
    Values,
    /// Arrow arrays in, an Arrow array out.
    Arrow,
}

/// A function over columns, whose body is Python.
pub struct PythonFunction {
    signature: Signature,
    shown: String,
    deterministic: bool,
    style: Style,
    struct_of: Py<PyAny>,
    function: Py<PyAny>,
}

impl fmt::Debug for PythonFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "python function {}", self.shown)
    }
}

/// What Python describes of its functions, by the names that plans call them by. Each has a `kind`: a `processor`
/// (see [`PythonProcessor`]), a `map` of batches ([`PythonRows`]), an `aggregate` ([`PythonAggregate`]), a `source` ([`crate::sources`]), or a `function`: `shown` (the name in columns),
/// `result` (DDL), `deterministic`, `style` (`values` or `arrow`) and `run(columns, rows)`, which gives a list or an
/// Arrow array.
///
/// # Errors
/// A description that is none, a type that does not exist.
pub fn described(
    py: Python<'_>,
    functions: &HashMap<String, Py<PyAny>>,
) -> PyResult<(Vec<PythonFunction>, Extensions)> {
    let struct_of = py.import("tidemill.row")?.getattr("Row")?.getattr("of")?.unbind();
    let (mut made, mut extensions) = (Vec::with_capacity(functions.len()), Extensions::default());
    for (name, function) in functions {
        let function = function.bind(py);
        match function.getattr("kind")?.extract::<String>()?.as_str() {
            "processor" => {
                extensions.add_processor(name, PythonProcessor::new(function)?);
                continue;
            }
            "aggregate" => {
                extensions.add_aggregate(name, PythonAggregate::new(function, &struct_of)?);
                continue;
            }
            "map" => {
                extensions.add_map(name, PythonRows::new(function)?);
                continue;
            }
            // no function: see [`crate::sources`]
            "source" => continue,
            _ => {}
        }
        let result: String = function.getattr("result")?.extract()?;
        let result = types::parse_type(&result).map_err(|error| crate::errors::to_python(py, &error))?;
        let style = match function.getattr("style")?.extract::<String>()?.as_str() {
            "values" => Style::Values,
            _ => Style::Arrow,
        };
        made.push(PythonFunction {
            signature: Signature {
                name: name.to_lowercase().into(),
                arguments: vec![],
                required: 0,
                result,
                help: "a function of the user's program",
            },
            shown: function.getattr("shown")?.extract()?,
            deterministic: function.getattr("deterministic")?.extract()?,
            style,
            struct_of: struct_of.clone_ref(py),
            function: function.getattr("run")?.unbind(),
        });
    }
    Ok((made, extensions))
}

impl PythonFunction {
    fn run(&self, py: Python<'_>, arguments: &[ArrayRef], rows: usize) -> PyResult<ArrayRef> {
        let result = &self.signature.result;
        match self.style {
            Style::Values => {
                let tools = Tools::new(self.struct_of.bind(py).clone(), false)?;
                let columns = arguments.iter().map(|column| PyList::new(py, tools.column(column)?));
                let columns = PyList::new(py, columns.collect::<PyResult<Vec<_>>>()?)?;
                let given: Vec<Bound<'_, PyAny>> = self.function.bind(py).call1((columns, rows))?.extract()?;
                from_python::column(&given, result)
            }
            Style::Arrow => {
                let columns = arguments.iter().map(|column| PyArray::from(column.clone()).into_pyobject(py));
                let columns = PyList::new(py, columns.collect::<PyResult<Vec<_>>>()?)?;
                let given: PyArray = self.function.bind(py).call1((columns, rows))?.extract()?;
                fitting(given.array(), result)
            }
        }
    }
}

/// An array of a library's as one of the engine's type.
pub fn fitting(array: &ArrayRef, to: &DataType) -> PyResult<ArrayRef> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
    arrow::compute::cast_with_options(array, to, &options).or_else(|_| cast(array, to)).map_err(|error| {
        pyo3::exceptions::PyTypeError::new_err(format!(
            "an array of {} does not fit {}: {error}",
            array.data_type(),
            types::name(to).to_uppercase()
        ))
    })
}

impl ScalarFunction for PythonFunction {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let what = format!("the Python function {}", self.shown);
        let result = call(&what, |py| self.run(py, arguments, rows))?;
        if result.len() != rows {
            return Err(Error::new(Kind::Data, format!("{what} gave {} values for {rows} rows", result.len()))
                .class("PYTHON_EXCEPTION")
                .help("a function over columns gives one value for each row"));
        }
        Ok(result)
    }

    fn shown(&self) -> &str {
        &self.shown
    }

    fn takes_anything(&self) -> bool {
        true
    }

    fn is_deterministic(&self) -> bool {
        self.deterministic
    }
}

/// Calls Python from a thread of the engine; `what` is called, for the message.
///
/// # Errors
/// The exception the user's code raised, with its traceback cut to what helps; the interpreter is going down.
pub fn call<T>(what: &str, work: impl FnOnce(Python<'_>) -> PyResult<T>) -> Result<T> {
    let done = Python::try_attach(|py| work(py).map_err(|raised| failed(py, what, raised)));
    done.unwrap_or_else(|| {
        Err(Error::new(Kind::Again, "Python is shutting down while a query runs")
            .help("stop queries, or wait for them, before the program ends"))
    })
}

fn failed(py: Python<'_>, what: &str, raised: PyErr) -> Error {
    let told = traceback(py, &raised).unwrap_or_else(|_| raised.to_string());
    Error::new(Kind::Data, format!("{what} failed: {told}"))
        .class("PYTHON_EXCEPTION")
        .help("the epoch is not committed: mend the function or the data, and start the query again")
        .caused_by(Told { raised, text: told })
}

/// The exception's type and text, and the lines of the user's program it came from.
fn traceback(py: Python<'_>, raised: &PyErr) -> PyResult<String> {
    let own: String = py.import("tidemill")?.getattr("__path__")?.get_item(0)?.extract()?;
    let module = py.import("traceback")?;
    let mut frames = Vec::new();
    if let Some(trace) = raised.traceback(py) {
        for frame in module.call_method1("extract_tb", (trace,))?.try_iter()? {
            let frame = frame?;
            let file: String = frame.getattr("filename")?.extract()?;
            if !file.starts_with(&own) {
                let line: Option<usize> = frame.getattr("lineno")?.extract()?;
                let name: String = frame.getattr("name")?.extract()?;
                frames.push(format!("\n  {file}:{}, in {name}", line.unwrap_or(0)));
            }
        }
    }
    let first = frames.len().saturating_sub(FRAMES_MAX);
    let text: String = raised.value(py).str()?.to_string();
    let cut: String = text.chars().take(TEXT_CHARS_MAX).collect();
    let dots = if cut.len() < text.len() { ".." } else { "" };
    Ok(format!("{}: {cut}{dots}{}", raised.get_type(py).name()?, frames[first..].concat()))
}
