//! Dead letters: records that could not become rows of the result, as rows of a table, written and
//! committed with their epoch like any other.
//!
//! A record is set aside where it fails: by its decoder, or, when the pipeline asks for it, by an
//! expression or a function of the user's program ([`screen`]). Where it came from is looked up only
//! then ([`origin`]). One that ends the process is found afterwards ([`crash`]). How many are too many
//! is said by [`rate`]; [`replay`] brings them back. What a sink refuses is set aside by [`refuse`], what has no
//! place in a source any more by [`unplaced`].

pub mod crash;
pub mod origin;
pub mod rate;
pub mod refuse;
pub mod replay;
pub mod screen;
pub mod unplaced;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use tidemill_core::format::REASON_BYTES_MAX;
use tidemill_core::{Epoch, Error, Kind, Place, Result, Split, types};

/// Columns of a dead-letter table.
///
/// | column | type | |
/// |---|---|---|
/// | id | STRING | pipeline, source, partition, offset and stage: the same record has the same id |
/// | pipeline, epoch | STRING, BIGINT | who read it, and when |
/// | source, topic, partition, offset | STRING, STRING, STRING, BIGINT | where it stands |
/// | failed_at | TIMESTAMP | the epoch's instant |
/// | stage, code, reason | STRING | where it failed, a short code, and a sentence |
/// | value | BINARY | the record as it came, or its row |
/// | payload | STRING | what `value` is: `original`, or `row`: the columns that were read, as JSON |
/// | place | STRING | where in the user's text, if known; else what the source calls the record, where `offset` is a count |
/// | replay | BIGINT | the replay it failed in; 0 when it was read from its source |
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
        text("payload"),
        text("place"),
        Field::new("replay", DataType::Int64, true),
    ]))
}

/// Where a record failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Bytes that are no record of the declared columns.
    Decode,
    /// An expression under ANSI rules.
    Expression,
    /// A function of the user's program.
    Udf,
    /// Anywhere: the process died of it.
    Crash,
    /// A sink refuses the row for good.
    Sink,
    /// Behind the watermark.
    Late,
}

impl Stage {
    /// The word in the table.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Decode => "decode",
            Stage::Expression => "expression",
            Stage::Udf => "udf",
            Stage::Crash => "crash",
            Stage::Sink => "sink",
            Stage::Late => "late",
        }
    }

    /// The stage an error of a row belongs to.
    pub fn of(error: &Error) -> Stage {
        match error.error_class() {
            Some("PYTHON_EXCEPTION") => Stage::Udf,
            _ => Stage::Expression,
        }
    }
}

/// Where a record stands in its split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// At an offset of the source.
    At(u64),
    /// The row of this number among those its epoch read of the split: the format does not say more.
    Row(u64),
}

/// The content of a record that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// As it came from outside.
    Original(Vec<u8>),
    /// The columns that were read, as a JSON object.
    Row(String),
}

/// A record set aside.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Where it came from.
    pub split: Split,
    /// Where it stands there.
    pub standing: Standing,
    /// Where it failed.
    pub stage: Stage,
    /// A short code for grouping; Spark's error class where there is one.
    pub code: String,
    /// A sentence, at most [`REASON_BYTES_MAX`].
    pub reason: String,
    /// Where in the user's text, or what the source calls the record.
    pub place: Option<String>,
    /// What it holds.
    pub payload: Payload,
    /// The replay it was read by; 0 for none.
    pub replay: u64,
}

impl Letter {
    /// The letter of a row that an error is about.
    pub fn of_row(split: Split, standing: Standing, payload: Payload, error: &Error, replay: u64) -> Self {
        let place = error.place().and_then(|place| match place {
            Place::Text { .. } => Some(place.to_string()),
            Place::Record { .. } => None,
        });
        let code = error.error_class().unwrap_or("EXPRESSION").to_owned();
        let reason = bounded(error.chain());
        Letter { split, standing, stage: Stage::of(error), code, reason, place, payload, replay }
    }

    fn id(&self, pipeline: &str, table: &str, epoch: Epoch) -> String {
        let stage = self.stage.word();
        let standing = match self.standing {
            Standing::At(offset) => offset.to_string(),
            Standing::Row(number) => format!("epoch {epoch} row {number}"),
        };
        let again = if self.replay > 0 { format!("/replay-{}", self.replay) } else { String::new() };
        format!("{pipeline}/{table}/{}/{standing}/{stage}{again}", self.split)
    }
}

/// Letters of an epoch as rows, each with its table; `None` when there is none.
///
/// # Errors
/// A bug.
pub fn rows<'l>(
    pipeline: &str,
    epoch: Epoch,
    instant: i64,
    letters: impl Iterator<Item = (&'l str, &'l Letter)>,
) -> Result<Option<RecordBatch>> {
    let all: Vec<(&str, &Letter)> = letters.collect();
    if all.is_empty() {
        return Ok(None);
    }
    let text = |of: &dyn Fn(&str, &Letter) -> Option<String>| -> ArrayRef {
        Arc::new(all.iter().map(|(table, letter)| of(table, letter)).collect::<StringArray>())
    };
    let number = |of: &dyn Fn(&Letter) -> Option<u64>| -> ArrayRef {
        Arc::new(all.iter().map(|(_, letter)| of(letter).map(|number| number as i64)).collect::<Int64Array>())
    };
    let columns: Vec<ArrayRef> = vec![
        text(&|table, letter| Some(letter.id(pipeline, table, epoch))),
        text(&|_, _| Some(pipeline.to_owned())),
        number(&|_| Some(epoch.0)),
        text(&|table, _| Some(table.to_owned())),
        text(&|_, letter| Some(topic_and_partition(&letter.split).0.to_owned())),
        text(&|_, letter| Some(topic_and_partition(&letter.split).1.to_owned())),
        number(&|letter| match letter.standing {
            Standing::At(offset) => Some(offset),
            Standing::Row(_) => None,
        }),
        Arc::new(TimestampMicrosecondArray::from(vec![instant; all.len()]).with_timezone("UTC")),
        text(&|_, letter| Some(letter.stage.word().to_owned())),
        text(&|_, letter| Some(letter.code.clone())),
        text(&|_, letter| Some(letter.reason.clone())),
        Arc::new(BinaryArray::from_iter_values(all.iter().map(|(_, letter)| match &letter.payload {
            Payload::Original(bytes) => bytes.as_slice(),
            Payload::Row(text) => text.as_bytes(),
        }))),
        text(&|_, letter| {
            Some(if matches!(letter.payload, Payload::Original(_)) { "original" } else { "row" }.to_owned())
        }),
        text(&|_, letter| letter.place.clone()),
        number(&|letter| Some(letter.replay)),
    ];
    Ok(Some(RecordBatch::try_new(schema(), columns)?))
}

/// Bad records without a table for them stop the query: nothing is dropped in silence.
pub(crate) fn no_place_for(letters: &RecordBatch) -> Error {
    use arrow::array::AsArray;
    let text = |column: usize| letters.column(column).as_string::<i32>().value(0).to_owned();
    let offset = letters.column(6).as_primitive::<arrow::datatypes::Int64Type>().value(0);
    Error::new(Kind::Data, format!("a record of the table '{}' is bad: {}", text(3), text(10)))
        .class("MALFORMED_RECORD_IN_PARSING")
        .at(Place::Record { source: text(3), partition: format!("{}-{}", text(4), text(5)), offset: offset as u64 })
        .help("SET dead_letter = a_table to keep bad records and go on")
}

/// A reason of at most [`REASON_BYTES_MAX`], cut between characters.
pub(crate) fn bounded(mut reason: String) -> String {
    let mut end = REASON_BYTES_MAX.min(reason.len());
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
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
