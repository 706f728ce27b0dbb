//! Parameters of prepared statements: bytes of a client as literals of SQL.
//!
//! They are put into the text's tree before it is planned, so that `= ANY($1)`, `$1::regclass` and `LIMIT $1` are as
//! if they had been written out. A literal is one node of the tree, so that no value can become SQL.

use bytes::Bytes;
use datafusion::sql::sqlparser::ast::{Array, CastKind, DataType, Expr, Ident, ObjectName, TimezoneInfo, Value};
use pgwire::api::Type;
use pgwire::api::results::FieldFormat;
use std::error::Error as StdError;
use tokio_postgres::types::{FromSql, Kind};

/// A value that could not be read, and why.
pub(super) type Refusal = Box<dyn StdError + Send + Sync>;

/// The literal of a parameter of type `of`.
///
/// # Errors
/// Bytes that are no value of the type; a type there is no literal for.
pub(super) fn literal(bytes: Option<&Bytes>, of: &Type, format: FieldFormat) -> Result<Expr, Refusal> {
    let Some(bytes) = bytes else {
        return Ok(null(of));
    };
    if let Kind::Array(item) = of.kind() {
        let items = match format {
            FieldFormat::Text => elements(std::str::from_utf8(bytes)?)?,
            FieldFormat::Binary => binary_elements(bytes, of, item)?,
        };
        return Ok(array(
            items.into_iter().map(|value| value.map_or_else(|| null(item), |text| typed(text, item))).collect(),
        ));
    }
    let text = match format {
        FieldFormat::Text => std::str::from_utf8(bytes)?.to_owned(),
        FieldFormat::Binary => binary(bytes, of)?,
    };
    Ok(typed(text, of))
}

/// A literal that has the type and any value, for planning before the values are known.
pub(super) fn example(of: &Type) -> Expr {
    if let Kind::Array(item) = of.kind() {
        return array(vec![example(item)]);
    }
    let text = match *of {
        Type::BOOL => "t",
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID | Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => "1",
        Type::DATE | Type::TIMESTAMP | Type::TIMESTAMPTZ => "2000-01-01",
        _ => "",
    };
    typed(text.to_owned(), of)
}

/// The elements of `{1,NULL,"x,y"}`.
///
/// # Errors
/// A text that is no array of one dimension.
pub(super) fn elements(text: &str) -> Result<Vec<Option<String>>, Refusal> {
    let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let inner = inner.ok_or_else(|| format!("'{text}' is no array"))?;
    let (mut items, mut item, mut is_quoted, mut inside) = (vec![], String::new(), false, false);
    if inner.trim().is_empty() {
        return Ok(items);
    }
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => item.extend(letters.next()),
            '"' => (inside, is_quoted) = (!inside, true),
            '{' | '}' if !inside => return Err("arrays of arrays are not supported as parameters".into()),
            ',' if !inside => items.push(element(&mut item, &mut is_quoted)),
            other => item.push(other),
        }
    }
    items.push(element(&mut item, &mut is_quoted));
    Ok(items)
}

fn element(item: &mut String, is_quoted: &mut bool) -> Option<String> {
    let (text, quoted) = (std::mem::take(item), std::mem::take(is_quoted));
    if quoted {
        return Some(text);
    }
    let text = text.trim();
    if text.eq_ignore_ascii_case("null") { None } else { Some(text.to_owned()) }
}

/// `ARRAY[...]`.
pub(super) fn array(elem: Vec<Expr>) -> Expr {
    Expr::Array(Array { elem, named: true })
}

fn value(value: Value) -> Expr {
    Expr::Value(value.into())
}

fn cast(text: String, data_type: DataType) -> Expr {
    let expr = Box::new(value(Value::SingleQuotedString(text)));
    Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None }
}

fn null(of: &Type) -> Expr {
    let expr = Box::new(value(Value::Null));
    match sql_type(of) {
        Some(data_type) => Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None },
        None => *expr,
    }
}

fn sql_type(of: &Type) -> Option<DataType> {
    Some(match *of {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::SmallInt(None),
        Type::INT4 => DataType::Integer(None),
        Type::INT8 | Type::OID => DataType::BigInt(None),
        Type::FLOAT4 => DataType::Real,
        Type::FLOAT8 => DataType::DoublePrecision,
        Type::DATE => DataType::Date,
        Type::TIMESTAMP => DataType::Timestamp(None, TimezoneInfo::None),
        Type::TIMESTAMPTZ => DataType::Timestamp(None, TimezoneInfo::Tz),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => DataType::Varchar(None),
        _ => return None,
    })
}

/// A value of type `of` from its text.
fn typed(text: String, of: &Type) -> Expr {
    match *of {
        Type::BOOL => {
            value(Value::Boolean(matches!(text.to_ascii_lowercase().as_str(), "t" | "true" | "1" | "on" | "yes" | "y")))
        }
        // a number's text was checked: nothing else may stand there unquoted
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID if text.parse::<i64>().is_ok() => number(text),
        Type::NUMERIC if is_number(&text) => number(text),
        Type::FLOAT4 | Type::FLOAT8 => cast(text, DataType::DoublePrecision),
        Type::BYTEA => value(Value::HexStringLiteral(text.trim_start_matches("\\x").to_owned())),
        Type::DATE | Type::TIMESTAMP | Type::TIMESTAMPTZ => match sql_type(of) {
            Some(data_type) => cast(text, data_type),
            None => value(Value::SingleQuotedString(text)),
        },
        Type::REGCLASS => cast(text, DataType::Custom(ObjectName::from(Ident::new("regclass")), vec![])),
        _ => value(Value::SingleQuotedString(text)),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.parse::<f64>().is_ok()
}

fn number(text: String) -> Expr {
    value(Value::Number(text, false))
}

/// The text of a value in binary form.
fn binary(bytes: &[u8], of: &Type) -> Result<String, Refusal> {
    let micros = |bytes: &[u8]| -> Result<String, Refusal> {
        // Postgres counts microseconds from 2000
        let since = i64::from_sql(&Type::INT8, bytes)?.saturating_add(946_684_800_000_000);
        let at = arrow::temporal_conversions::timestamp_us_to_datetime(since).ok_or("a timestamp out of range")?;
        Ok(at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string())
    };
    Ok(match *of {
        Type::BOOL => bool::from_sql(of, bytes)?.to_string(),
        Type::INT2 => i16::from_sql(of, bytes)?.to_string(),
        Type::INT4 => i32::from_sql(of, bytes)?.to_string(),
        Type::INT8 => i64::from_sql(of, bytes)?.to_string(),
        Type::OID => u32::from_sql(of, bytes)?.to_string(),
        Type::FLOAT4 => f32::from_sql(of, bytes)?.to_string(),
        Type::FLOAT8 => f64::from_sql(of, bytes)?.to_string(),
        Type::BYTEA => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Type::DATE => {
            let days = i32::from_sql(&Type::INT4, bytes)?.saturating_add(10_957);
            let day = arrow::temporal_conversions::date32_to_datetime(days).ok_or("a date out of range")?;
            day.format("%Y-%m-%d").to_string()
        }
        Type::TIMESTAMP => micros(bytes)?,
        Type::TIMESTAMPTZ => micros(bytes)? + "Z",
        Type::NUMERIC => numeric(bytes)?,
        Type::UUID => uuid::Uuid::from_slice(bytes)?.to_string(),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON => {
            std::str::from_utf8(bytes)?.to_owned()
        }
        _ => return Err(format!("a parameter of type {of} cannot be read in its binary form").into()),
    })
}

fn binary_elements(bytes: &[u8], of: &Type, item: &Type) -> Result<Vec<Option<String>>, Refusal> {
    let items: Vec<Option<Raw<'_>>> = Vec::from_sql(of, bytes)?;
    items.into_iter().map(|one| one.map(|Raw(bytes)| binary(bytes, item)).transpose()).collect()
}

/// The bytes of an element.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Refusal> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Digits of base 10000 around the point. Source: PostgreSQL 15, numeric.c, `numeric_send`.
fn numeric(bytes: &[u8]) -> Result<String, Refusal> {
    let word = |at: usize| -> Result<i32, Refusal> {
        let pair = bytes.get(at * 2..at * 2 + 2).ok_or("a numeric that is too short")?;
        Ok(i32::from(i16::from_be_bytes([pair[0], pair[1]])))
    };
    let (count, weight, sign, scale) = (word(0)?, word(1)?, word(2)?, usize::try_from(word(3)?)?);
    if !matches!(sign, 0 | 0x4000) {
        return Err("NaN and infinity are not supported as parameters".into());
    }
    let digit = |at: i32| if (0..count).contains(&at) { word(4 + at.unsigned_abs() as usize) } else { Ok(0) };
    let mut text = String::new();
    for at in 0..=weight.max(0) {
        text += &format!("{:04}", digit(at + weight.min(0))?);
    }
    let whole = text.trim_start_matches('0');
    let mut out = format!("{}{}", if sign == 0 { "" } else { "-" }, if whole.is_empty() { "0" } else { whole });
    let mut after = String::new();
    let mut at = weight + 1;
    while after.len() < scale {
        after += &format!("{:04}", digit(at)?);
        at += 1;
    }
    if scale > 0 {
        out = format!("{out}.{}", &after[..scale]);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[i16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numerics_are_read_around_the_point() {
        for (given, expected) in [
            (words(&[3, 1, 0, 2, 1, 2345, 6700]), "12345.67"),
            (words(&[1, -1, 0x4000, 2, 100]), "-0.01"),
            (words(&[1, -3, 0, 9, 5000]), "0.000000005"),
            (words(&[0, 0, 0, 2]), "0.00"),
            (words(&[1, 1, 0, 0, 2]), "20000"),
        ] {
            assert_eq!(numeric(&given).unwrap(), expected);
        }
    }

    #[test]
    fn arrays_are_read_with_quotes_and_nulls() {
        let read = elements(r#"{a,NULL,"x,\"y",""}"#).unwrap();
        assert_eq!(read, [Some("a".into()), None, Some("x,\"y".into()), Some(String::new())]);
        assert!(elements("{}").unwrap().is_empty());
        assert!(elements("{{1}}").is_err() && elements("1").is_err());
    }

    #[test]
    fn no_value_becomes_sql() {
        let bytes = Bytes::from_static(b"1; DROP TABLE t --'");
        for of in [Type::INT4, Type::NUMERIC, Type::TEXT, Type::DATE, Type::FLOAT8] {
            let literal = literal(Some(&bytes), &of, FieldFormat::Text).unwrap().to_string();
            assert!(literal.contains("'1; DROP TABLE t --'''"), "{of}: {literal}");
        }
    }
}
