//! Payloads as they come: the columns of Spark's Kafka source, chosen by name. For writing, the column
//! `value` is the payload.

use crate::format::column::{Column, Values};
use crate::format::reject::{MALFORMED, NULL_FIELD};
use crate::format::rows::Rows;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::record_batch::RecordBatch;
use tidemill_core::describe::{Description, Guarantee, Role};
use tidemill_core::format::{Decoded, Decoder, Encoder, Format, Framing, Payloads};
use tidemill_core::source::{Body, Chunk, Records};
use tidemill_core::{Error, Kind, Options, Result, types};

static DESCRIPTION: Description = Description {
    name: "raw",
    role: Role::Format,
    summary: "Payloads as they come, with the columns of Spark's Kafka source: key, value, topic, partition, offset, \
              timestamp, timestampType.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[],
    example: "connector = 'generator', shape = 'user-events', format = 'raw'",
};

/// The format `raw`.
pub struct Raw;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Key,
    Value,
    Topic,
    Partition,
    Offset,
    Timestamp,
    TimestampType,
}

/// Column names and the types each may have.
const PARTS: &[(&str, Part, &[DataType])] = &[
    ("key", Part::Key, &[DataType::Binary, DataType::Utf8]),
    ("value", Part::Value, &[DataType::Binary, DataType::Utf8]),
    ("topic", Part::Topic, &[DataType::Utf8]),
    ("partition", Part::Partition, &[DataType::Int32]),
    ("offset", Part::Offset, &[DataType::Int64]),
    ("timestamp", Part::Timestamp, &[]),
    ("timestampType", Part::TimestampType, &[DataType::Int32]),
];

/// Kafka's `CreateTime`: the producer's clock. Sources do not tell which clock it was.
const CREATE_TIME: i32 = 0;

impl Format for Raw {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn framing(&self) -> Framing {
        Framing::Payloads
    }

    fn decoder(&self, schema: SchemaRef, _options: &Options) -> Result<Box<dyn Decoder>> {
        let parts = schema.fields().iter().map(|field| part(field)).collect::<Result<_>>()?;
        Ok(Box::new(RawDecoder { schema, parts }))
    }

    fn encoder(&self, schema: SchemaRef, _options: &Options) -> Result<Option<Box<dyn Encoder>>> {
        let value = schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case("value"));
        match value.map(|index| (index, schema.field(index).data_type())) {
            Some((index, DataType::Utf8 | DataType::Binary)) => Ok(Some(Box::new(RawEncoder { value: index }))),
            Some((_, other)) => Err(Error::invalid(format!(
                "format 'raw' writes column 'value' as STRING or BINARY, but it is {}",
                types::name(other)
            ))),
            None => Err(Error::invalid("format 'raw' writes a column called 'value', and there is none")
                .help("name the payload: SELECT ... AS value")),
        }
    }
}

fn part(field: &Field) -> Result<Part> {
    let known = PARTS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(field.name()));
    let Some((_, part, accepted)) = known else {
        let names = PARTS.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ");
        return Err(Error::invalid(format!("format 'raw' has no column '{}'", field.name()))
            .help(format!("it has {names}; to read fields inside the payload use another format, such as 'json'")));
    };
    let of = field.data_type();
    if accepted.contains(of) || (*part == Part::Timestamp && *of == types::timestamp()) {
        return Ok(*part);
    }
    let mut accepted: Vec<String> = accepted.iter().map(types::name).collect();
    if accepted.is_empty() {
        accepted.push(types::name(&types::timestamp()));
    }
    let (name, of) = (field.name(), types::name(of));
    Err(Error::invalid(format!("column '{name}' of format 'raw' is {}, not {of}", accepted.join(" or "))))
}

struct RawDecoder {
    schema: SchemaRef,
    parts: Vec<Part>,
}

impl Decoder for RawDecoder {
    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        let Body::Records(records) = &chunk.body else {
            return Err(Error::invalid(format!("format 'raw' reads single payloads, and '{}' has none", chunk.split))
                .help("use format 'json' or 'csv' for files"));
        };
        let mut rows = Rows::new(self.schema.clone(), &chunk.split, &records.data, records.len())?;
        let (topic, partition) = topic_and_partition(&chunk.split);
        for (index, offset) in records.offsets.iter().enumerate() {
            let written = self.parts.iter().zip(self.schema.fields()).zip(&mut rows.columns).try_for_each(
                |((part, field), column)| write(*part, field, column, records, index, (topic, partition)),
            );
            match written {
                Ok(()) => rows.keep(),
                Err((code, reason)) => {
                    rows.reject(*offset, records.value(index).unwrap_or_default(), code, reason);
                }
            }
        }
        rows.finish()
    }
}

/// `events-eu-3` is partition 3 of `events-eu`. A split that ends in no number is a topic of one partition.
fn topic_and_partition(split: &str) -> (&str, i32) {
    let parts = split.rsplit_once('-').and_then(|(topic, number)| Some((topic, number.parse().ok()?)));
    parts.unwrap_or((split, 0))
}

fn write(
    part: Part,
    field: &Field,
    column: &mut Column,
    records: &Records,
    index: usize,
    (topic, partition): (&str, i32),
) -> Result<(), (&'static str, String)> {
    let bytes = match part {
        Part::Key => records.key(index),
        Part::Value => records.value(index),
        _ => Some(topic.as_bytes()),
    };
    let Some(bytes) = bytes else {
        if !field.is_nullable() {
            return Err((NULL_FIELD, format!("the record has no {} and must have one", field.name())));
        }
        column.push_null();
        return Ok(());
    };
    match &mut column.values {
        Values::Text(spans) if std::str::from_utf8(bytes).is_ok() => spans.push(bytes),
        Values::Text(_) => return Err((MALFORMED, format!("the {} is not UTF-8", field.name()))),
        Values::Binary(spans) => spans.push(bytes),
        Values::Int32(values) if part == Part::Partition => values.push(partition),
        Values::Int32(values) => values.push(CREATE_TIME),
        Values::Int64(values) => values.push(records.offsets[index] as i64),
        Values::Timestamp(values) => values.push(records.timestamps[index]),
        // No part has another type.
        _ => {}
    }
    column.nulls.append_non_null();
    Ok(())
}

struct RawEncoder {
    value: usize,
}

impl Encoder for RawEncoder {
    fn encode(&self, rows: &RecordBatch, out: &mut Payloads) -> Result<()> {
        let values = rows.column(self.value);
        if values.null_count() > 0 {
            return Err(Error::new(Kind::Data, "column 'value' is NULL in a row to write, which has no payload then")
                .help("leave such rows out: WHERE value IS NOT NULL"));
        }
        for row in 0..rows.num_rows() {
            match values.data_type() {
                DataType::Utf8 => out.data.extend_from_slice(values.as_string::<i32>().value(row).as_bytes()),
                _ => out.data.extend_from_slice(values.as_binary::<i32>().value(row)),
            }
            out.ends.push(out.data.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::json::Json;
    use bytes::Bytes;
    use std::sync::Arc;

    fn records() -> Chunk {
        let records = Records {
            data: Bytes::from_static(b"k1v1v2\xFF"),
            values: vec![Some(2..4), Some(4..6), None, Some(6..7)],
            keys: vec![Some(0..2), None, None, None],
            offsets: vec![10, 11, 12, 13],
            timestamps: vec![1_500_000, 2, 3, 4],
            ..Records::default()
        };
        Chunk { split: "events-eu-3".into(), body: Body::Records(records) }
    }

    fn decode(ddl: &str) -> Decoded {
        let schema = Arc::new(types::parse_schema(ddl).unwrap());
        Raw.decoder(schema, &Options::default()).unwrap().decode(&records()).unwrap()
    }

    fn payloads(format: &dyn Format, rows: &RecordBatch) -> Vec<String> {
        let mut payloads = Payloads::default();
        let encoder = format.encoder(rows.schema(), &Options::default()).unwrap().unwrap();
        encoder.encode(rows, &mut payloads).unwrap();
        payloads.iter().map(|payload| String::from_utf8_lossy(payload).into_owned()).collect()
    }

    #[test]
    fn columns_are_those_of_sparks_kafka_source() {
        let decoded = decode(
            "value BINARY, key STRING, topic STRING, partition INT, offset BIGINT, timestamp TIMESTAMP, timestampType INT",
        );
        assert_eq!(decoded.rejects, []);
        assert_eq!(
            payloads(&Json, &decoded.rows)[0],
            r#"{"value":"djE=","key":"k1","topic":"events-eu","partition":3,"offset":10,"timestamp":"1970-01-01T00:00:01.500Z","timestampType":0}"#
        );
        assert_eq!(decoded.rows.num_rows(), 4);
    }

    #[test]
    fn text_that_is_none_and_missing_values_are_rejected_where_they_matter() {
        let decoded = decode("offset BIGINT, value STRING NOT NULL");
        assert_eq!(payloads(&Json, &decoded.rows), [r#"{"offset":10,"value":"v1"}"#, r#"{"offset":11,"value":"v2"}"#]);
        let told: Vec<_> = decoded.rejects.iter().map(|reject| (reject.offset, reject.code)).collect();
        assert_eq!(told, [(12, NULL_FIELD), (13, MALFORMED)]);
        assert_eq!(decoded.rejects[1].bytes, b"\xFF");
    }

    #[test]
    fn the_value_column_is_the_payload() {
        let decoded = decode("value STRING NOT NULL");
        assert_eq!(payloads(&Raw, &decoded.rows), ["v1", "v2"]);
        let nothing = decode("value BINARY").rows;
        let encoder = Raw.encoder(nothing.schema(), &Options::default()).unwrap().unwrap();
        assert_eq!(encoder.encode(&nothing, &mut Payloads::default()).unwrap_err().kind(), Kind::Data);
    }

    #[test]
    fn columns_of_other_names_or_types_are_refused() {
        for (ddl, why) in [
            ("user STRING", "format 'raw' has no column 'user'"),
            ("partition STRING", "column 'partition' of format 'raw' is int, not string"),
            ("timestamp BIGINT", "column 'timestamp' of format 'raw' is timestamp, not bigint"),
        ] {
            let schema = Arc::new(types::parse_schema(ddl).unwrap());
            assert_eq!(Raw.decoder(schema, &Options::default()).err().unwrap().to_string(), why);
        }
    }
}
