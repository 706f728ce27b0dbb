//! Timestamps as numbers since 1970-01-01T00:00:00Z, both ways.

use super::text::{Patterns, pattern_argument, to_timestamp};
use super::{overflow, text_at};
use crate::function::native::Native;
use crate::function::{CallContext, Entry, as_timestamp, implicit_cast};
use crate::pipeline::analysis::coerce;
use crate::pipeline::analysis::typed::Typed;
use crate::time::SECOND;
use crate::time::pattern::Pattern;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["unix_seconds"], arguments: (1, 1), build: |context, given| unix(context, given, SECOND) },
    Entry { names: &["unix_millis"], arguments: (1, 1), build: |context, given| unix(context, given, 1000) },
    Entry { names: &["unix_micros"], arguments: (1, 1), build: |context, given| unix(context, given, 1) },
    Entry { names: &["timestamp_seconds"], arguments: (1, 1), build: timestamp_seconds },
    Entry { names: &["timestamp_millis"], arguments: (1, 1), build: |context, given| instant(context, given, 1000) },
    Entry { names: &["timestamp_micros"], arguments: (1, 1), build: |context, given| instant(context, given, 1) },
    Entry { names: &["unix_timestamp", "to_unix_timestamp"], arguments: (0, 2), build: unix_timestamp },
    Entry { names: &["from_unixtime"], arguments: (1, 2), build: from_unixtime },
];

const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

fn default_pattern() -> Typed {
    Typed::literal(ScalarValue::from(DEFAULT_PATTERN), DEFAULT_PATTERN)
}

fn unix(context: &CallContext<'_>, mut arguments: Vec<Typed>, unit: i64) -> Result<Typed> {
    let value = as_timestamp(arguments.remove(0), context)?;
    let expr = Native::call("unix", unit.to_string(), DataType::Int64, vec![value.expr], move |arguments, _| {
        let values = arguments[0].as_primitive::<TimestampMicrosecondType>();
        Ok(Arc::new(values.unary::<_, Int64Type>(|value| value.div_euclid(unit))) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int64, ""))
}

fn instant(context: &CallContext<'_>, mut arguments: Vec<Typed>, unit: i64) -> Result<Typed> {
    let value = arguments.remove(0);
    if !coerce::is_integer(&value.data_type) && !matches!(value.data_type, DataType::Null | DataType::Utf8) {
        return Err(context.wrong_type("BIGINT", &value.data_type));
    }
    let value = implicit_cast(value, &DataType::Int64, context)?;
    let expr = Native::call("instant", unit.to_string(), types::timestamp(), vec![value.expr], move |arguments, _| {
        let values = arguments[0].as_primitive::<Int64Type>();
        let micros = values
            .try_unary::<_, TimestampMicrosecondType, Error>(|value| value.checked_mul(unit).ok_or_else(overflow))?;
        Ok(Arc::new(micros.with_timezone("UTC")) as ArrayRef)
    });
    Ok(Typed::new(expr, types::timestamp(), ""))
}

/// Seconds, with a fraction or without; NaN and infinities are NULL.
fn timestamp_seconds(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let Some(value) = arguments.first() else { return Err(Error::bug("an argument was counted")) };
    match value.data_type.clone() {
        DataType::Float32 | DataType::Float64 => {
            let value = value.clone().widened(&DataType::Float64);
            let expr = Native::call("seconds_double", "", types::timestamp(), vec![value.expr], |arguments, _| {
                let values = arguments[0].as_primitive::<Float64Type>();
                let micros = values.unary_opt::<_, TimestampMicrosecondType>(|value| {
                    value.is_finite().then_some((value * SECOND as f64) as i64)
                });
                Ok(Arc::new(micros.with_timezone("UTC")) as ArrayRef)
            });
            Ok(Typed::new(expr, types::timestamp(), ""))
        }
        DataType::Decimal128(_, scale) => {
            let arguments = vec![value.expr.clone()];
            let parameters = scale.to_string();
            let expr =
                Native::call("seconds_decimal", parameters, types::timestamp(), arguments, move |arguments, _| {
                    let values = arguments[0].as_primitive::<Decimal128Type>();
                    let micros = values.iter().map(|value| value.map(|value| exact_micros(value, scale)).transpose());
                    let micros = micros.collect::<Result<TimestampMicrosecondArray>>()?;
                    Ok(Arc::new(micros.with_timezone("UTC")) as ArrayRef)
                });
            Ok(Typed::new(expr, types::timestamp(), ""))
        }
        _ => instant(context, arguments, SECOND),
    }
}

fn exact_micros(value: i128, scale: i8) -> Result<i64> {
    let inexact = || Error::new(Kind::Data, "a decimal has more digits than microseconds hold");
    let exponent = i32::from(scale) - 6;
    let power = 10i128.checked_pow(exponent.unsigned_abs()).ok_or_else(overflow)?;
    let micros = match exponent {
        exponent if exponent <= 0 => value.checked_mul(power).ok_or_else(overflow)?,
        _ if value % power == 0 => value / power,
        _ => return Err(inexact()),
    };
    i64::try_from(micros).map_err(|_| overflow())
}

/// Whole seconds of a timestamp, or of text by a pattern; cut toward zero.
fn unix_timestamp(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    if arguments.is_empty() {
        let now = super::now(&CallContext { name: "current_timestamp", ..*context }, vec![])?;
        arguments.push(now.named("current_timestamp()"));
    }
    if arguments.len() == 1 {
        arguments.push(default_pattern());
    }
    let shown = format!("{}({}, {})", context.name, arguments[0].name, arguments[1].name);
    let value = to_timestamp(context, arguments, true, false)?;
    let expr = Native::call("unix_timestamp", "", DataType::Int64, vec![value.expr], |arguments, _| {
        let values = arguments[0].as_primitive::<TimestampMicrosecondType>();
        let seconds: Int64Array = values.unary(|value| value / SECOND);
        Ok(Arc::new(seconds) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int64, shown))
}

/// Seconds as text in the session's zone.
fn from_unixtime(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let format = if arguments.len() == 2 { arguments.remove(1) } else { default_pattern() };
    let shown = format!("from_unixtime({}, {})", arguments[0].name, format.name);
    let format = pattern_argument(format, Pattern::compile, context)?;
    let seconds = implicit_cast(arguments.remove(0), &DataType::Int64, context)?;
    let session = context.session.settings.time_zone();
    let arguments = vec![seconds.expr, format];
    let expr = Native::call("from_unixtime", session.name(), DataType::Utf8, arguments, move |arguments, rows| {
        let seconds = arguments[0].as_primitive::<Int64Type>();
        let mut patterns = Patterns::for_formatting();
        let texts = (0..rows).map(|row| match text_at(&arguments[1], row) {
            Some(format) if seconds.is_valid(row) => {
                let instant = seconds.value(row).wrapping_mul(SECOND);
                Ok(Some(patterns.of(format)?.format(instant, session)))
            }
            _ => Ok(None),
        });
        Ok(Arc::new(texts.collect::<Result<StringArray>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Utf8, shown))
}
