//! Python values as Arrow columns of a type that is known, as PySpark's functions on Arrow take them: whole numbers
//! from anything that is one, fractions are cut off, text of a number is read, and what does not fit is refused.
//! An instant without a zone is one of UTC.

use crate::to_python::ORDINAL_1970;
use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray,
    StructArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, FieldRef, Fields, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyString, PyTuple};
use std::sync::Arc;
use tidemill_core::types;

/// The values as a column of the type `of`; None is NULL.
///
/// # Errors
/// A value that does not fit the type.
pub fn column(values: &[Bound<'_, PyAny>], of: &DataType) -> PyResult<ArrayRef> {
    match of {
        DataType::Null => Ok(new_null_array(of, values.len())),
        DataType::Boolean => {
            let truth = values.iter().map(|value| optional(value, |value| boolean(value, of)));
            Ok(Arc::new(truth.collect::<PyResult<BooleanArray>>()?))
        }
        DataType::Int8 => primitive::<Int8Type>(values, |value| narrow(value, of)),
        DataType::Int16 => primitive::<Int16Type>(values, |value| narrow(value, of)),
        DataType::Int32 => primitive::<Int32Type>(values, |value| narrow(value, of)),
        DataType::Int64 => primitive::<Int64Type>(values, |value| whole(value, of)),
        DataType::Float32 => primitive::<Float32Type>(values, |value| Ok(float(value, of)? as f32)),
        DataType::Float64 => primitive::<Float64Type>(values, |value| float(value, of)),
        DataType::Utf8 => {
            let texts = values.iter().map(|value| optional(value, |value| text(value, of)));
            Ok(Arc::new(texts.collect::<PyResult<StringArray>>()?))
        }
        DataType::Binary => {
            let bytes = values.iter().map(|value| optional(value, |value| bytes(value, of)));
            Ok(Arc::new(bytes.collect::<PyResult<Vec<_>>>()?.iter().map(Option::as_deref).collect::<BinaryArray>()))
        }
        DataType::Decimal128(precision, scale) => {
            let of = (*precision, *scale);
            let column = values.iter().map(|value| optional(value, |value| decimal(value, of)));
            let column = column.collect::<PyResult<PrimitiveArray<Decimal128Type>>>()?;
            column.with_precision_and_scale(of.0, of.1).map(|column| Arc::new(column) as _).map_err(no_arrow)
        }
        DataType::Date32 => primitive::<Date32Type>(values, |value| date(value, of)),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let column = values.iter().map(|value| optional(value, |value| instant(value, of)));
            let column = column.collect::<PyResult<PrimitiveArray<TimestampMicrosecondType>>>()?;
            Ok(Arc::new(column.with_timezone_opt(zone.clone())))
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            primitive::<DurationMicrosecondType>(values, |value| micros(value).map_err(|_| misfit(value, of)))
        }
        DataType::List(field) => list(values, field, of),
        DataType::Map(entries, _) => map(values, entries, of),
        DataType::Struct(fields) => structs(values, fields, of),
        other => match values.iter().find(|value| !value.is_none()) {
            Some(value) => Err(misfit(value, other)),
            None => Ok(new_null_array(other, values.len())),
        },
    }
}

fn optional<'py, T>(
    value: &Bound<'py, PyAny>,
    read: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<Option<T>> {
    if value.is_none() { Ok(None) } else { read(value).map(Some) }
}

fn primitive<T: ArrowPrimitiveType>(
    values: &[Bound<'_, PyAny>],
    read: impl Fn(&Bound<'_, PyAny>) -> PyResult<T::Native>,
) -> PyResult<ArrayRef> {
    let column = values.iter().map(|value| optional(value, &read)).collect::<PyResult<Vec<_>>>()?;
    Ok(Arc::new(PrimitiveArray::<T>::from_iter(column)))
}

fn no_arrow(error: arrow::error::ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// A value that does not fit: its type is told, it itself is not.
fn misfit(value: &Bound<'_, PyAny>, of: &DataType) -> PyErr {
    let found = value.get_type().name().map_or_else(|_| "object".into(), |name| name.to_string());
    PyTypeError::new_err(format!("a value of Python's type {found} does not fit {}", types::name(of).to_uppercase()))
}

fn too_large(of: &DataType) -> PyErr {
    PyOverflowError::new_err(format!("a number does not fit {}", types::name(of).to_uppercase()))
}

fn boolean(value: &Bound<'_, PyAny>, of: &DataType) -> PyResult<bool> {
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(truth.is_true());
    }
    if value.is_instance_of::<PyString>() || value.is_instance_of::<PyDict>() || value.len().is_ok() {
        return Err(misfit(value, of));
    }
    value.extract::<f64>().map(|number| number != 0.0).map_err(|_| misfit(value, of))
}

fn narrow<T: TryFrom<i64>>(value: &Bound<'_, PyAny>, of: &DataType) -> PyResult<T> {
    T::try_from(whole(value, of)?).map_err(|_| too_large(of))
}

fn whole(value: &Bound<'_, PyAny>, of: &DataType) -> PyResult<i64> {
    if value.is_instance_of::<PyBool>() {
        return Err(misfit(value, of));
    }
    if value.is_instance_of::<PyInt>() {
        return value.extract::<i64>().map_err(|_| too_large(of));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return text.to_cow()?.parse().map_err(|_| misfit(value, of));
    }
    if let Ok(number) = value.extract::<i64>() {
        return Ok(number);
    }
    match value.extract::<f64>() {
        Ok(number) if number.is_finite() && number.abs() < 9.3e18 => {
            value.py().get_type::<PyInt>().call1((value,))?.extract()
        }
        _ => Err(misfit(value, of)),
    }
}

fn float(value: &Bound<'_, PyAny>, of: &DataType) -> PyResult<f64> {
    if let Ok(text) = value.cast::<PyString>() {
        return text.to_cow()?.parse().map_err(|_| misfit(value, of));
    }
    value.extract::<f64>().map_err(|_| misfit(value, of))
}

fn text(value: &Bound<'_, PyAny>, of: &DataType) -> PyResult<String> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(text.to_cow()?.into_owned());
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return String::from_utf8(bytes.as_bytes().to_vec()).map_err(|_| misfit(value, of));
    }
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(if truth.is_true() { "true".into() } else { "false".into() });
    }
    // numbers, dates and the like are printed; what has parts is not
    if value.len().is_ok() || value.hasattr("__dict__")? {
        return Err(misfit(value, of));
    }
    Ok(value.str()?.to_cow()?.into_owned())
}

fn bytes(value: &Bound<'_, PyAny>, of: &DataType) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    if let Ok(bytes) = value.cast::<PyByteArray>() {
        return Ok(bytes.to_vec());
    }
    match value.cast::<PyString>() {
        Ok(text) => Ok(text.to_cow()?.as_bytes().to_vec()),
        Err(_) => Err(misfit(value, of)),
    }
}

/// The unscaled number, rounded half up as Spark does.
fn decimal(value: &Bound<'_, PyAny>, (precision, scale): (u8, i8)) -> PyResult<i128> {
    let of = DataType::Decimal128(precision, scale);
    let decimals = value.py().import("decimal")?;
    let of_type = decimals.getattr("Decimal")?;
    let number = if value.is_instance(&of_type)? {
        value.clone()
    } else if !value.is_instance_of::<PyBool>()
        && (value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>())
    {
        of_type.call1((value.str()?,))?
    } else {
        return Err(misfit(value, &of));
    };
    if !number.call_method0("is_finite")?.is_truthy()? {
        return Err(misfit(value, &of));
    }
    let options = PyDict::new(value.py());
    options.set_item("prec", 60)?;
    let context = decimals.getattr("Context")?.call((), Some(&options))?;
    let one = of_type.call1((PyTuple::new(value.py(), [1])?.len(),))?;
    let step = one.call_method1("scaleb", (-i32::from(scale), &context))?;
    let rounded = number.call_method1("quantize", (step, decimals.getattr("ROUND_HALF_UP")?, &context));
    let rounded = rounded.map_err(|_| too_large(&of))?;
    let unscaled = rounded.call_method1("scaleb", (i32::from(scale), &context))?;
    let unscaled: i128 = value.py().get_type::<PyInt>().call1((unscaled,))?.extract().map_err(|_| too_large(&of))?;
    if unscaled.unsigned_abs() >= 10u128.pow(u32::from(precision)) {
        return Err(too_large(&of));
    }
    Ok(unscaled)
}

fn date(value: &Bound<'_, PyAny>, of: &DataType) -> PyResult<i32> {
    let days: i64 = value.call_method0("toordinal").and_then(|days| days.extract()).map_err(|_| misfit(value, of))?;
    i32::try_from(days - ORDINAL_1970).map_err(|_| misfit(value, of))
}

fn instant(value: &Bound<'_, PyAny>, of: &DataType) -> PyResult<i64> {
    let Ok(zone) = value.getattr("tzinfo") else { return Err(misfit(value, of)) };
    let datetime = value.py().import("datetime")?;
    let epoch = datetime.getattr("datetime")?.call1((1970, 1, 1))?;
    let epoch = if zone.is_none() {
        epoch
    } else {
        let options = PyDict::new(value.py());
        options.set_item("tzinfo", datetime.getattr("timezone")?.getattr("utc")?)?;
        epoch.call_method("replace", (), Some(&options))?
    };
    let since = value.call_method1("__sub__", (epoch,)).map_err(|_| misfit(value, of))?;
    micros(&since).map_err(|_| misfit(value, of))
}

fn micros(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let part = |name: &str| value.getattr(name)?.extract::<i64>();
    let (days, seconds, micros) = (part("days")?, part("seconds")?, part("microseconds")?);
    Ok((days * 86_400 + seconds) * 1_000_000 + micros)
}

fn items<'py>(value: &Bound<'py, PyAny>, of: &DataType) -> PyResult<Vec<Bound<'py, PyAny>>> {
    if value.is_instance_of::<PyString>() || value.is_instance_of::<PyDict>() {
        return Err(misfit(value, of));
    }
    value.try_iter().map_err(|_| misfit(value, of))?.collect()
}

fn list(values: &[Bound<'_, PyAny>], field: &FieldRef, of: &DataType) -> PyResult<ArrayRef> {
    let (mut all, mut lengths) = (Vec::new(), Vec::with_capacity(values.len()));
    for value in values {
        let before = all.len();
        if !value.is_none() {
            all.extend(items(value, of)?);
        }
        lengths.push(all.len() - before);
    }
    let (offsets, nulls) = (OffsetBuffer::from_lengths(lengths), nulls(values));
    let inner = column(&all, field.data_type())?;
    ListArray::try_new(field.clone(), offsets, inner, nulls).map(|list| Arc::new(list) as _).map_err(no_arrow)
}

fn map(values: &[Bound<'_, PyAny>], entries: &FieldRef, of: &DataType) -> PyResult<ArrayRef> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(PyTypeError::new_err("a map without entries"));
    };
    let (mut keys, mut contents, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(values.len()));
    for value in values {
        let before = keys.len();
        if !value.is_none() {
            let Ok(pairs) = value.cast::<PyDict>() else { return Err(misfit(value, of)) };
            for (key, content) in pairs {
                if key.is_none() {
                    return Err(PyValueError::new_err("a key of a map is None"));
                }
                keys.push(key);
                contents.push(content);
            }
        }
        lengths.push(keys.len() - before);
    }
    let columns = vec![column(&keys, fields[0].data_type())?, column(&contents, fields[1].data_type())?];
    let entries_of = StructArray::try_new(fields.clone(), columns, None).map_err(no_arrow)?;
    let made =
        MapArray::try_new(entries.clone(), OffsetBuffer::from_lengths(lengths), entries_of, nulls(values), false);
    made.map(|map| Arc::new(map) as _).map_err(no_arrow)
}

fn nulls(values: &[Bound<'_, PyAny>]) -> Option<NullBuffer> {
    let there: NullBuffer = values.iter().map(|value| !value.is_none()).collect::<Vec<bool>>().into();
    (there.null_count() > 0).then_some(there)
}

fn structs(values: &[Bound<'_, PyAny>], fields: &Fields, of: &DataType) -> PyResult<ArrayRef> {
    let columns = fields_of(values, fields, of)?;
    if fields.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(values.len(), nulls(values))));
    }
    StructArray::try_new(fields.clone(), columns, nulls(values)).map(|made| Arc::new(made) as _).map_err(no_arrow)
}

/// The columns of rows given as Rows, tuples, lists or dicts; a row that is None has NULL in each.
///
/// # Errors
/// A row that is none, or has not as many values as there are columns; a value that does not fit.
pub fn fields_of(values: &[Bound<'_, PyAny>], fields: &Fields, of: &DataType) -> PyResult<Vec<ArrayRef>> {
    let mut parts: Vec<Vec<Bound<'_, PyAny>>> = vec![Vec::with_capacity(values.len()); fields.len()];
    for value in values {
        let py = value.py();
        if value.is_none() {
            parts.iter_mut().for_each(|part| part.push(py.None().into_bound(py)));
        } else if let Ok(named) = value.cast::<PyDict>() {
            for (part, field) in parts.iter_mut().zip(fields) {
                part.push(named.get_item(field.name())?.unwrap_or_else(|| py.None().into_bound(py)));
            }
        } else {
            let row = row_items(value, fields, of)?;
            parts.iter_mut().zip(row).for_each(|(part, item)| part.push(item));
        }
    }
    parts.iter().zip(fields).map(|(part, field)| column(part, field.data_type())).collect()
}

/// The values of one row in the order of the columns: by name where a Row has all the names, else by place.
fn row_items<'py>(value: &Bound<'py, PyAny>, fields: &Fields, of: &DataType) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let row = items(value, of)?;
    let names: Option<Vec<String>> = value.getattr("__fields__").ok().and_then(|names| names.extract().ok());
    if let Some(names) = names.filter(|names| names.len() == row.len()) {
        let places: Option<Vec<usize>> =
            fields.iter().map(|field| names.iter().position(|name| name == field.name())).collect();
        if let Some(places) = places {
            return Ok(places.into_iter().map(|place| row[place].clone()).collect());
        }
    }
    if row.len() != fields.len() {
        return Err(PyValueError::new_err(format!("a row has {} values for {} columns", row.len(), fields.len())));
    }
    Ok(row)
}
