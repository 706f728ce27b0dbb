//! Which JSON value fits which column, and how it gets there: the rules of Spark's JSON source, except
//! that a value that does not fit is a fault unless the user wants NULL for it.

use super::decode::object;
use super::fault::Fault;
use super::scan::{Cursor, Mark, unescape};
use super::shape::Shape;
use crate::format::column::{self, Column, Spans};
use crate::format::text::{decimal, interval, number, time};
use arrow::datatypes::Field;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::collections::HashMap;

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Writes values to columns.
pub(super) struct ValueReader {
    bad_fields_are_null: bool,
    /// Text of a string that has escapes.
    scratch: Vec<u8>,
}

impl ValueReader {
    pub fn new(bad_fields_are_null: bool) -> Self {
        ValueReader { bad_fields_are_null, scratch: Vec::new() }
    }

    /// Writes the value at the cursor to the column of `field`.
    #[inline]
    pub fn field(
        &mut self,
        field: &Field,
        shape: &mut Shape,
        column: &mut Column,
        cursor: &mut Cursor<'_>,
    ) -> Result<(), Fault> {
        let start = cursor.mark();
        if cursor.peek() == b'n' {
            cursor.word("null")?;
            if !field.is_nullable() {
                return Err(Fault::null(start.at()).inside(field.name(), field.data_type()));
            }
            column.push_null();
            return Ok(());
        }
        match self.value(shape, column, cursor) {
            Ok(()) => Ok(()),
            Err(fault) => self.bad_field(fault, field, column, cursor, start),
        }
    }

    /// A value that does not fit becomes NULL if the user and the field allow it.
    #[cold]
    fn bad_field(
        &mut self,
        fault: Fault,
        field: &Field,
        column: &mut Column,
        cursor: &mut Cursor<'_>,
        start: Mark,
    ) -> Result<(), Fault> {
        if !(self.bad_fields_are_null && field.is_nullable() && fault.is_wrong_type()) {
            return Err(fault.inside(field.name(), field.data_type()));
        }
        column.truncate(column.len());
        column.push_null();
        cursor.rewind(start);
        cursor.skip_value()
    }

    #[inline]
    fn value(&mut self, shape: &mut Shape, column: &mut Column, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        let start = cursor.at;
        let fits = || Fault::wrong_type(start);
        match &mut column.values {
            column::Values::Text(spans) => text(spans, cursor)?,
            column::Values::Float64(values) => values.push(self.double(cursor)?),
            column::Values::Timestamp(values) => values.push(self.timestamp(cursor)?),
            column::Values::Int64(values) => values.push(integer(cursor)?),
            column::Values::Int32(values) => values.push(i32::try_from(integer(cursor)?).map_err(|_| fits())?),
            column::Values::Boolean(values) => values.append(boolean(cursor)?),
            column::Values::Decimal(values, precision, scale) => {
                let text = self.digits(cursor)?;
                values.push(read_decimal(text, *precision, *scale).ok_or_else(fits)?);
            }
            column::Values::Int8(values) => values.push(i8::try_from(integer(cursor)?).map_err(|_| fits())?),
            column::Values::Int16(values) => values.push(i16::try_from(integer(cursor)?).map_err(|_| fits())?),
            column::Values::Float32(values) => values.push(self.float(cursor)?),
            column::Values::Date(values) => values.push(time::parse_date(self.string(cursor)?).ok_or_else(fits)?),
            column::Values::TimestampNtz(values) => {
                let written = time::parse(self.string(cursor)?).filter(|written| written.offset.is_none());
                values.push(written.ok_or_else(fits)?.wall);
            }
            column::Values::DayTime(values) => {
                values.push(interval::parse_day_time(self.string(cursor)?).ok_or_else(fits)?);
            }
            column::Values::YearMonth(values) => {
                values.push(interval::parse_year_month(self.string(cursor)?).ok_or_else(fits)?);
            }
            column::Values::Binary(spans) => {
                BASE64.decode_vec(self.string(cursor)?, &mut spans.bytes).map_err(|_| fits())?;
                spans.close();
            }
            column::Values::Void => {
                cursor.skip_value()?;
                column.nulls.append_null();
                return Ok(());
            }
            column::Values::Struct(_) | column::Values::List { .. } | column::Values::Map { .. } => {
                self.nested(shape, column, cursor)?;
            }
        }
        column.nulls.append_non_null();
        Ok(())
    }

    fn nested(&mut self, shape: &mut Shape, column: &mut Column, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        let row = column.len();
        match (shape, &mut column.values, cursor.peek()) {
            (Shape::Object(fields), column::Values::Struct(columns), b'{') => {
                object(self, fields, columns, row, cursor)
            }
            (Shape::List(field, shape), column::Values::List { ends, items }, b'[') => {
                if !cursor.open(b']')? {
                    loop {
                        self.field(field, shape, items, cursor)?;
                        if !cursor.more(b']')? {
                            break;
                        }
                    }
                }
                ends.push(items.len() as i32);
                Ok(())
            }
            (Shape::Map(field, shape), column::Values::Map { ends, keys, values }, b'{') => {
                let (start, first) = (cursor.mark(), keys.len());
                self.entries(field, shape, (keys, values), &[], cursor)?;
                let replaced = replaced(keys, first);
                if !replaced.is_empty() {
                    keys.truncate(first);
                    values.truncate(first);
                    cursor.rewind(start);
                    self.entries(field, shape, (keys, values), &replaced, cursor)?;
                }
                ends.push(keys.len() as i32);
                Ok(())
            }
            _ => Err(Fault::wrong_type(cursor.at)),
        }
    }

    /// Reads the entries of a map but for those marked in `replaced`.
    fn entries(
        &mut self,
        field: &Field,
        shape: &mut Shape,
        (keys, values): (&mut Column, &mut Column),
        replaced: &[bool],
        cursor: &mut Cursor<'_>,
    ) -> Result<(), Fault> {
        if cursor.open(b'}')? {
            return Ok(());
        }
        for index in 0.. {
            let at = cursor.at;
            let key = cursor.key()?;
            if replaced.get(index) == Some(&true) {
                cursor.skip_value()?;
            } else {
                if let column::Values::Text(spans) = &mut keys.values {
                    unescape(key, at, &mut spans.bytes)?;
                    spans.close();
                    keys.nulls.append_non_null();
                }
                self.field(field, shape, values, cursor)?;
            }
            if !cursor.more(b'}')? {
                break;
            }
        }
        Ok(())
    }

    /// The text of the string at the cursor.
    #[inline]
    fn string<'b, 'a: 'b>(&'b mut self, cursor: &mut Cursor<'a>) -> Result<&'b [u8], Fault> {
        let start = cursor.at;
        if cursor.peek() != b'"' {
            return Err(Fault::wrong_type(start));
        }
        let quoted = cursor.string()?;
        if !quoted.escaped {
            return Ok(quoted.raw);
        }
        self.scratch.clear();
        unescape(quoted, start, &mut self.scratch)?;
        Ok(&self.scratch)
    }

    /// The text of the number or string at the cursor.
    #[inline]
    fn digits<'b, 'a: 'b>(&'b mut self, cursor: &mut Cursor<'a>) -> Result<&'b [u8], Fault> {
        if at_number(cursor) { Ok(cursor.number()?.text) } else { self.string(cursor) }
    }

    #[inline]
    fn double(&mut self, cursor: &mut Cursor<'_>) -> Result<f64, Fault> {
        if at_number(cursor) {
            return Ok(cursor.number()?.double());
        }
        self.not_a_number(cursor)
    }

    fn float(&mut self, cursor: &mut Cursor<'_>) -> Result<f32, Fault> {
        if at_number(cursor) {
            return Ok(cursor.number()?.float());
        }
        self.not_a_number(cursor).map(|value| value as f32)
    }

    fn not_a_number(&mut self, cursor: &mut Cursor<'_>) -> Result<f64, Fault> {
        let start = cursor.at;
        if cursor.at_not_a_number() {
            return cursor.not_a_number();
        }
        number::not_a_number(self.string(cursor)?).ok_or_else(|| Fault::wrong_type(start))
    }

    /// An instant: ISO text, or whole seconds since 1970.
    #[inline]
    fn timestamp(&mut self, cursor: &mut Cursor<'_>) -> Result<i64, Fault> {
        let start = cursor.at;
        let instant = if at_number(cursor) {
            integer(cursor)?.checked_mul(time::SECOND)
        } else {
            time::parse(self.string(cursor)?).and_then(time::Written::instant)
        };
        instant.ok_or_else(|| Fault::wrong_type(start))
    }
}

/// True when a number begins at the cursor.
#[inline]
fn at_number(cursor: &Cursor<'_>) -> bool {
    matches!(cursor.peek(), b'-' | b'0'..=b'9') && !cursor.at_not_a_number()
}

#[inline]
fn integer(cursor: &mut Cursor<'_>) -> Result<i64, Fault> {
    let start = cursor.at;
    if !at_number(cursor) {
        return Err(Fault::wrong_type(start));
    }
    cursor.number()?.integer().ok_or_else(|| Fault::wrong_type(start))
}

fn boolean(cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
    match cursor.peek() {
        b't' => cursor.word("true").map(|()| true),
        b'f' => cursor.word("false").map(|()| false),
        _ => Err(Fault::wrong_type(cursor.at)),
    }
}

/// Anything is text: a string its own, everything else as it is written.
#[inline]
fn text(spans: &mut Spans, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    let start = cursor.at;
    if cursor.peek() != b'"' {
        cursor.skip_value()?;
        spans.push(&cursor.bytes[start..cursor.at]);
        return Ok(());
    }
    let quoted = cursor.string()?;
    if quoted.escaped {
        unescape(quoted, start, &mut spans.bytes)?;
        spans.close();
    } else {
        spans.push(quoted.raw);
    }
    Ok(())
}

/// A decimal; commas between digits are left out, as Spark does.
fn read_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    decimal::parse(text, precision, scale).or_else(|| {
        let bare: Vec<u8> = text.iter().copied().filter(|byte| *byte != b',').collect();
        (bare.len() < text.len()).then(|| decimal::parse(&bare, precision, scale))?
    })
}

/// Marks the entries of a map, from `first` on, whose key comes again later. Empty when there is none.
fn replaced(keys: &Column, first: usize) -> Vec<bool> {
    let column::Values::Text(spans) = &keys.values else { return Vec::new() };
    let count = keys.len() - first;
    let key = |index: usize| spans.get(first + index);
    // Most maps are small and have no such key.
    let is_small = count <= 16;
    if is_small && (1..count).all(|later| (0..later).all(|earlier| key(earlier) != key(later))) {
        return Vec::new();
    }
    let last: HashMap<&[u8], usize> = (0..count).map(|index| (key(index), index)).collect();
    if last.len() == count { Vec::new() } else { (0..count).map(|index| last[key(index)] != index).collect() }
}
