//! Moving dates and telling how far they are apart: `date_add`, `datediff`, `add_months`, `months_between`.

use super::{as_date, overflow, text_at};
use crate::function::native::Native;
use crate::function::{CallContext, Entry, as_int, as_text, as_timestamp, implicit_cast};
use crate::pipeline::analysis::typed::Typed;
use crate::time::{DAY, SECOND, calendar, date_of, days_of, zone};
use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Float64Array, Int32Array};
use arrow::datatypes::{DataType, Date32Type, Int32Type, TimestampMicrosecondType};
use chrono::{Datelike, Weekday};
use chrono_tz::Tz;
use datafusion::common::ScalarValue;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["datediff", "date_diff"], arguments: (2, 2), build: date_diff },
    Entry {
        names: &["date_add", "dateadd"],
        arguments: (2, 2),
        build: |context, arguments| add_days(context, arguments, 1),
    },
    Entry { names: &["date_sub"], arguments: (2, 2), build: |context, arguments| add_days(context, arguments, -1) },
    Entry { names: &["add_months"], arguments: (2, 2), build: add_months },
    Entry { names: &["months_between"], arguments: (2, 3), build: months_between },
    Entry { names: &["last_day"], arguments: (1, 1), build: last_day },
    Entry { names: &["next_day"], arguments: (2, 2), build: next_day },
    Entry { names: &["unix_date"], arguments: (1, 1), build: unix_date },
    Entry { names: &["date_from_unix_date"], arguments: (1, 1), build: from_unix_date },
];

fn date_diff(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let dates = arguments.into_iter().map(|argument| Ok(as_date(argument, context)?.expr));
    let expr = Native::call("datediff", "", DataType::Int32, dates.collect::<Result<_>>()?, |arguments, _| {
        let (end, start) = (arguments[0].as_primitive::<Date32Type>(), arguments[1].as_primitive::<Date32Type>());
        let apart = arrow::compute::binary::<_, _, _, Int32Type>(end, start, i32::wrapping_sub)?;
        Ok(Arc::new(apart) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int32, ""))
}

/// A number of days: an int or smaller, or text.
pub fn as_days(typed: Typed, context: &CallContext<'_>) -> Result<Typed> {
    match &typed.data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Utf8 | DataType::Null => as_int(typed, context),
        other => Err(context.wrong_type("a number of days of type INT, SMALLINT or TINYINT", other)),
    }
}

fn add_days(context: &CallContext<'_>, mut arguments: Vec<Typed>, sign: i32) -> Result<Typed> {
    let days = as_days(arguments.remove(1), context)?;
    let date = as_date(arguments.remove(0), context)?;
    let shown = format!("{}({}, {})", if sign > 0 { "date_add" } else { "date_sub" }, date.name, days.name);
    Ok(plus_days(date, days, sign).named(shown))
}

/// A date some days later or, with the sign -1, earlier.
pub fn plus_days(date: Typed, days: Typed, sign: i32) -> Typed {
    let arguments = vec![date.expr, days.expr];
    let expr = Native::call("date_add", sign.to_string(), DataType::Date32, arguments, move |arguments, _| {
        let (date, days) = (arguments[0].as_primitive::<Date32Type>(), arguments[1].as_primitive::<Int32Type>());
        let added = arrow::compute::binary::<_, _, _, Date32Type>(date, days, |date, days| {
            date.wrapping_add(sign.wrapping_mul(days))
        })?;
        Ok(Arc::new(added) as ArrayRef)
    });
    Typed::new(expr, DataType::Date32, "")
}

fn add_months(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let months = as_int(arguments.remove(1), context)?;
    let date = as_date(arguments.remove(0), context)?;
    let arguments = vec![date.expr, months.expr];
    let expr = Native::call("add_months", "", DataType::Date32, arguments, |arguments, rows| {
        let (dates, months) = (arguments[0].as_primitive::<Date32Type>(), arguments[1].as_primitive::<Int32Type>());
        let moved = (0..rows).map(|row| {
            if dates.is_null(row) || months.is_null(row) {
                return Ok(None);
            }
            let date =
                date_of(dates.value(row)).and_then(|date| calendar::add_months(date, i64::from(months.value(row))));
            date.map(|date| Some(days_of(date))).ok_or_else(overflow)
        });
        Ok(Arc::new(moved.collect::<Result<Date32Array>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Date32, ""))
}

/// Months of 31 days where the days of the month differ; rounded to eight digits unless told not to.
fn months_between(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let round = match arguments.len() {
        3 => implicit_cast(arguments.remove(2), &DataType::Boolean, context)?,
        _ => Typed::literal(ScalarValue::Boolean(Some(true)), "true"),
    };
    let shown = format!("months_between({}, {}, {})", arguments[0].name, arguments[1].name, round.name);
    let mut expressions = vec![];
    for argument in arguments {
        expressions.push(as_timestamp(argument, context)?.expr);
    }
    expressions.push(round.expr);
    let session = context.session.settings.time_zone();
    let parameters = session.name();
    let expr = Native::call("months_between", parameters, DataType::Float64, expressions, move |arguments, rows| {
        let (one, other) = (
            arguments[0].as_primitive::<TimestampMicrosecondType>(),
            arguments[1].as_primitive::<TimestampMicrosecondType>(),
        );
        let round = arguments[2].as_boolean();
        let between = (0..rows).map(|row| {
            if one.is_null(row) || other.is_null(row) || round.is_null(row) {
                return None;
            }
            let months = months_apart(one.value(row), other.value(row), session)?;
            Some(if round.value(row) { (months * 1e8 + 0.5).floor() / 1e8 } else { months })
        });
        Ok(Arc::new(between.collect::<Float64Array>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Float64, shown))
}

fn months_apart(one: i64, other: i64, session: Tz) -> Option<f64> {
    let day = |instant: i64| {
        let wall = zone::to_wall_clock(instant, session);
        date_of(i32::try_from(wall.div_euclid(DAY)).ok()?)
    };
    let (first, second) = (day(one)?, day(other)?);
    let months = |date: chrono::NaiveDate| f64::from(date.year()) * 12.0 + f64::from(date.month());
    let whole = months(first) - months(second);
    let is_last = |date: chrono::NaiveDate| calendar::last_of_month(date) == date;
    if first.day() == second.day() || (is_last(first) && is_last(second)) {
        return Some(whole);
    }
    // of the day that has passed, which a change of the clocks makes longer or shorter
    let seconds = |instant: i64, date: chrono::NaiveDate| {
        (instant - zone::from_wall_clock(i64::from(days_of(date)) * DAY, session)).div_euclid(SECOND)
    };
    let days = i64::from(first.day()) - i64::from(second.day());
    let apart = days * 86_400 + seconds(one, first) - seconds(other, second);
    Some(whole + apart as f64 / (31.0 * 86_400.0))
}

fn last_day(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let date = as_date(arguments.remove(0), context)?;
    let expr = Native::call("last_day", "", DataType::Date32, vec![date.expr], |arguments, _| {
        let dates = arguments[0].as_primitive::<Date32Type>();
        let last =
            dates.unary_opt::<_, Date32Type>(|day| date_of(day).map(|date| days_of(calendar::last_of_month(date))));
        Ok(Arc::new(last) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Date32, ""))
}

/// The first such day of the week after a date.
fn next_day(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let day = as_text(arguments.remove(1), context)?;
    let date = as_date(arguments.remove(0), context)?;
    let fails = context.session.settings.ansi();
    let arguments = vec![date.expr, day.expr];
    let expr = Native::call("next_day", fails.to_string(), DataType::Date32, arguments, move |arguments, rows| {
        let dates = arguments[0].as_primitive::<Date32Type>();
        let next = (0..rows).map(|row| {
            let (Some(name), true) = (text_at(&arguments[1], row), dates.is_valid(row)) else { return Ok(None) };
            match day_of_week(name) {
                None if fails => Err(Error::new(Kind::Data, format!("'{name}' is no day of the week"))
                    .class("ILLEGAL_DAY_OF_WEEK")
                    .help("write SU, SUN or SUNDAY and so on")),
                None => Ok(None),
                Some(wanted) => {
                    let Some(date) = date_of(dates.value(row)) else { return Ok(None) };
                    let ahead = wanted.num_days_from_monday() + 7 - date.weekday().num_days_from_monday();
                    let ahead = if ahead % 7 == 0 { 7 } else { ahead % 7 };
                    Ok(dates.value(row).checked_add(ahead as i32))
                }
            }
        });
        Ok(Arc::new(next.collect::<Result<Date32Array>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Date32, ""))
}

fn day_of_week(name: &str) -> Option<Weekday> {
    let name = name.trim().to_ascii_uppercase();
    const DAYS: [(&str, Weekday); 7] = [
        ("MONDAY", Weekday::Mon),
        ("TUESDAY", Weekday::Tue),
        ("WEDNESDAY", Weekday::Wed),
        ("THURSDAY", Weekday::Thu),
        ("FRIDAY", Weekday::Fri),
        ("SATURDAY", Weekday::Sat),
        ("SUNDAY", Weekday::Sun),
    ];
    DAYS.into_iter().find(|(long, _)| name == *long || name == long[..3] || name == long[..2]).map(|(_, day)| day)
}

fn unix_date(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let date = arguments.remove(0);
    if matches!(date.data_type, DataType::Timestamp(..)) {
        return Err(context.wrong_type("a DATE", &date.data_type));
    }
    let date = as_date(date, context)?;
    let expr = Native::call("unix_date", "", DataType::Int32, vec![date.expr], |arguments, _| {
        let days: Int32Array = arguments[0].as_primitive::<Date32Type>().unary(|day| day);
        Ok(Arc::new(days) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int32, ""))
}

fn from_unix_date(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let days = as_int(arguments.remove(0), context)?;
    let expr = Native::call("date_from_unix_date", "", DataType::Date32, vec![days.expr], |arguments, _| {
        let dates: Date32Array = arguments[0].as_primitive::<Int32Type>().unary(|day| day);
        Ok(Arc::new(dates) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Date32, ""))
}
