//! The type of a JSON text, as Spark's `schema_of_json` sees it.
//! Source: Spark documentation, "JSON Files", schema inference; observed in the cases `schema_of_json_*`.

use super::lexer::{Lexer, Malformed, Token};
use super::options::Options;
use arrow::datatypes::{DataType, Field, Fields};
use std::collections::BTreeMap;
use tidemill_core::types;

/// Deepest nesting of a type.
const DEPTH_MAX: usize = 64;

/// The type of a text.
///
/// # Errors
/// The text is no JSON.
pub fn type_of(text: &str, options: &Options) -> Result<DataType, Malformed> {
    let mut lexer = Lexer::new(text, options.rules);
    if lexer.advance()?.is_none() {
        return Ok(DataType::Utf8);
    }
    let found = infer(&mut lexer, options, 0)?;
    Ok(settle(found, options).unwrap_or(DataType::Utf8))
}

fn infer(lexer: &mut Lexer<'_>, options: &Options, depth: usize) -> Result<DataType, Malformed> {
    if depth > DEPTH_MAX {
        return Err(Malformed);
    }
    Ok(match lexer.token().ok_or(Malformed)? {
        Token::Null => DataType::Null,
        Token::Text if lexer.text().is_empty() => DataType::Null,
        Token::Text => of_text(lexer.text(), options),
        Token::True | Token::False if options.primitives_as_text => DataType::Utf8,
        Token::Whole | Token::Real if options.primitives_as_text => DataType::Utf8,
        Token::True | Token::False => DataType::Boolean,
        Token::Whole => of_whole(lexer.text()),
        Token::Real if options.prefers_decimal => decimal(lexer.text()).unwrap_or(DataType::Float64),
        Token::Real => DataType::Float64,
        Token::ArrayStart => {
            let mut element = DataType::Null;
            while lexer.advance()?.ok_or(Malformed)? != Token::ArrayEnd {
                element = common(element, infer(lexer, options, depth + 1)?);
            }
            types::array_of(element)
        }
        Token::ObjectStart => {
            let mut fields: BTreeMap<String, DataType> = BTreeMap::new();
            while lexer.advance()?.ok_or(Malformed)? != Token::ObjectEnd {
                let name = lexer.text().to_owned();
                lexer.advance()?;
                let found = infer(lexer, options, depth + 1)?;
                fields.insert(name, found);
            }
            structure(fields)
        }
        Token::Name | Token::ArrayEnd | Token::ObjectEnd => return Err(Malformed),
    })
}

fn structure(fields: BTreeMap<String, DataType>) -> DataType {
    DataType::Struct(fields.into_iter().map(|(name, of)| Field::new(name, of, true)).collect())
}

fn of_text(text: &str, options: &Options) -> DataType {
    let is_decimal = options.prefers_decimal && text.bytes().any(|byte| byte.is_ascii_digit());
    if is_decimal && let Some(of) = decimal(text) {
        return of;
    }
    if !options.infer_timestamp {
        return DataType::Utf8;
    }
    let fits = match &options.timestamp {
        Some(pattern) => pattern.parse(text, options.zone).is_some(),
        None => crate::time::text::parse_timestamp(text, options.zone).is_some(),
    };
    if fits { types::timestamp() } else { DataType::Utf8 }
}

fn of_whole(text: &str) -> DataType {
    match text.parse::<i64>() {
        Ok(_) => DataType::Int64,
        Err(_) => decimal(text).unwrap_or(DataType::Float64),
    }
}

/// The decimal type a number fits exactly; one digit before the point is always there.
fn decimal(text: &str) -> Option<DataType> {
    let plain = text.strip_prefix('-').unwrap_or(text);
    if !plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0').len().max(fraction.len()).max(1);
    (digits <= 38).then_some(DataType::Decimal128(digits as u8, fraction.len() as i8))
}

/// The type both fit.
fn common(left: DataType, right: DataType) -> DataType {
    use DataType::{Decimal128, Float64, Int64, List, Null, Struct, Utf8};
    match (left, right) {
        (left, right) if left == right => left,
        (Null, other) | (other, Null) => other,
        (Int64, Float64) | (Float64, Int64 | Decimal128(..)) | (Decimal128(..), Float64) => Float64,
        (Int64, Decimal128(precision, scale)) | (Decimal128(precision, scale), Int64) => {
            common(Decimal128(20, 0), Decimal128(precision, scale))
        }
        (Decimal128(one, one_scale), Decimal128(two, two_scale)) => {
            let scale = one_scale.max(two_scale);
            let whole = (one as i8 - one_scale).max(two as i8 - two_scale);
            if whole + scale > 38 { Float64 } else { Decimal128((whole + scale) as u8, scale) }
        }
        (List(left), List(right)) => types::array_of(common(left.data_type().clone(), right.data_type().clone())),
        (Struct(left), Struct(right)) => {
            let mut fields: BTreeMap<String, DataType> = BTreeMap::new();
            for field in left.iter().chain(right.iter()) {
                let old = fields.remove(field.name()).unwrap_or(Null);
                fields.insert(field.name().clone(), common(old, field.data_type().clone()));
            }
            structure(fields)
        }
        _ => Utf8,
    }
}

/// Without what is NULL or empty everywhere: it becomes text, or is left out.
fn settle(of: DataType, options: &Options) -> Option<DataType> {
    match of {
        DataType::Null if options.drop_null_fields => None,
        DataType::Null => Some(DataType::Utf8),
        DataType::List(element) => settle(element.data_type().clone(), options).map(types::array_of),
        DataType::Struct(fields) => {
            let kept: Vec<Field> = fields
                .iter()
                .filter_map(|field| Some(Field::new(field.name(), settle(field.data_type().clone(), options)?, true)))
                // an object without fields is no type a field can have
                .filter(|field| !matches!(field.data_type(), DataType::Struct(inner) if inner.is_empty()))
                .collect();
            Some(DataType::Struct(Fields::from(kept)))
        }
        other => Some(other),
    }
}

/// A type as DDL the way `schema_of_json` prints it: `STRUCT<a: BIGINT, b: ARRAY<STRING>>`.
pub fn ddl(of: &DataType) -> String {
    match of {
        DataType::List(element) => format!("ARRAY<{}>", ddl(element.data_type())),
        DataType::Struct(fields) => {
            let shown =
                fields.iter().map(|field| format!("{}: {}", types::quote(field.name()), ddl(field.data_type())));
            format!("STRUCT<{}>", shown.collect::<Vec<_>>().join(", "))
        }
        other => types::name(other).to_uppercase(),
    }
}
