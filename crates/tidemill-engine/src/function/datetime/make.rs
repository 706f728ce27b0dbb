//! Dates, timestamps and intervals of their fields: `make_date`, `make_timestamp`, `make_interval`.

use super::text_at;
use crate::function::native::Native;
use crate::function::{CallContext, Entry, as_int, as_text, implicit_cast};
use crate::pipeline::analysis::typed::Typed;
use crate::time::zone::Zone;
use crate::time::{DAY, SECOND, days_from_civil};
use arrow::array::{Array, ArrayRef, AsArray, Date32Array, PrimitiveArray, TimestampMicrosecondArray};
use arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, IntervalYearMonthType, TimeUnit,
};
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["make_date"], arguments: (3, 3), build: make_date },
    Entry {
        names: &["make_timestamp", "make_timestamp_ltz"],
        arguments: (6, 7),
        build: |context, given| timestamp(context, given, true, false),
    },
    Entry {
        names: &["make_timestamp_ntz"],
        arguments: (6, 6),
        build: |context, given| timestamp(context, given, false, false),
    },
    Entry {
        names: &["try_make_timestamp", "try_make_timestamp_ltz"],
        arguments: (6, 7),
        build: |context, given| timestamp(context, given, true, true),
    },
    Entry {
        names: &["try_make_timestamp_ntz"],
        arguments: (6, 6),
        build: |context, given| timestamp(context, given, false, true),
    },
    Entry { names: &["make_interval"], arguments: (0, 7), build: make_interval },
    Entry { names: &["try_make_interval"], arguments: (0, 7), build: make_interval },
    Entry { names: &["make_dt_interval"], arguments: (0, 4), build: make_dt_interval },
    Entry { names: &["make_ym_interval"], arguments: (0, 2), build: make_ym_interval },
];

const SECONDS: DataType = DataType::Decimal128(18, 6);

fn out_of_bounds(what: &str) -> Error {
    Error::new(Kind::Data, format!("a field is out of bounds: {what}"))
        .class("DATETIME_FIELD_OUT_OF_BOUNDS.WITHOUT_SUGGESTION")
        .help("use the try_ form of the function to get NULL instead")
}

/// The values of a row of whole numbers; `None` when one is NULL.
fn numbers(arguments: &[ArrayRef], row: usize) -> Option<Vec<i64>> {
    arguments
        .iter()
        .map(|argument| {
            let values = argument.as_primitive::<Int32Type>();
            values.is_valid(row).then(|| i64::from(values.value(row)))
        })
        .collect()
}

fn make_date(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let fields = arguments.into_iter().map(|argument| Ok(as_int(argument, context)?.expr)).collect::<Result<_>>()?;
    let fails = context.session.settings.ansi();
    let expr = Native::call("make_date", fails.to_string(), DataType::Date32, fields, move |arguments, rows| {
        let dates = (0..rows).map(|row| {
            let Some(fields) = numbers(arguments, row) else { return Ok(None) };
            match day_of(&fields) {
                None if fails => Err(out_of_bounds(&format!("{}-{}-{} is no date", fields[0], fields[1], fields[2]))),
                day => Ok(day),
            }
        });
        Ok(Arc::new(dates.collect::<Result<Date32Array>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Date32, ""))
}

fn day_of(fields: &[i64]) -> Option<i32> {
    let [year, month, day, ..] = *fields else { return None };
    days_from_civil(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?)
}

fn timestamp(context: &CallContext<'_>, mut arguments: Vec<Typed>, with_zone: bool, try_make: bool) -> Result<Typed> {
    let zone = if arguments.len() == 7 { arguments.pop() } else { None };
    let seconds = implicit_cast(arguments.remove(5), &SECONDS, context)?;
    let mut expressions =
        arguments.into_iter().map(|argument| Ok(as_int(argument, context)?.expr)).collect::<Result<Vec<_>>>()?;
    expressions.push(seconds.expr);
    if let Some(zone) = zone {
        expressions.push(as_text(zone, context)?.expr);
    }
    let of = if with_zone { types::timestamp() } else { types::timestamp_ntz() };
    let session = super::zone_of(&of, context);
    let fails = context.session.settings.ansi() && !try_make;
    let (parameters, result) = (format!("{session} {fails}"), of.clone());
    let expr = Native::call("make_timestamp", parameters, of.clone(), expressions, move |arguments, rows| {
        let seconds = arguments[5].as_primitive::<Decimal128Type>();
        let instants = (0..rows).map(|row| {
            let (Some(fields), true) = (numbers(&arguments[..5], row), seconds.is_valid(row)) else { return Ok(None) };
            let zone = match arguments.get(6) {
                None => Zone::Named(session),
                Some(zones) => match text_at(zones, row) {
                    Some(name) => super::zones::zone_named(name)?,
                    None => return Ok(None),
                },
            };
            match wall_clock_of(&fields, seconds.value(row)) {
                Ok(wall) => Ok(Some(zone.from_wall_clock(wall))),
                Err(error) if fails => Err(error),
                Err(_) => Ok(None),
            }
        });
        Ok(super::timestamps(instants.collect::<Result<TimestampMicrosecondArray>>()?, &result))
    });
    Ok(Typed::new(expr, of, ""))
}

/// Sixty seconds are the next minute, as in Postgres; sixty and a fraction are refused.
fn wall_clock_of(fields: &[i64], micros: i128) -> Result<i64> {
    let (hour, minute) = (fields[3], fields[4]);
    let minute_micros = i128::from(60 * SECOND);
    if micros > minute_micros && micros < minute_micros + i128::from(SECOND) {
        return Err(Error::new(Kind::Data, "the seconds are 60 and a fraction")
            .class("INVALID_FRACTION_OF_SECOND")
            .help("use try_make_timestamp to get NULL instead"));
    }
    let day = day_of(fields).ok_or_else(|| out_of_bounds("there is no such day"))?;
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..=minute_micros).contains(&micros) {
        return Err(out_of_bounds("there is no such time of day"));
    }
    let seconds = i64::try_from(micros).map_err(|_| out_of_bounds("there is no such time of day"))?;
    i64::from(day)
        .checked_mul(DAY)
        .and_then(|start| start.checked_add((hour * 60 + minute) * 60 * SECOND + seconds))
        .ok_or_else(super::overflow)
}

/// The fields that are given, zeros for the others, seconds last when there are `seconds`; and the name with all.
fn filled(
    context: &CallContext<'_>,
    arguments: Vec<Typed>,
    width: usize,
    seconds: bool,
) -> Result<(Vec<datafusion::logical_expr::Expr>, String)> {
    let (mut expressions, mut names) = (Vec::with_capacity(width), Vec::with_capacity(width));
    let mut given = arguments.into_iter();
    for position in 0..width {
        let is_seconds = seconds && position + 1 == width;
        let typed = match given.next() {
            Some(typed) if is_seconds => implicit_cast(typed, &SECONDS, context)?,
            Some(typed) => as_int(typed, context)?,
            None if is_seconds => Typed::literal(ScalarValue::Decimal128(Some(0), 18, 6), "0.000000"),
            None => Typed::literal(ScalarValue::Int32(Some(0)), "0"),
        };
        names.push(typed.name);
        expressions.push(typed.expr);
    }
    Ok((expressions, format!("{}({})", context.name, names.join(", "))))
}

fn interval_overflow() -> Error {
    Error::new(Kind::Data, "an interval overflows").class("INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION")
}

/// Microseconds of hours, minutes and seconds.
fn clock(hours: i64, minutes: i64, micros: i128) -> Option<i64> {
    let whole = i128::from(hours) * 3600 + i128::from(minutes) * 60;
    i64::try_from(whole * i128::from(SECOND) + micros).ok()
}

/// Years, months, weeks, days, hours, minutes and seconds.
fn make_interval(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let fails = context.session.settings.ansi() && context.name == "make_interval";
    let (expressions, shown) = filled(context, arguments, 7, true)?;
    let of = DataType::Interval(IntervalUnit::MonthDayNano);
    let expr = Native::call("make_interval", fails.to_string(), of.clone(), expressions, move |arguments, rows| {
        let seconds = arguments[6].as_primitive::<Decimal128Type>();
        let made = (0..rows).map(|row| {
            let (Some(fields), true) = (numbers(&arguments[..6], row), seconds.is_valid(row)) else { return Ok(None) };
            let months = i32::try_from(fields[0] * 12 + fields[1]).ok();
            let days = i32::try_from(fields[2] * 7 + fields[3]).ok();
            let nanos = clock(fields[4], fields[5], seconds.value(row)).and_then(|micros| micros.checked_mul(1000));
            match (months, days, nanos) {
                (Some(months), Some(days), Some(nanos)) => Ok(Some(IntervalMonthDayNano::new(months, days, nanos))),
                _ if fails => Err(interval_overflow()),
                _ => Ok(None),
            }
        });
        Ok(Arc::new(made.collect::<Result<PrimitiveArray<IntervalMonthDayNanoType>>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, of, shown))
}

/// Days, hours, minutes and seconds.
fn make_dt_interval(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let (expressions, shown) = filled(context, arguments, 4, true)?;
    let of = DataType::Duration(TimeUnit::Microsecond);
    let expr = Native::call("make_dt_interval", "", of.clone(), expressions, |arguments, rows| {
        let seconds = arguments[3].as_primitive::<Decimal128Type>();
        let made = (0..rows).map(|row| {
            let (Some(fields), true) = (numbers(&arguments[..3], row), seconds.is_valid(row)) else { return Ok(None) };
            let clock = clock(fields[1], fields[2], seconds.value(row));
            let micros = clock.and_then(|clock| fields[0].checked_mul(DAY)?.checked_add(clock));
            micros.map(Some).ok_or_else(interval_overflow)
        });
        Ok(Arc::new(made.collect::<Result<PrimitiveArray<DurationMicrosecondType>>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, of, shown))
}

fn make_ym_interval(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let (expressions, shown) = filled(context, arguments, 2, false)?;
    let of = DataType::Interval(IntervalUnit::YearMonth);
    let expr = Native::call("make_ym_interval", "", of.clone(), expressions, |arguments, rows| {
        let made = (0..rows).map(|row| match numbers(arguments, row) {
            None => Ok(None),
            Some(fields) => i32::try_from(fields[0] * 12 + fields[1]).map(Some).map_err(|_| interval_overflow()),
        });
        Ok(Arc::new(made.collect::<Result<PrimitiveArray<IntervalYearMonthType>>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, of, shown))
}
