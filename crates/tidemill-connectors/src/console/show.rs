//! Rows as a table of text, after Spark's `Dataset.show`: for the sink, and for programs that show rows.

use crate::format::text::{decimal, interval, number, time};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, IntervalUnit,
    IntervalYearMonthType, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use std::fmt::Write as _;
use tidemill_core::{Epoch, Result};

/// Letters of a cut value, three of them dots.
const LETTERS_MAX: usize = 20;

/// Narrowest column.
const LETTERS_MIN: usize = 3;

const RULE: &str = "-------------------------------------------";

/// The first `rows_max` of `rows` under the number of their epoch.
///
/// # Errors
/// A type outside `tidemill_core::types` that cannot be shown.
pub(super) fn table(
    epoch: Epoch,
    schema: &SchemaRef,
    rows: &[RecordBatch],
    rows_max: usize,
    truncate: bool,
) -> Result<String> {
    let grid = grid(schema, rows, rows_max, truncate.then_some(LETTERS_MAX))?;
    Ok(format!("{RULE}\nBatch: {epoch}\n{RULE}\n{grid}\n"))
}

/// The first `rows_max` of `rows`, with values cut to `letters_max` letters (4 at least) if that is given.
///
/// # Errors
/// A type outside `tidemill_core::types` that cannot be shown.
pub fn grid(schema: &SchemaRef, rows: &[RecordBatch], rows_max: usize, letters_max: Option<usize>) -> Result<String> {
    let mut lines: Vec<Vec<String>> = vec![schema.fields().iter().map(|field| field.name().clone()).collect()];
    for batch in rows {
        for row in 0..batch.num_rows().min(rows_max.saturating_sub(lines.len() - 1)) {
            lines.push(batch.columns().iter().map(|column| shown(column, row)).collect::<Result<_>>()?);
        }
    }
    if let Some(letters_max) = letters_max {
        lines.iter_mut().flatten().for_each(|text| cut(text, letters_max.max(4)));
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).fold(LETTERS_MIN, usize::max);
    let widths: Vec<usize> = (0..schema.fields().len()).map(width).collect();
    let border: String = widths.iter().map(|width| format!("+{}", "-".repeat(*width))).collect::<String>() + "+\n";

    let mut out = border.clone();
    for (number, line) in lines.iter().enumerate() {
        for (text, width) in line.iter().zip(&widths) {
            // Writing to a string cannot fail.
            let _ = match letters_max {
                Some(_) => write!(out, "|{text:>width$}"),
                None => write!(out, "|{text:<width$}"),
            };
        }
        out.push_str("|\n");
        if number == 0 {
            out.push_str(&border);
        }
    }
    out.push_str(&border);
    if rows.iter().map(RecordBatch::num_rows).sum::<usize>() > rows_max {
        let plural = if rows_max == 1 { "" } else { "s" };
        let _ = writeln!(out, "only showing top {rows_max} row{plural}");
    }
    Ok(out)
}

fn cut(text: &mut String, letters_max: usize) {
    if let Some((end, _)) = text.char_indices().nth(letters_max - 3)
        && text.chars().count() > letters_max
    {
        text.truncate(end);
        text.push_str("...");
    }
}

/// A value as a cast to STRING gives it.
fn shown(array: &dyn Array, row: usize) -> Result<String> {
    if array.is_null(row) {
        return Ok("NULL".into());
    }
    let mut out = Vec::new();
    match array.data_type() {
        DataType::Null => return Ok("NULL".into()),
        DataType::Float32 => number::write_float(array.as_primitive::<Float32Type>().value(row), &mut out),
        DataType::Float64 => number::write_double(array.as_primitive::<Float64Type>().value(row), &mut out),
        DataType::Decimal128(_, scale) => {
            decimal::write(array.as_primitive::<Decimal128Type>().value(row), *scale, &mut out);
        }
        DataType::Date32 => time::write_date(i64::from(array.as_primitive::<Date32Type>().value(row)), &mut out),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            write_time(array.as_primitive::<TimestampMicrosecondType>().value(row), &mut out);
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            interval::write_day_time(array.as_primitive::<DurationMicrosecondType>().value(row), &mut out);
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            interval::write_year_month(array.as_primitive::<IntervalYearMonthType>().value(row), &mut out);
        }
        DataType::Binary => {
            let bytes = array.as_binary::<i32>().value(row).iter().map(|byte| format!("{byte:02X}"));
            return Ok(format!("[{}]", bytes.collect::<Vec<_>>().join(" ")));
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let items = (0..items.len()).map(|item| shown(&items, item)).collect::<Result<Vec<_>>>()?;
            return Ok(format!("[{}]", items.join(", ")));
        }
        DataType::Struct(_) => {
            let fields = array.as_struct().columns().iter().map(|field| shown(field, row));
            return Ok(format!("{{{}}}", fields.collect::<Result<Vec<_>>>()?.join(", ")));
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let entry = |at| Ok(format!("{} -> {}", shown(entries.column(0), at)?, shown(entries.column(1), at)?));
            let entries = (0..entries.len()).map(entry).collect::<Result<Vec<_>>>()?;
            return Ok(format!("{{{}}}", entries.join(", ")));
        }
        _ => return Ok(array_value_to_string(array, row)?),
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// `2024-01-31 12:30:05.25`: as many digits of the second as it needs.
fn write_time(micros: i64, out: &mut Vec<u8>) {
    time::write_seconds(micros, b' ', out);
    let fraction = micros.rem_euclid(time::SECOND);
    if fraction > 0 {
        out.push(b'.');
        out.extend_from_slice(format!("{fraction:06}").trim_end_matches('0').as_bytes());
    }
}
