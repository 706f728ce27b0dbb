//! `CAST` and `try_cast` by Spark's rules: ANSI (errors), legacy (NULL or wrap), or try (NULL).
//! Source: Spark SQL reference, "ANSI Compliance", cast; observed in the golden cases `cast_*`.

mod numbers;
pub mod printing;
mod temporal;

pub use numbers::decimal_of;

use super::native::Native;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, StringArray, StructArray, new_null_array};
use arrow::compute;
use arrow::datatypes::DataType;
use chrono_tz::Tz;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, types};

/// What happens to a value that cannot be cast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The query fails.
    Ansi,
    /// NULL, or for numbers the wrapped value.
    Legacy,
    /// NULL.
    Try,
}

/// A typed cast.
///
/// # Errors
/// The two types between which no cast exists.
pub fn cast(typed: Typed, to: &DataType, mode: Mode, zone: Tz) -> Result<Typed, (DataType, DataType)> {
    let from = typed.data_type.clone();
    let word = if mode == Mode::Try { "TRY_CAST" } else { "CAST" };
    let name = match to {
        // Spark does not show casts to these
        DataType::List(_) | DataType::Map(..) | DataType::Struct(_) => typed.name.clone(),
        _ => format!("{word}({} AS {})", typed.name, types::name(to).to_uppercase()),
    };
    if from == *to {
        return Ok(typed.named(name));
    }
    if !castable(&from, to) {
        return Err((from, to.clone()));
    }
    if let (DataType::Duration(_) | DataType::Interval(_), DataType::Utf8) = (&from, to)
        && let Some(text) = interval_text(&typed)
    {
        return Ok(text.named(name));
    }
    if widens(&from, to) {
        return Ok(typed.widened(to).named(name));
    }
    let wanted = to.clone();
    let expr = Native::call(
        "cast",
        format!("{from} {to} {mode:?} {zone}"),
        to.clone(),
        vec![typed.expr],
        move |arguments, _| cast_array(&arguments[0], &wanted, mode, zone),
    );
    Ok(Typed::new(expr, to.clone(), name))
}

/// An interval as text where the units it has are known: a literal shows those it was written with, two dates
/// are apart by days.
fn interval_text(typed: &Typed) -> Option<Typed> {
    use datafusion::common::ScalarValue;
    if typed.as_literal().is_some() && typed.name.starts_with("INTERVAL") {
        return Some(Typed::literal(ScalarValue::Utf8(Some(typed.name.clone())), ""));
    }
    let datafusion::logical_expr::Expr::ScalarFunction(call) = &typed.expr else { return None };
    (call.func.name() == "subtract_dates").then(|| {
        let arguments = vec![typed.expr.clone()];
        let expr = Native::call("days_text", "", DataType::Utf8, arguments, |arguments, _| {
            let micros = arguments[0].as_primitive::<arrow::datatypes::DurationMicrosecondType>();
            let texts =
                micros.iter().map(|micros| micros.map(|micros| crate::time::interval::micros_text(micros, 0, 0)));
            Ok(Arc::new(texts.collect::<StringArray>()) as ArrayRef)
        });
        Typed::new(expr, DataType::Utf8, "")
    })
}

/// Casts the columnar library does with no loss and no error.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Float32, Float64, Int8, Int16, Int32, Int64, Null};
    matches!(
        (from, to),
        (Null, _)
            | (Int8, Int16 | Int32 | Int64 | Float32 | Float64)
            | (Int16, Int32 | Int64 | Float32 | Float64)
            | (Int32, Int64 | Float32 | Float64)
            | (Int64, Float32 | Float64)
            | (Float32, Float64)
    )
}

fn castable(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, Boolean, Date32, Decimal128, Duration, Float32, Float64, Int8, Int16, Int32, Int64};
    use DataType::{Interval, List, Map, Null, Struct, Timestamp, Utf8};
    let number = |of: &DataType| matches!(of, Int8 | Int16 | Int32 | Int64 | Float32 | Float64 | Decimal128(..));
    match (from, to) {
        (Null, _) => true,
        (Duration(_) | Interval(_), Utf8) => true,
        (Duration(_) | Interval(_), _) | (_, Duration(_) | Interval(_)) => false,
        (_, Utf8) => true,
        (Utf8, Boolean | Binary | Date32 | Timestamp(..)) => true,
        (Utf8 | Boolean, to) if number(to) => true,
        (from, Boolean) if number(from) => true,
        (from, to) if number(from) && number(to) => true,
        (Date32, Timestamp(..)) | (Timestamp(..), Date32 | Timestamp(..)) => true,
        (Timestamp(_, Some(_)), to) if number(to) => true,
        (from, Timestamp(_, Some(_))) if number(from) => true,
        (List(from), List(to)) => castable(from.data_type(), to.data_type()) || from.data_type() == to.data_type(),
        (Struct(from), Struct(to)) => {
            from.len() == to.len()
                && from
                    .iter()
                    .zip(to)
                    .all(|(from, to)| from.data_type() == to.data_type() || castable(from.data_type(), to.data_type()))
        }
        (Map(from, _), Map(to, _)) => castable(from.data_type(), to.data_type()),
        _ => false,
    }
}

/// Casts a whole array.
///
/// # Errors
/// In mode ANSI, the first value that does not fit, with Spark's class.
pub fn cast_array(array: &ArrayRef, to: &DataType, mode: Mode, zone: Tz) -> Result<ArrayRef> {
    let from = array.data_type();
    if from == to {
        return Ok(array.clone());
    }
    match (from, to) {
        (DataType::Null, _) => Ok(new_null_array(to, array.len())),
        (_, DataType::Utf8) => Ok(Arc::new(printing::print_array(array, zone)?)),
        (DataType::Utf8, DataType::Binary) | (DataType::Boolean, _) => Ok(compute::cast(array, to)?),
        (DataType::Utf8, DataType::Boolean) => text_to_boolean(array.as_string::<i32>(), mode),
        (DataType::Utf8, DataType::Date32 | DataType::Timestamp(..)) => {
            temporal::from_text(array.as_string::<i32>(), to, mode, zone)
        }
        (DataType::Utf8, _) => numbers::from_text(array.as_string::<i32>(), to, mode),
        (DataType::Date32 | DataType::Timestamp(..), _) | (_, DataType::Timestamp(..)) => {
            temporal::cast(array, to, mode, zone)
        }
        (DataType::List(_), DataType::List(element)) => {
            let list = array.as_list::<i32>();
            let values = cast_array(list.values(), element.data_type(), mode, zone)?;
            Ok(Arc::new(ListArray::try_new(element.clone(), list.offsets().clone(), values, list.nulls().cloned())?))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let structs = array.as_struct();
            let columns = structs
                .columns()
                .iter()
                .zip(fields)
                .map(|(column, field)| cast_array(column, field.data_type(), mode, zone))
                .collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, structs.nulls().cloned())?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let cast = cast_array(&(Arc::new(map.entries().clone()) as ArrayRef), entries.data_type(), mode, zone)?;
            let cast = cast.as_struct().clone();
            let offsets = map.offsets().clone();
            Ok(Arc::new(arrow::array::MapArray::try_new(
                entries.clone(),
                offsets,
                cast,
                map.nulls().cloned(),
                *sorted,
            )?))
        }
        _ => numbers::cast(array, to, mode),
    }
}

/// The error for text that is no value of a type.
pub fn invalid_input(value: &str, from: &str, to: &DataType) -> Error {
    let shown: String = value.chars().take(100).collect();
    let to = types::name(to).to_uppercase();
    Error::new(Kind::Data, format!("the value '{shown}' of type {from} cannot be cast to {to}: it is malformed"))
        .class("CAST_INVALID_INPUT")
        .help("use try_cast to get NULL instead")
}

/// The error for a number that does not fit a type.
pub fn overflow(value: impl std::fmt::Display, from: &DataType, to: &DataType) -> Error {
    let (from, to) = (types::name(from).to_uppercase(), types::name(to).to_uppercase());
    Error::new(Kind::Data, format!("the value {value} of type {from} cannot be cast to {to}: it overflows"))
        .class("CAST_OVERFLOW")
        .help("use try_cast to get NULL instead")
}

fn text_to_boolean(text: &StringArray, mode: Mode) -> Result<ArrayRef> {
    let parsed = text.iter().map(|value| {
        let Some(value) = value else { return Ok(None) };
        match value.trim().to_ascii_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "1" => Ok(Some(true)),
            "f" | "false" | "n" | "no" | "0" => Ok(Some(false)),
            _ if mode == Mode::Ansi => Err(invalid_input(value, "STRING", &DataType::Boolean)),
            _ => Ok(None),
        }
    });
    Ok(Arc::new(parsed.collect::<Result<BooleanArray>>()?))
}
