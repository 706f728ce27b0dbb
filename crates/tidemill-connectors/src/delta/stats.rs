//! What a file says of its rows, so that readers can pass it over: count, nulls, least and greatest
//! values.
//!
//! Source: Delta Transaction Log Protocol, "Per-file Statistics".

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{max, max_string, min, min_string};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, NaiveDate};
use serde_json::{Map, Value, json};

/// Columns that are looked at, the first ones: the protocol's own default.
const COLUMNS_MAX: usize = 32;
const TEXT_CHARS_MAX: usize = 32;
/// Days from 0001-01-01 to 1970-01-01.
const DAYS_BEFORE_EPOCH: i32 = 719_163;

/// Least and greatest value of a column; ordered as the column is.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Bound {
    Integer(i64),
    Number(f64),
    Text(String),
    Day(i32),
    Instant(i64),
}

/// Statistics of a file, as the JSON text of an add action.
pub(crate) fn of(batches: &[RecordBatch]) -> String {
    let records: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    let Some(first) = batches.first() else { return json!({"numRecords": 0}).to_string() };
    for (at, field) in first.schema().fields().iter().enumerate().take(COLUMNS_MAX) {
        if field.data_type().is_nested() {
            continue;
        }
        let columns = || batches.iter().map(|batch| batch.column(at));
        nulls.insert(field.name().clone(), json!(columns().map(|column| column.null_count()).sum::<usize>()));
        // a column with a value that has no order (NaN) has no bounds
        let bounds: Option<Vec<_>> =
            columns().filter(|column| column.null_count() < column.len()).map(bounds).collect();
        let bounds = bounds.unwrap_or_default().into_iter();
        let joined = bounds.reduce(|(low, high), (lower, higher)| {
            (if lower < low { lower } else { low }, if higher > high { higher } else { high })
        });
        if let Some((low, high)) = joined {
            least.extend(low.floor().map(|value| (field.name().clone(), value)));
            greatest.extend(high.ceiling().map(|value| (field.name().clone(), value)));
        }
    }
    json!({"numRecords": records, "minValues": least, "maxValues": greatest, "nullCount": nulls}).to_string()
}

/// Bounds of a column that holds a value; `None` for types without order here.
fn bounds(column: &ArrayRef) -> Option<(Bound, Bound)> {
    match column.data_type() {
        DataType::Int8 => primitive::<Int8Type>(column, |value| Bound::Integer(value.into())),
        DataType::Int16 => primitive::<Int16Type>(column, |value| Bound::Integer(value.into())),
        DataType::Int32 => primitive::<Int32Type>(column, |value| Bound::Integer(value.into())),
        DataType::Int64 => primitive::<Int64Type>(column, Bound::Integer),
        DataType::Float32 => primitive::<Float32Type>(column, |value| Bound::Number(value.into())),
        DataType::Float64 => primitive::<Float64Type>(column, Bound::Number),
        DataType::Date32 => primitive::<Date32Type>(column, Bound::Day),
        DataType::Timestamp(_, Some(_)) => primitive::<TimestampMicrosecondType>(column, Bound::Instant),
        DataType::Utf8 => {
            let text = column.as_string::<i32>();
            Some((Bound::Text(min_string(text)?.to_owned()), Bound::Text(max_string(text)?.to_owned())))
        }
        _ => None,
    }
}

fn primitive<T: ArrowPrimitiveType>(column: &ArrayRef, bound: impl Fn(T::Native) -> Bound) -> Option<(Bound, Bound)>
where
    T::Native: PartialOrd,
{
    let values = column.as_primitive::<T>();
    let (low, high) = (bound(min(values)?), bound(max(values)?));
    let is_number = |bound: &Bound| !matches!(bound, Bound::Number(value) if !value.is_finite());
    (is_number(&low) && is_number(&high)).then_some((low, high))
}

impl Bound {
    /// A value that is at most this one; longer texts and finer times are cut.
    fn floor(self) -> Option<Value> {
        match self {
            Bound::Text(text) => Some(json!(text.chars().take(TEXT_CHARS_MAX).collect::<String>())),
            Bound::Instant(micros) => instant(micros.div_euclid(1_000)),
            other => other.exact(),
        }
    }

    /// A value that is at least this one.
    fn ceiling(self) -> Option<Value> {
        match self {
            Bound::Text(text) if text.chars().count() > TEXT_CHARS_MAX => {
                Some(json!(text.chars().take(TEXT_CHARS_MAX).chain([char::MAX]).collect::<String>()))
            }
            Bound::Instant(micros) => instant(micros.div_euclid(1_000) + i64::from(micros.rem_euclid(1_000) > 0)),
            other => other.exact(),
        }
    }

    fn exact(self) -> Option<Value> {
        match self {
            Bound::Integer(value) => Some(json!(value)),
            Bound::Number(value) => Some(json!(value)),
            Bound::Text(text) => Some(json!(text)),
            Bound::Day(days) => {
                let day = NaiveDate::from_num_days_from_ce_opt(days.checked_add(DAYS_BEFORE_EPOCH)?)?;
                Some(json!(day.format("%Y-%m-%d").to_string()))
            }
            Bound::Instant(_) => None,
        }
    }
}

fn instant(millis: i64) -> Option<Value> {
    let time = DateTime::from_timestamp_millis(millis)?;
    Some(json!(time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use std::sync::Arc;

    #[test]
    fn bounds_hold_for_all_rows_of_all_batches() {
        let batch = |id: Vec<Option<i64>>, name: &str, at: i64, score: f64| {
            let rows = id.len();
            RecordBatch::try_from_iter([
                ("id", Arc::new(Int64Array::from(id)) as ArrayRef),
                ("name", Arc::new(StringArray::from(vec![name; rows]))),
                ("at", Arc::new(TimestampMicrosecondArray::from(vec![at; rows]).with_timezone("UTC"))),
                ("day", Arc::new(Date32Array::from(vec![0; rows]))),
                ("score", Arc::new(Float64Array::from(vec![score; rows]))),
            ])
            .unwrap()
        };
        let long = "z".repeat(40);
        let batches = [batch(vec![Some(5), None], &long, 1_500, 1.0), batch(vec![Some(-2)], "a", 2_000, f64::NAN)];
        let stats: Value = serde_json::from_str(&of(&batches)).unwrap();
        assert_eq!(stats["numRecords"], 3);
        assert_eq!(stats["nullCount"], json!({"id": 1, "name": 0, "at": 0, "day": 0, "score": 0}));
        let at = |time: &str| format!("1970-01-01T00:00:00.{time}Z");
        assert_eq!(stats["minValues"], json!({"id": -2, "name": "a", "at": at("001"), "day": "1970-01-01"}));
        let cut = format!("{}{}", "z".repeat(32), char::MAX);
        assert_eq!(stats["maxValues"], json!({"id": 5, "name": cut, "at": at("002"), "day": "1970-01-01"}));
    }
}
