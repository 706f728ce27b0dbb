//! An archive's Avro file as records: the body is the value, the partition key the key, the sequence number the
//! position, the enqueued time the timestamp, and properties are headers. Pure.
//!
//! Source: Azure, "Capture streaming events" (the schema).

use crate::topics::headers::pack;
use arrow::array::{Array, ArrayRef, AsArray, MapArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow_avro::reader::ReaderBuilder;
use bytes::Bytes;
use chrono::NaiveDateTime;
use std::io::Cursor;
use std::ops::Range;
use tidemill_core::source::Records;
use tidemill_core::{Error, Kind, Result, ResultExt};

/// System properties with a meaning here.
const PARTITION_KEY: &str = "x-opt-partition-key";
const ENQUEUED_MILLIS: &str = "x-opt-enqueued-time";
/// `1/14/2019 7:33:10 PM`
const TIME: &str = "%m/%d/%Y %I:%M:%S %p";

/// The events of the file `name`.
///
/// # Errors
/// The file is damaged or no archive; it is named.
pub(crate) fn records(name: &str, file: &Bytes) -> Result<Records> {
    let unreadable = || format!("the archive '{name}' cannot be read as Avro");
    let reader = ReaderBuilder::new().build(Cursor::new(file.clone())).context(Kind::Data, unreadable)?;
    let mut out = Out::default();
    for batch in reader {
        out.add(name, &batch.context(Kind::Data, unreadable)?)?;
    }
    Ok(Records { data: Bytes::from(out.data), ..out.records })
}

#[derive(Default)]
struct Out {
    data: Vec<u8>,
    records: Records,
}

impl Out {
    fn add(&mut self, name: &str, batch: &RecordBatch) -> Result<()> {
        let column = |wanted: &str, of: &DataType| -> Result<ArrayRef> {
            let there = batch.column_by_name(wanted).ok_or_else(|| not_an_archive(name, wanted))?;
            cast(there, of).map_err(|cause| not_an_archive(name, wanted).caused_by(cause))
        };
        let map = |wanted: &str| -> Result<MapArray> {
            let there = batch.column_by_name(wanted).and_then(|column| column.as_map_opt());
            there.cloned().ok_or_else(|| not_an_archive(name, wanted))
        };
        let sequences = column("SequenceNumber", &DataType::Int64)?;
        let sequences = sequences.as_primitive::<Int64Type>();
        let times = column("EnqueuedTimeUtc", &DataType::Utf8)?;
        let bodies = column("Body", &DataType::Binary)?;
        let (system, properties) = (map("SystemProperties")?, map("Properties")?);
        for row in 0..batch.num_rows() {
            let sequence = u64::try_from(sequences.value(row)).map_err(|_| not_an_archive(name, "SequenceNumber"))?;
            if self.records.offsets.last().is_some_and(|last| *last >= sequence) {
                return Err(Error::new(
                    Kind::Data,
                    format!("the archive '{name}' is out of order at event {sequence}"),
                ));
            }
            let (mut key, mut millis) = (None, None);
            for (property, value) in entries(&system, row) {
                match property.as_str() {
                    PARTITION_KEY => key = value,
                    ENQUEUED_MILLIS => {
                        millis = value.and_then(|text| String::from_utf8(text).ok()?.parse::<i64>().ok())
                    }
                    _ => {}
                }
            }
            let shown = times.as_string::<i32>().value(row);
            let time = match millis {
                Some(millis) => millis.saturating_mul(1_000),
                None => NaiveDateTime::parse_from_str(shown, TIME)
                    .context(Kind::Data, || format!("the archive '{name}' has the time '{shown}'"))?
                    .and_utc()
                    .timestamp_micros(),
            };
            let body = bodies.as_binary::<i32>();
            let value = body.is_valid(row).then(|| self.put(body.value(row)));
            let key = key.map(|key| self.put(&key));
            let named: Vec<(String, Option<Vec<u8>>)> = entries(&properties, row).collect();
            let headers = (!named.is_empty()).then(|| {
                let from = self.data.len();
                pack(named.iter().map(|(name, value)| (name.as_str(), value.as_deref())), &mut self.data);
                from..self.data.len()
            });
            self.records.values.push(value);
            self.records.keys.push(key);
            self.records.headers.push(headers);
            self.records.offsets.push(sequence);
            self.records.timestamps.push(time);
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let from = self.data.len();
        self.data.extend_from_slice(bytes);
        from..self.data.len()
    }
}

fn not_an_archive(name: &str, column: &str) -> Error {
    Error::new(
        Kind::Data,
        format!("'{name}' is no archive of Event Hubs Capture: its '{column}' is missing or another"),
    )
    .help("point 'archive' at the container or directory that Capture writes to")
}

/// The entries of a map in a row; numbers become text.
fn entries(maps: &MapArray, row: usize) -> impl Iterator<Item = (String, Option<Vec<u8>>)> {
    let entries = if maps.is_valid(row) { maps.value(row) } else { maps.entries().slice(0, 0) };
    let (keys, values) = (entries.column(0).clone(), entries.column(1).clone());
    (0..entries.len()).map(move |at| (keys.as_string::<i32>().value(at).to_owned(), bytes_of(&values, at)))
}

/// A property's value: long, double, string or bytes, often a union of these.
fn bytes_of(values: &ArrayRef, at: usize) -> Option<Vec<u8>> {
    if values.is_null(at) {
        return None;
    }
    match values.data_type() {
        DataType::Union(..) => bytes_of(&values.as_union().value(at), 0),
        DataType::Int64 => Some(values.as_primitive::<Int64Type>().value(at).to_string().into_bytes()),
        DataType::Float64 => Some(values.as_primitive::<Float64Type>().value(at).to_string().into_bytes()),
        DataType::Utf8 => Some(values.as_string::<i32>().value(at).as_bytes().to_vec()),
        DataType::Binary => Some(values.as_binary::<i32>().value(at).to_vec()),
        _ => None,
    }
}
