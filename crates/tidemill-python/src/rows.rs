//! Arrow rows as Python rows, with the types PySpark's `collect` gives. Instants are naive times in UTC.

use crate::arrow_data::Rows;
use crate::errors::OrRaise;
use crate::parts;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyDict, PyList, PyString, PyTuple};
use pyo3_arrow::PyTable;
use std::sync::Arc;
use tidemill_core::types;
use tidemill_engine::case::values::to_batch;

/// Days from 0001-01-01, which `date.fromordinal` counts as 1, to 1970-01-01.
const ORDINAL_1970: i64 = 719_163;

/// What values are made with.
struct Tools<'py> {
    py: Python<'py>,
    struct_of: Bound<'py, PyAny>,
    date_of: Bound<'py, PyAny>,
    duration_of: Bound<'py, PyAny>,
    decimal_of: Bound<'py, PyAny>,
    epoch: Bound<'py, PyAny>,
}

/// Every row of `table` as `struct_of(names, values)`; structs inside rows too.
#[pyfunction]
pub fn to_rows<'py>(py: Python<'py>, table: PyTable, struct_of: Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let rows = Rows::from_python(table).or_raise(py)?;
    let datetime = py.import("datetime")?;
    let tools = Tools {
        py,
        struct_of,
        date_of: datetime.getattr("date")?.getattr("fromordinal")?,
        duration_of: datetime.getattr("timedelta")?,
        decimal_of: py.import("decimal")?.getattr("Decimal")?,
        epoch: datetime.getattr("datetime")?.call1((1970, 1, 1))?,
    };
    let names = PyTuple::new(py, rows.schema.fields().iter().map(|field| field.name()))?;
    let mut out = Vec::with_capacity(rows.batches.iter().map(|batch| batch.num_rows()).sum());
    for batch in &rows.batches {
        let columns = batch.columns().iter().map(|column| tools.column(column)).collect::<PyResult<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let values = PyTuple::new(py, columns.iter().map(|column| &column[row]))?;
            out.push(tools.struct_of.call1((&names, values))?);
        }
    }
    Ok(out)
}

type Values<'py> = Vec<Bound<'py, PyAny>>;

impl<'py> Tools<'py> {
    fn column(&self, array: &ArrayRef) -> PyResult<Values<'py>> {
        let py = self.py;
        let each = |value: &dyn Fn(usize) -> PyResult<Bound<'py, PyAny>>| -> PyResult<Values<'py>> {
            let or_none = |row| if array.is_null(row) { Ok(py.None().into_bound(py)) } else { value(row) };
            (0..array.len()).map(or_none).collect()
        };
        macro_rules! primitive {
            ($of:ty) => {{
                let values = array.as_primitive::<$of>();
                each(&|row| Ok(values.value(row).into_pyobject(py)?.into_any()))
            }};
        }
        match array.data_type() {
            DataType::Null => Ok((0..array.len()).map(|_| py.None().into_bound(py)).collect()),
            DataType::Boolean => {
                let values = array.as_boolean();
                each(&|row| Ok(PyBool::new(py, values.value(row)).to_owned().into_any()))
            }
            DataType::Int8 => primitive!(Int8Type),
            DataType::Int16 => primitive!(Int16Type),
            DataType::Int32 => primitive!(Int32Type),
            DataType::Int64 => primitive!(Int64Type),
            DataType::Float32 => primitive!(Float32Type),
            DataType::Float64 => primitive!(Float64Type),
            DataType::Utf8 => {
                let values = array.as_string::<i32>();
                each(&|row| Ok(PyString::new(py, values.value(row)).into_any()))
            }
            DataType::Binary => {
                let values = array.as_binary::<i32>();
                each(&|row| Ok(PyByteArray::new(py, values.value(row)).into_any()))
            }
            DataType::Decimal128(..) => {
                let values = array.as_primitive::<Decimal128Type>();
                each(&|row| self.decimal_of.call1((values.value_as_string(row),)))
            }
            DataType::Date32 => {
                let values = array.as_primitive::<Date32Type>();
                each(&|row| self.date_of.call1((i64::from(values.value(row)) + ORDINAL_1970,)))
            }
            DataType::Timestamp(..) => {
                let values = array.as_primitive::<TimestampMicrosecondType>();
                each(&|row| self.epoch.add(self.duration(values.value(row))?))
            }
            DataType::Duration(_) => {
                let values = array.as_primitive::<DurationMicrosecondType>();
                each(&|row| self.duration(values.value(row)))
            }
            DataType::List(_) => self.lists(array),
            DataType::Struct(_) => self.structs(array),
            DataType::Map(..) => self.maps(array),
            // an interval of months has no Python type; its text is what SQL prints
            other => match cast(array, &DataType::Utf8) {
                Ok(text) => self.column(&text),
                Err(_) => Err(PyValueError::new_err(format!("values of the type {other} cannot be collected"))),
            },
        }
    }

    fn duration(&self, micros: i64) -> PyResult<Bound<'py, PyAny>> {
        self.duration_of.call1((0, 0, micros))
    }

    fn lists(&self, array: &ArrayRef) -> PyResult<Values<'py>> {
        let lists = array.as_list::<i32>();
        let items = self.column(lists.values())?;
        let list = |row: usize| {
            if lists.is_null(row) {
                return Ok(self.py.None().into_bound(self.py));
            }
            let ends = lists.value_offsets();
            Ok(PyList::new(self.py, &items[ends[row] as usize..ends[row + 1] as usize])?.into_any())
        };
        (0..lists.len()).map(list).collect()
    }

    fn structs(&self, array: &ArrayRef) -> PyResult<Values<'py>> {
        let structs = array.as_struct();
        let names = PyTuple::new(self.py, structs.fields().iter().map(|field| field.name()))?;
        let columns = structs.columns().iter().map(|column| self.column(column)).collect::<PyResult<Vec<_>>>()?;
        let row = |row: usize| {
            if structs.is_null(row) {
                return Ok(self.py.None().into_bound(self.py));
            }
            self.struct_of.call1((&names, PyTuple::new(self.py, columns.iter().map(|column| &column[row]))?))
        };
        (0..structs.len()).map(row).collect()
    }

    fn maps(&self, array: &ArrayRef) -> PyResult<Values<'py>> {
        let maps = array.as_map();
        let (keys, values) = (self.column(maps.keys())?, self.column(maps.values())?);
        let map = |row: usize| {
            if maps.is_null(row) {
                return Ok(self.py.None().into_bound(self.py));
            }
            let ends = maps.value_offsets();
            let map = PyDict::new(self.py);
            (ends[row] as usize..ends[row + 1] as usize)
                .try_for_each(|entry| map.set_item(&keys[entry], &values[entry]))?;
            Ok(map.into_any())
        };
        (0..maps.len()).map(map).collect()
    }
}

/// The first `rows_max` rows of `table` as text, after Spark's `show`; values are cut to `letters_max` letters
/// unless that is None.
#[pyfunction]
#[pyo3(signature = (table, rows_max, letters_max = None))]
pub fn show(py: Python<'_>, table: PyTable, rows_max: usize, letters_max: Option<usize>) -> PyResult<String> {
    let shown = |rows: Rows| tidemill_connectors::console::grid(&rows.schema, &rows.batches, rows_max, letters_max);
    Rows::from_python(table).and_then(shown).or_raise(py)
}

/// Rows given as JSON in the notation of case files (see `tidemill_engine::case::values`), with the columns of
/// a schema in DDL.
#[pyfunction]
pub fn from_rows(py: Python<'_>, ddl: &str, json: &str) -> PyResult<PyTable> {
    let read = || {
        let schema: SchemaRef = Arc::new(types::parse_schema(ddl)?);
        let rows: Vec<Vec<serde_json::Value>> = parts::json("the rows", json)?;
        to_batch(&schema, &rows)
    };
    let batch = py.detach(read).or_raise(py)?;
    let schema = batch.schema();
    PyTable::try_new(vec![batch], schema)
}
