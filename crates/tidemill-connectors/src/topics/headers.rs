//! Headers of records: Spark's column `headers`, and the form in which they lie beside a record's bytes.
//!
//! Source: Spark, "Structured Streaming + Kafka Integration Guide", `includeHeaders` and the sink's columns.

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, ListBuilder, StringArray, StringBuilder, StructBuilder,
};
use arrow::array::{AsArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields};
use std::sync::Arc;
use tidemill_core::source::Records;
use tidemill_core::types::{array_of, name};
use tidemill_core::{Error, Kind, Result};

/// Name of the column.
pub(crate) const COLUMN: &str = "headers";
/// Length of a header's value that is null.
const NULL_LENGTH: u32 = u32::MAX;

/// `array<struct<key: string, value: binary>>`.
pub(crate) fn data_type() -> DataType {
    array_of(DataType::Struct(fields()))
}

fn fields() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Binary, true)])
}

/// Appends the headers of one record to `out`: of each the length and bytes of its key and of its value.
pub(crate) fn pack<'a>(headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>, out: &mut Vec<u8>) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(NULL_LENGTH - 1);
    for (key, value) in headers {
        out.extend(length(key.as_bytes()).to_le_bytes());
        out.extend_from_slice(key.as_bytes());
        out.extend(value.map_or(NULL_LENGTH, length).to_le_bytes());
        out.extend_from_slice(value.unwrap_or_default());
    }
}

/// What [`pack`] has put together; ends early where the bytes do.
pub(crate) fn unpack(mut packed: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    std::iter::from_fn(move || {
        let key_length = take_length(&mut packed)?;
        let key = packed.split_off(..key_length as usize)?;
        let value = match take_length(&mut packed)? {
            NULL_LENGTH => None,
            length => Some(packed.split_off(..length as usize)?),
        };
        Some((key, value))
    })
}

fn take_length(packed: &mut &[u8]) -> Option<u32> {
    let (length, rest) = packed.split_first_chunk()?;
    *packed = rest;
    Some(u32::from_le_bytes(*length))
}

/// The column of the records' headers; NULL for a record without any, as Spark has it.
pub(crate) fn column(records: &Records) -> ArrayRef {
    let entry = StructBuilder::new(fields(), vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())]);
    let mut lists = ListBuilder::new(entry);
    for at in 0..records.len() {
        let packed = records.headers(at);
        for (key, value) in packed.into_iter().flat_map(unpack) {
            let entry = lists.values();
            if let Some(keys) = entry.field_builder::<StringBuilder>(0) {
                keys.append_value(String::from_utf8_lossy(key));
            }
            if let Some(values) = entry.field_builder::<BinaryBuilder>(1) {
                values.append_option(value);
            }
            entry.append(true);
        }
        lists.append(packed.is_some());
    }
    Arc::new(lists.finish())
}

/// Headers to write, a list a row.
pub(crate) struct Headers {
    lists: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
    keys: StringArray,
    values: BinaryArray,
}

impl Headers {
    /// True for a column that headers can be read from: an array of structs of two fields, or a map, whose first
    /// is text and whose second is text or bytes.
    pub(crate) fn fits(column: &DataType) -> bool {
        let (DataType::List(entry) | DataType::Map(entry, _)) = column else { return false };
        let DataType::Struct(parts) = entry.data_type() else { return false };
        let text_or_bytes = |of: &DataType| matches!(of, DataType::Utf8 | DataType::Binary);
        parts.len() == 2 && parts[0].data_type() == &DataType::Utf8 && text_or_bytes(parts[1].data_type())
    }

    /// The headers in a column that [`Headers::fits`].
    ///
    /// # Errors
    /// [`Kind::Data`] for a header without a key.
    pub(crate) fn of(column: &ArrayRef) -> Result<Headers> {
        let (lists, entries): (_, StructArray) = match column.data_type() {
            DataType::Map(..) => (column.as_map().offsets().clone(), column.as_map().entries().clone()),
            DataType::List(_) => {
                (column.as_list::<i32>().offsets().clone(), column.as_list::<i32>().values().as_struct().clone())
            }
            other => return Err(Error::bug(format!("headers cannot be read from {}", name(other)))),
        };
        let keys = entries.column(0).as_string::<i32>().clone();
        let values = cast(entries.column(1), &DataType::Binary)?.as_binary::<i32>().clone();
        let headers = Headers { lists, nulls: column.nulls().cloned(), keys, values };
        let nameless = |at: usize| entries.is_null(at) || headers.keys.is_null(at);
        match (0..column.len()).find(|row| headers.range(*row).any(nameless)) {
            Some(row) => Err(Error::new(Kind::Data, format!("a header of row {row} has no key"))
                .help("every element of the column of headers needs a key; its value may be NULL")),
            None => Ok(headers),
        }
    }

    fn range(&self, row: usize) -> std::ops::Range<usize> {
        match &self.nulls {
            Some(nulls) if nulls.is_null(row) => 0..0,
            _ => self.lists[row] as usize..self.lists[row + 1] as usize,
        }
    }

    /// The headers of a row, in order.
    pub(crate) fn row(&self, row: usize) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> {
        self.range(row).map(|at| (self.keys.value(at), self.values.is_valid(at).then(|| self.values.value(at))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::types::parse_type;

    type Pairs = Vec<(String, Option<Vec<u8>>)>;
    type Given<'a> = &'a [(&'a str, Option<&'a [u8]>)];

    fn records(rows: &[Given<'_>]) -> Records {
        let (mut data, mut headers) = (Vec::new(), Vec::new());
        for row in rows {
            let from = data.len();
            pack(row.iter().copied(), &mut data);
            headers.push((!row.is_empty()).then_some(from..data.len()));
        }
        let count = rows.len();
        Records { data: data.into(), offsets: vec![0; count], headers, ..Records::default() }
    }

    fn read(headers: &Headers, row: usize) -> Pairs {
        headers.row(row).map(|(key, value)| (key.to_owned(), value.map(<[u8]>::to_vec))).collect()
    }

    #[test]
    fn headers_come_back_as_they_were_sent() {
        let rows: [Given<'_>; 3] =
            [&[("trace", Some(b"\xff\x00")), ("trace", None), ("", Some(b""))], &[], &[("k", Some(b"v"))]];
        let column = column(&records(&rows));
        assert_eq!(column.data_type(), &data_type());
        assert!(column.is_null(1), "NULL, as Spark gives for a record without headers");
        let headers = Headers::of(&column.slice(0, 3)).unwrap();
        for (at, row) in rows.iter().enumerate() {
            let sent: Pairs = row.iter().map(|(key, value)| ((*key).into(), value.map(<[u8]>::to_vec))).collect();
            assert_eq!(read(&headers, at), sent);
        }
        assert_eq!(read(&Headers::of(&column.slice(2, 1)).unwrap(), 0), [("k".to_owned(), Some(b"v".to_vec()))]);
        assert_eq!(unpack(b"\x05\0\0\0ab").count(), 0, "cut off");
    }

    #[test]
    fn arrays_of_pairs_and_maps_are_headers() {
        let fits = |text: &str| Headers::fits(&parse_type(text).unwrap());
        assert!(fits("ARRAY<STRUCT<key STRING, value BINARY>>") && fits("MAP<STRING, STRING>"));
        assert!(!fits("ARRAY<STRING>") && !fits("STRING") && !fits("MAP<INT, STRING>"));
        assert_eq!(parse_type("ARRAY<STRUCT<key STRING, value BINARY>>").unwrap(), data_type());
    }

    #[test]
    fn a_header_without_a_key_is_refused() {
        let entry = StructBuilder::new(fields(), vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())]);
        let mut lists = ListBuilder::new(entry);
        lists.append(true);
        let entry = lists.values();
        entry.field_builder::<StringBuilder>(0).unwrap().append_null();
        entry.field_builder::<BinaryBuilder>(1).unwrap().append_value(b"v");
        entry.append(true);
        lists.append(true);
        let column: ArrayRef = Arc::new(lists.finish());
        let error = Headers::of(&column).map(|_| ()).unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains("row 1")), (Kind::Data, true));
    }
}
