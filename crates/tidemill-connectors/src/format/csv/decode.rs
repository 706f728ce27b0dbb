//! CSV lines to columns. A record that cannot be taken is cut off all columns again and becomes a reject.

use super::split::{Dialect, Value};
use crate::format::column::{Column, Values};
use crate::format::reject::{MALFORMED, NULL_FIELD, WRONG_TYPE, shown};
use crate::format::rows::{Rows, lines, lines_about};
use crate::format::text::{decimal, interval, number, time};
use arrow::datatypes::{Field, SchemaRef};
use lexical_core::{FromLexical, parse};
use tidemill_core::format::{Decoded, Decoder};
use tidemill_core::source::{Body, Chunk};
use tidemill_core::{Error, Kind, Result, types};

/// Decodes CSV records to the columns of a schema, by position.
pub(super) struct CsvDecoder {
    schema: SchemaRef,
    dialect: Dialect,
    header: bool,
    null_value: Vec<u8>,
    bad_fields_are_null: bool,
}

/// Why a record cannot be taken: code and reason.
struct Fault(&'static str, String);

impl CsvDecoder {
    /// A decoder to the columns of `schema`, which are those of the file.
    ///
    /// # Errors
    /// A column with fields or elements, which CSV cannot hold.
    pub fn new(
        schema: SchemaRef,
        dialect: Dialect,
        header: bool,
        null_value: Vec<u8>,
        bad_fields_are_null: bool,
    ) -> Result<Self> {
        for field in schema.fields() {
            Column::new(field.data_type(), 0)?;
            if field.data_type().is_nested() {
                let name = types::name(field.data_type());
                return Err(Error::invalid(format!("column '{}' is {name}, which CSV cannot hold", field.name())));
            }
        }
        Ok(CsvDecoder { schema, dialect, header, null_value, bad_fields_are_null })
    }

    /// Checks the names in the first line: values are found by position, so a file with other columns
    /// would be read wrong without a word.
    fn check_header(&self, split: &str, line: &[u8]) -> Result<()> {
        let (mut names, mut at, mut scratch) = (Vec::new(), Some(0), Vec::new());
        while let Some(start) = at {
            let value = self
                .dialect
                .value(line, start, &mut scratch)
                .map_err(|(why, _)| Error::new(Kind::Data, format!("the header of '{split}' cannot be read: {why}")))?;
            names.push(String::from_utf8_lossy(value.text).trim().to_owned());
            at = value.next;
        }
        let expected = || self.schema.fields().iter().map(|field| field.name().as_str());
        let same = names.len() == expected().count()
            && names.iter().zip(expected()).all(|(name, field)| name.to_lowercase() == field.to_lowercase());
        if same {
            return Ok(());
        }
        let expected = expected().collect::<Vec<_>>().join(", ");
        Err(Error::new(Kind::Data, format!("the header of '{split}' is ({}), not ({expected})", names.join(", ")))
            .help("declare the columns of the file in its order, or set header = 'false' if it has no header"))
    }

    fn add(&self, rows: &mut Rows, offset: u64, record: &[u8], scratch: &mut Vec<u8>) {
        match self.read(rows, record, scratch) {
            Ok(()) => rows.keep(),
            Err(Fault(code, reason)) => rows.reject(offset, record, code, reason),
        }
    }

    fn read(&self, rows: &mut Rows, record: &[u8], scratch: &mut Vec<u8>) -> Result<(), Fault> {
        if let Some(at) = rows.not_text(record) {
            return Err(Fault(MALFORMED, format!("not UTF-8 (byte {at})")));
        }
        let mut at = Some(0);
        for (index, field) in self.schema.fields().iter().enumerate() {
            let Some(start) = at else { return Err(self.wrong_count(index)) };
            let value = self.dialect.value(record, start, scratch).map_err(|(why, at)| malformed(why, at))?;
            at = value.next;
            self.write(field, &value, &mut rows.columns[index])?;
        }
        match at {
            None => Ok(()),
            Some(_) => Err(self.wrong_count(self.schema.fields().len() + 1)),
        }
    }

    fn wrong_count(&self, found: usize) -> Fault {
        let count = self.schema.fields().len();
        let found = if found > count { format!("more than {count}") } else { format!("only {found}") };
        Fault(MALFORMED, format!("{found} values where there are {count} columns"))
    }

    fn write(&self, field: &Field, value: &Value<'_>, column: &mut Column) -> Result<(), Fault> {
        let is_null = value.text == self.null_value
            || (value.text.is_empty() && !value.quoted)
            || matches!(column.values, Values::Void);
        if !is_null && push(column, value.text).is_some() {
            column.nulls.append_non_null();
            return Ok(());
        }
        if field.is_nullable() && (is_null || self.bad_fields_are_null) {
            column.push_null();
            return Ok(());
        }
        let name = field.name();
        if is_null {
            return Err(Fault(NULL_FIELD, format!("column '{name}' is null and must not be")));
        }
        let (of, found) = (types::name(field.data_type()), shown(value.text));
        Err(Fault(WRONG_TYPE, format!("column '{name}' must be {of}, found '{found}'")))
    }
}

fn malformed(why: &str, at: usize) -> Fault {
    Fault(MALFORMED, format!("{why} (byte {at})"))
}

impl Decoder for CsvDecoder {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        let mut scratch = Vec::new();
        match &chunk.body {
            Body::Stream { bytes, at } => {
                let mut rows = Rows::new(self.schema.clone(), &chunk.split, bytes, lines_about(bytes))?;
                let mut lines = lines(bytes, *at);
                if self.header
                    && *at == 0
                    && let Some((_, line)) = lines.next()
                {
                    self.check_header(&chunk.split, line)?;
                }
                lines.for_each(|(offset, line)| self.add(&mut rows, offset, line, &mut scratch));
                rows.finish()
            }
            Body::Records(records) => {
                let mut rows = Rows::new(self.schema.clone(), &chunk.split, &records.data, records.len())?;
                for (index, offset) in records.offsets.iter().enumerate() {
                    match records.value(index) {
                        Some(payload) => self.add(&mut rows, *offset, line_of(payload), &mut scratch),
                        None => rows.reject(*offset, b"", MALFORMED, "the payload is null (a tombstone)".into()),
                    }
                }
                rows.finish()
            }
            Body::Rows { .. } => Err(Error::bug(format!("'{}' gave rows where CSV was expected", chunk.split))),
        }
    }
}

/// A payload without the line end it may have.
fn line_of(payload: &[u8]) -> &[u8] {
    let line = payload.strip_suffix(b"\n").unwrap_or(payload);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Adds the value that `text` stands for; `None`, and nothing added, when it does not fit.
fn push(column: &mut Column, text: &[u8]) -> Option<()> {
    match &mut column.values {
        Values::Text(spans) | Values::Binary(spans) => spans.push(text),
        Values::Boolean(values) if text.eq_ignore_ascii_case(b"true") => values.append(true),
        Values::Boolean(values) if text.eq_ignore_ascii_case(b"false") => values.append(false),
        Values::Int8(values) => values.push(integer(text)?),
        Values::Int16(values) => values.push(integer(text)?),
        Values::Int32(values) => values.push(integer(text)?),
        Values::Int64(values) => values.push(integer(text)?),
        Values::Float32(values) => match special(text) {
            Some(value) => values.push(value as f32),
            None => values.push(digits(text).and_then(|text| parse(text).ok())?),
        },
        Values::Float64(values) => match special(text) {
            Some(value) => values.push(value),
            None => values.push(digits(text).and_then(|text| parse(text).ok())?),
        },
        Values::Decimal(values, precision, scale) => values.push(decimal::parse(text, *precision, *scale)?),
        Values::Date(values) => values.push(time::parse_date(text)?),
        Values::Timestamp(values) => values.push(time::parse(text)?.instant()?),
        Values::TimestampNtz(values) => values.push(time::parse(text).filter(|time| time.offset.is_none())?.wall),
        Values::DayTime(values) => values.push(interval::parse_day_time(text)?),
        Values::YearMonth(values) => values.push(interval::parse_year_month(text)?),
        Values::Void | Values::Boolean(_) | Values::Struct(_) | Values::List { .. } | Values::Map { .. } => {
            return None;
        }
    }
    Some(())
}

fn integer<N: FromLexical>(text: &[u8]) -> Option<N> {
    parse(text).ok()
}

/// Spark's CSV source has two more words for infinity than its JSON source.
fn special(text: &[u8]) -> Option<f64> {
    match text {
        b"Inf" => Some(f64::INFINITY),
        b"-Inf" => Some(f64::NEG_INFINITY),
        _ => number::not_a_number(text),
    }
}

/// The text, if it is made of the characters of a number: words for infinity are in [`special`] only.
fn digits(text: &[u8]) -> Option<&[u8]> {
    text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')).then_some(text)
}
