//! Functions and operators of dates, timestamps and intervals.

use super::native::Native;
use super::{CallContext, Entry, as_timestamp, cast_to, constant_text, implicit_cast};
use crate::pipeline::analysis::coerce;
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::expression::BinaryOperator;
use crate::time::{DAY, SECOND, date_of, days_of, pattern, wall_clock, zone};
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, PrimitiveArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType, TimeUnit,
    TimestampMicrosecondType,
};
use chrono::{Datelike, Months, Timelike};
use datafusion::logical_expr::Volatility;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidemill_core::{Error, Kind, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["current_timestamp", "now"], arguments: (0, 0), build: now },
    Entry { names: &["current_date", "curdate"], arguments: (0, 0), build: today },
    Entry {
        names: &["to_timestamp"],
        arguments: (1, 2),
        build: |context, arguments| to_timestamp(context, arguments, false),
    },
    Entry {
        names: &["try_to_timestamp"],
        arguments: (1, 2),
        build: |context, arguments| to_timestamp(context, arguments, true),
    },
    Entry { names: &["to_date"], arguments: (1, 2), build: to_date },
    Entry { names: &["date_format"], arguments: (2, 2), build: date_format },
    Entry { names: &["date_trunc"], arguments: (2, 2), build: date_trunc },
    Entry { names: &["unix_timestamp", "to_unix_timestamp"], arguments: (0, 2), build: unix_timestamp },
    Entry { names: &["unix_seconds"], arguments: (1, 1), build: |context, arguments| unix(context, arguments, SECOND) },
    Entry { names: &["unix_millis"], arguments: (1, 1), build: |context, arguments| unix(context, arguments, 1000) },
    Entry { names: &["unix_micros"], arguments: (1, 1), build: |context, arguments| unix(context, arguments, 1) },
    Entry {
        names: &["timestamp_seconds"],
        arguments: (1, 1),
        build: |context, arguments| instant(context, arguments, SECOND),
    },
    Entry {
        names: &["timestamp_millis"],
        arguments: (1, 1),
        build: |context, arguments| instant(context, arguments, 1000),
    },
    Entry {
        names: &["timestamp_micros"],
        arguments: (1, 1),
        build: |context, arguments| instant(context, arguments, 1),
    },
    Entry {
        names: &["year"],
        arguments: (1, 1),
        build: |context, arguments| part(context, arguments, |wall| wall.year()),
    },
    Entry {
        names: &["quarter"],
        arguments: (1, 1),
        build: |context, arguments| part(context, arguments, |wall| wall.month0() as i32 / 3 + 1),
    },
    Entry {
        names: &["month"],
        arguments: (1, 1),
        build: |context, arguments| part(context, arguments, |wall| wall.month() as i32),
    },
    Entry {
        names: &["day", "dayofmonth"],
        arguments: (1, 1),
        build: |context, arguments| part(context, arguments, |wall| wall.day() as i32),
    },
    Entry {
        names: &["dayofyear"],
        arguments: (1, 1),
        build: |context, arguments| part(context, arguments, |wall| wall.ordinal() as i32),
    },
    Entry {
        names: &["dayofweek"],
        arguments: (1, 1),
        build: |context, arguments| part(context, arguments, |wall| wall.weekday().num_days_from_sunday() as i32 + 1),
    },
    Entry {
        names: &["weekofyear"],
        arguments: (1, 1),
        build: |context, arguments| part(context, arguments, |wall| wall.iso_week().week() as i32),
    },
    Entry {
        names: &["hour"],
        arguments: (1, 1),
        build: |context, arguments| part(context, arguments, |wall| wall.hour() as i32),
    },
    Entry {
        names: &["minute"],
        arguments: (1, 1),
        build: |context, arguments| part(context, arguments, |wall| wall.minute() as i32),
    },
    Entry {
        names: &["second"],
        arguments: (1, 1),
        build: |context, arguments| part(context, arguments, |wall| wall.second() as i32),
    },
    Entry { names: &["datediff", "date_diff"], arguments: (2, 2), build: date_diff },
    Entry {
        names: &["date_add", "dateadd"],
        arguments: (2, 2),
        build: |context, arguments| add_days(context, arguments, 1),
    },
    Entry { names: &["date_sub"], arguments: (2, 2), build: |context, arguments| add_days(context, arguments, -1) },
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

fn to_timestamp(context: &CallContext<'_>, mut arguments: Vec<Typed>, try_parse: bool) -> Result<Typed> {
    let format = if arguments.len() == 2 { arguments.pop() } else { None };
    let value = arguments.remove(0);
    match format {
        Some(format) if value.data_type == DataType::Utf8 => parsed(value, &format, try_parse, context),
        _ => cast_to(value, &types::timestamp(), try_parse, context).map(|typed| typed.named("")),
    }
}

fn parsed(value: Typed, format: &Typed, try_parse: bool, context: &CallContext<'_>) -> Result<Typed> {
    let text = constant_text(format, "the pattern", context)?;
    let compiled =
        pattern::Pattern::compile(&text).map_err(|error| error.at_if_unplaced(context.text.place(context.at)))?;
    let (session, fails) = (context.session.settings.time_zone(), context.session.settings.ansi() && !try_parse);
    let parameters = format!("{text} {session} {fails}");
    let expr = Native::call("to_timestamp", parameters, types::timestamp(), vec![value.expr], move |arguments, _| {
        let values = arguments[0].as_string::<i32>().iter().map(|value| match value {
            None => Ok(None),
            Some(value) => match compiled.parse(value, session) {
                None if fails => Err(cannot_parse(value, &text)),
                found => Ok(found),
            },
        });
        let array = values.collect::<Result<TimestampMicrosecondArray>>()?;
        Ok(Arc::new(array.with_timezone("UTC")) as ArrayRef)
    });
    Ok(Typed::new(expr, types::timestamp(), ""))
}

fn cannot_parse(value: &str, format: &str) -> Error {
    Error::new(Kind::Data, format!("the text '{value}' does not fit the pattern '{format}'"))
        .class("CANNOT_PARSE_TIMESTAMP")
        .help("use try_to_timestamp to get NULL instead")
}

fn to_date(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let timestamp = if arguments.len() == 2 {
        to_timestamp(context, arguments, false)?
    } else {
        arguments.into_iter().next().unwrap_or_else(|| Typed::literal(datafusion::common::ScalarValue::Null, "NULL"))
    };
    cast_to(timestamp, &DataType::Date32, false, context).map(|typed| typed.named(""))
}

fn date_format(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let text = constant_text(&arguments.remove(1), "the pattern", context)?;
    let value = as_timestamp(arguments.remove(0), context)?;
    let compiled =
        pattern::Pattern::compile(&text).map_err(|error| error.at_if_unplaced(context.text.place(context.at)))?;
    let session = context.session.settings.time_zone();
    let expr =
        Native::call(
            "date_format",
            format!("{text} {session}"),
            DataType::Utf8,
            vec![value.expr],
            move |arguments, _| {
                let values = arguments[0].as_primitive::<TimestampMicrosecondType>().iter();
                Ok(Arc::new(
                    values.map(|value| value.map(|value| compiled.format(value, session))).collect::<StringArray>(),
                ) as ArrayRef)
            },
        );
    Ok(Typed::new(expr, DataType::Utf8, ""))
}

fn date_trunc(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let unit = constant_text(&arguments[0], "the unit", context)?.to_lowercase();
    let value = as_timestamp(arguments.remove(1), context)?;
    let session = context.session.settings.time_zone();
    let expr = Native::call(
        "date_trunc",
        format!("{unit} {session}"),
        types::timestamp(),
        vec![value.expr],
        move |arguments, _| {
            let values = arguments[0].as_primitive::<TimestampMicrosecondType>().iter();
            let cut = values.map(|value| value.and_then(|value| truncate(value, &unit, session)));
            Ok(Arc::new(cut.collect::<TimestampMicrosecondArray>().with_timezone("UTC")) as ArrayRef)
        },
    );
    Ok(Typed::new(expr, types::timestamp(), ""))
}

/// `None` for an unknown unit, as Spark gives NULL.
fn truncate(instant: i64, unit: &str, session: chrono_tz::Tz) -> Option<i64> {
    let fixed = match unit {
        "microsecond" => Some(1),
        "millisecond" => Some(1000),
        "second" => Some(SECOND),
        "minute" => Some(60 * SECOND),
        _ => None,
    };
    let wall = zone::to_wall_clock(instant, session);
    if let Some(step) = fixed {
        return Some(instant - wall.rem_euclid(step));
    }
    if unit == "hour" {
        return Some(instant - wall.rem_euclid(3600 * SECOND));
    }
    let date = wall_clock(wall)?.date();
    let first = match unit {
        "day" | "dd" => date,
        "week" => date - chrono::TimeDelta::days(i64::from(date.weekday().num_days_from_monday())),
        "month" | "mon" | "mm" => date.with_day(1)?,
        "quarter" => date.with_day(1)?.with_month0(date.month0() / 3 * 3)?,
        "year" | "yyyy" | "yy" => date.with_ordinal(1)?,
        _ => return None,
    };
    Some(zone::from_wall_clock(i64::from(days_of(first)) * DAY, session))
}

fn unix_timestamp(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let timestamp = match arguments.len() {
        0 => now(context, vec![])?,
        1 if arguments[0].data_type == DataType::Utf8 => {
            let format = Typed::literal(datafusion::common::ScalarValue::from("yyyy-MM-dd HH:mm:ss"), "");
            to_timestamp(context, vec![arguments[0].clone(), format], false)?
        }
        _ => to_timestamp(context, arguments, false)?,
    };
    unix(context, vec![timestamp], SECOND)
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
    if !coerce::is_integer(&value.data_type) {
        return Err(context.wrong_type("BIGINT", &value.data_type));
    }
    let value = value.widened(&DataType::Int64);
    let expr = Native::call("instant", unit.to_string(), types::timestamp(), vec![value.expr], move |arguments, _| {
        let values = arguments[0].as_primitive::<Int64Type>();
        let micros = values.try_unary::<_, TimestampMicrosecondType, Error>(|value| {
            value.checked_mul(unit).ok_or_else(|| crate::errors::overflow(""))
        })?;
        Ok(Arc::new(micros.with_timezone("UTC")) as ArrayRef)
    });
    Ok(Typed::new(expr, types::timestamp(), ""))
}

/// A field of the wall clock in the session's zone.
fn part(context: &CallContext<'_>, mut arguments: Vec<Typed>, of: fn(chrono::NaiveDateTime) -> i32) -> Result<Typed> {
    let value = arguments.remove(0);
    let is_wall = matches!(value.data_type, DataType::Timestamp(_, None));
    let value = if is_wall { value } else { as_timestamp(value, context)? };
    let session = if is_wall { chrono_tz::Tz::UTC } else { context.session.settings.time_zone() };
    let expr = Native::call(context.name, session.name(), DataType::Int32, vec![value.expr], move |arguments, _| {
        let values = arguments[0].as_primitive::<TimestampMicrosecondType>().iter();
        let fields =
            values.map(|value| value.and_then(|value| wall_clock(zone::to_wall_clock(value, session))).map(of));
        Ok(Arc::new(fields.collect::<Int32Array>()) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int32, ""))
}

fn date_diff(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let dates = arguments.into_iter().map(|argument| Ok(implicit_cast(argument, &DataType::Date32, context)?.expr));
    let expr = Native::call("datediff", "", DataType::Int32, dates.collect::<Result<_>>()?, |arguments, _| {
        let (end, start) = (arguments[0].as_primitive::<Date32Type>(), arguments[1].as_primitive::<Date32Type>());
        Ok(Arc::new(arrow::compute::binary::<_, _, _, Int32Type>(end, start, |end, start| end - start)?) as ArrayRef)
    });
    Ok(Typed::new(expr, DataType::Int32, ""))
}

fn add_days(context: &CallContext<'_>, mut arguments: Vec<Typed>, sign: i32) -> Result<Typed> {
    let days = super::as_int(arguments.remove(1), context)?;
    let date = implicit_cast(arguments.remove(0), &DataType::Date32, context)?;
    Ok(date_plus_days(date, days, sign).named(""))
}

fn date_plus_days(date: Typed, days: Typed, sign: i32) -> Typed {
    let expr = Native::call(
        "date_add",
        sign.to_string(),
        DataType::Date32,
        vec![date.expr, days.expr],
        move |arguments, _| {
            let (date, days) = (arguments[0].as_primitive::<Date32Type>(), arguments[1].as_primitive::<Int32Type>());
            let added =
                arrow::compute::binary::<_, _, _, Date32Type>(date, days, |date, days| date.wrapping_add(sign * days))?;
            Ok(Arc::new(added) as ArrayRef)
        },
    );
    Typed::new(expr, DataType::Date32, "")
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

/// `+` and `-` where a date, timestamp or interval takes part; `None` when none does.
pub fn arithmetic(
    operator: BinaryOperator,
    left: &Typed,
    right: &Typed,
    context: &CallContext<'_>,
) -> Result<Option<Typed>> {
    let name = format!("({} {} {})", left.name, operator.symbol(), right.name);
    let sign = match operator {
        BinaryOperator::Add => 1,
        BinaryOperator::Subtract => -1,
        _ => return Ok(None),
    };
    let is_interval = |typed: &Typed| matches!(typed.data_type, DataType::Duration(_) | DataType::Interval(_));
    let typed = match (&left.data_type, &right.data_type) {
        (of, DataType::Duration(_)) if coerce::is_datetime(of) => {
            plus_duration(left.clone(), right.clone(), sign, context)?
        }
        (DataType::Duration(_), of) if coerce::is_datetime(of) && sign == 1 => {
            plus_duration(right.clone(), left.clone(), sign, context)?
        }
        (of, DataType::Interval(IntervalUnit::YearMonth)) if coerce::is_datetime(of) => {
            plus_months(left.clone(), right.clone(), sign, context)
        }
        (DataType::Interval(IntervalUnit::YearMonth), of) if coerce::is_datetime(of) && sign == 1 => {
            plus_months(right.clone(), left.clone(), sign, context)
        }
        (DataType::Date32, of) if coerce::is_integer(of) => {
            date_plus_days(left.clone(), super::as_int(right.clone(), context)?, sign as i32)
        }
        (left_type, right_type) if sign == -1 && coerce::is_datetime(left_type) && coerce::is_datetime(right_type) => {
            difference(left.clone(), right.clone(), context)?
        }
        (DataType::Duration(_), DataType::Duration(_)) => durations(left.clone(), right.clone(), sign),
        _ if is_interval(left) || is_interval(right) => return Ok(None),
        _ => return Ok(None),
    };
    Ok(Some(typed.named(name)))
}

fn durations(left: Typed, right: Typed, sign: i64) -> Typed {
    let of = left.data_type.clone();
    let expr = Native::call(
        "add_intervals",
        sign.to_string(),
        of.clone(),
        vec![left.expr, right.expr],
        move |arguments, _| {
            let (left, right) = (
                arguments[0].as_primitive::<DurationMicrosecondType>(),
                arguments[1].as_primitive::<DurationMicrosecondType>(),
            );
            let sum = arrow::compute::try_binary::<_, _, _, DurationMicrosecondType>(left, right, |left, right| {
                left.checked_add(sign * right)
                    .ok_or_else(|| arrow::error::ArrowError::ArithmeticOverflow("interval".into()))
            });
            Ok(Arc::new(sum.map_err(|_| crate::errors::overflow(""))?) as ArrayRef)
        },
    );
    Typed::new(expr, of, "")
}

/// A date plus whole days stays a date; with hours or less it becomes a timestamp.
fn plus_duration(value: Typed, by: Typed, sign: i64, context: &CallContext<'_>) -> Result<Typed> {
    use datafusion::common::ScalarValue;
    let whole_days =
        matches!(by.as_literal(), Some(ScalarValue::DurationMicrosecond(Some(micros))) if micros % DAY == 0);
    let is_date = value.data_type == DataType::Date32;
    let value = if is_date { implicit_cast(value, &types::timestamp(), context)? } else { value };
    let of = value.data_type.clone();
    let with_zone = matches!(of, DataType::Timestamp(_, Some(_)));
    let session = context.session.settings.time_zone();
    let parameters = format!("{sign} {session} {with_zone}");
    let expr = Native::call("add_interval", parameters, of.clone(), vec![value.expr, by.expr], move |arguments, _| {
        let (value, by) = (
            arguments[0].as_primitive::<TimestampMicrosecondType>(),
            arguments[1].as_primitive::<DurationMicrosecondType>(),
        );
        let sum = arrow::compute::binary::<_, _, _, TimestampMicrosecondType>(value, by, |value, by| {
            value.wrapping_add(sign.wrapping_mul(by))
        })?;
        Ok(if with_zone { Arc::new(sum.with_timezone("UTC")) as ArrayRef } else { Arc::new(sum) })
    });
    let typed = Typed::new(expr, of, "");
    if is_date && whole_days { implicit_cast(typed, &DataType::Date32, context) } else { Ok(typed) }
}

fn plus_months(value: Typed, by: Typed, sign: i64, context: &CallContext<'_>) -> Typed {
    let of = value.data_type.clone();
    let session = if matches!(of, DataType::Timestamp(_, Some(_))) {
        context.session.settings.time_zone()
    } else {
        chrono_tz::Tz::UTC
    };
    let result = of.clone();
    let expr = Native::call(
        "add_months",
        format!("{sign} {session} {of}"),
        of.clone(),
        vec![value.expr, by.expr],
        move |arguments, _| {
            let by = arguments[1].as_primitive::<IntervalYearMonthType>();
            if result == DataType::Date32 {
                let dates = arguments[0].as_primitive::<Date32Type>();
                let moved = arrow::compute::binary::<_, _, _, Date32Type>(dates, by, |day, months| {
                    date_of(day).and_then(|date| move_months(date, sign * i64::from(months))).map_or(day, days_of)
                })?;
                return Ok(Arc::new(moved) as ArrayRef);
            }
            let instants = arguments[0].as_primitive::<TimestampMicrosecondType>();
            let moved =
                arrow::compute::binary::<_, _, _, TimestampMicrosecondType>(instants, by, |instant, months| {
                    let wall = zone::to_wall_clock(instant, session);
                    let day = wall.div_euclid(DAY) as i32;
                    let moved =
                        date_of(day).and_then(|date| move_months(date, sign * i64::from(months))).map_or(day, days_of);
                    zone::from_wall_clock(i64::from(moved) * DAY + wall.rem_euclid(DAY), session)
                })?;
            Ok(Arc::new(moved.with_data_type(result.clone())) as ArrayRef)
        },
    );
    Typed::new(expr, of, "")
}

fn move_months(date: chrono::NaiveDate, months: i64) -> Option<chrono::NaiveDate> {
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months >= 0 { date.checked_add_months(count) } else { date.checked_sub_months(count) }
}

fn difference(left: Typed, right: Typed, context: &CallContext<'_>) -> Result<Typed> {
    let common = coerce::common(&left.data_type, &right.data_type)
        .ok_or_else(|| Error::bug("two dates or timestamps without a common type"))?;
    let common = if common == DataType::Date32 { types::timestamp_ntz() } else { common };
    let arguments = vec![implicit_cast(left, &common, context)?.expr, implicit_cast(right, &common, context)?.expr];
    let of = DataType::Duration(TimeUnit::Microsecond);
    let expr = Native::call("subtract_timestamps", "", of.clone(), arguments, |arguments, _| {
        let (left, right) = (
            arguments[0].as_primitive::<TimestampMicrosecondType>(),
            arguments[1].as_primitive::<TimestampMicrosecondType>(),
        );
        let values: PrimitiveArray<DurationMicrosecondType> = (0..left.len())
            .map(|row| (left.is_valid(row) && right.is_valid(row)).then(|| left.value(row) - right.value(row)))
            .collect();
        Ok(Arc::new(values) as ArrayRef)
    });
    Ok(Typed::new(expr, of, ""))
}
