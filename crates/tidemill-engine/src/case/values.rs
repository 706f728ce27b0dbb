//! Values of case files: JSON to columns and back. Timestamps are ISO with six decimals and Z, dates
//! ISO, decimals, NaN and infinities text, binary base64, structs objects, maps lists of pairs sorted
//! by key.

use crate::function::cast::printing;
use crate::time::text;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema,
    SchemaRef, TimestampMicrosecondType,
};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};
use std::sync::Arc;
use tidemill_core::{Error, Result};

/// Rows of a case as a batch.
///
/// # Errors
/// A value that is not of its column's type.
pub fn to_batch(schema: &SchemaRef, rows: &[Vec<Value>]) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (position, field) in schema.fields().iter().enumerate() {
        let null = Value::Null;
        let values: Vec<&Value> = rows.iter().map(|row| row.get(position).unwrap_or(&null)).collect();
        columns.push(to_array(field.data_type(), &values).ok_or_else(|| {
            Error::invalid(format!("a value of the column {} is not of type {}", field.name(), field.data_type()))
        })?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

fn to_array(of: &DataType, values: &[&Value]) -> Option<ArrayRef> {
    macro_rules! each {
        ($array:ty, $parse:expr) => {{
            let parse = $parse;
            let parsed: Option<Vec<_>> =
                values.iter().map(|value| if value.is_null() { Some(None) } else { parse(value).map(Some) }).collect();
            Arc::new(<$array>::from_iter(parsed?)) as ArrayRef
        }};
    }
    let whole = |value: &Value| value.as_i64();
    Some(match of {
        DataType::Null => new_null_array(of, values.len()),
        DataType::Boolean => each!(BooleanArray, |value: &Value| value.as_bool()),
        DataType::Int8 => each!(Int8Array, |value: &Value| whole(value).and_then(|value| i8::try_from(value).ok())),
        DataType::Int16 => each!(Int16Array, |value: &Value| whole(value).and_then(|value| i16::try_from(value).ok())),
        DataType::Int32 => each!(Int32Array, |value: &Value| whole(value).and_then(|value| i32::try_from(value).ok())),
        DataType::Int64 => each!(Int64Array, whole),
        DataType::Float32 => each!(Float32Array, |value: &Value| number(value).map(|value| value as f32)),
        DataType::Float64 => each!(Float64Array, number),
        DataType::Decimal128(precision, scale) => {
            let parsed = each!(Decimal128Array, |value: &Value| decimal(value.as_str()?, *scale));
            Arc::new(parsed.as_primitive::<Decimal128Type>().clone().with_precision_and_scale(*precision, *scale).ok()?)
        }
        DataType::Utf8 => each!(StringArray, |value: &Value| value.as_str().map(str::to_owned)),
        DataType::Binary => each!(BinaryArray, |value: &Value| STANDARD.decode(value.as_str()?).ok()),
        DataType::Date32 => each!(Date32Array, |value: &Value| text::parse_date(value.as_str()?)),
        DataType::Timestamp(_, zone) => {
            let parsed = each!(TimestampMicrosecondArray, |value: &Value| {
                text::parse_timestamp(value.as_str()?, chrono_tz::Tz::UTC)
            });
            let parsed = parsed.as_primitive::<TimestampMicrosecondType>().clone();
            Arc::new(if zone.is_some() { parsed.with_timezone("UTC") } else { parsed })
        }
        DataType::List(field) => {
            let lists: Vec<Option<&Vec<Value>>> = values.iter().map(|value| value.as_array()).collect();
            let elements: Vec<&Value> = lists.iter().flatten().flat_map(|list| list.iter()).collect();
            let offsets = OffsetBuffer::from_lengths(lists.iter().map(|list| list.map_or(0, Vec::len)));
            let nulls = NullBuffer::from_iter(lists.iter().map(Option::is_some));
            Arc::new(
                ListArray::try_new(field.clone(), offsets, to_array(field.data_type(), &elements)?, Some(nulls))
                    .ok()?,
            )
        }
        DataType::Struct(fields) => {
            let null = Value::Null;
            let columns = fields.iter().map(|field| {
                let values: Vec<&Value> = values.iter().map(|value| value.get(field.name()).unwrap_or(&null)).collect();
                to_array(field.data_type(), &values)
            });
            let nulls = NullBuffer::from_iter(values.iter().map(|value| !value.is_null()));
            Arc::new(StructArray::try_new(fields.clone(), columns.collect::<Option<_>>()?, Some(nulls)).ok()?)
        }
        DataType::Map(entries, sorted) => {
            let DataType::Struct(fields) = entries.data_type() else { return None };
            let maps: Vec<Option<Vec<(Value, Value)>>> = values.iter().map(|value| pairs(value)).collect();
            let column = |position: usize| {
                let all = maps.iter().flatten().flatten();
                let values: Vec<&Value> = all.map(|(key, value)| if position == 0 { key } else { value }).collect();
                to_array(fields[position].data_type(), &values)
            };
            let structs = StructArray::try_new(fields.clone(), vec![column(0)?, column(1)?], None).ok()?;
            let offsets = OffsetBuffer::from_lengths(maps.iter().map(|map| map.as_ref().map_or(0, Vec::len)));
            let nulls = NullBuffer::from_iter(maps.iter().map(Option::is_some));
            Arc::new(MapArray::try_new(entries.clone(), offsets, structs, Some(nulls), *sorted).ok()?)
        }
        _ => return None,
    })
}

/// A map: a list of pairs, or an object when its keys are text.
fn pairs(value: &Value) -> Option<Vec<(Value, Value)>> {
    match value {
        Value::Array(pairs) => pairs.iter().map(|pair| Some((pair.get(0)?.clone(), pair.get(1)?.clone()))).collect(),
        Value::Object(fields) => Some(fields.iter().map(|(key, value)| (key.as_str().into(), value.clone())).collect()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        None => value.as_f64(),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(text) => text.parse().ok(),
    }
}

fn decimal(text: &str, scale: i8) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let scale = usize::try_from(scale).ok()?;
    let padded: String = whole.chars().chain(fraction.chars().chain(std::iter::repeat('0')).take(scale)).collect();
    padded.parse().ok()
}

/// A batch's rows in the notation of case files.
///
/// # Errors
/// A type case files have no notation for.
pub fn to_rows(batch: &RecordBatch) -> Result<Vec<Vec<Value>>> {
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| to_value(column, row)).collect()).collect()
}

fn to_value(array: &ArrayRef, row: usize) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float32 => double(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            printing::decimal(array.as_primitive::<Decimal128Type>().value(row), *scale).into()
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        DataType::Binary => STANDARD.encode(array.as_binary::<i32>().value(row)).into(),
        DataType::Date32 => text::format_date(array.as_primitive::<Date32Type>().value(row)).into(),
        DataType::Timestamp(_, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            instant(micros, if zone.is_some() { "Z" } else { "" }).into()
        }
        DataType::List(_) => list(&array.as_list::<i32>().value(row))?,
        DataType::Struct(fields) => {
            let structs = array.as_struct();
            let mut object = Map::new();
            for (position, field) in fields.iter().enumerate() {
                object.insert(field.name().clone(), to_value(structs.column(position), row)?);
            }
            Value::Object(object)
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let mut pairs = (0..entries.len())
                .map(|entry| {
                    Ok(Value::Array(vec![to_value(entries.column(0), entry)?, to_value(entries.column(1), entry)?]))
                })
                .collect::<Result<Vec<_>>>()?;
            pairs.sort_by_key(|pair| match &pair[0] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            Value::Array(pairs)
        }
        other => return Err(Error::invalid(format!("case files have no notation for {other}"))),
    })
}

fn list(values: &ArrayRef) -> Result<Value> {
    (0..values.len()).map(|row| to_value(values, row)).collect::<Result<Vec<_>>>().map(Value::Array)
}

fn double(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None => printing::double(value).into(),
    }
}

/// An instant with six decimals.
pub fn instant(micros: i64, suffix: &str) -> String {
    match crate::time::wall_clock(micros) {
        Some(wall) => format!("{}{suffix}", wall.format("%Y-%m-%dT%H:%M:%S%.6f")),
        None => micros.to_string(),
    }
}

/// Columns as a schema.
///
/// # Errors
/// A type that does not exist.
pub fn to_schema(columns: &[(String, String)]) -> Result<SchemaRef> {
    let fields = columns
        .iter()
        .map(|(name, of)| Ok(arrow::datatypes::Field::new(name, tidemill_core::types::parse_type(of)?, true)));
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}
