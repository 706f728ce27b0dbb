//! Arrow columns as Python values, with the types PySpark's `collect` gives. Instants are naive times in UTC.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyList, PyString, PyTuple};

/// Days from 0001-01-01, which `date.fromordinal` counts as 1, to 1970-01-01.
pub const ORDINAL_1970: i64 = 719_163;

/// What values are made with.
pub struct Tools<'py> {
    py: Python<'py>,
    /// Binary values are `bytearray`, as PySpark's `collect` gave them of old; `bytes` otherwise.
    mutable_bytes: bool,
    struct_of: Bound<'py, PyAny>,
    date_of: Bound<'py, PyAny>,
    duration_of: Bound<'py, PyAny>,
    decimal_of: Bound<'py, PyAny>,
    epoch: Bound<'py, PyAny>,
    /// 1970 with a zone, when instants are to have one.
    aware_epoch: Option<Bound<'py, PyAny>>,
}

/// Values of a column.
pub type Values<'py> = Vec<Bound<'py, PyAny>>;

impl<'py> Tools<'py> {
    /// Tools that make structs by `struct_of(names, values)`.
    ///
    /// # Errors
    /// Python's own modules cannot be imported.
    pub fn new(struct_of: Bound<'py, PyAny>, mutable_bytes: bool) -> PyResult<Self> {
        let py = struct_of.py();
        let datetime = py.import("datetime")?;
        Ok(Tools {
            py,
            mutable_bytes,
            struct_of,
            date_of: datetime.getattr("date")?.getattr("fromordinal")?,
            duration_of: datetime.getattr("timedelta")?,
            decimal_of: py.import("decimal")?.getattr("Decimal")?,
            epoch: datetime.getattr("datetime")?.call1((1970, 1, 1))?,
            aware_epoch: None,
        })
    }

    /// The same, whose instants carry the zone UTC, as rows in Arrow have them.
    ///
    /// # Errors
    /// Python's own modules cannot be imported.
    pub fn with_zone(mut self) -> PyResult<Self> {
        let datetime = self.py.import("datetime")?;
        let options = PyDict::new(self.py);
        options.set_item("tzinfo", datetime.getattr("timezone")?.getattr("utc")?)?;
        self.aware_epoch = Some(self.epoch.call_method("replace", (), Some(&options))?);
        Ok(self)
    }

    /// Rows of columns, each by `struct_of`.
    ///
    /// # Errors
    /// A value without a Python type.
    pub fn rows(&self, names: &Bound<'py, PyTuple>, columns: &[ArrayRef], rows: usize) -> PyResult<Values<'py>> {
        let columns = columns.iter().map(|column| self.column(column)).collect::<PyResult<Vec<_>>>()?;
        let row = |row: usize| {
            self.struct_of.call1((names, PyTuple::new(self.py, columns.iter().map(|column| &column[row]))?))
        };
        (0..rows).map(row).collect()
    }

    /// The values of a column.
    ///
    /// # Errors
    /// A value without a Python type.
    pub fn column(&self, array: &ArrayRef) -> PyResult<Values<'py>> {
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
                each(&|row| {
                    let bytes = values.value(row);
                    Ok(match self.mutable_bytes {
                        true => PyByteArray::new(py, bytes).into_any(),
                        false => PyBytes::new(py, bytes).into_any(),
                    })
                })
            }
            DataType::Decimal128(..) => {
                let values = array.as_primitive::<Decimal128Type>();
                each(&|row| self.decimal_of.call1((values.value_as_string(row),)))
            }
            DataType::Date32 => {
                let values = array.as_primitive::<Date32Type>();
                each(&|row| self.date_of.call1((i64::from(values.value(row)) + ORDINAL_1970,)))
            }
            DataType::Timestamp(_, zone) => {
                let values = array.as_primitive::<TimestampMicrosecondType>();
                let aware = self.aware_epoch.as_ref().filter(|_| zone.is_some());
                let epoch = aware.unwrap_or(&self.epoch);
                each(&|row| epoch.add(self.duration(values.value(row))?))
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
