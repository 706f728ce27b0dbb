//! The user's Python processors of arbitrary state, and functions of whole batches. A partition is handed over once
//! an epoch: its rows, grouped by key, and a handle on its state; the interpreter's lock is taken once.

use crate::from_python::fields_of;
use crate::functions::{call, fitting};
use crate::to_python::Tools;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatchOptions};
use arrow::datatypes::{DataType, Fields, SchemaRef};
use arrow::record_batch::RecordBatch;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyList, PyString, PyTuple};
use pyo3_arrow::{PyArray, PyTable};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use tidemill_core::{Result, types};
use tidemill_engine::operator::map_rows::RowsFunction;
use tidemill_engine::operator::transform_with_state::contract::{
    Declarations, GroupedRows, PartitionProcessor, ProcessorCall, ProcessorFactory, ProcessorSchemas, SharedState,
    Variable, VariableKind,
};
use tidemill_engine::operator::transform_with_state::lock;
use tidemill_engine::operator::transform_with_state::state::{PartitionState, ScalarValue, StateRow};
use tidemill_engine::operator::transform_with_state::table::{column_of, row_of};

/// Makes the processors of a query from what Python describes: an object with `shown` and `open(mode)`, which gives
/// a partition's runner: `variables` as `(kind, name, key DDL or None, value DDL, TTL or None)`, `dropped` names,
/// `takes_arrow`, `run(handle, times, rows, groups, initial, initial_groups)` and `close()`.
pub struct PythonProcessor {
    shown: String,
    description: Py<PyAny>,
}

impl fmt::Debug for PythonProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "python processor {}", self.shown)
    }
}

impl PythonProcessor {
    /// The processor Python describes.
    ///
    /// # Errors
    /// A description that is none.
    pub fn new(description: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(PythonProcessor {
            shown: description.getattr("shown")?.extract()?,
            description: description.clone().unbind(),
        })
    }
}

type Declared = (String, String, Option<String>, String, Option<i64>);

fn fields(ddl: &str) -> Result<Fields> {
    Ok(types::parse_schema(ddl)?.fields().clone())
}

fn variable((kind, name, key, value, ttl_ms): Declared) -> Result<Variable> {
    let kind = match (kind.as_str(), key) {
        ("map", Some(key)) => VariableKind::Map(fields(&key)?),
        ("list", _) => VariableKind::List,
        _ => VariableKind::Value,
    };
    Ok(Variable { name, kind, fields: fields(&value)?, ttl_ms })
}

impl ProcessorFactory for PythonProcessor {
    fn open(&self, schemas: &ProcessorSchemas, declare: &mut Declarations) -> Result<Box<dyn PartitionProcessor>> {
        let what = format!("the stateful processor {}", self.shown);
        let mode = declare.time_mode().word();
        let (runner, struct_of, takes_arrow, variables, dropped) = call(&what, |py| {
            let runner = self.description.bind(py).call_method1("open", (mode,))?;
            let variables: Vec<Declared> = runner.getattr("variables")?.extract()?;
            let dropped: Vec<String> = runner.getattr("dropped")?.extract()?;
            let takes_arrow: bool = runner.getattr("takes_arrow")?.extract()?;
            let struct_of = py.import("tidemill.row")?.getattr("Row")?.getattr("of")?.unbind();
            Ok((runner.unbind(), struct_of, takes_arrow, variables, dropped))
        })?;
        for declared in variables {
            declare.variable(variable(declared)?)?;
        }
        dropped.iter().for_each(|name| declare.drop_if_exists(name));
        let schemas = schemas.clone();
        Ok(Box::new(Partition { what, runner, struct_of, takes_arrow, schemas, handle: None }))
    }

    fn spark_name(&self) -> &'static str {
        "transformWithStateInPySparkExec"
    }
}

struct Partition {
    what: String,
    runner: Py<PyAny>,
    struct_of: Py<PyAny>,
    takes_arrow: bool,
    schemas: ProcessorSchemas,
    handle: Option<Py<StateHandle>>,
}

impl Drop for Partition {
    fn drop(&mut self) {
        // what goes wrong in close() can no longer change the query
        let _ = Python::try_attach(|py| self.runner.call_method0(py, "close").is_ok());
    }
}

impl Partition {
    fn rows<'py>(&self, py: Python<'py>, rows: &RecordBatch) -> PyResult<Bound<'py, PyAny>> {
        if self.takes_arrow {
            return Ok(PyTable::try_new(vec![rows.clone()], rows.schema())?.into_pyobject(py)?.into_any());
        }
        let tools = Tools::new(self.struct_of.bind(py).clone(), false)?.with_zone()?;
        let names = PyTuple::new(py, rows.schema().fields().iter().map(|field| field.name()))?;
        Ok(PyList::new(py, tools.rows(&names, rows.columns(), rows.num_rows())?)?.into_any())
    }

    fn groups<'py>(&self, py: Python<'py>, rows: &GroupedRows, state: &SharedState) -> PyResult<Bound<'py, PyAny>> {
        let numbers: Vec<u32> = rows.groups.iter().map(|group| group.key).collect();
        let keys = keys(py, &self.struct_of, &lock(state), &numbers)?;
        let groups = rows.groups.iter().zip(keys);
        let groups = groups.map(|(group, key)| (group.key, key, group.start, group.end));
        Ok(PyList::new(py, groups)?.into_any())
    }

    fn run(&mut self, py: Python<'_>, call: &ProcessorCall, state: &SharedState) -> PyResult<Vec<RecordBatch>> {
        let handle = match &self.handle {
            Some(handle) => handle.clone_ref(py),
            None => {
                let struct_of = self.struct_of.clone_ref(py);
                let made = StateHandle { state: state.clone(), key: AtomicU32::new(0), struct_of };
                self.handle.insert(Py::new(py, made)?).clone_ref(py)
            }
        };
        let times = (call.now_ms, call.watermark_ms, call.due_ms);
        let (rows, groups) = (self.rows(py, &call.rows.rows)?, self.groups(py, &call.rows, state)?);
        let (first, first_groups) = match &call.initial {
            Some(initial) => (Some(self.rows(py, &initial.rows)?), Some(self.groups(py, initial, state)?)),
            None => (None, None),
        };
        let given = self.runner.bind(py).call_method1("run", (handle, times, rows, groups, first, first_groups))?;
        let output = &self.schemas.output;
        if self.takes_arrow {
            let arrays: Vec<PyArray> = given.extract()?;
            return arrays.iter().map(|array| struct_batch(array.array(), output)).collect();
        }
        let given: Vec<Bound<'_, PyAny>> = given.extract()?;
        if given.is_empty() {
            return Ok(vec![]);
        }
        let of = DataType::Struct(output.fields().clone());
        let columns = fields_of(&given, output.fields(), &of)?;
        batch(output, columns, given.len()).map(|batch| vec![batch])
    }
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> PyResult<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|error| PyTypeError::new_err(error.to_string()))
}

/// A column of structs as rows with these columns: by name, or by place where the names are others.
fn struct_batch(array: &ArrayRef, schema: &SchemaRef) -> PyResult<RecordBatch> {
    let Some(given) = array.as_struct_opt() else { return Err(PyTypeError::new_err("the result is no table")) };
    let same = given.num_columns() == schema.fields().len();
    let column = |(place, name): (usize, &String)| match given.column_by_name(name) {
        Some(column) => Ok(column.clone()),
        None if same => Ok(given.column(place).clone()),
        None => Err(PyTypeError::new_err(format!(
            "the result has no column `{name}`; columns: {}",
            given.column_names().join(", ")
        ))),
    };
    let columns = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(place, field)| fitting(&column((place, field.name()))?, field.data_type()));
    batch(schema, columns.collect::<PyResult<_>>()?, given.len())
}

fn keys<'py>(
    py: Python<'py>,
    struct_of: &Py<PyAny>,
    state: &PartitionState,
    numbers: &[u32],
) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    let tools = Tools::new(struct_of.bind(py).clone(), false)?;
    let columns = state.key_columns(numbers).map_err(|error| crate::errors::to_python(py, &error))?;
    let columns = columns.iter().map(|column| tools.column(column)).collect::<PyResult<Vec<_>>>()?;
    (0..numbers.len()).map(|row| PyTuple::new(py, columns.iter().map(|column| &column[row]))).collect()
}

impl PartitionProcessor for Partition {
    fn process(&mut self, epoch: &ProcessorCall, state: &SharedState) -> Result<Vec<RecordBatch>> {
        let what = self.what.clone();
        call(&what, |py| self.run(py, epoch, state))
    }
}

/// The state of a partition as its runner sees it: all methods are about the key that was chosen last.
#[pyclass(frozen, module = "tidemill._tidemill")]
pub struct StateHandle {
    state: SharedState,
    key: AtomicU32,
    struct_of: Py<PyAny>,
}

fn is_simple(value: &ScalarValue) -> bool {
    use ScalarValue::{Boolean, Float64, Int32, Int64, Utf8};
    matches!(value, Boolean(_) | Int32(_) | Int64(_) | Float64(_) | Utf8(_))
}

fn simple<'py>(py: Python<'py>, value: &ScalarValue) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        ScalarValue::Boolean(Some(value)) => PyBool::new(py, *value).to_owned().into_any(),
        ScalarValue::Int32(Some(value)) => value.into_pyobject(py)?.into_any(),
        ScalarValue::Int64(Some(value)) => value.into_pyobject(py)?.into_any(),
        ScalarValue::Float64(Some(value)) => value.into_pyobject(py)?.into_any(),
        ScalarValue::Utf8(Some(value)) => PyString::new(py, value).into_any(),
        _ => py.None().into_bound(py),
    })
}

impl StateHandle {
    fn key(&self) -> u32 {
        self.key.load(Ordering::Relaxed)
    }

    fn raised<T>(py: Python<'_>, result: Result<T>) -> PyResult<T> {
        result.map_err(|error| crate::errors::to_python(py, &error))
    }

    /// Typed values as Rows with the names of these fields.
    fn out<'py>(&self, py: Python<'py>, fields: &Fields, rows: &[StateRow]) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let names = PyTuple::new(py, fields.iter().map(|field| field.name()))?;
        let struct_of = self.struct_of.bind(py);
        if rows.iter().all(|row| row.iter().all(is_simple)) {
            let row = |row: &StateRow| {
                let values = row.iter().map(|value| simple(py, value)).collect::<PyResult<Vec<_>>>()?;
                struct_of.call1((&names, PyTuple::new(py, values)?))
            };
            return rows.iter().map(row).collect();
        }
        let columns = fields.iter().enumerate().map(|(place, field)| column_of(rows, place, field.data_type()));
        let columns = Self::raised(py, columns.collect::<Result<Vec<_>>>())?;
        Tools::new(struct_of.clone(), false)?.rows(&names, &columns, rows.len())
    }

    fn one<'py>(&self, py: Python<'py>, fields: &Fields, row: Option<StateRow>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match row {
            Some(row) => Ok(self.out(py, fields, &[row])?.pop()),
            None => Ok(None),
        }
    }

    /// A Python value as a typed one.
    fn read(py: Python<'_>, fields: &Fields, value: &Bound<'_, PyAny>) -> PyResult<StateRow> {
        if value.is_none() {
            return Err(PyTypeError::new_err("a state value cannot be None; use clear()"));
        }
        let of = DataType::Struct(fields.clone());
        let columns = fields_of(std::slice::from_ref(value), fields, &of)?;
        Self::raised(py, row_of(&columns, 0))
    }

    fn fields(&self, variable: usize) -> Fields {
        lock(&self.state).variable(variable).fields.clone()
    }

    fn map_fields(&self, variable: usize) -> PyResult<(Fields, Fields)> {
        let state = lock(&self.state);
        let variable = state.variable(variable);
        match &variable.kind {
            VariableKind::Map(keys) => Ok((keys.clone(), variable.fields.clone())),
            _ => Err(PyRuntimeError::new_err(format!("the state variable '{}' is no map", variable.name))),
        }
    }
}

#[pymethods]
impl StateHandle {
    /// Chooses the key the other methods are about.
    fn select(&self, key: u32) {
        self.key.store(key, Ordering::Relaxed);
    }

    /// True when a variable holds something.
    fn exists(&self, variable: usize) -> bool {
        lock(&self.state).exists(variable, self.key())
    }

    /// Empties a variable.
    fn clear(&self, variable: usize) {
        lock(&self.state).clear(variable, self.key());
    }

    /// The value of a variable, or None.
    fn value<'py>(&self, py: Python<'py>, variable: usize) -> PyResult<Option<Bound<'py, PyAny>>> {
        let row = lock(&self.state).value(variable, self.key());
        self.one(py, &self.fields(variable), row)
    }

    /// Sets the value of a variable.
    fn set_value(&self, py: Python<'_>, variable: usize, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let row = Self::read(py, &self.fields(variable), value)?;
        lock(&self.state).put_value(variable, self.key(), row);
        Ok(())
    }

    /// The list of a variable.
    fn list<'py>(&self, py: Python<'py>, variable: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let rows = lock(&self.state).list(variable, self.key());
        self.out(py, &self.fields(variable), &rows)
    }

    /// Puts values at the end of the list of a variable; in the place of what is there, if it is to be emptied.
    fn append(&self, py: Python<'_>, variable: usize, values: Vec<Bound<'_, PyAny>>, empty: bool) -> PyResult<()> {
        let fields = self.fields(variable);
        let rows = values.iter().map(|value| Self::read(py, &fields, value)).collect::<PyResult<Vec<_>>>()?;
        let (mut state, key) = (lock(&self.state), self.key());
        if empty {
            state.clear(variable, key);
        }
        rows.into_iter().for_each(|row| state.append(variable, key, row));
        Ok(())
    }

    /// The keys and values of the map of a variable.
    fn map<'py>(&self, py: Python<'py>, variable: usize) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let (key_fields, fields) = self.map_fields(variable)?;
        let (keys, values): (Vec<StateRow>, Vec<StateRow>) =
            lock(&self.state).map(variable, self.key()).into_iter().unzip();
        Ok(self.out(py, &key_fields, &keys)?.into_iter().zip(self.out(py, &fields, &values)?).collect())
    }

    /// The value of the map of a variable under a key, or None.
    fn map_value<'py>(
        &self,
        py: Python<'py>,
        variable: usize,
        key: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (key_fields, fields) = self.map_fields(variable)?;
        let map_key = Self::read(py, &key_fields, key)?;
        let found = lock(&self.state).map_value(variable, self.key(), &map_key);
        self.one(py, &fields, Self::raised(py, found)?)
    }

    /// Sets a value of the map of a variable.
    fn set_map_value(
        &self,
        py: Python<'_>,
        variable: usize,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (key_fields, fields) = self.map_fields(variable)?;
        let (map_key, row) = (Self::read(py, &key_fields, key)?, Self::read(py, &fields, value)?);
        let done = lock(&self.state).put_map(variable, self.key(), map_key, row);
        Self::raised(py, done)
    }

    /// Takes a key out of the map of a variable.
    fn remove_map_key(&self, py: Python<'_>, variable: usize, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let map_key = Self::read(py, &self.map_fields(variable)?.0, key)?;
        let done = lock(&self.state).remove_map(variable, self.key(), map_key);
        Self::raised(py, done).map(drop)
    }

    /// Sets a timer, in milliseconds.
    fn register_timer(&self, expiry_ms: i64) {
        lock(&self.state).register_timer(self.key(), expiry_ms);
    }

    /// Takes a timer away.
    fn delete_timer(&self, expiry_ms: i64) {
        lock(&self.state).delete_timer(self.key(), expiry_ms);
    }

    /// The timers that are set, in order.
    fn timers(&self) -> Vec<i64> {
        lock(&self.state).timers(self.key())
    }

    /// The timers of all keys that are due: number of the key, key, instant.
    fn due<'py>(&self, py: Python<'py>, until_ms: i64) -> PyResult<Vec<(u32, Bound<'py, PyTuple>, i64)>> {
        let mut state = lock(&self.state);
        let due = state.due(until_ms);
        let numbers: Vec<u32> = due.iter().map(|(key, _)| *key).collect();
        let keys = keys(py, &self.struct_of, &state, &numbers)?;
        Ok(due.into_iter().zip(keys).map(|((key, expiry), of)| (key, of, expiry)).collect())
    }
}

/// A Python function of whole batches: an object with `shown` and `run(table)`, which gives a list of struct arrays.
pub struct PythonRows {
    shown: String,
    function: Py<PyAny>,
}

impl fmt::Debug for PythonRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Python function {}", self.shown)
    }
}

impl PythonRows {
    /// The function Python describes.
    ///
    /// # Errors
    /// A description that is none.
    pub fn new(description: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(PythonRows {
            shown: description.getattr("shown")?.extract()?,
            function: description.getattr("run")?.unbind(),
        })
    }
}

impl RowsFunction for PythonRows {
    fn call(&self, rows: RecordBatch, output: &SchemaRef) -> Result<Vec<RecordBatch>> {
        call(&format!("the Python function {}", self.shown), |py| {
            let schema = rows.schema();
            let table = PyTable::try_new(vec![rows], schema)?.into_pyobject(py)?;
            let given: Vec<PyArray> = self.function.bind(py).call1((table,))?.extract()?;
            given.iter().map(|array| struct_batch(array.array(), output)).collect()
        })
    }
}
