//! Rows of a result as messages: each value in the text or the binary form of its type.
//! Source: PostgreSQL 15, chapter "Frontend/Backend Protocol", DataRow, and the `*_out` functions of each type.

use super::types::{Shown, Wire};
use crate::format::json::encode::Values;
use crate::postgres::encode::value as binary;
use crate::postgres::types::Column;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalYearMonthType, TimestampMicrosecondType, UInt32Type,
};
use arrow::record_batch::RecordBatch;
use arrow::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use bytes::BytesMut;
use pgwire::api::portal::Format;
use pgwire::messages::data::DataRow;
use std::fmt::{Display, Write as _};
use tidemill_core::{Error, Kind, Result};

const MICROS: i64 = 1_000_000;
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// The rows of a batch.
///
/// # Errors
/// A value that Postgres cannot show; names the column.
pub(super) fn rows(batch: &RecordBatch, columns: &[Shown], format: &Format) -> Result<Vec<DataRow>> {
    let arrays: Vec<ArrayRef> =
        columns.iter().zip(batch.columns()).map(|(column, array)| column.values(array)).collect::<Result<_>>()?;
    let mut json = Vec::with_capacity(columns.len());
    for (column, array) in columns.iter().zip(&arrays) {
        json.push(if column.wire == Wire::Of(Column::Json) { Some(Values::new(array)?) } else { None });
    }
    let mut out = Vec::with_capacity(batch.num_rows());
    let mut bytes = Vec::new();
    for row in 0..batch.num_rows() {
        bytes.clear();
        for (at, column) in columns.iter().enumerate() {
            if arrays[at].is_null(row) || arrays[at].data_type().is_null() {
                bytes.extend(NULL);
                continue;
            }
            let from = bytes.len();
            bytes.extend([0; 4]);
            write(column, &arrays[at], json[at].as_ref(), row, format.is_text(at), &mut bytes)
                .map_err(|why| Error::new(Kind::Data, format!("a value of column '{}' {why}", column.name)))?;
            let length = i32::try_from(bytes.len() - from - 4).map_err(|_| {
                Error::new(Kind::Data, format!("a value of column '{}' is larger than 2 GiB", column.name))
            })?;
            bytes[from..from + 4].copy_from_slice(&length.to_be_bytes());
        }
        // a result of more than 32,767 columns is not planned
        out.push(DataRow::new(BytesMut::from(bytes.as_slice()), columns.len() as i16));
    }
    Ok(out)
}

fn write(
    column: &Shown,
    array: &ArrayRef,
    json: Option<&Values<'_>>,
    row: usize,
    is_text: bool,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    match (&column.wire, json) {
        (Wire::Oid, _) => {
            let number = array.as_primitive::<UInt32Type>().value(row);
            if is_text { put(out, number) } else { out.extend(number.to_be_bytes()) }
        }
        (Wire::Of(_), Some(json)) => {
            if !is_text {
                // the version of jsonb's form
                out.push(1);
            }
            json.print(row, out);
        }
        (Wire::Of(of), None) if is_text => text(of, array, row, out),
        (Wire::Of(of), None) => binary(of, array, row, out)?,
    }
    Ok(())
}

/// A value in the text form of its type.
fn text(column: &Column, array: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    match column {
        Column::Boolean => out.push(if array.as_boolean().value(row) { b't' } else { b'f' }),
        Column::Int8 => put(out, array.as_primitive::<Int8Type>().value(row)),
        Column::Int16 => put(out, array.as_primitive::<Int16Type>().value(row)),
        Column::Int32 => put(out, array.as_primitive::<Int32Type>().value(row)),
        Column::Int64 => put(out, array.as_primitive::<Int64Type>().value(row)),
        Column::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            float(out, value.into(), &format!("{value}"), &format!("{value:e}"));
        }
        Column::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            float(out, value, &format!("{value}"), &format!("{value:e}"));
        }
        Column::Numeric(_, scale) => {
            decimal(out, array.as_primitive::<Decimal128Type>().value(row), usize::from(*scale))
        }
        Column::Text => out.extend(array.as_string::<i32>().value(row).as_bytes()),
        Column::Bytes => {
            out.extend(b"\\x");
            for byte in array.as_binary::<i32>().value(row) {
                put(out, format_args!("{byte:02x}"));
            }
        }
        Column::Date => match date32_to_datetime(array.as_primitive::<Date32Type>().value(row)) {
            Some(day) => put(out, day.format("%Y-%m-%d")),
            None => out.extend(b"infinity"),
        },
        Column::TimestampTz => timestamp(out, array, row, "+00"),
        Column::Timestamp => timestamp(out, array, row, ""),
        Column::Duration => interval(out, 0, array.as_primitive::<DurationMicrosecondType>().value(row)),
        Column::Months => interval(out, array.as_primitive::<IntervalYearMonthType>().value(row), 0),
        Column::Array(item) => list(item, &array.as_list::<i32>().value(row), out),
        // printed by the caller
        Column::Json => {}
    }
}

fn put(out: &mut Vec<u8>, value: impl Display) {
    let mut text = Text(out);
    // a vector takes everything
    let _ = write!(text, "{value}");
}

struct Text<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend(text.as_bytes());
        Ok(())
    }
}

/// Shortest digits that give the value again, with an exponent where Postgres has one.
fn float(out: &mut Vec<u8>, value: f64, plain: &str, scientific: &str) {
    if value.is_nan() {
        return out.extend(b"NaN");
    }
    if value.is_infinite() {
        return out.extend(if value > 0.0 { b"Infinity".as_slice() } else { b"-Infinity" });
    }
    if value == 0.0 || (1e-4..1e15).contains(&value.abs()) {
        return out.extend(plain.as_bytes());
    }
    let (digits, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    put(out, format_args!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()));
}

fn decimal(out: &mut Vec<u8>, value: i128, scale: usize) {
    let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, after) = digits.split_at(digits.len() - scale);
    put(out, format_args!("{}{whole}{}{after}", if value < 0 { "-" } else { "" }, if scale > 0 { "." } else { "" }));
}

fn timestamp(out: &mut Vec<u8>, array: &ArrayRef, row: usize, zone: &str) {
    let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
    let Some(at) = timestamp_us_to_datetime(micros) else {
        return out.extend(b"infinity");
    };
    put(out, at.format("%Y-%m-%d %H:%M:%S"));
    fraction(out, micros.rem_euclid(MICROS));
    out.extend(zone.as_bytes());
}

fn fraction(out: &mut Vec<u8>, micros: i64) {
    if micros > 0 {
        out.extend(format!(".{micros:06}").trim_end_matches('0').as_bytes());
    }
}

fn interval(out: &mut Vec<u8>, months: i32, micros: i64) {
    let (years, rest) = (months / 12, months % 12);
    for (count, word) in [(years, "year"), (rest, "mon")] {
        if count != 0 {
            let plural = if count == 1 { "" } else { "s" };
            put(out, format_args!("{count} {word}{plural} "));
        }
    }
    if micros != 0 || months == 0 {
        let of = micros.unsigned_abs() as i64;
        let seconds = of / MICROS;
        let sign = if micros < 0 { "-" } else { "" };
        put(out, format_args!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
        fraction(out, of % MICROS);
    } else {
        out.pop();
    }
}

fn list(item: &Column, values: &ArrayRef, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut one = Vec::new();
    for at in 0..values.len() {
        if at > 0 {
            out.push(b',');
        }
        if values.is_null(at) || values.data_type().is_null() {
            out.extend(b"NULL");
            continue;
        }
        one.clear();
        text(item, values, at, &mut one);
        let is_bare = !one.is_empty()
            && !one.eq_ignore_ascii_case(b"null")
            && !one.iter().any(|byte| b"{},\"\\ \t\n\r".contains(byte));
        if is_bare {
            out.extend(&one);
            continue;
        }
        out.push(b'"');
        for byte in &one {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(*byte);
        }
        out.push(b'"');
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, StringArray, TimestampMicrosecondArray, UInt64Array};
    use std::sync::Arc;

    fn shown(array: impl Array + 'static) -> Vec<String> {
        let batch = RecordBatch::try_from_iter([("c", Arc::new(array) as ArrayRef)]).unwrap();
        let columns = super::super::types::shown(&batch.schema()).unwrap();
        let rows = rows(&batch, &columns, &Format::UnifiedText).unwrap();
        rows.iter().map(|row| String::from_utf8(row.data[4..].to_vec()).unwrap()).collect()
    }

    #[test]
    fn values_look_as_in_postgres() {
        let floats = Float64Array::from(vec![1.0, 0.1, 1e15, -2.5e-7, f64::NAN, f64::NEG_INFINITY, 123_456.75]);
        assert_eq!(shown(floats), ["1", "0.1", "1e+15", "-2.5e-07", "NaN", "-Infinity", "123456.75"]);
        let times = TimestampMicrosecondArray::from(vec![0, 1_500_000, -1]).with_timezone("UTC");
        assert_eq!(
            shown(times),
            ["1970-01-01 00:00:00+00", "1970-01-01 00:00:01.5+00", "1969-12-31 23:59:59.999999+00"]
        );
        assert_eq!(shown(UInt64Array::from(vec![7])), ["7"]);
        assert_eq!(shown(StringArray::from(vec!["zoë"])), ["zoë"]);
        let mut out = vec![];
        decimal(&mut out, -5, 2);
        interval(&mut out, 14, -1_500_000);
        assert_eq!(out, b"-0.051 year 2 mons -00:00:01.5");
    }

    #[test]
    fn a_list_quotes_what_would_be_read_otherwise() {
        let values: ArrayRef =
            Arc::new(StringArray::from(vec![Some("a"), None, Some("x,\"y"), Some(""), Some("null"), Some("b c")]));
        let mut out = vec![];
        list(&Column::Text, &values, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{a,NULL,"x,\"y","","null","b c"}"#);
    }
}
