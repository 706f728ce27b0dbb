//! Literals: text and a type to a value.

use super::Session;
use super::typed::Typed;
use crate::function::cast::printing;
use crate::time::interval::Interval;
use crate::time::text as time_text;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use tidemill_core::{Error, Result, types};

/// The literal `text` of the type `data_type` (DDL, or `interval`). No text is NULL.
///
/// # Errors
/// Text that is no value of the type.
pub fn typed(data_type: &str, text: Option<&str>, session: &Session) -> Result<Typed> {
    let wrong = |text: &str| {
        Error::invalid(format!("'{text}' is not a literal of type {}", data_type.to_uppercase()))
            .class("INVALID_TYPED_LITERAL")
    };
    if data_type.eq_ignore_ascii_case("interval") {
        let text = text.unwrap_or_default();
        return interval(text).ok_or_else(|| wrong(text));
    }
    let of = types::parse_type(data_type)?;
    let Some(text) = text else {
        return Ok(Typed::literal(ScalarValue::try_from(&of).map_err(crate::errors::from_datafusion)?, "NULL"));
    };
    let value = parse(&of, text, session).ok_or_else(|| wrong(text))?;
    let name = match of {
        DataType::Date32 => format!("DATE '{text}'"),
        DataType::Timestamp(_, Some(_)) => format!("TIMESTAMP '{text}'"),
        DataType::Timestamp(_, None) => format!("TIMESTAMP_NTZ '{text}'"),
        DataType::Binary => format!("X'{}'", text.to_uppercase()),
        _ => match &value {
            ScalarValue::Float64(Some(number)) => printing::double(*number),
            _ => text.to_owned(),
        },
    };
    Ok(Typed::literal(value, name))
}

fn parse(of: &DataType, text: &str, session: &Session) -> Option<ScalarValue> {
    Some(match of {
        DataType::Null => ScalarValue::Null,
        DataType::Boolean => ScalarValue::Boolean(Some(text.eq_ignore_ascii_case("true"))),
        DataType::Int8 => ScalarValue::Int8(Some(text.parse().ok()?)),
        DataType::Int16 => ScalarValue::Int16(Some(text.parse().ok()?)),
        DataType::Int32 => ScalarValue::Int32(Some(text.parse().ok()?)),
        DataType::Int64 => ScalarValue::Int64(Some(text.parse().ok()?)),
        DataType::Float32 => ScalarValue::Float32(Some(parse_float(text)? as f32)),
        DataType::Float64 => ScalarValue::Float64(Some(parse_float(text)?)),
        DataType::Decimal128(precision, scale) => {
            ScalarValue::Decimal128(Some(parse_decimal(text, *scale)?), *precision, *scale)
        }
        DataType::Utf8 => ScalarValue::Utf8(Some(text.to_owned())),
        DataType::Binary => ScalarValue::Binary(Some(parse_hexadecimal(text)?)),
        DataType::Date32 => ScalarValue::Date32(Some(time_text::parse_date(text)?)),
        DataType::Timestamp(_, Some(zone)) => {
            let micros = time_text::parse_timestamp(text, session.settings.time_zone())?;
            ScalarValue::TimestampMicrosecond(Some(micros), Some(zone.clone()))
        }
        DataType::Timestamp(_, None) => {
            ScalarValue::TimestampMicrosecond(Some(time_text::parse_timestamp_ntz(text)?), None)
        }
        _ => return None,
    })
}

fn interval(text: &str) -> Option<Typed> {
    let parsed = Interval::parse(text)?;
    let name = crate::time::interval::literal_name(text).unwrap_or_else(|| format!("INTERVAL '{}'", text.trim()));
    let value = match (parsed.months, parsed.fixed_micros()) {
        (_, Some(micros)) => ScalarValue::DurationMicrosecond(Some(micros)),
        (months, None) if parsed.days == 0 && parsed.micros == 0 => {
            ScalarValue::IntervalYearMonth(Some(i32::try_from(months).ok()?))
        }
        _ => return None,
    };
    Some(Typed::literal(value, name))
}

fn parse_float(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "infinity" | "inf" | "+infinity" => Some(f64::INFINITY),
        "-infinity" | "-inf" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok(),
    }
}

/// Decimal text as an unscaled number at `scale`; more digits than the scale are refused.
fn parse_decimal(text: &str, scale: i8) -> Option<i128> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let scale = usize::try_from(scale).ok()?;
    if fraction.len() > scale {
        return None;
    }
    let digits: String =
        whole.chars().chain(fraction.chars()).chain(std::iter::repeat_n('0', scale - fraction.len())).collect();
    let value: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    Some(if negative { -value } else { value })
}

fn parse_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let padded = if text.len() % 2 == 1 { format!("0{text}") } else { text.to_owned() };
    padded.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
