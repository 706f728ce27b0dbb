//! Bytes as letters that survive a journey: base64, hex, percent signs.

use super::super::row::strict;
use super::super::text::{all_text, text_or_bytes};
use super::super::{CallContext, Entry, as_text, constant, implicit_cast};
use crate::function::datum::Datum;
use crate::pipeline::analysis::typed::Typed;
use arrow::datatypes::DataType;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datafusion::common::ScalarValue;
use std::fmt::Write as _;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["base64"], arguments: (1, 1), build: base64 },
    Entry { names: &["unbase64"], arguments: (1, 1), build: unbase64 },
    Entry { names: &["hex"], arguments: (1, 1), build: hex },
    Entry { names: &["unhex"], arguments: (1, 1), build: unhex },
    Entry { names: &["url_encode"], arguments: (1, 1), build: url_encode },
    Entry { names: &["url_decode"], arguments: (1, 1), build: |context, given| url_decode(context, given, true) },
    Entry { names: &["try_url_decode"], arguments: (1, 1), build: |context, given| url_decode(context, given, false) },
    Entry { names: &["to_binary"], arguments: (1, 2), build: |context, given| to_binary(context, given, true) },
    Entry { names: &["try_to_binary"], arguments: (1, 2), build: |context, given| to_binary(context, given, false) },
];

fn bytes(argument: Typed, context: &CallContext<'_>) -> Result<Typed> {
    implicit_cast(text_or_bytes(argument, context)?, &DataType::Binary, context)
}

/// In lines of 76 letters, as in mail.
fn base64(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let value = match arguments.remove(0) {
        value if matches!(value.data_type, DataType::Utf8 | DataType::Binary | DataType::Null) => {
            bytes(value, context)?
        }
        other => return Err(context.wrong_type("BINARY", &other.data_type)),
    };
    Ok(strict(context, DataType::Utf8, vec![value], |row| {
        let lines: Vec<String> = row.bytes(0).chunks(57).map(|line| STANDARD.encode(line)).collect();
        Ok(lines.join("\r\n").into())
    }))
}

/// What is no letter of base64 is passed over, as in mail.
fn unbase64(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    Ok(strict(context, DataType::Binary, all_text(context, arguments)?, |row| {
        lenient_base64(row.text(0)).map(Into::into).ok_or_else(|| invalid("unbase64", row.text(0), "base64"))
    }))
}

/// `None` when the letters end in the middle of a byte.
fn lenient_base64(text: &str) -> Option<Vec<u8>> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let end = text.find('=').unwrap_or(text.len());
    let letters: Vec<u8> = text.bytes().take(end).filter(is_letter).collect();
    base64::engine::general_purpose::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    )
    .decode(letters)
    .ok()
}

/// Of a number its 64 bits, of text and bytes every byte; upper case.
fn hex(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let value = arguments.remove(0);
    if matches!(value.data_type, DataType::Utf8 | DataType::Binary | DataType::Null) {
        let value = bytes(value, context)?;
        return Ok(strict(context, DataType::Utf8, vec![value], |row| Ok(hexadecimal(row.bytes(0)).into())));
    }
    let value = match value.data_type {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..) => implicit_cast(value, &DataType::Int64, context)?,
        DataType::Timestamp(..) | DataType::Date32 => bytes(as_text(value, context)?, context)?,
        ref other => return Err(context.wrong_type("BIGINT, BINARY or STRING", other)),
    };
    if value.data_type == DataType::Binary {
        return Ok(strict(context, DataType::Utf8, vec![value], |row| Ok(hexadecimal(row.bytes(0)).into())));
    }
    Ok(strict(context, DataType::Utf8, vec![value], |row| Ok(format!("{:X}", row.long(0)).into())))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02X}");
    }
    out
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect::<Option<Vec<u8>>>()?;
    let (first, rest) = digits.split_at(digits.len() % 2);
    Some(first.iter().copied().chain(rest.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1])).collect())
}

fn unhex(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    Ok(strict(context, DataType::Binary, all_text(context, arguments)?, |row| Ok(from_hexadecimal(row.text(0)).into())))
}

/// As forms send it: a space is `+`.
fn url_encode(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    Ok(strict(context, DataType::Utf8, all_text(context, arguments)?, |row| {
        let mut out = String::with_capacity(row.text(0).len());
        for byte in row.text(0).bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
                b' ' => out.push('+'),
                other => {
                    let _ = write!(out, "%{other:02X}");
                }
            }
        }
        Ok(out.into())
    }))
}

fn url_decode(context: &CallContext<'_>, arguments: Vec<Typed>, fails: bool) -> Result<Typed> {
    Ok(strict(context, DataType::Utf8, all_text(context, arguments)?, move |row| match decoded(row.text(0)) {
        Some(text) => Ok(text.into()),
        None if !fails => Ok(Datum::Null),
        None => Err(Error::new(Kind::Data, format!("url_decode: '{}' has a % without two hex digits", row.text(0)))
            .class("CANNOT_DECODE_URL")
            .help("use try_url_decode to get NULL instead")),
    }))
}

fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                high << 4 | low
            }
            other => other,
        });
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

fn invalid(function: &str, text: &str, format: &str) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::new(Kind::Data, format!("{function}: '{shown}' is not valid as {format}"))
        .class("CONVERSION_INVALID_INPUT")
        .help("use try_to_binary to get NULL instead")
}

/// By format: `hex` (the default), `utf-8` or `base64`.
fn to_binary(context: &CallContext<'_>, mut arguments: Vec<Typed>, fails: bool) -> Result<Typed> {
    let format = match arguments.len() {
        2 => match constant::value(&arguments.remove(1))? {
            Some(ScalarValue::Utf8(format)) => format,
            Some(ScalarValue::Null) => None,
            _ => return Err(constant::not_constant("fmt", &DataType::Utf8, context)),
        },
        _ => Some("hex".to_owned()),
    };
    let text = as_text(arguments.remove(0), context)?;
    let format = format.map(|format| format.to_lowercase());
    if let Some(format) = format.as_deref()
        && !matches!(format, "hex" | "utf-8" | "utf8" | "base64")
    {
        if !fails {
            return Ok(Typed::literal(ScalarValue::Binary(None), ""));
        }
        return Err(Error::invalid(format!("{}: '{format}' is no format it knows", context.name))
            .class("DATATYPE_MISMATCH.INVALID_ARG_VALUE")
            .help("it knows hex, utf-8 and base64")
            .at_if_unplaced(context.text.place(context.at)));
    }
    let parameters = format!("{format:?} {fails}");
    Ok(crate::function::row::call(context, parameters, DataType::Binary, vec![text], move |row| {
        let (Some(text), Some(format)) = (row.text_if(0), format.as_deref()) else { return Ok(Datum::Null) };
        let found = match format {
            "hex" => from_hexadecimal(text),
            "base64" => strict_base64(text),
            _ => Some(text.as_bytes().to_vec()),
        };
        match found {
            Some(bytes) => Ok(bytes.into()),
            None if fails => Err(invalid("to_binary", text, format)),
            None => Ok(Datum::Null),
        }
    }))
}

/// White space is passed over; padding may be left out, but not half of it.
fn strict_base64(text: &str) -> Option<Vec<u8>> {
    let letters: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    let plain = letters.trim_end_matches('=');
    let padding = letters.len() - plain.len();
    if padding > 0 && (!letters.len().is_multiple_of(4) || padding > 2) {
        return None;
    }
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    if !plain.bytes().all(valid) { None } else { lenient_base64(plain) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_there_and_back() {
        assert_eq!(from_hexadecimal("F"), Some(vec![15]));
        assert_eq!(from_hexadecimal("4d5A"), Some(vec![0x4D, 0x5A]));
        assert_eq!(from_hexadecimal("G"), None);
        assert_eq!(lenient_base64("a G\nk"), Some(b"hi".to_vec()));
        assert_eq!(lenient_base64("a"), None);
        assert_eq!(decoded("a+b%C3%A9"), Some("a bé".to_owned()));
        assert_eq!(decoded("%z"), None);
        assert_eq!(strict_base64("aGk="), Some(b"hi".to_vec()));
        assert_eq!(strict_base64("a!"), None);
    }
}
