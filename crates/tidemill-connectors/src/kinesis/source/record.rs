//! A user record of a shard, and what the engine gets of it. Pure.

use super::aggregate::user_records;
use super::position::Place;
use super::shards::Shard;
use crate::topics::columns;
use arrow::array::{ArrayRef, BinaryArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use aws_sdk_kinesis::types::Record;
use bytes::Bytes;
use std::sync::Arc;
use tidemill_core::source::Records;
use tidemill_core::types::timestamp;
use tidemill_core::{Error, Kind, Result, ResultExt};

/// Memory that a record takes beside its bytes, about.
const OVERHEAD_BYTES: usize = 120;

/// A user record.
#[derive(Debug, Clone)]
pub(super) struct UserRecord {
    /// Which it is.
    pub place: Place,
    /// It is the last one of its Kinesis record.
    pub is_last: bool,
    /// When Kinesis got it, in milliseconds since 1970.
    pub arrived: i64,
    /// Its partition key, if it has one.
    pub key: Option<String>,
    /// Its payload.
    pub data: Bytes,
}

impl UserRecord {
    /// The user records of a Kinesis record. Those in an aggregated one whose keys belong to another shard are left out:
    /// the producer has put them again, there (as the Kinesis Client Library has it).
    pub fn of(record: Record, shard: &Shard) -> Vec<UserRecord> {
        let arrived = record.approximate_arrival_timestamp().and_then(|time| time.to_millis().ok()).unwrap_or(0);
        let sequence: Arc<str> = record.sequence_number.into();
        let data = Bytes::from(record.data.into_inner());
        let Some(parts) = user_records(&data) else {
            let place = Place { sequence, sub: None };
            return vec![UserRecord { place, is_last: true, arrived, key: record.partition_key, data }];
        };
        let belongs = |hash: u128| shard.hashes.0 <= hash && hash <= shard.hashes.1;
        let own = parts.into_iter().filter(|part| belongs(part.hash));
        let mut records: Vec<UserRecord> = own
            .map(|part| UserRecord {
                place: Place { sequence: sequence.clone(), sub: Some(part.number) },
                is_last: false,
                arrived,
                key: Some(part.key),
                data: part.data,
            })
            .collect();
        if let Some(last) = records.last_mut() {
            last.is_last = true;
        }
        records
    }

    /// The place that stands for everything up to this record.
    pub fn end(&self) -> Place {
        Place { sub: self.place.sub.filter(|_| !self.is_last), ..self.place.clone() }
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        OVERHEAD_BYTES + self.key.as_ref().map_or(0, String::len) + self.data.len()
    }
}

/// The columns of a table without a format: those of the connector `kinesis` that Spark users know from Databricks, and
/// the number of a user record inside of its aggregated record.
pub(super) fn default_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("partitionKey", DataType::Utf8, true),
        Field::new("data", DataType::Binary, true),
        Field::new("stream", DataType::Utf8, true),
        Field::new("shardId", DataType::Utf8, true),
        Field::new("sequenceNumber", DataType::Utf8, true),
        Field::new("subSequenceNumber", DataType::Int64, true),
        Field::new("approximateArrivalTimestamp", timestamp(), true),
    ]))
}

/// Refuses columns that there are not.
///
/// # Errors
/// A column of another name or type.
pub(super) fn check(table: &str, schema: &Schema) -> Result<()> {
    columns::check(table, schema, &default_schema())
}

/// Records as rows of `schema`, which [`check`] has passed.
pub(super) fn rows(schema: &SchemaRef, records: &[UserRecord], stream: &str, shard: &str) -> Result<RecordBatch> {
    let texts = |of: &dyn Fn(&UserRecord) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(records.iter().map(of)))
    };
    let columns = schema.fields().iter().map(|field| -> Result<ArrayRef> {
        let column: ArrayRef = match field.name().to_ascii_lowercase().as_str() {
            "partitionkey" => Arc::new(records.iter().map(|record| record.key.as_deref()).collect::<StringArray>()),
            "data" => Arc::new(BinaryArray::from_iter_values(records.iter().map(|record| &record.data))),
            "stream" => texts(&|_| stream.to_owned()),
            "shardid" => texts(&|_| shard.to_owned()),
            "sequencenumber" => texts(&|record| record.place.sequence.to_string()),
            "subsequencenumber" => Arc::new(Int64Array::from_iter_values(
                records.iter().map(|record| record.place.sub.unwrap_or(0).into()),
            )),
            "approximatearrivaltimestamp" => {
                let times = records.iter().map(|record| record.arrived.saturating_mul(1000));
                Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
            }
            other => return Err(Error::bug(format!("column '{other}' passed the check of a table without a format"))),
        };
        Ok(if column.data_type() == field.data_type() { column } else { cast(&column, field.data_type())? })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .context(Kind::Bug, || "records of Kinesis do not fit their own columns".into())
}

/// Records as payloads for a format; the first is at position `at`.
pub(super) fn payloads(records: &[UserRecord], at: u64) -> Records {
    let (mut data, mut out) = (Vec::new(), Records::default());
    for (record, position) in records.iter().zip(at..) {
        let begin = data.len();
        data.extend_from_slice(record.key.as_deref().unwrap_or_default().as_bytes());
        let value = data.len();
        data.extend_from_slice(&record.data);
        out.keys.push(record.key.as_ref().map(|_| begin..value));
        out.values.push(Some(value..data.len()));
        out.offsets.push(position);
        out.timestamps.push(record.arrived.saturating_mul(1000));
    }
    Records { data: data.into(), ..out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kinesis::primitives::{Blob, DateTime};
    use tidemill_core::types::parse_schema;

    fn record(data: &[u8]) -> Record {
        let record = Record::builder().sequence_number("4957").partition_key("k").data(Blob::new(data));
        record.approximate_arrival_timestamp(DateTime::from_millis(1_500)).build().unwrap()
    }

    #[test]
    fn a_record_is_payload_row_and_place() {
        let shard = Shard { id: "shardId-000000000001".into(), parents: vec![], hashes: (0, u128::MAX) };
        let records = UserRecord::of(record(b"value"), &shard);
        assert_eq!((records.len(), records[0].end().to_string()), (1, "4957".into()));
        let payloads = payloads(&records, 7);
        assert_eq!((payloads.value(0), payloads.key(0)), (Some(&b"value"[..]), Some(&b"k"[..])));
        assert_eq!((payloads.offsets[0], payloads.timestamps[0]), (7, 1_500_000));
        let schema = Arc::new(parse_schema("sequencenumber STRING, Data STRING, shardId STRING").unwrap());
        check("t", &schema).unwrap();
        let rows = rows(&schema, &records, "clicks", &shard.id).unwrap();
        let printed = arrow::util::pretty::pretty_format_batches(&[rows]).unwrap().to_string();
        assert!(printed.contains("| 4957           | value | shardId-000000000001 |"), "{printed}");
        assert!(
            check("t", &parse_schema("value STRING").unwrap()).unwrap_err().report().contains("approximateArrival")
        );
    }
}
