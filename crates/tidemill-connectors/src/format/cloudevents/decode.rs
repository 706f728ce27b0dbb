//! Events to columns: attributes here, the data by the format inside.

use super::event::{Content, Event, batch, text_of};
use crate::format::avro::MessageDecoder;
use crate::format::fault::Fault;
use crate::format::reject::{MALFORMED, MISSING_FIELD, NULL_FIELD, WRONG_TYPE, reject};
use crate::format::text::time;
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_core::format::{Decoded, Decoder, Reject};
use tidemill_core::source::{Body, Chunk, Records};
use tidemill_core::types::{name, timestamp};
use tidemill_core::{Error, Result};

const PREFIX: &str = "ce_";

/// Where a wanted column comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// An attribute, by its name.
    Attribute(String),
    /// The data as it is.
    Data,
    /// A column of the data, by its place.
    Column(usize),
}

/// The columns that are wanted.
pub(super) struct Layout {
    schema: SchemaRef,
    origins: Vec<Origin>,
    inner: SchemaRef,
}

/// How the data is read.
pub(super) enum Data {
    Json(Box<dyn Decoder>),
    Avro(Box<MessageDecoder>),
    Raw,
}

impl Layout {
    /// For the columns of `schema`.
    ///
    /// # Errors
    /// A column of another type.
    pub fn new(schema: SchemaRef, is_raw: bool) -> Result<Layout> {
        let (mut origins, mut inner): (_, Vec<FieldRef>) = (Vec::new(), Vec::new());
        for field in schema.fields() {
            let lower = field.name().to_lowercase();
            match (lower.strip_prefix(PREFIX), field.data_type()) {
                (Some(attribute), DataType::Utf8) => origins.push(Origin::Attribute(attribute.to_owned())),
                (Some("time"), of) if *of == timestamp() => origins.push(Origin::Attribute("time".to_owned())),
                (Some("time"), of) => return Err(wrong(field, "timestamp or string", of)),
                (Some(_), of) => return Err(wrong(field, "string", of)),
                (None, DataType::Utf8 | DataType::Binary) if is_raw && lower == "data" => origins.push(Origin::Data),
                (None, of) if is_raw && lower == "data" => return Err(wrong(field, "string or binary", of)),
                (None, _) if is_raw => {
                    return Err(Error::invalid(format!("format 'cloudevents' has no column '{}'", field.name()))
                        .help("with cloudevents_data = 'raw' it has attributes (ce_id, ce_type, ...) and data"));
                }
                (None, _) => {
                    origins.push(Origin::Column(inner.len()));
                    inner.push(field.clone());
                }
            }
        }
        Ok(Layout { schema, origins, inner: Arc::new(Schema::new(inner)) })
    }

    /// The columns that are read from the data.
    pub fn inner(&self) -> SchemaRef {
        self.inner.clone()
    }
}

fn wrong(field: &Field, wanted: &str, of: &DataType) -> Error {
    Error::invalid(format!("column '{}' of format 'cloudevents' is {wanted}, not {}", field.name(), name(of)))
}

/// Decodes events.
pub(super) struct EventDecoder {
    pub layout: Layout,
    pub data: Data,
    pub bad_fields_are_null: bool,
}

/// An event of a chunk: its record, its own bytes, and its attributes.
struct Read<'a> {
    /// Number of the record, and of the event in it.
    place: (usize, usize),
    bytes: &'a [u8],
    attributes: BTreeMap<String, String>,
}

/// The events of a chunk as they are found.
#[derive(Default)]
struct Found<'a> {
    events: Vec<Read<'a>>,
    /// Their data, as records with the numbers of the events.
    data: Records,
    buffer: Vec<u8>,
    /// By record, and event in it.
    rejects: BTreeMap<(usize, usize), Reject>,
}

#[async_trait]
impl Decoder for EventDecoder {
    async fn prepare(&self, chunks: &[Chunk]) -> Result<()> {
        let Data::Avro(inner) = &self.data else { return Ok(()) };
        let mut data = Vec::new();
        for chunk in chunks {
            if let Body::Records(records) = &chunk.body {
                let found = self.find(records);
                data.push(Chunk { split: chunk.split.clone(), body: Body::Records(found.records()) });
            }
        }
        inner.prepare(&data).await
    }

    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        let Body::Records(records) = &chunk.body else {
            let split = &chunk.split;
            return Err(Error::invalid(format!("CloudEvents are single payloads, and '{split}' has none")));
        };
        let mut found = self.find(records);
        let inner = match &self.data {
            Data::Raw => None,
            Data::Json(inner) => {
                Some(inner.decode(&Chunk { split: chunk.split.clone(), body: Body::Records(found.records()) })?)
            }
            Data::Avro(inner) => {
                Some(inner.decode(&Chunk { split: chunk.split.clone(), body: Body::Records(found.records()) })?)
            }
        };
        let mut bad = vec![false; found.events.len()];
        for fault in inner.iter().flat_map(|inner| &inner.rejects) {
            let at = fault.offset as usize;
            bad[at] = true;
            found.set_aside(records, at, fault.code, fault.reason.clone());
        }
        let good: Vec<usize> = (0..bad.len()).filter(|at| !bad[*at]).collect();
        let rows = self.rows(records, &mut found, &good, inner.map(|inner| inner.rows))?;
        Ok(Decoded { rows, rejects: found.rejects.into_values().collect() })
    }
}

impl EventDecoder {
    /// The events in the records.
    fn find<'a>(&self, records: &'a Records) -> Found<'a> {
        let mut found = Found::default();
        for record in 0..records.len() {
            let payload = records.value(record);
            let bytes = payload.unwrap_or_default();
            let of_headers = records.headers(record).and_then(|headers| Event::of_headers(headers, payload));
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            match (of_headers, payload, first) {
                (Some(event), ..) => self.take(&mut found, records, (record, 0), bytes, event),
                (None, None, _) => {
                    let why = Fault::malformed("the payload is null (a tombstone)");
                    self.take(&mut found, records, (record, 0), bytes, Err(why));
                }
                (None, _, Some(b'[')) => match batch(bytes) {
                    Ok(events) => {
                        for (number, event) in events.into_iter().enumerate() {
                            self.take(&mut found, records, (record, number), event, Event::of_json(event));
                        }
                    }
                    Err(fault) => self.take(&mut found, records, (record, 0), bytes, Err(fault)),
                },
                _ => self.take(&mut found, records, (record, 0), bytes, Event::of_json(bytes)),
            }
        }
        found
    }

    fn take<'a>(
        &self,
        found: &mut Found<'a>,
        records: &Records,
        place: (usize, usize),
        bytes: &'a [u8],
        event: Result<Event<'a>, Fault>,
    ) {
        let taken = event.and_then(|event| {
            let from = found.buffer.len();
            let has_data = self.put(&event.data, &mut found.buffer)?;
            Ok((event.attributes, has_data.then_some(from..found.buffer.len())))
        });
        match taken {
            Ok((attributes, data)) => {
                found.data.offsets.push(found.events.len() as u64);
                found.data.values.push(data);
                found.data.keys.push(None);
                found.data.timestamps.push(records.timestamps[place.0]);
                found.events.push(Read { place, bytes, attributes });
            }
            Err(fault) => {
                let offset = records.offsets[place.0];
                let code = fault.code();
                found.rejects.insert(place, reject(offset, bytes, code, fault.reason()));
            }
        }
    }

    /// Appends the data as the format inside wants it; false when there is none.
    fn put(&self, data: &Content<'_>, buffer: &mut Vec<u8>) -> Result<bool, Fault> {
        match (data, &self.data) {
            (Content::None, Data::Raw) => return Ok(false),
            // an object without fields: NULL in every column
            (Content::None, Data::Json(_)) => buffer.extend_from_slice(b"{}"),
            (Content::None, Data::Avro(_)) => return Err(Fault::new(MISSING_FIELD, "the event has no data")),
            (Content::Json(json), Data::Json(_)) => buffer.extend_from_slice(json.as_bytes()),
            (Content::Json(json), Data::Raw) => match text_of(json) {
                Some(text) => buffer.extend_from_slice(text.as_bytes()),
                None => buffer.extend_from_slice(json.as_bytes()),
            },
            (Content::Json(_), Data::Avro(_)) => {
                return Err(Fault::new(MALFORMED, "the data of the event is JSON, not Avro"));
            }
            (Content::Bytes(bytes), _) => buffer.extend_from_slice(bytes),
        }
        Ok(true)
    }

    /// The rows of the good events.
    fn rows(
        &self,
        records: &Records,
        found: &mut Found<'_>,
        good: &[usize],
        inner: Option<RecordBatch>,
    ) -> Result<RecordBatch> {
        let mut keep = vec![true; good.len()];
        let mut arrays = Vec::with_capacity(self.layout.origins.len());
        for (field, origin) in self.layout.schema.fields().iter().zip(&self.layout.origins) {
            let (array, faults) = match origin {
                Origin::Column(at) => {
                    let inner = inner.as_ref().ok_or_else(|| Error::bug("data that nobody decoded"))?;
                    (inner.column(*at).clone(), Vec::new())
                }
                Origin::Attribute(name) => self.attribute(found, good, name, field),
                Origin::Data => data(found, good, field),
            };
            let mut set_aside = |row: usize, code: &'static str, reason: String| {
                if std::mem::replace(&mut keep[row], false) {
                    found.set_aside(records, good[row], code, reason);
                }
            };
            for (row, why) in faults {
                set_aside(row, WRONG_TYPE, format!("field '{}' {why}", field.name()));
            }
            if !field.is_nullable() {
                for row in (0..good.len()).filter(|row| array.is_null(*row)) {
                    set_aside(row, NULL_FIELD, format!("field '{}' is null and must not be", field.name()));
                }
            }
            arrays.push(array);
        }
        let keep = BooleanArray::from(keep);
        let arrays = arrays.iter().map(|array| filter(array, &keep)).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(keep.true_count()));
        Ok(RecordBatch::try_new_with_options(self.layout.schema.clone(), arrays, &options)?)
    }

    /// An attribute of the good events, and what is wrong with it by row.
    fn attribute(
        &self,
        found: &Found<'_>,
        good: &[usize],
        name: &str,
        field: &Field,
    ) -> (ArrayRef, Vec<(usize, String)>) {
        let texts = good.iter().map(|at| found.events[*at].attributes.get(name).map(String::as_str));
        if *field.data_type() == DataType::Utf8 {
            return (Arc::new(texts.collect::<StringArray>()), Vec::new());
        }
        let mut faults = Vec::new();
        let micros: TimestampMicrosecondArray = texts
            .enumerate()
            .map(|(row, text)| {
                let micros = time::parse(text?.as_bytes()).and_then(time::Written::instant);
                if micros.is_none() && !(self.bad_fields_are_null && field.is_nullable()) {
                    faults.push((row, format!("must be timestamp, found '{}'", text.unwrap_or_default())));
                }
                micros
            })
            .collect();
        (Arc::new(micros.with_data_type(field.data_type().clone())), faults)
    }
}

/// The data of the good events as it is, and what is wrong with it by row.
fn data(found: &Found<'_>, good: &[usize], field: &Field) -> (ArrayRef, Vec<(usize, String)>) {
    let bytes = good.iter().map(|at| found.data.values[*at].clone().map(|range| &found.buffer[range]));
    if *field.data_type() == DataType::Binary {
        return (Arc::new(bytes.collect::<BinaryArray>()), Vec::new());
    }
    let mut faults = Vec::new();
    let texts: StringArray = bytes
        .enumerate()
        .map(|(row, bytes)| match bytes.map(std::str::from_utf8) {
            Some(Ok(text)) => Some(text),
            Some(Err(_)) => {
                faults.push((row, "is not UTF-8; declare it as BINARY".to_owned()));
                None
            }
            None => None,
        })
        .collect();
    (Arc::new(texts), faults)
}

impl Found<'_> {
    /// The data of the events, as records.
    fn records(&self) -> Records {
        Records { data: self.buffer.clone().into(), ..self.data.clone() }
    }

    /// Rejects event number `at`.
    fn set_aside(&mut self, records: &Records, at: usize, code: &'static str, reason: String) {
        let event = &self.events[at];
        let bad = reject(records.offsets[event.place.0], event.bytes, code, reason);
        self.rejects.insert(event.place, bad);
    }
}
