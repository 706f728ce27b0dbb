//! Records as rows, for tables without a format: Spark's columns `key`, `value`, `topic`,
//! `partition`, `offset`, `timestamp`, `timestampType`, and `headers` where the source keeps them.
//!
//! Source: Spark, "Structured Streaming + Kafka Integration Guide", the source's schema.

use super::headers;
use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;
use tidemill_core::source::Records;
use tidemill_core::types::{name, timestamp};
use tidemill_core::{Error, Result, ResultExt};

/// The columns there are when the user declares none.
pub(crate) fn default_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("topic", DataType::Utf8, true),
        Field::new("partition", DataType::Int32, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("timestamp", timestamp(), true),
        Field::new("timestampType", DataType::Int32, true),
    ]))
}

/// The same with `headers` at the end.
pub(crate) fn schema_with_headers() -> SchemaRef {
    let mut fields = default_schema().fields().to_vec();
    fields.push(Arc::new(Field::new(headers::COLUMN, headers::data_type(), true)));
    Arc::new(Schema::new(fields))
}

/// True when the headers are among the columns.
pub(crate) fn has_headers(schema: &Schema) -> bool {
    schema.fields().iter().any(|field| same(field.name(), headers::COLUMN))
}

/// Refuses columns that are not in `known`, or there of another type. `key` and `value` may be declared
/// STRING.
pub(crate) fn check(table: &str, schema: &Schema, known: &Schema) -> Result<()> {
    for field in schema.fields() {
        let Some((_, own)) = known.fields().iter().enumerate().find(|(_, own)| same(own.name(), field.name())) else {
            let columns: Vec<&str> = known.fields().iter().map(|own| own.name().as_str()).collect();
            return Err(Error::invalid(format!(
                "table '{table}' has no format, so it has no column '{}'",
                field.name()
            ))
            .help(format!("add a format such as format = 'json', or use the columns {}", columns.join(", "))));
        };
        let text = own.data_type() == &DataType::Binary && field.data_type() == &DataType::Utf8;
        if own.data_type() != field.data_type() && !text {
            return Err(Error::invalid(format!(
                "column '{}' of table '{table}' is {}, not {}",
                field.name(),
                name(own.data_type()),
                name(field.data_type())
            )));
        }
    }
    Ok(())
}

/// The records of one partition as rows of `schema`, which [`check`] has passed.
pub(crate) fn rows(
    schema: &SchemaRef,
    records: &Records,
    topic: &str,
    partition: u32,
    timestamp_type: i32,
) -> Result<RecordBatch> {
    let count = records.len();
    let columns = schema.fields().iter().map(|field| -> Result<ArrayRef> {
        let column: ArrayRef = match field.name().to_ascii_lowercase().as_str() {
            "key" => Arc::new((0..count).map(|at| records.key(at)).collect::<BinaryArray>()),
            "value" => Arc::new((0..count).map(|at| records.value(at)).collect::<BinaryArray>()),
            "topic" => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(topic, count))),
            "partition" => Arc::new(Int32Array::from_value(partition as i32, count)),
            "offset" => Arc::new(Int64Array::from_iter_values(records.offsets.iter().map(|offset| *offset as i64))),
            "timestamp" => Arc::new(TimestampMicrosecondArray::from(records.timestamps.clone()).with_timezone("UTC")),
            "timestamptype" => Arc::new(Int32Array::from_value(timestamp_type, count)),
            headers::COLUMN => headers::column(records),
            other => return Err(Error::bug(format!("column '{other}' passed the check of a table without a format"))),
        };
        // a key or value that is no UTF-8 becomes NULL, as Spark's own cast would show it broken
        Ok(if column.data_type() == field.data_type() { column } else { cast(&column, field.data_type())? })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .context(tidemill_core::Kind::Bug, || "records do not fit their own columns".into())
}

fn same(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tidemill_core::types::parse_schema;

    #[test]
    fn declared_columns_come_in_their_order_and_text_is_text() {
        let schema = Arc::new(parse_schema("offset BIGINT, Value STRING, topic STRING, key BINARY").unwrap());
        check("t", &schema, &default_schema()).unwrap();
        let records = Records {
            data: Bytes::from_static(b"kvalue"),
            values: vec![Some(1..6), None],
            keys: vec![Some(0..1), None],
            offsets: vec![4, 9],
            timestamps: vec![1, 2],
            ..Records::default()
        };
        let rows = rows(&schema, &records, "events", 0, 0).unwrap();
        let printed = arrow::util::pretty::pretty_format_batches(&[rows]).unwrap().to_string();
        assert!(printed.contains("| 4      | value | events | 6b  |"), "{printed}");
        assert!(printed.contains("| 9      |       | events |     |"), "{printed}");
    }

    #[test]
    fn an_unknown_column_says_that_there_is_no_format() {
        let check = |ddl: &str, known: &Schema| check("t", &parse_schema(ddl).unwrap(), known);
        assert!(check("user_id STRING", &default_schema()).unwrap_err().report().contains("add a format"));
        assert!(check("offset STRING", &default_schema()).unwrap_err().to_string().contains("bigint"));
        let headers = "headers ARRAY<STRUCT<key STRING, value BINARY>>";
        assert!(check(headers, &default_schema()).is_err());
        check(headers, &schema_with_headers()).unwrap();
    }
}
