//! Dates and timestamps to and from text and numbers.

use super::{Mode, invalid_input};
use crate::time::{DAY, SECOND, text, zone};
use arrow::array::{Array, ArrayRef, AsArray, Date32Array, PrimitiveArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use chrono_tz::Tz;
use std::sync::Arc;
use tidemill_core::{Error, Result};

/// Text to a date or timestamp.
pub fn from_text(values: &StringArray, to: &DataType, mode: Mode, session: Tz) -> Result<ArrayRef> {
    let parse = |parse: &dyn Fn(&str) -> Option<i64>| -> Result<Vec<Option<i64>>> {
        let parsed = values.iter().map(|value| {
            let Some(value) = value else { return Ok(None) };
            match parse(value) {
                None if mode == Mode::Ansi => Err(invalid_input(value, "STRING", to)),
                found => Ok(found),
            }
        });
        parsed.collect()
    };
    match to {
        DataType::Date32 => {
            let days = parse(&|value| text::parse_date(value).map(i64::from))?;
            Ok(Arc::new(days.into_iter().map(|day| day.map(|day| day as i32)).collect::<Date32Array>()))
        }
        DataType::Timestamp(_, Some(_)) => Ok(instants(parse(&|value| text::parse_timestamp(value, session))?)),
        _ => Ok(Arc::new(TimestampMicrosecondArray::from(parse(&text::parse_timestamp_ntz)?))),
    }
}

fn instants(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
}

/// Between dates, timestamps and numbers.
pub fn cast(array: &ArrayRef, to: &DataType, mode: Mode, session: Tz) -> Result<ArrayRef> {
    let has_zone = |of: &DataType| matches!(of, DataType::Timestamp(_, Some(_)));
    match (array.data_type(), to) {
        (DataType::Date32, DataType::Timestamp(..)) => {
            let dates = array.as_primitive::<Date32Type>();
            let midnight = |day: i32| {
                let wall = i64::from(day) * DAY;
                if has_zone(to) { zone::from_wall_clock(wall, session) } else { wall }
            };
            let values = dates.iter().map(|day| day.map(midnight)).collect::<Vec<_>>();
            Ok(if has_zone(to) { instants(values) } else { Arc::new(TimestampMicrosecondArray::from(values)) })
        }
        (from @ DataType::Timestamp(..), DataType::Date32) => {
            let with_zone = has_zone(from);
            let day = |micros: i64| {
                let wall = if with_zone { zone::to_wall_clock(micros, session) } else { micros };
                wall.div_euclid(DAY) as i32
            };
            let micros = array.as_primitive::<TimestampMicrosecondType>();
            Ok(Arc::new(micros.iter().map(|value| value.map(day)).collect::<Date32Array>()))
        }
        (from @ DataType::Timestamp(..), DataType::Timestamp(..)) => {
            let from_zone = has_zone(from);
            let micros = array.as_primitive::<TimestampMicrosecondType>();
            let change = |value: i64| match from_zone {
                true => zone::to_wall_clock(value, session),
                false => zone::from_wall_clock(value, session),
            };
            let values = micros.iter().map(|value| value.map(change)).collect::<Vec<_>>();
            Ok(if from_zone { Arc::new(TimestampMicrosecondArray::from(values)) } else { instants(values) })
        }
        (DataType::Timestamp(..), DataType::Float32 | DataType::Float64 | DataType::Decimal128(..)) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>();
            let seconds = micros.iter().map(|value| value.map(|value| value as f64 / SECOND as f64));
            super::numbers::cast(&(Arc::new(seconds.collect::<PrimitiveArray<Float64Type>>()) as ArrayRef), to, mode)
        }
        (DataType::Timestamp(..), _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>();
            let seconds = micros.iter().map(|value| value.map(|value| value.div_euclid(SECOND)));
            let seconds: ArrayRef = Arc::new(seconds.collect::<PrimitiveArray<Int64Type>>());
            super::numbers::cast(&seconds, to, mode)
        }
        (from, DataType::Timestamp(..)) => from_number(array, &from.clone(), mode),
        (from, to) => Err(Error::bug(format!("no cast from {from} to {to}"))),
    }
}

/// A number is seconds since 1970-01-01T00:00:00Z.
fn from_number(array: &ArrayRef, from: &DataType, mode: Mode) -> Result<ArrayRef> {
    let whole = matches!(from, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64);
    if whole {
        let seconds = super::numbers::cast(array, &DataType::Int64, mode).or_else(|_| Ok::<_, Error>(array.clone()))?;
        let seconds = seconds.as_primitive::<Int64Type>();
        return Ok(instants(seconds.iter().map(|value| value.map(|value| value.saturating_mul(SECOND))).collect()));
    }
    let seconds = super::numbers::cast(array, &DataType::Float64, mode)?;
    let seconds = seconds.as_primitive::<Float64Type>();
    let micros = |value: f64| value.is_finite().then_some((value * SECOND as f64) as i64);
    Ok(instants(seconds.iter().map(|value| value.and_then(micros)).collect()))
}
