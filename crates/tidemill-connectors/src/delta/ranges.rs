//! Whether a file can hold given keys, by the least and greatest values that its add action names. In
//! doubt it can.

use super::stats;
use super::table::Layout;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use chrono::DateTime;
use deltalake::kernel::Add;
use serde_json::Value;
use std::cmp::Ordering;

/// Least and greatest of some keys.
pub(crate) struct Range {
    columns: Vec<(String, DataType)>,
    bounds: Value,
}

impl Range {
    /// The range of the keys in `columns` of these rows.
    pub(crate) fn of(columns: &[String], layout: &Layout, rows: &RecordBatch) -> Range {
        let kind = |name: &String| Some((name.clone(), layout.schema.field_with_name(name).ok()?.data_type().clone()));
        let bounds = serde_json::from_str(&stats::of(std::slice::from_ref(rows))).unwrap_or(Value::Null);
        Range { columns: columns.iter().filter_map(kind).collect(), bounds }
    }

    /// False when the file holds none of the keys for sure.
    pub(crate) fn may_be_in(&self, add: &Add) -> bool {
        let stats: Option<Value> = add.stats.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let Some(stats) = stats else { return true };
        !self.columns.iter().any(|(name, of)| {
            // a null is in no range
            let has_nulls = self.bounds["nullCount"][name].as_u64() != Some(0);
            let bound = |from: &Value, which: &str| from[which][name].clone();
            !has_nulls
                && (is_below(&bound(&stats, "maxValues"), &bound(&self.bounds, "minValues"), of)
                    || is_below(&bound(&self.bounds, "maxValues"), &bound(&stats, "minValues"), of))
        })
    }
}

/// True when `left` is less than `right` for sure, as values of this type.
fn is_below(left: &Value, right: &Value, of: &DataType) -> bool {
    let order = match of {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            left.as_i64().zip(right.as_i64()).map(|(left, right)| left.cmp(&right))
        }
        DataType::Utf8 => left.as_str().zip(right.as_str()).map(|(left, right)| left.cmp(right)),
        DataType::Date32 => {
            let day = |value: &'_ Value| value.as_str().filter(|text| text.len() == 10).map(str::to_owned);
            day(left).zip(day(right)).map(|(left, right)| left.cmp(&right))
        }
        DataType::Timestamp(..) => {
            let millis =
                |value: &Value| DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|at| at.timestamp_millis());
            // writers cut greatest values off at the millisecond
            millis(left).zip(millis(right)).map(|(left, right)| (left + 1).cmp(&right))
        }
        _ => None,
    };
    order == Some(Ordering::Less)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_certain_counts() {
        assert!(is_below(&json!(9), &json!(10), &DataType::Int64));
        assert!(!is_below(&json!(10), &json!(10), &DataType::Int64));
        assert!(!is_below(&Value::Null, &json!(10), &DataType::Int64));
        assert!(is_below(&json!("10"), &json!("9"), &DataType::Utf8));
        assert!(is_below(&json!("2024-01-31"), &json!("2024-02-01"), &DataType::Date32));
        let instant = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
        let at = |text: &str| json!(format!("2024-01-31T10:00:{text}"));
        assert!(is_below(&at("00.000Z"), &at("00.002Z"), &instant));
        assert!(!is_below(&at("00.000Z"), &at("00.001Z"), &instant), "it may have been cut off");
        assert!(!is_below(&json!("yesterday"), &at("00.002Z"), &instant));
    }
}
