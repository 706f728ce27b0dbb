//! Rows as binary COPY, in pieces of bounded size.
//! Source: PostgreSQL 15, reference page of COPY, "Binary Format", and the `*_recv` functions of each type.

use super::numeric;
use super::types::Column;
use crate::format::json::encode::Values;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalYearMonthType, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use tidemill_core::{Error, Kind, Result};

/// A piece is handed on once it is so large.
const PIECE_BYTES: usize = 256 * 1024;
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What stands after the last row.
pub(super) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// 1970-01-01 to 2000-01-01, from which Postgres counts.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Writes the rows of an epoch, each with its number first.
pub(super) struct Encoder<'a> {
    names: Vec<&'a str>,
    columns: Vec<(&'a Column, &'a ArrayRef, Option<Values<'a>>)>,
    rows: usize,
    next: usize,
    /// Number of the first row within the epoch.
    first: i64,
}

/// What stands before the first row.
pub(super) fn header() -> Bytes {
    Bytes::from_static(HEADER)
}

impl<'a> Encoder<'a> {
    /// For one batch, whose rows have numbers from `first`.
    ///
    /// # Errors
    /// A type that has no JSON.
    pub(super) fn new(rows: &'a RecordBatch, columns: &'a [Column], first: i64) -> Result<Self> {
        let schema = rows.schema_ref();
        let names = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let with_json = |(column, array): (&'a Column, &'a ArrayRef)| {
            let json = if *column == Column::Json { Some(Values::new(array)?) } else { None };
            Ok((column, array, json))
        };
        let columns = columns.iter().zip(rows.columns()).map(with_json).collect::<Result<_>>()?;
        Ok(Encoder { names, columns, rows: rows.num_rows(), next: 0, first })
    }

    /// The next piece; `None` after the last row.
    ///
    /// # Errors
    /// A text with a zero byte, a value above 1 GiB, an instant out of range; names column and row.
    pub(super) fn piece(&mut self) -> Result<Option<Bytes>> {
        if self.next == self.rows {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 8);
        while self.next < self.rows && out.len() < PIECE_BYTES {
            self.row(self.next, &mut out)?;
            self.next += 1;
        }
        Ok(Some(out.into()))
    }

    fn row(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        // a table has at most 1600 columns
        out.extend((self.columns.len() as u16 + 1).to_be_bytes());
        let number = self.first + row as i64;
        sized(out, |out| {
            out.extend(number.to_be_bytes());
            Ok(())
        })
        .map_err(Error::bug)?;
        for (at, (column, array, json)) in self.columns.iter().enumerate() {
            let written = match json {
                _ if array.is_null(row) || array.data_type().is_null() => {
                    out.extend(NULL);
                    Ok(())
                }
                Some(json) => sized(out, |out| {
                    // the version of jsonb's form
                    out.push(1);
                    json.print(row, out);
                    Ok(())
                }),
                None => sized(out, |out| value(column, array, row, out)),
            };
            written.map_err(|why| {
                Error::new(Kind::Data, format!("column '{}' of row {number} of the epoch {why}", self.names[at]))
                    .help("leave such rows out, or change the value, for instance with replace() or CAST")
            })?;
        }
        Ok(())
    }
}

/// Writes a value behind its length.
fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), &'static str>) -> Result<(), &'static str> {
    let at = out.len();
    out.extend([0; 4]);
    write(out)?;
    let length = i32::try_from(out.len() - at - 4).map_err(|_| "is larger than Postgres takes")?;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Writes a value in the binary form of its type.
pub(crate) fn value(column: &Column, array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
    match column {
        Column::Boolean => out.push(u8::from(array.as_boolean().value(row))),
        Column::Int8 => out.extend(i16::from(array.as_primitive::<Int8Type>().value(row)).to_be_bytes()),
        Column::Int16 => out.extend(array.as_primitive::<Int16Type>().value(row).to_be_bytes()),
        Column::Int32 => out.extend(array.as_primitive::<Int32Type>().value(row).to_be_bytes()),
        Column::Int64 => out.extend(array.as_primitive::<Int64Type>().value(row).to_be_bytes()),
        Column::Float32 => out.extend(array.as_primitive::<Float32Type>().value(row).to_be_bytes()),
        Column::Float64 => out.extend(array.as_primitive::<Float64Type>().value(row).to_be_bytes()),
        Column::Numeric(_, scale) => numeric::write(array.as_primitive::<Decimal128Type>().value(row), *scale, out),
        Column::Text => {
            let text = array.as_string::<i32>().value(row).as_bytes();
            if memchr::memchr(0, text).is_some() {
                return Err("has a zero byte, which a text of Postgres cannot hold");
            }
            out.extend(text);
        }
        Column::Bytes => out.extend(array.as_binary::<i32>().value(row)),
        Column::Date => {
            let days = array.as_primitive::<Date32Type>().value(row).checked_sub(EPOCH_DAYS);
            out.extend(days.ok_or("is a date out of range")?.to_be_bytes());
        }
        Column::TimestampTz | Column::Timestamp => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row).checked_sub(EPOCH_MICROS);
            out.extend(micros.ok_or("is a timestamp out of range")?.to_be_bytes());
        }
        Column::Duration => interval(array.as_primitive::<DurationMicrosecondType>().value(row), 0, out),
        Column::Months => interval(0, array.as_primitive::<IntervalYearMonthType>().value(row), out),
        Column::Array(item) => array_value(item, &array.as_list::<i32>().value(row), out)?,
        Column::Json => return Err("is JSON inside of an array"),
    }
    Ok(())
}

fn interval(micros: i64, months: i32, out: &mut Vec<u8>) {
    out.extend(micros.to_be_bytes());
    out.extend(0_i32.to_be_bytes());
    out.extend(months.to_be_bytes());
}

fn array_value(item: &Column, values: &ArrayRef, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let dimensions = i32::from(!values.is_empty());
    out.extend(dimensions.to_be_bytes());
    out.extend(i32::from(values.null_count() > 0).to_be_bytes());
    out.extend(item.oid().to_be_bytes());
    if !values.is_empty() {
        let length = i32::try_from(values.len()).map_err(|_| "has too many elements")?;
        out.extend(length.to_be_bytes());
        // indexes count from 1
        out.extend(1_i32.to_be_bytes());
    }
    for at in 0..values.len() {
        if values.is_null(at) || values.data_type().is_null() {
            out.extend(NULL);
        } else {
            sized(out, |out| value(item, values, at, out))?;
        }
    }
    Ok(())
}
