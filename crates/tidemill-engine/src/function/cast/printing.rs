//! Values as Spark prints them: doubles as Java does, timestamps in the session's zone, structs in
//! braces.

use crate::time::{interval, text};
use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimestampMicrosecondType,
};
use chrono_tz::Tz;
use std::fmt::Write as _;
use tidemill_core::{Error, Result};

/// Every value as text; NULL stays NULL.
pub fn print_array(array: &ArrayRef, zone: Tz) -> Result<StringArray> {
    let mut out = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut value = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            out.append_null();
            continue;
        }
        value.clear();
        print_value(array, row, zone, &mut value)?;
        out.append_value(&value);
    }
    Ok(out.finish())
}

fn print_value(array: &ArrayRef, row: usize, zone: Tz, out: &mut String) -> Result<()> {
    match array.data_type() {
        DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Int8 => push(out, array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => push(out, array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => push(out, array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => push(out, array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => out.push_str(&float(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => out.push_str(&double(array.as_primitive::<Float64Type>().value(row))),
        DataType::Decimal128(_, scale) => {
            out.push_str(&decimal(array.as_primitive::<Decimal128Type>().value(row), *scale));
        }
        DataType::Date32 => out.push_str(&text::format_date(array.as_primitive::<Date32Type>().value(row))),
        DataType::Timestamp(_, with_zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let zone = if with_zone.is_some() { zone } else { Tz::UTC };
            out.push_str(&text::format_timestamp(micros, zone));
        }
        DataType::Binary => out.push_str(&String::from_utf8_lossy(array.as_binary::<i32>().value(row))),
        DataType::List(_) => print_list(&array.as_list::<i32>().value(row), zone, out)?,
        DataType::Struct(_) => {
            out.push('{');
            for (index, column) in array.as_struct().columns().iter().enumerate() {
                separate(out, index);
                print_element(column, row, zone, out)?;
            }
            out.push('}');
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            out.push('{');
            for entry in 0..entries.len() {
                separate(out, entry);
                print_element(entries.column(0), entry, zone, out)?;
                out.push_str(" -> ");
                print_element(entries.column(1), entry, zone, out)?;
            }
            out.push('}');
        }
        DataType::Duration(_) => {
            let micros = array.as_primitive::<DurationMicrosecondType>().value(row);
            out.push_str(&interval::micros_text(micros, 0, 3));
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            let months = array.as_primitive::<IntervalYearMonthType>().value(row);
            out.push_str(&interval::months_text(i64::from(months)));
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            let (months, days) = (i64::from(value.months), i64::from(value.days));
            out.push_str(&interval::calendar_text(months, days, value.nanoseconds / 1000));
        }
        DataType::Null => out.push_str("null"),
        other => return Err(Error::bug(format!("{other} cannot be printed"))),
    }
    Ok(())
}

fn print_list(values: &ArrayRef, zone: Tz, out: &mut String) -> Result<()> {
    out.push('[');
    for element in 0..values.len() {
        separate(out, element);
        print_element(values, element, zone, out)?;
    }
    out.push(']');
    Ok(())
}

fn print_element(array: &ArrayRef, row: usize, zone: Tz, out: &mut String) -> Result<()> {
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    print_value(array, row, zone, out)
}

fn separate(out: &mut String, index: usize) {
    if index > 0 {
        out.push_str(", ");
    }
}

fn push(out: &mut String, value: impl std::fmt::Display) {
    let _ = write!(out, "{value}");
}

/// A decimal with all digits of its scale: `1.50`.
pub fn decimal(unscaled: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap_or(0);
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A double as Java prints it: `0.001`, `1.0E-4`, `1.2345678E7`, `NaN`, `Infinity`.
pub fn double(value: f64) -> String {
    java(value, value.abs() >= 1e-3 && value.abs() < 1e7, &format!("{value}"), &format!("{value:e}"))
}

/// A float as Java prints it.
pub fn float(value: f32) -> String {
    let magnitude = value.abs();
    java(f64::from(value), (1e-3..1e7).contains(&magnitude), &format!("{value}"), &format!("{value:e}"))
}

fn java(value: f64, plain: bool, decimal: &str, scientific: &str) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0.0".into() } else { "0.0".into() };
    }
    if plain {
        return if decimal.contains('.') { decimal.into() } else { format!("{decimal}.0") };
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let mantissa = if mantissa.contains('.') { mantissa.to_owned() } else { format!("{mantissa}.0") };
    format!("{mantissa}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_java_prints_them() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e-4, "1.0E-4"),
            (12_345_678.0, "1.2345678E7"),
            (-0.0, "-0.0"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (1.5e300, "1.5E300"),
            (0.001, "0.001"),
        ] {
            assert_eq!(double(value), text);
        }
        assert_eq!(float(0.1), "0.1");
        assert_eq!(decimal(-5, 2), "-0.05");
        assert_eq!(decimal(150, 2), "1.50");
    }
}
