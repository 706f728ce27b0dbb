//! `+ - * /` where a date, timestamp or interval takes part. Days of an interval are days of the calendar:
//! they follow the wall clock over a change of the clocks, hours do not.

use super::{overflow, zone_of};
use crate::function::native::Native;
use crate::function::{CallContext, implicit_cast};
use crate::pipeline::analysis::coerce;
use crate::pipeline::analysis::typed::Typed;
use crate::pipeline::expression::BinaryOperator;
use crate::time::{DAY, calendar, date_of, days_of};
use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Float64Array, PrimitiveArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Float64Type, Int32Type, Int64Type, IntervalMonthDayNanoType,
    IntervalUnit, IntervalYearMonthType, TimeUnit, TimestampMicrosecondType,
};
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, types};

/// A typed operator where a date, timestamp or interval takes part; `None` when none does.
///
/// # Errors
/// A date and days of a wrong type.
pub fn arithmetic(
    operator: BinaryOperator,
    left: &Typed,
    right: &Typed,
    context: &CallContext<'_>,
) -> Result<Option<Typed>> {
    let name = format!("({} {} {})", left.name, operator.symbol(), right.name);
    let typed = match operator {
        BinaryOperator::Add => add(left, right, 1, context)?,
        BinaryOperator::Subtract => add(left, right, -1, context)?,
        BinaryOperator::Multiply => match (is_interval(&left.data_type), is_interval(&right.data_type)) {
            (true, false) => scaled(left, right, false, context),
            (false, true) => {
                let name = format!("({} * {})", right.name, left.name);
                return Ok(scaled(right, left, false, context).map(|typed| typed.named(name)));
            }
            _ => None,
        },
        BinaryOperator::Divide if is_interval(&left.data_type) => scaled(left, right, true, context),
        BinaryOperator::IntegerDivide => quotient(left, right),
        _ => None,
    };
    Ok(typed.map(|typed| if typed.name.is_empty() { typed.named(name) } else { typed }))
}

fn is_interval(of: &DataType) -> bool {
    matches!(of, DataType::Duration(_) | DataType::Interval(IntervalUnit::YearMonth))
}

fn is_any_interval(of: &DataType) -> bool {
    matches!(of, DataType::Duration(_) | DataType::Interval(_))
}

fn add(left: &Typed, right: &Typed, sign: i64, context: &CallContext<'_>) -> Result<Option<Typed>> {
    let shown =
        |one: &Typed, other: &Typed| format!("{} {} {}", one.name, if sign > 0 { "+" } else { "-" }, other.name);
    Ok(Some(match (&left.data_type, &right.data_type) {
        (of, by) if coerce::is_datetime(of) && is_any_interval(by) => {
            let name = match *of == DataType::Date32 && is_days(right) {
                true => {
                    let moved = if sign > 0 { "date_add" } else { "date_sub" };
                    format!("{moved}({}, extractansiintervaldays({}))", left.name, right.name)
                }
                false => shown(left, right),
            };
            plus_interval(left.clone(), right.clone(), sign, context)?.named(name)
        }
        (by, of) if is_any_interval(by) && coerce::is_datetime(of) && sign == 1 => {
            plus_interval(right.clone(), left.clone(), sign, context)?.named(shown(right, left))
        }
        (DataType::Date32, of) if coerce::is_integer(of) => {
            let days = super::dates::as_days(right.clone(), context)?;
            let name = if sign > 0 { "date_add" } else { "date_sub" };
            super::dates::plus_days(left.clone(), days, sign as i32)
                .named(format!("{name}({}, {})", left.name, right.name))
        }
        (of, DataType::Date32) if coerce::is_integer(of) && sign == 1 => {
            let days = super::dates::as_days(left.clone(), context)?;
            super::dates::plus_days(right.clone(), days, 1).named(format!("date_add({}, {})", right.name, left.name))
        }
        (one, other) if sign == -1 && coerce::is_datetime(one) && coerce::is_datetime(other) => {
            difference(left.clone(), right.clone(), context)?
        }
        (one, DataType::Utf8) if sign == -1 && coerce::is_datetime(one) => {
            let right = implicit_cast(right.clone(), one, context)?;
            difference(left.clone(), right, context)?
        }
        (one, other) if is_interval(one) && one == other => intervals(left.clone(), right.clone(), sign),
        _ => return Ok(None),
    }))
}

/// Row by row where both sides have a value.
fn each<T>(
    left: &ArrayRef,
    right: &ArrayRef,
    mut compute: impl FnMut(usize) -> Result<T>,
) -> impl Iterator<Item = Result<Option<T>>> {
    (0..left.len()).map(move |row| match left.is_null(row) || right.is_null(row) {
        true => Ok(None),
        false => compute(row).map(Some),
    })
}

fn interval_overflow() -> Error {
    Error::new(Kind::Data, "an interval overflows").class("INTERVAL_ARITHMETIC_OVERFLOW.WITHOUT_SUGGESTION")
}

/// Two intervals of one kind.
fn intervals(left: Typed, right: Typed, sign: i64) -> Typed {
    let of = left.data_type.clone();
    let arguments = vec![left.expr, right.expr];
    let expr = Native::call("add_intervals", sign.to_string(), of.clone(), arguments, move |arguments, _| {
        let (left, right) = (as_whole(&arguments[0])?, as_whole(&arguments[1])?);
        let sum = each(&arguments[0], &arguments[1], |row| {
            let other = right[row].checked_mul(sign).ok_or_else(interval_overflow)?;
            left[row].checked_add(other).ok_or_else(interval_overflow)
        });
        of_whole(sum.collect::<Result<_>>()?, arguments[0].data_type())
    });
    Typed::new(expr, of, "")
}

/// Intervals as whole numbers: microseconds or months.
fn as_whole(array: &ArrayRef) -> Result<Vec<i64>> {
    Ok(match array.data_type() {
        DataType::Duration(_) => array.as_primitive::<DurationMicrosecondType>().values().to_vec(),
        _ => array.as_primitive::<IntervalYearMonthType>().values().iter().map(|months| i64::from(*months)).collect(),
    })
}

fn of_whole(values: Vec<Option<i64>>, of: &DataType) -> Result<ArrayRef> {
    Ok(match of {
        DataType::Duration(_) => Arc::new(PrimitiveArray::<DurationMicrosecondType>::from_iter(values)),
        _ => {
            let months = values
                .into_iter()
                .map(|value| value.map(|value| i32::try_from(value).map_err(|_| interval_overflow())).transpose());
            Arc::new(months.collect::<Result<PrimitiveArray<IntervalYearMonthType>>>()?)
        }
    })
}

/// An interval times or through a number, rounded half up.
fn scaled(interval: &Typed, number: &Typed, divide: bool, context: &CallContext<'_>) -> Option<Typed> {
    let number = match &number.data_type {
        DataType::Utf8 | DataType::Null => implicit_cast(number.clone(), &DataType::Float64, context).ok()?,
        of if coerce::is_numeric(of) => number.clone(),
        _ => return None,
    };
    let of = interval.data_type.clone();
    let arguments = vec![interval.expr.clone(), number.expr];
    let expr = Native::call("scale_interval", divide.to_string(), of.clone(), arguments, move |arguments, _| {
        let values = as_whole(&arguments[0])?;
        let whole = coerce::is_integer(arguments[1].data_type());
        let numbers = cast(&arguments[1], if whole { &DataType::Int64 } else { &DataType::Float64 })?;
        let result = each(&arguments[0], &arguments[1], |row| match whole {
            true => scale_whole(values[row], numbers.as_primitive::<Int64Type>().value(row), divide),
            false => scale_float(values[row], numbers.as_primitive::<Float64Type>(), row, divide),
        });
        of_whole(result.collect::<Result<_>>()?, arguments[0].data_type())
    });
    Some(Typed::new(expr, of, ""))
}

fn divided_by_zero() -> Error {
    Error::new(Kind::Data, "an interval is divided by zero")
        .class("INTERVAL_DIVIDED_BY_ZERO")
        .help("use try_divide to get NULL instead")
}

fn scale_whole(value: i64, number: i64, divide: bool) -> Result<i64> {
    if !divide {
        return value.checked_mul(number).ok_or_else(interval_overflow);
    }
    if number == 0 {
        return Err(divided_by_zero());
    }
    let (value, number) = (i128::from(value), i128::from(number));
    let (quotient, remainder) = (value / number, value % number);
    let away = if (value < 0) == (number < 0) { 1 } else { -1 };
    let rounded = if remainder.abs() * 2 >= number.abs() { quotient + away } else { quotient };
    i64::try_from(rounded).map_err(|_| interval_overflow())
}

fn scale_float(value: i64, numbers: &Float64Array, row: usize, divide: bool) -> Result<i64> {
    let number = numbers.value(row);
    if divide && number == 0.0 {
        return Err(divided_by_zero());
    }
    let result = if divide { value as f64 / number } else { value as f64 * number }.round();
    if result.is_nan() || result.abs() >= i64::MAX as f64 { Err(interval_overflow()) } else { Ok(result as i64) }
}

/// `div` of two intervals of one kind.
fn quotient(left: &Typed, right: &Typed) -> Option<Typed> {
    if !is_interval(&left.data_type) || left.data_type != right.data_type {
        return None;
    }
    let arguments = vec![left.expr.clone(), right.expr.clone()];
    let expr = Native::call("div_intervals", "", DataType::Int64, arguments, |arguments, _| {
        let (left, right) = (as_whole(&arguments[0])?, as_whole(&arguments[1])?);
        let quotients = each(&arguments[0], &arguments[1], |row| match right[row] {
            0 => Err(divided_by_zero()),
            divisor => left[row].checked_div(divisor).ok_or_else(|| crate::errors::overflow("")),
        });
        Ok(Arc::new(quotients.collect::<Result<arrow::array::Int64Array>>()?) as ArrayRef)
    });
    Some(Typed::new(expr, DataType::Int64, ""))
}

/// A date plus whole days or months stays a date; with hours or less it becomes a timestamp.
fn plus_interval(value: Typed, by: Typed, sign: i64, context: &CallContext<'_>) -> Result<Typed> {
    let fine = matches!(by.data_type, DataType::Duration(_)) && !is_days(&by);
    let value = match value.data_type {
        DataType::Date32 if fine => implicit_cast(value, &types::timestamp(), context)?,
        _ => value,
    };
    let of = value.data_type.clone();
    let session = zone_of(&of, context);
    let arguments = vec![value.expr, by.expr];
    let (parameters, result) = (format!("{sign} {session} {of}"), of.clone());
    let expr = Native::call("add_interval", parameters, of.clone(), arguments, move |arguments, _| {
        if result == DataType::Date32 {
            let days = arguments[0].as_primitive::<Date32Type>();
            let moved = each(&arguments[0], &arguments[1], |row| {
                let (months, more, micros) = interval_at(&arguments[1], row, sign);
                if micros != 0 {
                    return Err(Error::new(Kind::Data, "an interval with hours or less is added to a date")
                        .class("INVALID_INTERVAL_WITH_MICROSECONDS_ADDITION")
                        .help("cast the date to a timestamp first"));
                }
                let date = date_of(days.value(row)).and_then(|date| calendar::add_months(date, months));
                let day = date.map(days_of).and_then(|day| day.checked_add(i32::try_from(more).ok()?));
                day.ok_or_else(overflow)
            });
            return Ok(Arc::new(moved.collect::<Result<Date32Array>>()?) as ArrayRef);
        }
        let instants = arguments[0].as_primitive::<TimestampMicrosecondType>();
        let moved = each(&arguments[0], &arguments[1], |row| {
            let (months, days, micros) = interval_at(&arguments[1], row, sign);
            calendar::add(instants.value(row), months, days, micros, session).ok_or_else(overflow)
        });
        Ok(super::timestamps(moved.collect::<Result<TimestampMicrosecondArray>>()?, &result))
    });
    Ok(Typed::new(expr, of, ""))
}

/// True for an interval of the type `interval day`: a literal in days, or how far two dates are apart.
fn is_days(interval: &Typed) -> bool {
    let of_dates = matches!(&interval.expr, datafusion::logical_expr::Expr::ScalarFunction(call)
        if call.func.name() == "subtract_dates");
    of_dates || (interval.as_literal().is_some() && interval.name.ends_with("' DAY"))
}

/// Months, days and microseconds.
fn interval_at(array: &ArrayRef, row: usize, sign: i64) -> (i64, i64, i64) {
    let (months, days, micros) = match array.data_type() {
        DataType::Duration(_) => {
            let micros = array.as_primitive::<DurationMicrosecondType>().value(row);
            (0, micros / DAY, micros % DAY)
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            (i64::from(array.as_primitive::<IntervalYearMonthType>().value(row)), 0, 0)
        }
        _ => {
            let interval = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            (i64::from(interval.months), i64::from(interval.days), interval.nanoseconds / 1000)
        }
    };
    (sign * months, sign * days, sign * micros)
}

/// How far two dates or timestamps are apart, by their wall clocks.
fn difference(left: Typed, right: Typed, context: &CallContext<'_>) -> Result<Typed> {
    let of = DataType::Duration(TimeUnit::Microsecond);
    if left.data_type == DataType::Date32 && right.data_type == DataType::Date32 {
        let expr = Native::call("subtract_dates", "", of.clone(), vec![left.expr, right.expr], |arguments, _| {
            let days = [0, 1].map(|side| cast(&arguments[side], &DataType::Int32));
            let [left, right] = days;
            let (left, right) = (left?, right?);
            let (left, right) = (left.as_primitive::<Int32Type>(), right.as_primitive::<Int32Type>());
            let apart = arrow::compute::binary::<_, _, _, DurationMicrosecondType>(left, right, |left, right| {
                (i64::from(left) - i64::from(right)) * DAY
            })?;
            Ok(Arc::new(apart) as ArrayRef)
        });
        return Ok(Typed::new(expr, of, ""));
    }
    let common = coerce::common(&left.data_type, &right.data_type)
        .ok_or_else(|| Error::bug("two dates or timestamps without a common type"))?;
    let session = zone_of(&common, context);
    let arguments = vec![implicit_cast(left, &common, context)?.expr, implicit_cast(right, &common, context)?.expr];
    let parameters = session.name();
    let expr = Native::call("subtract_timestamps", parameters, of.clone(), arguments, move |arguments, _| {
        let (left, right) = (
            arguments[0].as_primitive::<TimestampMicrosecondType>(),
            arguments[1].as_primitive::<TimestampMicrosecondType>(),
        );
        let wall = |micros: i64| crate::time::zone::to_wall_clock(micros, session);
        let apart = each(&arguments[0], &arguments[1], |row| {
            wall(left.value(row)).checked_sub(wall(right.value(row))).ok_or_else(interval_overflow)
        });
        Ok(Arc::new(apart.collect::<Result<PrimitiveArray<DurationMicrosecondType>>>()?) as ArrayRef)
    });
    Ok(Typed::new(expr, of, ""))
}
