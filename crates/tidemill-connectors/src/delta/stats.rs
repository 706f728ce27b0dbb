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

/// Gathers the statistics of a file batch by batch.
#[derive(Default)]
pub(crate) struct Statistics {
    records: usize,
    columns: Vec<Column>,
}

struct Column {
    name: String,
    nulls: usize,
    bounds: Bounds,
}

enum Bounds {
    /// No value was seen.
    None,
    Between(Bound, Bound),
    /// A value that has no order (NaN) was seen, or the type has none here.
    Unordered,
}

impl Statistics {
    /// Takes in rows of the file; all batches have the same columns.
    pub(crate) fn add(&mut self, rows: &RecordBatch) {
        if self.columns.is_empty() {
            let fields = rows.schema_ref().fields().iter().take(COLUMNS_MAX);
            let column = |name: &str| Column { name: name.to_owned(), nulls: 0, bounds: Bounds::None };
            self.columns = fields.map(|field| column(field.name())).collect();
        }
        self.records += rows.num_rows();
        for (column, values) in self.columns.iter_mut().zip(rows.columns()) {
            column.nulls += values.null_count();
            if values.null_count() < values.len() && !values.data_type().is_nested() {
                column.bounds.widen(bounds(values));
            }
        }
    }

    /// The JSON text of an add action. Columns whose type `is_nested` are passed over.
    pub(crate) fn finish(self, is_nested: impl Fn(&str) -> bool) -> String {
        let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
        for column in self.columns.into_iter().filter(|column| !is_nested(&column.name)) {
            nulls.insert(column.name.clone(), json!(column.nulls));
            if let Bounds::Between(low, high) = column.bounds {
                least.extend(low.floor().map(|value| (column.name.clone(), value)));
                greatest.extend(high.ceiling().map(|value| (column.name, value)));
            }
        }
        json!({"numRecords": self.records, "minValues": least, "maxValues": greatest, "nullCount": nulls}).to_string()
    }
}

impl Bounds {
    fn widen(&mut self, more: Option<(Bound, Bound)>) {
        let before = std::mem::replace(self, Bounds::Unordered);
        *self = match (before, more) {
            (Bounds::Unordered, _) | (_, None) => Bounds::Unordered,
            (Bounds::None, Some((low, high))) => Bounds::Between(low, high),
            (Bounds::Between(low, high), Some((lower, higher))) => {
                Bounds::Between(if lower < low { lower } else { low }, if higher > high { higher } else { high })
            }
        };
    }
}

/// Statistics of these rows, as the JSON text of an add action.
pub(crate) fn of(batches: &[RecordBatch]) -> String {
    let mut statistics = Statistics::default();
    batches.iter().for_each(|batch| statistics.add(batch));
    let schema = batches.first().map(RecordBatch::schema);
    statistics.finish(|name| {
        let field = schema.as_ref().and_then(|schema| schema.field_with_name(name).ok());
        field.is_some_and(|field| field.data_type().is_nested())
    })
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
