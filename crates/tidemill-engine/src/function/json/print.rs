//! Structs, arrays and maps as JSON text: `to_json`.

use super::options::Options;
use super::writer::Writer;
use crate::function::cast::printing;
use crate::time::{DAY, pattern::Pattern, text, wall_clock, zone};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType,
};
use base64::Engine as _;
use chrono::{Datelike as _, Timelike as _};
use tidemill_core::{Error, Result};

/// Writes the value in a row; NULL where it is NULL.
///
/// # Errors
/// A bug: a type JSON has no form for got through.
pub fn write(array: &ArrayRef, row: usize, options: &Options, out: &mut Writer) -> Result<()> {
    if array.is_null(row) {
        out.raw("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Null => out.raw("null"),
        DataType::Boolean => out.raw(if array.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Int8 => out.raw(&array.as_primitive::<Int8Type>().value(row).to_string()),
        DataType::Int16 => out.raw(&array.as_primitive::<Int16Type>().value(row).to_string()),
        DataType::Int32 => out.raw(&array.as_primitive::<Int32Type>().value(row).to_string()),
        DataType::Int64 => out.raw(&array.as_primitive::<Int64Type>().value(row).to_string()),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            let shown = printing::float(value);
            if value.is_finite() { out.raw(&shown) } else { out.text(&shown) }
        }
        DataType::Float64 => out.double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            out.raw(&big_decimal(array.as_primitive::<Decimal128Type>().value(row), *scale));
        }
        DataType::Utf8 => out.text(array.as_string::<i32>().value(row)),
        DataType::Binary => {
            out.text(&base64::engine::general_purpose::STANDARD.encode(array.as_binary::<i32>().value(row)));
        }
        DataType::Date32 => out.text(&date(array.as_primitive::<Date32Type>().value(row), options)),
        DataType::Timestamp(_, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            out.text(&timestamp(micros, zone.is_some(), options));
        }
        DataType::Duration(_) => {
            let micros = array.as_primitive::<DurationMicrosecondType>().value(row);
            out.text(&day_time(micros));
        }
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            out.open(false);
            for element in 0..values.len() {
                write(&values, element, options, out)?;
            }
            out.close();
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            out.open(true);
            for entry in 0..entries.len() {
                out.name(&key(entries.column(0), entry)?);
                write(entries.column(1), entry, options, out)?;
            }
            out.close();
        }
        DataType::Struct(fields) => {
            let structs = array.as_struct();
            out.open(true);
            for (field, column) in fields.iter().zip(structs.columns()) {
                let absent = column.is_null(row) || *field.data_type() == DataType::Null;
                if absent && options.ignore_nulls {
                    continue;
                }
                out.name(field.name());
                write(column, row, options, out)?;
            }
            out.close();
        }
        other => return Err(Error::bug(format!("{other} has no form in JSON"))),
    }
    Ok(())
}

/// A key of a map: dates and times are the numbers behind them.
fn key(keys: &ArrayRef, entry: usize) -> Result<String> {
    Ok(match keys.data_type() {
        DataType::Date32 => keys.as_primitive::<Date32Type>().value(entry).to_string(),
        DataType::Timestamp(..) => keys.as_primitive::<TimestampMicrosecondType>().value(entry).to_string(),
        _ => printing::print_array(&keys.slice(entry, 1), chrono_tz::UTC)?.value(0).to_owned(),
    })
}

/// A date, by the option dateFormat.
pub fn date(days: i32, options: &Options) -> String {
    match &options.date {
        Some(pattern) => pattern.format(i64::from(days) * DAY, chrono_tz::UTC),
        None => text::format_date(days),
    }
}

/// A timestamp, by the options timestampFormat and timestampNTZFormat.
pub fn timestamp(micros: i64, has_zone: bool, options: &Options) -> String {
    let zone = if has_zone { options.zone } else { chrono_tz::UTC };
    let pattern: &Option<Pattern> = if has_zone { &options.timestamp } else { &options.timestamp_ntz };
    if let Some(pattern) = pattern {
        return pattern.format(micros, zone);
    }
    let Some(wall) = wall_clock(zone::to_wall_clock(micros, zone)) else { return String::new() };
    let mut out = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}",
        wall.year(),
        wall.month(),
        wall.day(),
        wall.hour(),
        wall.minute(),
        wall.second(),
        wall.nanosecond() / 1_000_000
    );
    if has_zone {
        let offset = zone::offset_seconds(micros, zone);
        let minutes = offset.abs() / 60;
        match offset {
            0 => out.push('Z'),
            _ => out += &format!("{}{:02}:{:02}", if offset < 0 { '-' } else { '+' }, minutes / 60, minutes % 60),
        }
    }
    out
}

/// `INTERVAL '1 02:03:04.5' DAY TO SECOND`.
fn day_time(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let total = micros.unsigned_abs();
    let (seconds, rest) = (total / 1_000_000, total % 1_000_000);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:06}").trim_end_matches('0').to_owned() };
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    format!("INTERVAL '{sign}{days} {hours:02}:{minutes:02}:{:02}{fraction}' DAY TO SECOND", seconds % 60)
}

/// A decimal as Java's BigDecimal prints it: with an exponent when it is very small.
pub fn big_decimal(unscaled: i128, scale: i8) -> String {
    let digits = unscaled.unsigned_abs().to_string();
    let exponent = digits.len() as i32 - 1 - i32::from(scale);
    if exponent >= -6 {
        return printing::decimal(unscaled, scale);
    }
    let sign = if unscaled < 0 { "-" } else { "" };
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_decimals_have_an_exponent() {
        assert_eq!(big_decimal(0, 10), "0E-10");
        assert_eq!(big_decimal(15, 9), "1.5E-8");
        assert_eq!(big_decimal(150, 2), "1.50");
    }

    #[test]
    fn intervals_print_in_sql() {
        assert_eq!(day_time(86_400_000_000), "INTERVAL '1 00:00:00' DAY TO SECOND");
        assert_eq!(day_time(-1_500_000), "INTERVAL '-0 00:00:01.5' DAY TO SECOND");
    }
}
