//! Columns to CSV records. A value is in quotes when it would be read as something else without them.

use super::split::Dialect;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::io::Write as _;
use tidemill_core::format::{Encoder, Payloads};
use tidemill_core::{Error, Result, types};

/// Encodes rows of a schema.
pub(super) struct CsvEncoder {
    pub dialect: Dialect,
    /// What is written for NULL.
    pub null_value: Vec<u8>,
    /// The line of names, when there is to be one.
    pub header: Option<Vec<u8>>,
}

impl CsvEncoder {
    /// An encoder for rows of `schema`.
    ///
    /// # Errors
    /// A column that is no single value, or is binary or an interval.
    pub fn new(schema: &SchemaRef, dialect: Dialect, header: bool, null_value: Vec<u8>) -> Result<Self> {
        for field in schema.fields() {
            let of = field.data_type();
            if of.is_nested() || matches!(of, DataType::Binary | DataType::Duration(_) | DataType::Interval(_)) {
                let (column, of) = (field.name(), types::name(of));
                return Err(Error::invalid(format!("column '{column}' is {of}, which cannot be written as CSV"))
                    .help("cast it to STRING in the query, or write another format"));
            }
        }
        let mut encoder = CsvEncoder { dialect, null_value, header: None };
        if header {
            let mut line = Vec::new();
            for (index, field) in schema.fields().iter().enumerate() {
                encoder.begin(index, &mut line);
                encoder.text(field.name().as_bytes(), &mut line);
            }
            encoder.header = Some(line);
        }
        Ok(encoder)
    }

    fn begin(&self, index: usize, out: &mut Vec<u8>) {
        if index > 0 {
            out.push(self.dialect.delimiter);
        }
    }

    fn text(&self, text: &[u8], out: &mut Vec<u8>) {
        let Dialect { delimiter, quote, escape } = self.dialect;
        let special = |byte: &u8| *byte == delimiter || *byte == quote || matches!(byte, b'\n' | b'\r');
        if !text.is_empty() && text != self.null_value && !text.iter().any(special) {
            return out.extend_from_slice(text);
        }
        out.push(quote);
        for byte in text {
            if *byte == quote || *byte == escape {
                out.push(escape);
            }
            out.push(*byte);
        }
        out.push(quote);
    }
}

impl Encoder for CsvEncoder {
    fn encode(&self, rows: &RecordBatch, out: &mut Payloads) -> Result<()> {
        let options = FormatOptions::new()
            .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.f"))
            .with_timestamp_tz_format(Some("%Y-%m-%dT%H:%M:%S%.fZ"));
        let columns = rows.columns().iter().map(|column| match column.data_type() {
            DataType::Utf8 => Ok((column, None)),
            _ => Ok((column, Some(ArrayFormatter::try_new(column, &options)?))),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        for row in 0..rows.num_rows() {
            for (index, (column, formatter)) in columns.iter().enumerate() {
                self.begin(index, &mut out.data);
                match formatter {
                    _ if column.is_null(row) => out.data.extend_from_slice(&self.null_value),
                    None => self.text(column.as_string::<i32>().value(row).as_bytes(), &mut out.data),
                    // writing to a vector cannot fail
                    Some(formatter) => drop(write!(out.data, "{}", formatter.value(row))),
                }
            }
            out.ends.push(out.data.len());
        }
        Ok(())
    }

    fn header(&self) -> Option<Vec<u8>> {
        self.header.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use std::sync::Arc;
    use tidemill_core::types::parse_schema;

    #[test]
    fn what_would_be_misread_is_in_quotes() {
        let schema: SchemaRef = Arc::new(parse_schema("n BIGINT, `a,b` STRING").unwrap());
        let dialect = Dialect { delimiter: b',', quote: b'"', escape: b'\\' };
        let encoder = CsvEncoder::new(&schema, dialect, true, b"NA".to_vec()).unwrap();
        let texts = StringArray::from(vec![Some("plain \\"), Some("a\"\\b"), Some("NA"), Some(""), None, Some("x,y")]);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4), Some(5), Some(6)])), Arc::new(texts)];
        let mut out = Payloads::default();
        encoder.encode(&RecordBatch::try_new(schema, columns).unwrap(), &mut out).unwrap();
        let lines: Vec<&str> = out.iter().map(|line| std::str::from_utf8(line).unwrap()).collect();
        assert_eq!(lines, ["1,plain \\", r#"NA,"a\"\\b""#, r#"3,"NA""#, r#"4,"""#, "5,NA", r#"6,"x,y""#]);
        assert_eq!(encoder.header().unwrap(), b"n,\"a,b\"");
    }
}
