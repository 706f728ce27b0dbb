//! Rows as records to write: key, value, and where the rows say so topic, partition and headers.
//!
//! Source: Spark, "Structured Streaming + Kafka Integration Guide", the sink's columns.

use super::headers::{self, Headers};
use super::key::Key;
use arrow::array::{Array, ArrayRef, BinaryArray, Int32Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::format::{Encoder, Payloads};
use tidemill_core::nearest::nearest;
use tidemill_core::sink::SinkRequest;
use tidemill_core::types::name;
use tidemill_core::{Error, Kind, Result};

pub(crate) const HEADERS: OptionSpec = OptionSpec::new(
    "headers",
    OptionKind::Text,
    "the column of headers, ARRAY<STRUCT<key STRING, value BINARY>> or MAP<STRING, STRING>; a format leaves it out of \
     the value (without a format: the column 'headers', if there is one)",
);
pub(crate) const PARTITION: OptionSpec = OptionSpec::new(
    "partition",
    OptionKind::Text,
    "the INT column that says which partition a record goes to, whatever its key (NULL: as its key says); a format \
     leaves it out of the value (without a format: the column 'partition', if there is one)",
);

/// Turns rows into records.
pub(crate) struct RecordEncoder {
    values: Values,
    key: Option<Key>,
    topic: Option<usize>,
    partition: Option<usize>,
    headers: Option<usize>,
}

enum Values {
    /// One payload a row, written by the format from these columns.
    Formatted(Box<dyn Encoder>, Vec<usize>),
    /// The bytes of one column.
    Column(usize),
}

/// The records of one batch of rows.
pub(crate) struct Encoded {
    payloads: Payloads,
    values: Option<BinaryArray>,
    keys: Option<BinaryArray>,
    topics: Option<StringArray>,
    partitions: Option<Int32Array>,
    headers: Option<Headers>,
    /// Number of records.
    pub(crate) count: usize,
}

impl RecordEncoder {
    /// With the format of `request`; without one (or with the format `raw`), with Spark's columns
    /// `key`, `value`, `headers`, `topic`, `partition`.
    ///
    /// # Errors
    /// The format only reads, or a column is missing or of a type that does not do.
    pub(crate) fn new(request: &SinkRequest) -> Result<Self> {
        let named =
            |option: &str| request.options.text(option).map(|column| column_named(request, option, column)).transpose();
        let key = Key::new(request)?;
        let (partition, headers) = (named(PARTITION.name)?, named(HEADERS.name)?);
        let encoder = match &request.format {
            Some(format) if format.describe().name != "raw" => {
                let of_value: Vec<usize> = (0..request.schema.fields().len())
                    .filter(|at| ![partition, headers].contains(&Some(*at)))
                    .collect();
                let schema = Arc::new(request.schema.project(&of_value)?);
                let encoder = format.encoder(schema, &request.options)?.ok_or_else(|| {
                    let (format, table) = (format.describe().name, &request.table);
                    Error::invalid(format!("format '{format}' only reads; table '{table}' writes"))
                })?;
                RecordEncoder { values: Values::Formatted(encoder, of_value), key, topic: None, partition, headers }
            }
            _ => {
                let value = position(request, "value").ok_or_else(|| {
                    Error::invalid(format!("table '{}' has no format and no column 'value'", request.table))
                        .help("add a format such as format = 'json', or select a column named value")
                })?;
                let by_name = position(request, "key").filter(|_| key.is_none());
                let topic = position(request, "topic").filter(|_| request.options.text("topic").is_none());
                for at in [Some(value), by_name, topic].into_iter().flatten() {
                    let is_text = |of: &DataType| matches!(of, DataType::Utf8 | DataType::Binary);
                    must_be(request, at, "without a format it must be string or binary", is_text)?;
                }
                RecordEncoder {
                    values: Values::Column(value),
                    key: key.or(by_name.map(Key::Column)),
                    topic,
                    partition: partition.or_else(|| position(request, "partition")),
                    headers: headers.or_else(|| position(request, headers::COLUMN)),
                }
            }
        };
        if let Some(at) = encoder.partition {
            must_be(request, at, "a partition must be int", |of| of == &DataType::Int32)?;
        }
        if let Some(at) = encoder.headers {
            let wanted = "headers must be array<struct<key: string, value: binary>> or map<string, string>";
            must_be(request, at, wanted, Headers::fits)?;
        }
        Ok(encoder)
    }

    /// Makes known what readers of the records need; called before the first rows.
    ///
    /// # Errors
    /// As [`Encoder::prepare`].
    pub(crate) async fn prepare(&self) -> Result<()> {
        match &self.values {
            Values::Formatted(encoder, _) => encoder.prepare().await,
            Values::Column(_) => Ok(()),
        }
    }

    /// True when the rows themselves name the topic.
    pub(crate) fn has_topic_column(&self) -> bool {
        self.topic.is_some()
    }

    /// Encodes `rows`.
    ///
    /// # Errors
    /// [`Kind::Data`] for a partition or a header that cannot be.
    pub(crate) fn encode(&self, rows: &RecordBatch) -> Result<Encoded> {
        let mut payloads = Payloads::default();
        let values = match &self.values {
            Values::Formatted(encoder, columns) => {
                encoder.encode(&rows.project(columns)?, &mut payloads)?;
                if payloads.ends.len() != rows.num_rows() {
                    let (made, count) = (payloads.ends.len(), rows.num_rows());
                    return Err(Error::bug(format!("the format made {made} payloads of {count} rows")));
                }
                None
            }
            Values::Column(at) => Some(bytes_of(rows.column(*at))?),
        };
        let encoded = Encoded {
            payloads,
            values,
            keys: self.key.as_ref().map(|key| key.of(rows)).transpose()?,
            topics: self.topic.map(|at| text_of(rows.column(at))).transpose()?,
            partitions: self.partition.map(|at| numbers_of(rows.column(at))).transpose()?,
            headers: self.headers.map(|at| Headers::of(rows.column(at))).transpose()?,
            count: rows.num_rows(),
        };
        match (0..encoded.count).filter_map(|at| encoded.partition(at)).find(|partition| *partition < 0) {
            Some(partition) => Err(Error::new(Kind::Data, format!("a row asks for partition {partition}"))
                .help("partitions count from 0; NULL leaves the choice to the key")),
            None => Ok(encoded),
        }
    }
}

impl Encoded {
    /// Payload of record `at`; `None` is a null payload.
    pub(crate) fn value(&self, at: usize) -> Option<&[u8]> {
        match &self.values {
            Some(column) => column.is_valid(at).then(|| column.value(at)),
            None => {
                let start = if at == 0 { 0 } else { self.payloads.ends[at - 1] };
                Some(&self.payloads.data[start..self.payloads.ends[at]])
            }
        }
    }

    /// Key of record `at`.
    pub(crate) fn key(&self, at: usize) -> Option<&[u8]> {
        self.keys.as_ref().and_then(|keys| keys.is_valid(at).then(|| keys.value(at)))
    }

    /// Topic of record `at`, where the rows name one.
    pub(crate) fn topic(&self, at: usize) -> Option<&str> {
        self.topics.as_ref().and_then(|topics| topics.is_valid(at).then(|| topics.value(at)))
    }

    /// Partition of record `at`, where the row names one.
    pub(crate) fn partition(&self, at: usize) -> Option<i32> {
        self.partitions.as_ref().and_then(|parts| parts.is_valid(at).then(|| parts.value(at)))
    }

    /// Headers of record `at`, in order.
    pub(crate) fn headers(&self, at: usize) -> Option<impl ExactSizeIterator<Item = (&str, Option<&[u8]>)>> {
        self.headers.as_ref().map(|headers| headers.row(at)).filter(|headers| headers.len() > 0)
    }
}

fn position(request: &SinkRequest, wanted: &str) -> Option<usize> {
    request.schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(wanted))
}

/// The column that an option names.
///
/// # Errors
/// There is none of the name.
pub(super) fn column_named(request: &SinkRequest, option: &str, wanted: &str) -> Result<usize> {
    position(request, wanted).ok_or_else(|| {
        let names = request.schema.fields().iter().map(|field| field.name().as_str());
        let table = &request.table;
        let error =
            Error::invalid(format!("option '{option}' names '{wanted}', which is no column of table '{table}'"));
        match nearest(wanted, names.clone()) {
            Some(near) => error.help(format!("did you mean '{near}'?")),
            None => error.help(format!("columns: {}", names.collect::<Vec<_>>().join(", "))),
        }
    })
}

fn must_be(request: &SinkRequest, at: usize, wanted: &str, holds: impl Fn(&DataType) -> bool) -> Result<()> {
    let field: &Field = request.schema.field(at);
    if holds(field.data_type()) {
        return Ok(());
    }
    let (column, table, of) = (field.name(), &request.table, name(field.data_type()));
    Err(Error::invalid(format!("column '{column}' of table '{table}' is {of}; {wanted}")))
}

fn text_of(column: &ArrayRef) -> Result<StringArray> {
    let text = cast(column, &DataType::Utf8)?;
    text.as_any().downcast_ref::<StringArray>().cloned().ok_or_else(|| Error::bug("a cast to text gave no text"))
}

fn numbers_of(column: &ArrayRef) -> Result<Int32Array> {
    column.as_any().downcast_ref::<Int32Array>().cloned().ok_or_else(|| Error::bug("a partition is no number"))
}

/// The bytes of a binary column; any other as its text.
pub(super) fn bytes_of(column: &ArrayRef) -> Result<BinaryArray> {
    let bytes = match column.data_type() {
        DataType::Binary => column.clone(),
        DataType::Utf8 => cast(column, &DataType::Binary)?,
        _ => cast(&cast(column, &DataType::Utf8)?, &DataType::Binary)?,
    };
    bytes.as_any().downcast_ref::<BinaryArray>().cloned().ok_or_else(|| Error::bug("a cast to bytes gave no bytes"))
}
