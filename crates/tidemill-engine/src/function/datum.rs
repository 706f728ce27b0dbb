//! One value of any type, and columns of such values: what the readers of JSON, CSV and Avro make.

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, ListArray, MapArray, NullArray, PrimitiveArray, StringArray,
    StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, DurationMicrosecondType, FieldRef, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, IntervalYearMonthType, TimestampMicrosecondType,
};
use std::sync::Arc;
use tidemill_core::{Error, Result};

/// A value. Whole numbers, dates, times and decimals are `Whole`; the type says which they are.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Datum {
    #[default]
    Null,
    Boolean(bool),
    Whole(i128),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Datum>),
    Map(Vec<(Datum, Datum)>),
    Struct(Vec<Datum>),
}

/// A column of values of a type.
///
/// # Errors
/// A bug: a value is of another type.
pub fn column(of: &DataType, values: Vec<Datum>) -> Result<ArrayRef> {
    Ok(match of {
        DataType::Null => Arc::new(NullArray::new(values.len())),
        DataType::Boolean => {
            let list =
                values.into_iter().map(|value| if let Datum::Boolean(value) = value { Some(value) } else { None });
            Arc::new(list.collect::<BooleanArray>())
        }
        DataType::Int8 => whole::<Int8Type>(values, |value| value as i8),
        DataType::Int16 => whole::<Int16Type>(values, |value| value as i16),
        DataType::Int32 => whole::<Int32Type>(values, |value| value as i32),
        DataType::Int64 => whole::<Int64Type>(values, |value| value as i64),
        DataType::Date32 => whole::<Date32Type>(values, |value| value as i32),
        DataType::Duration(_) => whole::<DurationMicrosecondType>(values, |value| value as i64),
        DataType::Interval(_) => whole::<IntervalYearMonthType>(values, |value| value as i32),
        DataType::Timestamp(_, zone) => Arc::new(
            primitive::<TimestampMicrosecondType>(values, |value| value as i64).with_timezone_opt(zone.clone()),
        ),
        DataType::Decimal128(precision, scale) => {
            let list = values.into_iter().map(|value| if let Datum::Whole(value) = value { Some(value) } else { None });
            Arc::new(list.collect::<Decimal128Array>().with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Float32 => real::<Float32Type>(values, |value| value as f32),
        DataType::Float64 => real::<Float64Type>(values, |value| value),
        DataType::Utf8 => {
            let list = values.into_iter().map(|value| if let Datum::Text(value) = value { Some(value) } else { None });
            Arc::new(list.collect::<StringArray>())
        }
        DataType::Binary => {
            let list = values.into_iter().map(|value| if let Datum::Bytes(value) = value { Some(value) } else { None });
            Arc::new(list.collect::<BinaryArray>())
        }
        DataType::List(element) => list(element, values)?,
        DataType::Map(entries, sorted) => map(entries, *sorted, values)?,
        DataType::Struct(fields) => {
            let mut columns: Vec<Vec<Datum>> = fields.iter().map(|_| Vec::with_capacity(values.len())).collect();
            let mut valid = Vec::with_capacity(values.len());
            for value in values {
                let given = if let Datum::Struct(given) = value { Some(given) } else { None };
                valid.push(given.is_some());
                let mut given = given.unwrap_or_default().into_iter();
                for column in &mut columns {
                    column.push(given.next().unwrap_or_default());
                }
            }
            let rows = valid.len();
            let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
            let columns = columns.into_iter().zip(fields).map(|(values, field)| column(field.data_type(), values));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            match fields.is_empty() {
                true => Arc::new(StructArray::new_empty_fields(rows, nulls)),
                false => Arc::new(StructArray::try_new(fields.clone(), columns, nulls)?),
            }
        }
        other => return Err(Error::bug(format!("no columns of {other} are made of values"))),
    })
}

fn primitive<T: ArrowPrimitiveType>(values: Vec<Datum>, of: fn(i128) -> T::Native) -> PrimitiveArray<T> {
    values.into_iter().map(|value| if let Datum::Whole(value) = value { Some(of(value)) } else { None }).collect()
}

fn whole<T: ArrowPrimitiveType>(values: Vec<Datum>, of: fn(i128) -> T::Native) -> ArrayRef {
    Arc::new(primitive::<T>(values, of))
}

fn real<T: ArrowPrimitiveType>(values: Vec<Datum>, of: fn(f64) -> T::Native) -> ArrayRef {
    let list = values.into_iter().map(|value| if let Datum::Real(value) = value { Some(of(value)) } else { None });
    Arc::new(list.collect::<PrimitiveArray<T>>())
}

fn list(element: &FieldRef, values: Vec<Datum>) -> Result<ArrayRef> {
    let (mut all, mut lengths, mut valid) = (vec![], vec![], vec![]);
    for value in values {
        let given = if let Datum::List(given) = value { Some(given) } else { None };
        valid.push(given.is_some());
        let given = given.unwrap_or_default();
        lengths.push(given.len());
        all.extend(given);
    }
    let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
    let values = column(element.data_type(), all)?;
    Ok(Arc::new(ListArray::try_new(element.clone(), OffsetBuffer::from_lengths(lengths), values, nulls)?))
}

fn map(entries: &FieldRef, sorted: bool, values: Vec<Datum>) -> Result<ArrayRef> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(Error::bug("a map without entries"));
    };
    let (mut keys, mut all, mut lengths, mut valid) = (vec![], vec![], vec![], vec![]);
    for value in values {
        let given = if let Datum::Map(given) = value { Some(given) } else { None };
        valid.push(given.is_some());
        let given = given.unwrap_or_default();
        lengths.push(given.len());
        for (key, value) in given {
            keys.push(key);
            all.push(value);
        }
    }
    let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
    let columns = vec![column(fields[0].data_type(), keys)?, column(fields[1].data_type(), all)?];
    let inner = StructArray::try_new(fields.clone(), columns, None)?;
    Ok(Arc::new(MapArray::try_new(entries.clone(), OffsetBuffer::from_lengths(lengths), inner, nulls, sorted)?))
}
