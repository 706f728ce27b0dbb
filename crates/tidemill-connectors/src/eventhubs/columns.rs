//! Events as rows, for tables without a format: `body`, `partition`, `offset`, `sequenceNumber`, `enqueuedTime`,
//! `partitionKey`, `properties`.
//!
//! Source: Azure's Event Hubs connector for Spark, "Structured Streaming + Event Hubs Integration Guide", whose
//! `publisher` and `connectionDeviceId` and the like do not come over the Kafka endpoint.

use crate::topics::headers::unpack;
use arrow::array::{
    Array, ArrayRef, BinaryArray, Int64Array, MapBuilder, MapFieldNames, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_core::source::Records;
use tidemill_core::types::{map_of, timestamp};
use tidemill_core::{Error, Kind, Result, ResultExt};

/// All there are.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("body", DataType::Binary, true),
        Field::new("partition", DataType::Utf8, true),
        Field::new("offset", DataType::Utf8, true),
        Field::new("sequenceNumber", DataType::Int64, true),
        Field::new("enqueuedTime", timestamp(), true),
        Field::new("partitionKey", DataType::Utf8, true),
        Field::new("properties", map_of(DataType::Utf8, DataType::Utf8), true),
    ]))
}

/// True when the properties are among the columns.
pub(super) fn has_properties(schema: &Schema) -> bool {
    schema.fields().iter().any(|field| field.name().eq_ignore_ascii_case("properties"))
}

/// The events of one partition as rows of `schema`, whose columns are some of ours; `body` may be text.
///
/// # Errors
/// A bug: the columns were checked.
pub(super) fn rows(schema: &SchemaRef, events: &Records, partition: u32) -> Result<RecordBatch> {
    let count = events.len();
    let columns = schema.fields().iter().map(|field| -> Result<ArrayRef> {
        let column: ArrayRef = match field.name().to_ascii_lowercase().as_str() {
            "body" => Arc::new((0..count).map(|at| events.value(at)).collect::<BinaryArray>()),
            "partition" => {
                let partition = partition.to_string();
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(partition.as_str(), count)))
            }
            "offset" => Arc::new(StringArray::from_iter_values(events.offsets.iter().map(u64::to_string))),
            "sequencenumber" => {
                Arc::new(Int64Array::from_iter_values(events.offsets.iter().map(|offset| *offset as i64)))
            }
            "enqueuedtime" => Arc::new(TimestampMicrosecondArray::from(events.timestamps.clone()).with_timezone("UTC")),
            // a key that is no text has none
            "partitionkey" => {
                let text = |at| events.key(at).and_then(|key| std::str::from_utf8(key).ok());
                Arc::new((0..count).map(text).collect::<StringArray>())
            }
            "properties" => properties(events)?,
            other => return Err(Error::bug(format!("column '{other}' passed the check of a table without a format"))),
        };
        Ok(if column.data_type() == field.data_type() { column } else { cast(&column, field.data_type())? })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .context(Kind::Bug, || "events do not fit their own columns".into())
}

/// Properties as text; of one that is there twice, the last.
fn properties(events: &Records) -> Result<ArrayRef> {
    let DataType::Map(entries, _) = map_of(DataType::Utf8, DataType::Utf8) else {
        return Err(Error::bug("a map is none"));
    };
    let DataType::Struct(parts) = entries.data_type() else { return Err(Error::bug("a map has no entries")) };
    let names =
        MapFieldNames { entry: entries.name().clone(), key: parts[0].name().clone(), value: parts[1].name().clone() };
    let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for at in 0..events.len() {
        let packed = events.headers(at).unwrap_or_default();
        let named: BTreeMap<&[u8], Option<&[u8]>> = unpack(packed).collect();
        for (name, value) in named {
            maps.keys().append_value(String::from_utf8_lossy(name));
            maps.values().append_option(value.map(String::from_utf8_lossy));
        }
        maps.append(true).context(Kind::Bug, || "properties do not fit their own column".into())?;
    }
    Ok(Arc::new(maps.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::headers::pack;
    use bytes::Bytes;
    use tidemill_core::types::parse_schema;

    #[test]
    fn events_have_the_columns_of_azures_connector() {
        let mut data = b"keybody".to_vec();
        let from = data.len();
        let given = [("b", Some(b"2".as_slice())), ("a", None), ("b", Some(b"3"))];
        pack(given.into_iter(), &mut data);
        let events = Records {
            values: vec![Some(3..7), None],
            keys: vec![Some(0..3), None],
            offsets: vec![41, 42],
            timestamps: vec![1_000_000, 2_000_000],
            headers: vec![Some(from..data.len()), None],
            data: Bytes::from(data),
        };
        let rows = rows(&schema(), &events, 3).unwrap();
        assert_eq!(rows.schema(), schema());
        let printed = arrow::util::pretty::pretty_format_batches(&[rows]).unwrap().to_string();
        assert!(
            printed.contains("| 626f6479 | 3         | 41     | 41             | 1970-01-01T00:00:01Z | key"),
            "{printed}"
        );
        assert!(printed.contains("{a: , b: 3}"), "{printed}");
        let some = Arc::new(parse_schema("sequenceNumber BIGINT, body STRING").unwrap());
        let printed = arrow::util::pretty::pretty_format_batches(&[super::rows(&some, &events, 3).unwrap()]);
        assert!(printed.unwrap().to_string().contains("| 41             | body |"));
    }
}
