//! Times as Debezium writes them in JSON: days or text for dates, numbers of a unit or text for timestamps.

use crate::format::text::time;
use arrow::array::{Array, ArrayRef, AsArray, Date32Array, TimestampMicrosecondArray};
use arrow::datatypes::DataType;
use std::sync::Arc;

/// What a number in a timestamp counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    /// Nobody said it.
    Unknown,
}

/// The text of times as times; of those that are none, the rows.
pub(super) fn times(text: &ArrayRef, wanted: &DataType, unit: Unit) -> (ArrayRef, Vec<usize>) {
    let Some(values) = text.as_string_opt::<i32>() else { return (text.clone(), Vec::new()) };
    let mut bad = Vec::new();
    let mut note = |row: usize, is_some: bool| {
        if values.is_valid(row) && !is_some {
            bad.push(row);
        }
    };
    let texts = values.iter().map(|text| text.map(str::as_bytes)).enumerate();
    let array: ArrayRef = match wanted {
        DataType::Date32 => Arc::new(Date32Array::from_iter(texts.map(|(row, text)| {
            let days =
                text.and_then(|text| number(text).map_or_else(|| time::parse_date(text), |days| days.try_into().ok()));
            note(row, days.is_some());
            days
        }))),
        DataType::Timestamp(_, zone) => {
            let micros = texts.map(|(row, text)| {
                let micros = text.and_then(|text| instant(text, unit, zone.is_some()));
                note(row, micros.is_some());
                micros
            });
            let micros: TimestampMicrosecondArray = micros.collect();
            Arc::new(micros.with_data_type(wanted.clone()))
        }
        _ => text.clone(),
    };
    (array, bad)
}

/// Microseconds of a number of the unit, or of ISO text.
fn instant(text: &[u8], unit: Unit, with_zone: bool) -> Option<i64> {
    match (number(text), unit) {
        (Some(count), Unit::Micros) => Some(count),
        (Some(count), Unit::Millis) => count.checked_mul(1000),
        (Some(_), Unit::Unknown) => None,
        (None, _) => match (time::parse(text)?, with_zone) {
            (written, true) => written.instant(),
            (written, false) => written.offset.is_none().then_some(written.wall),
        },
    }
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
