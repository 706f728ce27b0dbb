//! Letters and their codes, and checks of text: `ascii`, `chr`, `luhn_check`, `is_valid_utf8` and others.

use super::super::row::strict;
use super::super::{CallContext, Entry, implicit_cast, library};
use super::{all_text, text_or_bytes};
use crate::function::datum::Datum;
use crate::pipeline::analysis::typed::Typed;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion_spark::function::string as spark;
use tidemill_core::{Error, Kind, Result, types};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["ascii"], arguments: (1, 1), build: ascii },
    Entry { names: &["chr", "char"], arguments: (1, 1), build: chr },
    Entry { names: &["bit_length"], arguments: (1, 1), build: |context, arguments| size(context, arguments, 8) },
    Entry { names: &["octet_length"], arguments: (1, 1), build: |context, arguments| size(context, arguments, 1) },
    Entry {
        names: &["soundex"],
        arguments: (1, 1),
        build: |context, arguments| library::call(spark::soundex(), all_text(context, arguments)?),
    },
    Entry { names: &["luhn_check"], arguments: (1, 1), build: luhn_check },
    Entry { names: &["is_valid_utf8"], arguments: (1, 1), build: is_valid },
    Entry { names: &["make_valid_utf8"], arguments: (1, 1), build: make_valid },
    Entry { names: &["validate_utf8"], arguments: (1, 1), build: |context, given| validated(context, given, true) },
    Entry {
        names: &["try_validate_utf8"],
        arguments: (1, 1),
        build: |context, given| validated(context, given, false),
    },
    Entry { names: &["typeof"], arguments: (1, 1), build: type_of },
];

fn ascii(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    Ok(strict(context, DataType::Int32, all_text(context, arguments)?, |row| {
        Ok(row.text(0).chars().next().map_or(0, |letter| u32::from(letter) as i32).into())
    }))
}

/// The letter of the lowest byte; negative numbers have none.
fn chr(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let number = arguments.remove(0);
    let number = match number.data_type {
        DataType::List(_) | DataType::Struct(_) | DataType::Map(..) | DataType::Binary | DataType::Boolean => {
            return Err(context.wrong_type("BIGINT", &number.data_type));
        }
        _ => implicit_cast(number, &DataType::Int64, context)?,
    };
    Ok(strict(context, DataType::Utf8, vec![number], |row| {
        let number = row.long(0);
        Ok(if number < 0 { String::new() } else { char::from((number & 0xFF) as u8).to_string() }.into())
    }))
}

fn size(context: &CallContext<'_>, mut arguments: Vec<Typed>, unit: i32) -> Result<Typed> {
    let value = text_or_bytes(arguments.remove(0), context)?;
    let is_bytes = value.data_type == DataType::Binary;
    Ok(strict(context, DataType::Int32, vec![value], move |row| {
        let length = if is_bytes { row.bytes(0).len() } else { row.text(0).len() };
        Ok((length as i32).wrapping_mul(unit).into())
    }))
}

/// The check digit of card numbers: digits only, and the sum is a multiple of ten.
fn luhn_check(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    Ok(strict(context, DataType::Boolean, all_text(context, arguments)?, |row| Ok(is_luhn(row.text(0)).into())))
}

fn is_luhn(text: &str) -> bool {
    let mut sum = 0;
    for (index, digit) in text.bytes().rev().enumerate() {
        if !digit.is_ascii_digit() {
            return false;
        }
        let value = u32::from(digit - b'0') * if index % 2 == 1 { 2 } else { 1 };
        sum += value / 10 + value % 10;
    }
    !text.is_empty() && sum % 10 == 0
}

fn is_valid(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let value = text_or_bytes(arguments.remove(0), context)?;
    let is_bytes = value.data_type == DataType::Binary;
    Ok(strict(context, DataType::Boolean, vec![value], move |row| {
        Ok((!is_bytes || std::str::from_utf8(row.bytes(0)).is_ok()).into())
    }))
}

fn make_valid(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let value = text_or_bytes(arguments.remove(0), context)?;
    let is_bytes = value.data_type == DataType::Binary;
    Ok(strict(context, DataType::Utf8, vec![value], move |row| {
        Ok(if is_bytes { String::from_utf8_lossy(row.bytes(0)).into_owned() } else { row.text(0).to_owned() }.into())
    }))
}

fn validated(context: &CallContext<'_>, mut arguments: Vec<Typed>, fails: bool) -> Result<Typed> {
    let value = text_or_bytes(arguments.remove(0), context)?;
    let is_bytes = value.data_type == DataType::Binary;
    Ok(strict(context, DataType::Utf8, vec![value], move |row| {
        if !is_bytes {
            return Ok(row.text(0).into());
        }
        match std::str::from_utf8(row.bytes(0)) {
            Ok(text) => Ok(text.into()),
            Err(_) if !fails => Ok(Datum::Null),
            Err(error) => Err(Error::new(Kind::Data, format!("validate_utf8: bytes that are no UTF-8: {error}"))
                .class("INVALID_UTF8_STRING")
                .help("use try_validate_utf8 to get NULL instead")),
        }
    }))
}

fn type_of(_: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Typed> {
    let name = format!("typeof({})", arguments[0].name);
    Ok(Typed::literal(ScalarValue::Utf8(Some(types::name(&arguments[0].data_type))), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_checked() {
        assert!(is_luhn("79927398713"));
        assert!(!is_luhn("79927398714"));
        assert!(!is_luhn("7992 7398713"));
        assert!(!is_luhn(""));
    }
}
