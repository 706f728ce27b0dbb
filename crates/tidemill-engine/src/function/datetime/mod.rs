//! Functions and operators of dates, timestamps and intervals. Wall clocks are those of the session's zone.

pub mod arithmetic;
pub mod dates;
pub mod make;
pub mod parts;
pub mod text;
pub mod truncate;
pub mod units;
pub mod unix;
pub mod zones;

pub use arithmetic::arithmetic;

use super::native::Native;
use super::{CallContext, Entry, cast_to, implicit_cast};
use crate::pipeline::analysis::typed::Typed;
use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use chrono_tz::Tz;
use datafusion::logical_expr::Volatility;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidemill_core::{Error, Kind, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["current_timestamp", "now"], arguments: (0, 0), build: now },
    Entry { names: &["current_date", "curdate"], arguments: (0, 0), build: today },
    Entry { names: &["localtimestamp"], arguments: (0, 0), build: wall_now },
    Entry { names: &["window_time"], arguments: (1, 1), build: window_time },
];

/// The epoch's instant: the same for every row of an epoch, also when it is run again.
fn now(context: &CallContext<'_>, _: Vec<Typed>) -> Result<Typed> {
    let clock = context.session.clock.clone();
    let body = move |_: &[ArrayRef], rows: usize| {
        let micros = clock.load(Ordering::Relaxed);
        Ok(Arc::new(TimestampMicrosecondArray::from(vec![micros; rows]).with_timezone("UTC")) as ArrayRef)
    };
    let expr =
        Native::call_with(Volatility::Volatile, "current_timestamp", "", types::timestamp(), vec![], Arc::new(body));
    Ok(Typed::new(expr, types::timestamp(), ""))
}

fn today(context: &CallContext<'_>, _: Vec<Typed>) -> Result<Typed> {
    cast_to(now(context, vec![])?, &DataType::Date32, false, context).map(|typed| typed.named(""))
}

fn wall_now(context: &CallContext<'_>, _: Vec<Typed>) -> Result<Typed> {
    cast_to(now(context, vec![])?, &types::timestamp_ntz(), false, context).map(|typed| typed.named(""))
}

/// The last instant of a window: its end less a microsecond.
fn window_time(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let window = arguments.remove(0);
    let result = match &window.data_type {
        DataType::Struct(fields) if types::is_window(&window.data_type) => fields[1].data_type().clone(),
        other => return Err(context.wrong_type("a window column", other)),
    };
    let to = result.clone();
    let expr = Native::call("window_time", "", result.clone(), vec![window.expr], move |arguments, _| {
        let end = super::nested::take_field(arguments[0].as_struct(), 1)?;
        let last = end.as_primitive::<TimestampMicrosecondType>().unary::<_, TimestampMicrosecondType>(|end| end - 1);
        Ok(Arc::new(last.with_data_type(to.clone())) as ArrayRef)
    });
    Ok(Typed::new(expr, result, ""))
}

/// An argument that must be a date; a timestamp is its day, text is read.
fn as_date(typed: Typed, context: &CallContext<'_>) -> Result<Typed> {
    match &typed.data_type {
        DataType::Date32 => Ok(typed),
        DataType::Timestamp(..) | DataType::Utf8 | DataType::Null => implicit_cast(typed, &DataType::Date32, context),
        other => Err(context.wrong_type("a DATE", other)),
    }
}

/// The zone wall clocks of a value are in: the session's, or none for `timestamp_ntz`.
fn zone_of(of: &DataType, context: &CallContext<'_>) -> Tz {
    match of {
        DataType::Timestamp(_, Some(_)) => context.session.settings.time_zone(),
        _ => Tz::UTC,
    }
}

/// Timestamps of a type, with or without a zone.
fn timestamps(values: TimestampMicrosecondArray, of: &DataType) -> ArrayRef {
    match of {
        DataType::Timestamp(_, Some(_)) => Arc::new(values.with_timezone("UTC")),
        _ => Arc::new(values),
    }
}

/// A date or timestamp beyond what can be held.
fn overflow() -> Error {
    Error::new(Kind::Data, "a date or timestamp is out of range").class("DATETIME_OVERFLOW")
}

/// The value of a text column, or `None` for NULL.
fn text_at(array: &ArrayRef, row: usize) -> Option<&str> {
    let texts = array.as_string::<i32>();
    texts.is_valid(row).then(|| texts.value(row))
}
