//! Which type two types meet in, by Spark's ANSI rules.
//! Source: Spark SQL reference, "ANSI Compliance", type promotion and least common type.

use super::typed::Typed;
use arrow::datatypes::{DataType, Field, Fields};
use std::sync::Arc;
use tidemill_core::types;

/// True for numbers.
pub fn is_numeric(of: &DataType) -> bool {
    is_integer(of) || matches!(of, DataType::Float32 | DataType::Float64 | DataType::Decimal128(..))
}

/// True for whole numbers.
pub fn is_integer(of: &DataType) -> bool {
    matches!(of, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
}

/// True for float and double.
pub fn is_float(of: &DataType) -> bool {
    matches!(of, DataType::Float32 | DataType::Float64)
}

/// True for timestamps of both kinds and dates.
pub fn is_datetime(of: &DataType) -> bool {
    matches!(of, DataType::Timestamp(..) | DataType::Date32)
}

/// The decimal type that holds every value of a whole-number type.
pub fn decimal_of_integer(of: &DataType) -> Option<(u8, i8)> {
    Some(match of {
        DataType::Int8 => (3, 0),
        DataType::Int16 => (5, 0),
        DataType::Int32 => (10, 0),
        DataType::Int64 => (20, 0),
        DataType::Decimal128(precision, scale) => (*precision, *scale),
        _ => return None,
    })
}

fn integer_rank(of: &DataType) -> u8 {
    match of {
        DataType::Int8 => 0,
        DataType::Int16 => 1,
        DataType::Int32 => 2,
        _ => 3,
    }
}

/// The type both numbers widen to; float with int, bigint or decimal is double, to keep digits.
pub fn common_numeric(left: &DataType, right: &DataType) -> Option<DataType> {
    if !is_numeric(left) || !is_numeric(right) {
        return None;
    }
    if left == right {
        return Some(left.clone());
    }
    if is_integer(left) && is_integer(right) {
        return Some(if integer_rank(left) >= integer_rank(right) { left.clone() } else { right.clone() });
    }
    if is_float(left) || is_float(right) {
        let small = |of: &DataType| matches!(of, DataType::Float32 | DataType::Int8 | DataType::Int16);
        return Some(if small(left) && small(right) { DataType::Float32 } else { DataType::Float64 });
    }
    let ((left_precision, left_scale), (right_precision, right_scale)) =
        (decimal_of_integer(left)?, decimal_of_integer(right)?);
    let scale = left_scale.max(right_scale);
    let whole = (left_precision as i8 - left_scale).max(right_precision as i8 - right_scale);
    Some(bounded_decimal(whole as i16 + scale as i16, scale as i16))
}

/// A decimal type cut to 38 digits, whole digits first, as Spark's `DecimalType.bounded`.
fn bounded_decimal(precision: i16, scale: i16) -> DataType {
    DataType::Decimal128(precision.min(38) as u8, scale.min(38) as i8)
}

/// The least common type, for CASE, COALESCE, IN, UNION, comparisons and arrays. `None` if there is none.
pub fn common(left: &DataType, right: &DataType) -> Option<DataType> {
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (DataType::Utf8, other) | (other, DataType::Utf8) => common_with_text(other),
        (DataType::Date32, DataType::Timestamp(_, zone)) | (DataType::Timestamp(_, zone), DataType::Date32) => {
            Some(if zone.is_some() { types::timestamp() } else { types::timestamp_ntz() })
        }
        (DataType::Timestamp(..), DataType::Timestamp(..)) => Some(types::timestamp()),
        (DataType::List(left), DataType::List(right)) => {
            Some(types::array_of(common(left.data_type(), right.data_type())?))
        }
        (DataType::Struct(left), DataType::Struct(right)) if left.len() == right.len() => {
            let fields = left.iter().zip(right).map(|(left, right)| {
                Some(Arc::new(Field::new(left.name(), common(left.data_type(), right.data_type())?, true)))
            });
            Some(DataType::Struct(fields.collect::<Option<Vec<_>>>()?.into()))
        }
        (DataType::Map(left, _), DataType::Map(right, _)) => {
            let ((left_key, left_value), (right_key, right_value)) = (entry_types(left)?, entry_types(right)?);
            Some(types::map_of(common(&left_key, &right_key)?, common(&left_value, &right_value)?))
        }
        _ => common_numeric(left, right),
    }
}

/// [`common`] for the elements of arrays and maps: text meets nothing but text.
pub fn common_strict(left: &DataType, right: &DataType) -> Option<DataType> {
    match (left, right) {
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (DataType::Utf8, other) | (other, DataType::Utf8) => (*other == DataType::Utf8).then_some(DataType::Utf8),
        (DataType::List(left), DataType::List(right)) => {
            Some(types::array_of(common_strict(left.data_type(), right.data_type())?))
        }
        (DataType::Struct(left), DataType::Struct(right)) if left.len() == right.len() => {
            let fields = left.iter().zip(right).map(|(left, right)| {
                let common = common_strict(left.data_type(), right.data_type())?;
                Some(Arc::new(Field::new(left.name(), common, true)))
            });
            Some(DataType::Struct(fields.collect::<Option<Vec<_>>>()?.into()))
        }
        (DataType::Map(left, _), DataType::Map(right, _)) => {
            let ((left_key, left_value), (right_key, right_value)) = (entry_types(left)?, entry_types(right)?);
            Some(types::map_of(common_strict(&left_key, &right_key)?, common_strict(&left_value, &right_value)?))
        }
        _ => common(left, right),
    }
}

/// The key and value types of a map's entries field.
pub fn entry_types(entries: &Field) -> Option<(DataType, DataType)> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => {
            Some((fields[0].data_type().clone(), fields[1].data_type().clone()))
        }
        _ => None,
    }
}

/// Under ANSI rules text meets a number in bigint or double, and anything else in that type itself.
fn common_with_text(other: &DataType) -> Option<DataType> {
    match other {
        of if is_integer(of) => Some(DataType::Int64),
        of if is_numeric(of) => Some(DataType::Float64),
        DataType::Boolean | DataType::Binary => Some(other.clone()),
        of if is_datetime(of) => Some(other.clone()),
        _ => None,
    }
}

/// The least common type of several; `None` when two have none.
pub fn common_of<'a>(of: impl IntoIterator<Item = &'a DataType>) -> Option<DataType> {
    let mut of = of.into_iter();
    let first = of.next().cloned().unwrap_or(DataType::Null);
    of.try_fold(first, |left, right| common(&left, right))
}

/// The decimal type a whole-number literal has when it meets a decimal: as many digits as it shows.
pub fn literal_decimal(typed: &Typed) -> Option<(u8, i8)> {
    let digits = match typed.as_literal()? {
        datafusion::common::ScalarValue::Int8(Some(value)) => value.unsigned_abs().to_string(),
        datafusion::common::ScalarValue::Int16(Some(value)) => value.unsigned_abs().to_string(),
        datafusion::common::ScalarValue::Int32(Some(value)) => value.unsigned_abs().to_string(),
        datafusion::common::ScalarValue::Int64(Some(value)) => value.unsigned_abs().to_string(),
        _ => return None,
    };
    Some((digits.len() as u8, 0))
}

/// Types that can be compared for equality and grouped by: all but maps, at any depth.
pub fn is_groupable(of: &DataType) -> bool {
    match of {
        DataType::Map(..) => false,
        DataType::List(field) => is_groupable(field.data_type()),
        DataType::Struct(fields) => all_groupable(fields),
        _ => true,
    }
}

fn all_groupable(fields: &Fields) -> bool {
    fields.iter().all(|field| is_groupable(field.data_type()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_common_types_follow_spark() {
        for (left, right, expected) in [
            ("int", "bigint", Some("bigint")),
            ("int", "float", Some("double")),
            ("smallint", "float", Some("float")),
            ("int", "decimal(5,2)", Some("decimal(12,2)")),
            ("decimal(10,2)", "double", Some("double")),
            ("string", "int", Some("bigint")),
            ("string", "decimal(5,2)", Some("double")),
            ("string", "date", Some("date")),
            ("date", "timestamp", Some("timestamp")),
            ("timestamp_ntz", "timestamp", Some("timestamp")),
            ("void", "array<int>", Some("array<int>")),
            ("array<int>", "array<double>", Some("array<double>")),
            ("struct<a:int>", "struct<b:bigint>", Some("struct<a:bigint>")),
            ("int", "timestamp", None),
            ("boolean", "int", None),
        ] {
            let of = |text| types::parse_type(text).unwrap();
            assert_eq!(
                common(&of(left), &of(right)).map(|found| types::name(&found)).as_deref(),
                expected,
                "{left} {right}"
            );
        }
    }
}
