//! `timestampadd(unit, n, ts)` and `timestampdiff(unit, start, end)`; `dateadd` and `datediff` with a unit are
//! the same functions.

use super::{overflow, zone_of};
use crate::function::native::Native;
use crate::function::{CallContext, Entry, as_timestamp, constant_text, implicit_cast};
use crate::pipeline::analysis::typed::Typed;
use crate::time::{DAY, SECOND, calendar, date_of, zone};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use chrono::Datelike;
use chrono_tz::Tz;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["timestampadd"], arguments: (3, 3), build: timestamp_add },
    Entry { names: &["timestampdiff"], arguments: (3, 3), build: timestamp_diff },
];

/// A unit: so many months, days or microseconds.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Months(i64),
    Days(i64),
    Micros(i64),
}

/// True for the name of a unit.
pub fn is_unit(name: &str) -> bool {
    unit_named(name).is_some()
}

fn unit_named(name: &str) -> Option<Unit> {
    Some(match name.to_ascii_uppercase().as_str() {
        "MICROSECOND" => Unit::Micros(1),
        "MILLISECOND" => Unit::Micros(1000),
        "SECOND" => Unit::Micros(SECOND),
        "MINUTE" => Unit::Micros(60 * SECOND),
        "HOUR" => Unit::Micros(3600 * SECOND),
        "DAY" | "DAYOFYEAR" => Unit::Days(1),
        "WEEK" => Unit::Days(7),
        "MONTH" => Unit::Months(1),
        "QUARTER" => Unit::Months(3),
        "YEAR" => Unit::Months(12),
        _ => return None,
    })
}

fn unit(typed: &Typed, context: &CallContext<'_>) -> Result<(Unit, String)> {
    let name = constant_text(typed, "the unit", context)?;
    match unit_named(&name) {
        Some(unit) => Ok((unit, name)),
        None => Err(Error::invalid(format!("'{name}' is no unit of time"))
            .class("INVALID_PARAMETER_VALUE.DATETIME_UNIT")
            .at_if_unplaced(context.text.place(context.at))
            .help("units: YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND, MILLISECOND, MICROSECOND")),
    }
}

/// A timestamp of either kind.
fn timestamp(typed: Typed, context: &CallContext<'_>) -> Result<Typed> {
    match typed.data_type {
        DataType::Timestamp(..) => Ok(typed),
        _ => as_timestamp(typed, context),
    }
}

fn timestamp_add(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let (unit, name) = unit(&arguments[0], context)?;
    let shown = format!("timestampadd({name}, {}, {})", arguments[1].name, arguments[2].name);
    let value = timestamp(arguments.remove(2), context)?;
    let count = implicit_cast(arguments.remove(1), &DataType::Int64, context)?;
    let of = value.data_type.clone();
    let session = zone_of(&of, context);
    let arguments = vec![value.expr, count.expr];
    let (parameters, result) = (format!("{unit:?} {session}"), of.clone());
    let expr = Native::call("timestampadd", parameters, of.clone(), arguments, move |arguments, rows| {
        let values = arguments[0].as_primitive::<TimestampMicrosecondType>();
        let counts = arguments[1].as_primitive::<Int64Type>();
        let moved = (0..rows).map(|row| {
            if values.is_null(row) || counts.is_null(row) {
                return Ok(None);
            }
            let (value, count) = (values.value(row), counts.value(row));
            let moved = match unit {
                Unit::Months(size) => {
                    count.checked_mul(size).and_then(|months| calendar::add(value, months, 0, 0, session))
                }
                Unit::Days(size) => count.checked_mul(size).and_then(|days| calendar::add(value, 0, days, 0, session)),
                Unit::Micros(size) => count.checked_mul(size).and_then(|micros| value.checked_add(micros)),
            };
            moved.map(Some).ok_or_else(overflow)
        });
        Ok(super::timestamps(moved.collect::<Result<TimestampMicrosecondArray>>()?, &result))
    });
    Ok(Typed::new(expr, of, shown))
}

/// Whole units from start to end, by their wall clocks, cut toward zero.
fn timestamp_diff(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let (unit, name) = unit(&arguments[0], context)?;
    let shown = format!("timestampdiff({name}, {}, {})", arguments[1].name, arguments[2].name);
    let (end, start) = (timestamp(arguments.remove(2), context)?, timestamp(arguments.remove(1), context)?);
    let common = match (&start.data_type, &end.data_type) {
        (DataType::Timestamp(_, None), DataType::Timestamp(_, None)) => types::timestamp_ntz(),
        _ => types::timestamp(),
    };
    let arguments = vec![implicit_cast(start, &common, context)?.expr, implicit_cast(end, &common, context)?.expr];
    let session = zone_of(&common, context);
    let parameters = format!("{unit:?} {session}");
    let expr = Native::call("timestampdiff", parameters, DataType::Int64, arguments, move |arguments, rows| {
        let starts = arguments[0].as_primitive::<TimestampMicrosecondType>();
        let ends = arguments[1].as_primitive::<TimestampMicrosecondType>();
        let apart = (0..rows).map(|row| {
            let valid = starts.is_valid(row) && ends.is_valid(row);
            valid.then(|| between(starts.value(row), ends.value(row), unit, session)).flatten()
        });
        Ok(Arc::new(apart.collect::<Int64Array>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int64, shown))
}

fn between(start: i64, end: i64, unit: Unit, session: Tz) -> Option<i64> {
    let (start, end) = (zone::to_wall_clock(start, session), zone::to_wall_clock(end, session));
    match unit {
        Unit::Micros(size) => end.checked_sub(start).map(|micros| micros / size),
        Unit::Days(size) => end.checked_sub(start).map(|micros| micros / (DAY * size)),
        Unit::Months(size) => {
            let months = |wall: i64| -> Option<(i64, i64)> {
                let date = date_of(i32::try_from(wall.div_euclid(DAY)).ok()?)?;
                let rest = i64::from(date.day()) * DAY + wall.rem_euclid(DAY);
                Some((i64::from(date.year()) * 12 + i64::from(date.month0()), rest))
            };
            let ((first, first_rest), (last, last_rest)) = (months(start)?, months(end)?);
            let mut apart = last - first;
            if apart > 0 && last_rest < first_rest {
                apart -= 1;
            } else if apart < 0 && last_rest > first_rest {
                apart += 1;
            }
            Some(apart / size)
        }
    }
}
