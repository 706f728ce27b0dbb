//! Dead letters: records that could not become rows, as rows of a table, written and committed with
//! their epoch like any other.

use crate::ingest::Read;
use arrow::array::{ArrayRef, BinaryArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use tidemill_core::format::Reject;
use tidemill_core::{Epoch, Result, Split, types};

/// Columns of a dead-letter table.
///
/// | column | type | |
/// |---|---|---|
/// | id | STRING | pipeline, source, partition, offset and stage: the same record has the same id |
/// | pipeline, epoch | STRING, BIGINT | who read it, and when |
/// | source, topic, partition, offset | STRING, STRING, STRING, BIGINT | where it stands |
/// | failed_at | TIMESTAMP | the epoch's instant |
/// | stage, code, reason | STRING | where it failed, a short code, and a sentence |
/// | value | BINARY | the record as it came |
pub fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        text("id"),
        text("pipeline"),
        Field::new("epoch", DataType::Int64, true),
        text("source"),
        text("topic"),
        text("partition"),
        Field::new("offset", DataType::Int64, true),
        Field::new("failed_at", types::timestamp(), true),
        text("stage"),
        text("code"),
        text("reason"),
        Field::new("value", DataType::Binary, true),
    ]))
}

/// The bad records of an epoch as rows; `None` when there is none. `reads` has the table of each read.
///
/// # Errors
/// A bug.
pub fn rows(pipeline: &str, epoch: Epoch, instant: i64, reads: &[(String, Read)]) -> Result<Option<RecordBatch>> {
    let all: Vec<(&str, &Split, &Reject)> = reads
        .iter()
        .flat_map(|(table, read)| read.rejects.iter().map(move |(split, reject)| (table.as_str(), split, reject)))
        .collect();
    if all.is_empty() {
        return Ok(None);
    }
    let text = |of: &dyn Fn(&(&str, &Split, &Reject)) -> String| -> ArrayRef {
        Arc::new(all.iter().map(|letter| Some(of(letter))).collect::<StringArray>())
    };
    let columns: Vec<ArrayRef> = vec![
        text(&|(table, split, reject)| format!("{pipeline}/{table}/{split}/{}/decode", reject.offset)),
        text(&|_| pipeline.to_owned()),
        Arc::new(Int64Array::from(vec![epoch.0 as i64; all.len()])),
        text(&|(table, _, _)| (*table).to_owned()),
        text(&|(_, split, _)| topic_and_partition(split).0.to_owned()),
        text(&|(_, split, _)| topic_and_partition(split).1.to_owned()),
        Arc::new(Int64Array::from_iter_values(all.iter().map(|(_, _, reject)| reject.offset as i64))),
        Arc::new(TimestampMicrosecondArray::from(vec![instant; all.len()]).with_timezone("UTC")),
        text(&|_| "decode".to_owned()),
        text(&|(_, _, reject)| reject.code.to_owned()),
        text(&|(_, _, reject)| reject.reason.clone()),
        Arc::new(BinaryArray::from_iter_values(all.iter().map(|(_, _, reject)| &reject.bytes))),
    ];
    Ok(Some(RecordBatch::try_new(schema(), columns)?))
}

/// `events-3` is partition 3 of topic events; a file is its own topic, and partition 0 of it.
pub fn topic_and_partition(split: &str) -> (&str, &str) {
    match split.rsplit_once('-') {
        Some((topic, partition)) if !partition.is_empty() && partition.bytes().all(|digit| digit.is_ascii_digit()) => {
            (topic, partition)
        }
        _ => (split, "0"),
    }
}
