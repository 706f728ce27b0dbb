//! `to_char` and `to_number`: numbers, dates and bytes to text by a format, and text to numbers.

use super::super::row::{self, Row};
use super::super::{CallContext, Entry, as_text, build, cast, constant, implicit_cast};
use super::pattern::Format;
use crate::function::datum::Datum;
use crate::pipeline::analysis::typed::Typed;
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Decimal128Type};
use datafusion::common::ScalarValue;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["to_char", "to_varchar"], arguments: (2, 2), build: to_char },
    Entry { names: &["to_number"], arguments: (2, 2), build: |context, arguments| to_number(context, arguments, true) },
    Entry {
        names: &["try_to_number"],
        arguments: (2, 2),
        build: |context, arguments| to_number(context, arguments, false),
    },
];

/// The format, which must be a constant; `None` for NULL.
fn format_of(argument: &Typed, context: &CallContext<'_>) -> Result<Option<Format>> {
    let text = match constant::value(argument)? {
        Some(ScalarValue::Utf8(text)) => text,
        Some(ScalarValue::Null) => None,
        _ => return Err(constant::not_constant("format", &DataType::Utf8, context)),
    };
    let format = text.map(|text| Format::parse(&text)).transpose();
    format.map_err(|error| error.at_if_unplaced(context.text.place(context.at)))
}

/// Numbers by number format, dates and times by pattern, bytes as hex, base64 or UTF-8.
fn to_char(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    match arguments[0].data_type {
        DataType::Date32 | DataType::Timestamp(..) => return build("date_format", arguments, context),
        DataType::Binary => return bytes(context, arguments),
        _ => {}
    }
    let name = format!("to_char({}, {})", arguments[0].name, arguments[1].name);
    let format = format_of(&arguments[1], context)?;
    let value = decimal(arguments.remove(0), context)?;
    let DataType::Decimal128(_, scale) = value.data_type else { return Err(Error::bug("no decimal to print")) };
    let parameters = format!("{format:?} {scale}");
    let body = move |row: Row<'_>| {
        let (Some(format), false) = (&format, row.is_null(0)) else { return Ok(Datum::Null) };
        let (column, at) = row.column(0);
        let unscaled = column.as_primitive::<Decimal128Type>().value(at);
        let digits = cast::printing::decimal(unscaled.checked_abs().unwrap_or(i128::MAX), scale);
        let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
        Ok(format.print(unscaled < 0, whole.trim_start_matches('0'), fraction.trim_end_matches('0')).into())
    };
    Ok(row::call(context, parameters, DataType::Utf8, vec![value], body).named(name))
}

/// Any number as a decimal.
fn decimal(value: Typed, context: &CallContext<'_>) -> Result<Typed> {
    let (precision, scale) = match value.data_type {
        DataType::Decimal128(..) => return Ok(value),
        DataType::Int8 => (3, 0),
        DataType::Int16 => (5, 0),
        DataType::Int32 => (10, 0),
        DataType::Int64 => (20, 0),
        DataType::Float32 => (14, 7),
        DataType::Float64 => (30, 15),
        DataType::Utf8 | DataType::Null => (38, 18),
        ref other => return Err(context.wrong_type("a number, a date or BINARY", other)),
    };
    implicit_cast(value, &DataType::Decimal128(precision, scale), context)
}

fn bytes(context: &CallContext<'_>, mut arguments: Vec<Typed>) -> Result<Typed> {
    let format = constant::text(&arguments[1], "format", context)?.unwrap_or_default().to_lowercase();
    match format.as_str() {
        "hex" | "base64" => {
            arguments.truncate(1);
            build(&format, arguments, &CallContext { name: &format, ..*context })
        }
        "utf-8" => build("decode", arguments, &CallContext { name: "decode", ..*context }),
        _ => Err(Error::invalid(format!("{}: '{format}' is no format of bytes it knows", context.name))
            .class("INVALID_PARAMETER_VALUE.BINARY_FORMAT")
            .help("it knows hex, utf-8 and base64")
            .at_if_unplaced(context.text.place(context.at))),
    }
}

/// A decimal with the digits of the format.
fn to_number(context: &CallContext<'_>, mut arguments: Vec<Typed>, fails: bool) -> Result<Typed> {
    let shown = arguments[1].name.clone();
    let Some(format) = format_of(&arguments.remove(1), context)? else {
        return Err(constant::not_constant("format", &DataType::Utf8, context));
    };
    let text = as_text(arguments.remove(0), context)?;
    let (before, after) = format.digits();
    let (precision, scale) = ((before + after).min(38) as u8, after.min(38) as i8);
    let parameters = format!("{format:?} {fails}");
    let result = DataType::Decimal128(precision, scale);
    let name = format!("{}({}, {shown})", context.name, text.name);
    let body = move |row: Row<'_>| {
        let Some(text) = row.text_if(0) else { return Ok(Datum::Null) };
        match format.read(text).and_then(|number| cast::decimal_of(&number, precision, scale)) {
            Some(value) => Ok(Datum::Whole(value)),
            None if !fails => Ok(Datum::Null),
            None => Err(Error::new(Kind::Data, format!("to_number: '{text}' does not fit the format {shown}"))
                .class("INVALID_FORMAT.MISMATCH_INPUT")
                .help("use try_to_number to get NULL instead")),
        }
    };
    Ok(row::call(context, parameters, result, vec![text], body).named(name))
}
