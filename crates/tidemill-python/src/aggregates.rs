//! The user's Python aggregate functions: all groups of a batch go over in one call.

use crate::from_python::{column, fields_of};
use crate::functions::call;
use crate::to_python::Tools;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Fields};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use pyo3_arrow::PyArray;
use std::fmt;
use tidemill_core::{Result, types};
use tidemill_engine::operator::aggregate::user::{Groups, UserAggregate};
use tidemill_engine::operator::transform_with_state::state::StateRow;
use tidemill_engine::operator::transform_with_state::table::{column_of, row_of};

/// An aggregate function as Python describes it: an object with `shown`, `result` (DDL), `state` (DDL of its fields,
/// or None), and `zero(groups)`, `update(states, columns, ends)`, `merge(left, right)`, `finish(states)` or
/// `whole(columns, ends)`, which take lists and Arrow arrays and give lists.
pub struct PythonAggregate {
    shown: String,
    result: DataType,
    state: Option<Fields>,
    struct_of: Py<PyAny>,
    description: Py<PyAny>,
}

impl fmt::Debug for PythonAggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "python aggregate {}", self.shown)
    }
}

type Items<'py> = Vec<Bound<'py, PyAny>>;

impl PythonAggregate {
    /// The function Python describes.
    ///
    /// # Errors
    /// A description that is none, a type that does not exist.
    pub fn new(description: &Bound<'_, PyAny>, struct_of: &Py<PyAny>) -> PyResult<Self> {
        let py = description.py();
        let raise = |error| crate::errors::to_python(py, &error);
        let state: Option<String> = description.getattr("state")?.extract()?;
        let state = state.map(|ddl| types::parse_schema(&ddl).map(|schema| schema.fields().clone()));
        let result: String = description.getattr("result")?.extract()?;
        Ok(PythonAggregate {
            shown: description.getattr("shown")?.extract()?,
            result: types::parse_type(&result).map_err(raise)?,
            state: state.transpose().map_err(raise)?,
            struct_of: struct_of.clone_ref(py),
            description: description.clone().unbind(),
        })
    }

    fn call<T>(&self, work: impl FnOnce(Python<'_>) -> PyResult<T>) -> Result<T> {
        call(&format!("the Python aggregate function {}", self.shown), work)
    }

    fn fields(&self) -> Fields {
        self.state.clone().unwrap_or_default()
    }

    /// States as Rows.
    fn states<'py>(&self, py: Python<'py>, states: &[StateRow]) -> PyResult<Bound<'py, PyList>> {
        let fields = self.fields();
        let names = PyTuple::new(py, fields.iter().map(|field| field.name()))?;
        let columns = fields.iter().enumerate().map(|(place, field)| column_of(states, place, field.data_type()));
        let columns = columns.collect::<Result<Vec<_>>>().map_err(|error| crate::errors::to_python(py, &error))?;
        PyList::new(py, Tools::new(self.struct_of.bind(py).clone(), false)?.rows(&names, &columns, states.len())?)
    }

    fn read(&self, py: Python<'_>, given: &[Bound<'_, PyAny>]) -> PyResult<Vec<StateRow>> {
        let fields = self.fields();
        let columns = fields_of(given, &fields, &DataType::Struct(fields.clone()))?;
        let rows = (0..given.len()).map(|row| row_of(&columns, row));
        rows.collect::<Result<_>>().map_err(|error| crate::errors::to_python(py, &error))
    }
}

fn columns<'py>(py: Python<'py>, rows: &Groups) -> PyResult<Bound<'py, PyList>> {
    let arrays = rows.columns.iter().map(|column| PyArray::from(column.clone()).into_pyobject(py));
    PyList::new(py, arrays.collect::<PyResult<Vec<_>>>()?)
}

impl UserAggregate for PythonAggregate {
    fn result(&self) -> DataType {
        self.result.clone()
    }

    fn state(&self) -> Option<Fields> {
        self.state.clone()
    }

    fn zero(&self, groups: usize) -> Result<Vec<StateRow>> {
        self.call(|py| {
            let given: Items<'_> = self.description.bind(py).call_method1("zero", (groups,))?.extract()?;
            self.read(py, &given)
        })
    }

    fn update(&self, states: &[StateRow], rows: &Groups) -> Result<Vec<StateRow>> {
        self.call(|py| {
            let arguments = (self.states(py, states)?, columns(py, rows)?, rows.ends.clone());
            let given: Items<'_> = self.description.bind(py).call_method1("update", arguments)?.extract()?;
            self.read(py, &given)
        })
    }

    fn merge(&self, left: &[StateRow], right: &[StateRow]) -> Result<Vec<StateRow>> {
        self.call(|py| {
            let arguments = (self.states(py, left)?, self.states(py, right)?);
            let given: Items<'_> = self.description.bind(py).call_method1("merge", arguments)?.extract()?;
            self.read(py, &given)
        })
    }

    fn finish(&self, states: &[StateRow]) -> Result<ArrayRef> {
        self.call(|py| {
            let arguments = (self.states(py, states)?,);
            let given: Items<'_> = self.description.bind(py).call_method1("finish", arguments)?.extract()?;
            column(&given, &self.result)
        })
    }

    fn whole(&self, rows: &Groups) -> Result<ArrayRef> {
        self.call(|py| {
            let arguments = (columns(py, rows)?, rows.ends.clone());
            let given: Items<'_> = self.description.bind(py).call_method1("whole", arguments)?.extract()?;
            column(&given, &self.result)
        })
    }
}
