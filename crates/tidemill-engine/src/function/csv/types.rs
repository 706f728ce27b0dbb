//! Cells as values of a type, values as cells, and the type a cell looks like.

use crate::function::cast::{self, printing};
use crate::function::datum::Datum;
use crate::function::json::options::Options;
use crate::function::json::print;
use crate::time::{DAY, text};
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, TimestampMicrosecondType};
use tidemill_core::{Result, types};

/// True for the types a cell can have.
pub fn is_plain(of: &DataType) -> bool {
    !matches!(of, DataType::List(_) | DataType::Struct(_) | DataType::Map(..))
}

/// The value of a cell; `None` when it does not fit.
pub fn read(cell: &str, of: &DataType, options: &Options) -> Option<Datum> {
    let whole = |least: i64, most: i64| {
        let value: i64 = cell.parse().ok()?;
        (least..=most).contains(&value).then_some(Datum::Whole(value.into()))
    };
    let time = |value: Option<i64>| value.map(|value| Datum::Whole(value.into()));
    match of {
        DataType::Utf8 => Some(cell.into()),
        DataType::Binary => Some(cell.as_bytes().to_vec().into()),
        DataType::Boolean => match cell.to_lowercase().as_str() {
            "true" => Some(true.into()),
            "false" => Some(false.into()),
            _ => None,
        },
        DataType::Int8 => whole(i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => whole(i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => whole(i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => whole(i64::MIN, i64::MAX),
        DataType::Float32 | DataType::Float64 => real(cell).map(Datum::Real),
        DataType::Decimal128(precision, scale) => {
            cast::decimal_of(&cell.replace(',', ""), *precision, *scale).map(Datum::Whole)
        }
        DataType::Date32 => time(match &options.date {
            Some(pattern) => pattern.parse(cell, chrono_tz::UTC).map(|micros| micros.div_euclid(DAY)),
            None => text::parse_date(cell).map(i64::from),
        }),
        DataType::Timestamp(_, Some(_)) => time(match &options.timestamp {
            Some(pattern) => pattern.parse(cell, options.zone),
            None => text::parse_timestamp(cell, options.zone),
        }),
        DataType::Timestamp(_, None) => time(match &options.timestamp_ntz {
            Some(pattern) => pattern.parse(cell, chrono_tz::UTC),
            None => text::parse_timestamp_ntz(cell),
        }),
        _ => None,
    }
}

fn real(cell: &str) -> Option<f64> {
    match cell {
        "NaN" => Some(f64::NAN),
        "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        other => {
            let number = other.trim();
            let number = number.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(number);
            let starts_well = number
                .trim_start_matches(['+', '-'])
                .starts_with(|letter: char| letter.is_ascii_digit() || letter == '.');
            if starts_well { number.parse().ok() } else { None }
        }
    }
}

/// A value as the text of a cell.
///
/// # Errors
/// A bug: a type that does not print.
pub fn print(array: &ArrayRef, row: usize, options: &Options) -> Result<String> {
    Ok(match array.data_type() {
        DataType::Date32 => print::date(array.as_primitive::<Date32Type>().value(row), options),
        DataType::Timestamp(_, zone) => {
            print::timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row), zone.is_some(), options)
        }
        DataType::Decimal128(_, scale) => print::big_decimal(array.as_primitive::<Decimal128Type>().value(row), *scale),
        _ => printing::print_array(&array.slice(row, 1), options.zone)?.value(0).to_owned(),
    })
}

/// The type a cell looks like.
pub fn infer(cell: &str, options: &Options) -> DataType {
    let fits = |of: &DataType| read(cell, of, options).is_some();
    if fits(&DataType::Int32) {
        return DataType::Int32;
    }
    if fits(&DataType::Int64) {
        return DataType::Int64;
    }
    let digits = cell.trim_start_matches(['+', '-']);
    if !digits.is_empty() && digits.len() <= 38 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return DataType::Decimal128(digits.trim_start_matches('0').len().max(1) as u8, 0);
    }
    if fits(&DataType::Float64) {
        return DataType::Float64;
    }
    // a date has no time behind it
    if !cell.contains([':', 'T', ' ']) && fits(&DataType::Date32) {
        return DataType::Date32;
    }
    [types::timestamp(), DataType::Boolean].into_iter().find(fits).unwrap_or(DataType::Utf8)
}
