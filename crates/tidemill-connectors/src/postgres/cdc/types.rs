//! Types of Postgres as types of a pipeline, and values as Postgres writes them.
//! Source of the object ids: PostgreSQL 15, pg_type.dat.

use crate::format::column::{Column, Values};
use crate::format::text::{decimal, number, time};
use arrow::datatypes::{DataType, TimeUnit};
use tidemill_core::types;

const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const OID: u32 = 26;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const DATE: u32 = 1082;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const NUMERIC: u32 = 1700;

/// Arrays and their elements.
const ARRAYS: &[(u32, u32)] = &[
    (1000, BOOL),
    (1001, BYTEA),
    (1005, INT2),
    (1007, INT4),
    (1009, 25),
    (1014, 1042),
    (1015, 1043),
    (1016, INT8),
    (1021, FLOAT4),
    (1022, FLOAT8),
    (1028, OID),
    (1115, TIMESTAMP),
    (1182, DATE),
    (1185, TIMESTAMPTZ),
    (1231, NUMERIC),
    (2951, 2950),
    (199, 114),
    (3807, 3802),
];

const DECIMAL_DIGITS_MAX: i32 = 38;

/// Precision and scale of a numeric; `None` when it has none or the type cannot hold them.
fn digits(modifier: i32) -> Option<(u8, i8)> {
    let bits = modifier.checked_sub(4).filter(|bits| *bits >= 0)?;
    let (precision, scale) = ((bits >> 16) & 0xFFFF, bits & 0x7FF);
    let fits = precision <= DECIMAL_DIGITS_MAX && scale <= precision;
    fits.then_some((precision as u8, scale as i8))
}

/// The type a column has when the table declares none.
pub(super) fn default_type(oid: u32, modifier: i32) -> DataType {
    match oid {
        BOOL => DataType::Boolean,
        BYTEA => DataType::Binary,
        INT2 => DataType::Int16,
        INT4 => DataType::Int32,
        INT8 | OID => DataType::Int64,
        FLOAT4 => DataType::Float32,
        FLOAT8 => DataType::Float64,
        DATE => DataType::Date32,
        TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        TIMESTAMPTZ => types::timestamp(),
        NUMERIC => digits(modifier).map_or(DataType::Utf8, |(precision, scale)| DataType::Decimal128(precision, scale)),
        _ => match element(oid) {
            Some(element) => types::array_of(default_type(element, modifier)),
            None => DataType::Utf8,
        },
    }
}

fn element(oid: u32) -> Option<u32> {
    ARRAYS.iter().find(|(array, _)| *array == oid).map(|(_, element)| *element)
}

/// True when every usual value of the Postgres type can be one of `of`. Numerics are looked at value by value.
pub(super) fn fits(of: &DataType, oid: u32) -> bool {
    match of {
        DataType::Utf8 => true,
        DataType::Boolean => oid == BOOL,
        DataType::Binary => oid == BYTEA,
        DataType::Int16 => oid == INT2,
        DataType::Int32 => matches!(oid, INT2 | INT4),
        DataType::Int64 => matches!(oid, INT2 | INT4 | INT8 | OID),
        DataType::Float32 => matches!(oid, INT2 | FLOAT4),
        DataType::Float64 => matches!(oid, INT2 | INT4 | FLOAT4 | FLOAT8),
        DataType::Decimal128(..) => matches!(oid, INT2 | INT4 | INT8 | NUMERIC),
        DataType::Date32 => oid == DATE,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => oid == TIMESTAMPTZ,
        DataType::Timestamp(TimeUnit::Microsecond, None) => oid == TIMESTAMP,
        DataType::List(item) => element(oid).is_some_and(|element| fits(item.data_type(), element)),
        _ => false,
    }
}

/// Adds the value that `text` stands for; `None`, and nothing added, when the column cannot hold it, such as a date
/// that is `infinity`.
pub(super) fn push(column: &mut Column, text: &[u8]) -> Option<()> {
    match &mut column.values {
        Values::Text(spans) => {
            std::str::from_utf8(text).ok()?;
            spans.push(text);
        }
        Values::Binary(spans) => spans.push(&bytes(text)?),
        Values::Boolean(values) => values.append(match text {
            b"t" => true,
            b"f" => false,
            _ => return None,
        }),
        Values::Int16(values) => values.push(lexical_core::parse(text).ok()?),
        Values::Int32(values) => values.push(lexical_core::parse(text).ok()?),
        Values::Int64(values) => values.push(lexical_core::parse(text).ok()?),
        Values::Float32(values) => {
            values.push(double(text, |text| lexical_core::parse(text).ok(), |value| value as f32)?)
        }
        Values::Float64(values) => values.push(double(text, |text| lexical_core::parse(text).ok(), |value| value)?),
        Values::Decimal(values, precision, scale) => values.push(exact(text, *precision, *scale)?),
        Values::Date(values) => values.push(time::parse_date(text)?),
        Values::Timestamp(values) => values.push(time::parse(text)?.instant()?),
        Values::TimestampNtz(values) => values.push(time::parse(text)?.wall),
        Values::List { .. } => return list(column, text),
        _ => return None,
    }
    column.nulls.append_non_null();
    Some(())
}

fn double<N>(text: &[u8], parse: impl Fn(&[u8]) -> Option<N>, special: impl Fn(f64) -> N) -> Option<N> {
    match number::not_a_number(text) {
        Some(value) => Some(special(value)),
        None => parse(text),
    }
}

/// A decimal of which no digit is lost.
fn exact(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let after = text.iter().position(|byte| *byte == b'.').map_or(0, |point| {
        let digits = &text[point + 1..];
        digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1)
    });
    (after <= usize::from(scale.unsigned_abs())).then(|| decimal::parse(text, precision, scale))?
}

/// `\x` and two digits a byte.
fn bytes(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(b"\\x")?;
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect())?
}

/// `{1,NULL,"a \"b\""}`, of one dimension.
fn list(column: &mut Column, text: &[u8]) -> Option<()> {
    // bounds other than those that arrays usually have stand in front
    let text = match text.first() {
        Some(b'[') => &text[text.iter().position(|byte| *byte == b'=')? + 1..],
        _ => text,
    };
    let inner = text.strip_prefix(b"{")?.strip_suffix(b"}")?;
    let Values::List { ends, items } = &mut column.values else { return None };
    let before = items.len();
    if elements(inner, items).is_none() {
        items.truncate(before);
        return None;
    }
    ends.push(items.len() as i32);
    column.nulls.append_non_null();
    Some(())
}

fn elements(text: &[u8], items: &mut Column) -> Option<()> {
    let mut rest = text;
    while !rest.is_empty() {
        let (mut value, mut quoted, mut at) = (Vec::new(), false, 0);
        if rest[0] == b'"' {
            (quoted, at) = (true, 1);
        }
        loop {
            match rest.get(at) {
                Some(b'\\') => {
                    value.push(*rest.get(at + 1)?);
                    at += 2;
                }
                Some(b'"') if quoted => {
                    at += 1;
                    break;
                }
                None | Some(b',') if !quoted => break,
                // a second dimension
                Some(b'{') if !quoted => return None,
                Some(byte) => {
                    value.push(*byte);
                    at += 1;
                }
                None => return None,
            }
        }
        match !quoted && value == b"NULL" {
            true => items.push_null(),
            false => push(items, &value)?,
        }
        rest = match rest.get(at) {
            None => return Some(()),
            Some(b',') if at + 1 < rest.len() => &rest[at + 1..],
            Some(_) => return None,
        };
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Decimal128Type, Int32Type, TimestampMicrosecondType};

    fn one(of: &DataType, text: &str) -> Option<arrow::array::ArrayRef> {
        let mut column = Column::new(of, 1).unwrap();
        let pushed = push(&mut column, text.as_bytes());
        assert_eq!(column.len(), usize::from(pushed.is_some()));
        pushed.map(|()| column.finish(of).unwrap())
    }

    #[test]
    fn numerics_keep_their_digits_or_are_texts() {
        // numeric(10,2), numeric(40,2), numeric, numeric(3,-2)
        let modifier = |precision: i32, scale: i32| (precision << 16 | (scale & 0x7FF)) + 4;
        assert_eq!(default_type(NUMERIC, modifier(10, 2)), DataType::Decimal128(10, 2));
        for wide in [modifier(40, 2), -1, modifier(3, -2)] {
            assert_eq!(default_type(NUMERIC, wide), DataType::Utf8);
        }
        let of = DataType::Decimal128(10, 2);
        assert_eq!(one(&of, "-12.30").unwrap().as_primitive::<Decimal128Type>().value(0), -1230);
        assert!(one(&of, "12.345").is_none() && one(&of, "NaN").is_none() && one(&of, "123456789.00").is_none());
        assert!(one(&of, "12.340000").is_some());
    }

    #[test]
    fn times_and_bytes_are_read_as_postgres_writes_them() {
        let stamp = one(&types::timestamp(), "2026-01-02 03:04:05.678+00").unwrap();
        assert_eq!(stamp.as_primitive::<TimestampMicrosecondType>().value(0), 1_767_323_045_678_000);
        assert!(one(&types::timestamp(), "infinity").is_none() && one(&DataType::Date32, "4713-01-01 BC").is_none());
        assert_eq!(one(&DataType::Binary, "\\x00fF").unwrap().as_binary::<i32>().value(0), [0, 255]);
        assert!(one(&DataType::Binary, "\\x0").is_none());
    }

    #[test]
    fn arrays_of_one_dimension_are_lists() {
        let numbers = one(&default_type(1007, -1), "[0:2]={1,NULL,3}").unwrap();
        let numbers = numbers.as_list::<i32>().value(0);
        assert_eq!((numbers.len(), numbers.null_count(), numbers.as_primitive::<Int32Type>().value(2)), (3, 1, 3));
        let texts = one(&default_type(1009, -1), r#"{a,"b \"c\",",NULL,"NULL"}"#).unwrap();
        let texts = texts.as_list::<i32>().value(0);
        let texts: Vec<_> = texts.as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("a"), Some("b \"c\","), None, Some("NULL")]);
        assert_eq!(one(&default_type(1009, -1), "{}").unwrap().as_list::<i32>().value(0).len(), 0);
        for bad in ["{{1},{2}}", "{1,", "{1,}", "1"] {
            assert!(one(&default_type(1007, -1), bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn declared_types_must_hold_every_value() {
        assert!(fits(&DataType::Int64, INT4) && !fits(&DataType::Int32, INT8));
        assert!(fits(&DataType::Utf8, 999_999) && !fits(&types::timestamp(), TIMESTAMP));
        assert!(fits(&default_type(1016, -1), 1007) && !fits(&default_type(1007, -1), 1016));
    }
}
