//! Parts of dates, timestamps and intervals: `year(ts)`, `extract(DOW FROM ts)`, `dayname(date)`.

use super::zone_of;
use crate::function::native::Native;
use crate::function::{CallContext, Entry, as_timestamp};
use crate::pipeline::analysis::typed::Typed;
use crate::time::{DAY, SECOND, wall_clock, zone};
use arrow::array::{ArrayRef, AsArray, Decimal128Array, Int8Array, Int32Array, StringArray};
use arrow::datatypes::{
    DataType, DurationMicrosecondType, IntervalUnit, IntervalYearMonthType, TimestampMicrosecondType,
};
use chrono::{Datelike, NaiveDateTime, Timelike};
use std::sync::Arc;
use tidemill_core::{Error, Result};

/// A part as a number.
type Part = fn(NaiveDateTime) -> i32;

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["year"], arguments: (1, 1), build: |context, given| part(context, given, year) },
    Entry { names: &["quarter"], arguments: (1, 1), build: |context, given| part(context, given, quarter) },
    Entry { names: &["month"], arguments: (1, 1), build: |context, given| part(context, given, month) },
    Entry { names: &["day", "dayofmonth"], arguments: (1, 1), build: |context, given| part(context, given, day) },
    Entry { names: &["dayofyear"], arguments: (1, 1), build: |context, given| part(context, given, day_of_year) },
    Entry { names: &["dayofweek"], arguments: (1, 1), build: |context, given| part(context, given, day_of_week) },
    Entry {
        names: &["weekday"],
        arguments: (1, 1),
        build: |context, given| part(context, given, |wall| wall.weekday().num_days_from_monday() as i32),
    },
    Entry { names: &["weekofyear"], arguments: (1, 1), build: |context, given| part(context, given, week) },
    Entry { names: &["hour"], arguments: (1, 1), build: |context, given| part(context, given, hour) },
    Entry { names: &["minute"], arguments: (1, 1), build: |context, given| part(context, given, minute) },
    Entry { names: &["second"], arguments: (1, 1), build: |context, given| part(context, given, second) },
    Entry { names: &["dayname"], arguments: (1, 1), build: |context, given| name(context, given, "%a") },
    Entry { names: &["monthname"], arguments: (1, 1), build: |context, given| name(context, given, "%b") },
    Entry { names: &["date_part"], arguments: (2, 2), build: extract },
    Entry { names: &["datepart"], arguments: (2, 2), build: extract },
    Entry { names: &["extract"], arguments: (2, 2), build: extract },
];

fn year(wall: NaiveDateTime) -> i32 {
    wall.year()
}

fn quarter(wall: NaiveDateTime) -> i32 {
    wall.month0() as i32 / 3 + 1
}

fn month(wall: NaiveDateTime) -> i32 {
    wall.month() as i32
}

fn day(wall: NaiveDateTime) -> i32 {
    wall.day() as i32
}

fn day_of_year(wall: NaiveDateTime) -> i32 {
    wall.ordinal() as i32
}

fn day_of_week(wall: NaiveDateTime) -> i32 {
    wall.weekday().num_days_from_sunday() as i32 + 1
}

fn week(wall: NaiveDateTime) -> i32 {
    wall.iso_week().week() as i32
}

fn hour(wall: NaiveDateTime) -> i32 {
    wall.hour() as i32
}

fn minute(wall: NaiveDateTime) -> i32 {
    wall.minute() as i32
}

fn second(wall: NaiveDateTime) -> i32 {
    wall.second() as i32
}

/// A timestamp of either kind, and the zone its wall clock is in.
fn wall(value: Typed, context: &CallContext<'_>) -> Result<(Typed, chrono_tz::Tz)> {
    let value = match value.data_type {
        DataType::Timestamp(_, None) => value,
        _ => as_timestamp(value, context)?,
    };
    let session = zone_of(&value.data_type, context);
    Ok((value, session))
}

/// A field of the wall clock in the session's zone.
fn part(context: &CallContext<'_>, mut arguments: Vec<Typed>, of: Part) -> Result<Typed> {
    let (value, session) = wall(arguments.remove(0), context)?;
    let expr = Native::call(context.name, session.name(), DataType::Int32, vec![value.expr], move |arguments, _| {
        let values = arguments[0].as_primitive::<TimestampMicrosecondType>().iter();
        let fields =
            values.map(|value| value.and_then(|value| wall_clock(zone::to_wall_clock(value, session))).map(of));
        Ok(Arc::new(fields.collect::<Int32Array>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int32, ""))
}

/// The short English name of a day or month.
fn name(context: &CallContext<'_>, mut arguments: Vec<Typed>, format: &'static str) -> Result<Typed> {
    let (value, session) = wall(arguments.remove(0), context)?;
    let expr = Native::call(context.name, session.name(), DataType::Utf8, vec![value.expr], move |arguments, _| {
        let values = arguments[0].as_primitive::<TimestampMicrosecondType>().iter();
        let names = values.map(|value| {
            let wall = value.and_then(|value| wall_clock(zone::to_wall_clock(value, session)))?;
            Some(wall.format(format).to_string())
        });
        Ok(Arc::new(names.collect::<StringArray>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Utf8, ""))
}

/// `extract(field FROM source)`, `date_part('field', source)`.
fn extract(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let source = arguments.remove(1);
    let Some(field) = arguments[0].as_text() else {
        return Err(Error::invalid(format!("the field of {} must be a text literal", context.name))
            .class("NON_FOLDABLE_ARGUMENT")
            .at_if_unplaced(context.text.place(context.at)));
    };
    let shown = match context.name {
        "date_part" => format!("date_part({field}, {})", source.name),
        name => format!("{name}({field} FROM {})", source.name),
    };
    let wanted = field.to_ascii_uppercase();
    let found = match &source.data_type {
        DataType::Duration(_) | DataType::Interval(IntervalUnit::YearMonth) => of_interval(&wanted, source),
        _ => of_timestamp(context, &wanted, source)?,
    };
    match found {
        Some(typed) => Ok(typed.named(shown)),
        None => Err(Error::invalid(format!("there is no field {field} to extract"))
            .class("INVALID_EXTRACT_FIELD")
            .at_if_unplaced(context.text.place(context.at))),
    }
}

fn of_timestamp(context: &CallContext<'_>, field: &str, source: Typed) -> Result<Option<Typed>> {
    let of: Part = match field {
        "YEAR" | "Y" | "YEARS" | "YR" | "YRS" => year,
        "YEAROFWEEK" => |wall| wall.iso_week().year(),
        "QUARTER" | "QTR" => quarter,
        "MONTH" | "MON" | "MONS" | "MONTHS" => month,
        "WEEK" | "W" | "WEEKS" => week,
        "DAY" | "D" | "DAYS" => day,
        "DAYOFWEEK" | "DOW" => day_of_week,
        "DAYOFWEEK_ISO" | "DOW_ISO" => |wall| wall.weekday().number_from_monday() as i32,
        "DOY" => day_of_year,
        "HOUR" | "H" | "HOURS" | "HR" | "HRS" => hour,
        "MINUTE" | "M" | "MIN" | "MINS" | "MINUTES" => minute,
        "SECOND" | "S" | "SEC" | "SECONDS" | "SECS" => return seconds(context, source).map(Some),
        _ => return Ok(None),
    };
    // the plain function's name, so that GROUP BY year(ts) and extract(YEAR FROM ts) are one
    let plain = match field {
        "YEAR" => "year",
        "QUARTER" => "quarter",
        "MONTH" => "month",
        "DAY" => "dayofmonth",
        "HOUR" => "hour",
        "MINUTE" => "minute",
        other => other,
    };
    part(&CallContext { name: plain, ..*context }, vec![source], of).map(Some)
}

const SECONDS: DataType = DataType::Decimal128(8, 6);

/// Seconds with their fraction.
fn seconds(context: &CallContext<'_>, source: Typed) -> Result<Typed> {
    let (value, session) = wall(source, context)?;
    let expr = Native::call("seconds", session.name(), SECONDS, vec![value.expr], move |arguments, _| {
        let values = arguments[0].as_primitive::<TimestampMicrosecondType>().iter();
        let micros = values
            .map(|value| value.map(|value| i128::from(zone::to_wall_clock(value, session).rem_euclid(60 * SECOND))));
        Ok(Arc::new(micros.collect::<Decimal128Array>().with_data_type(SECONDS)) as ArrayRef)
    });
    Ok(Typed::new(expr, SECONDS, ""))
}

fn of_interval(field: &str, source: Typed) -> Option<Typed> {
    let months = matches!(source.data_type, DataType::Interval(_));
    let (unit, size) = match (field, months) {
        ("YEAR" | "Y" | "YEARS" | "YR" | "YRS", true) => (12, i64::MAX),
        ("MONTH" | "MON" | "MONS" | "MONTHS", true) => (1, 12),
        ("DAY" | "D" | "DAYS", false) => (DAY, i64::MAX),
        ("HOUR" | "H" | "HOURS" | "HR" | "HRS", false) => (3600 * SECOND, 24),
        ("MINUTE" | "M" | "MIN" | "MINS" | "MINUTES", false) => (60 * SECOND, 60),
        ("SECOND" | "S" | "SEC" | "SECONDS" | "SECS", false) => (1, 60 * SECOND),
        _ => return None,
    };
    let result = match size {
        i64::MAX => DataType::Int32,
        12 | 24 | 60 => DataType::Int8,
        _ => SECONDS,
    };
    let of = result.clone();
    let parameters = format!("{unit} {size}");
    let expr = Native::call("interval_part", parameters, result.clone(), vec![source.expr], move |arguments, _| {
        let values: Vec<Option<i64>> = match months {
            true => {
                let months = arguments[0].as_primitive::<IntervalYearMonthType>();
                months.iter().map(|value| value.map(|value| i64::from(value) / unit % size)).collect()
            }
            false => {
                let micros = arguments[0].as_primitive::<DurationMicrosecondType>();
                micros.iter().map(|value| value.map(|value| value / unit % size)).collect()
            }
        };
        Ok(match of {
            DataType::Int32 => {
                Arc::new(values.into_iter().map(|value| value.map(|value| value as i32)).collect::<Int32Array>())
            }
            DataType::Int8 => {
                Arc::new(values.into_iter().map(|value| value.map(|value| value as i8)).collect::<Int8Array>())
            }
            _ => {
                let exact = values.into_iter().map(|value| value.map(i128::from)).collect::<Decimal128Array>();
                Arc::new(exact.with_data_type(SECONDS)) as ArrayRef
            }
        })
    });
    Some(Typed::new(expr, result, ""))
}
