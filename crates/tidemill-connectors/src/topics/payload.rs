//! Rows as records to write: key, value, and in raw form the topic.

use arrow::array::{Array, ArrayRef, BinaryArray, StringArray};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use tidemill_core::format::{Encoder, Payloads};
use tidemill_core::nearest::nearest;
use tidemill_core::sink::SinkRequest;
use tidemill_core::types::name;
use tidemill_core::{Error, Result};

/// Turns rows into records.
pub(crate) struct RecordEncoder {
    values: Values,
    key: Option<usize>,
    topic: Option<usize>,
}

enum Values {
    /// One payload a row, written by the format.
    Formatted(Box<dyn Encoder>),
    /// The bytes of one column.
    Column(usize),
}

/// The records of one batch of rows.
pub(crate) struct Encoded {
    payloads: Payloads,
    values: Option<BinaryArray>,
    keys: Option<BinaryArray>,
    topics: Option<StringArray>,
    /// Number of records.
    pub(crate) count: usize,
}

impl RecordEncoder {
    /// With the format of `request`; without one (or with the format `raw`), with Spark's columns
    /// `key`, `value`, `topic`.
    ///
    /// # Errors
    /// The format only reads, or a column is missing or of a type that has no bytes.
    pub(crate) fn new(request: &SinkRequest) -> Result<Self> {
        let schema = &request.schema;
        let named_key = request.options.text("key").map(|key| key_column(&request.table, schema, key)).transpose()?;
        match &request.format {
            Some(format) if format.describe().name != "raw" => {
                let encoder = format.encoder(schema.clone(), &request.options)?.ok_or_else(|| {
                    Error::invalid(format!(
                        "format '{}' only reads; table '{}' writes",
                        format.describe().name,
                        request.table
                    ))
                })?;
                Ok(RecordEncoder { values: Values::Formatted(encoder), key: named_key, topic: None })
            }
            _ => {
                let find =
                    |wanted: &str| schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(wanted));
                let value = find("value").ok_or_else(|| {
                    Error::invalid(format!("table '{}' has no format and no column 'value'", request.table))
                        .help("add a format such as format = 'json', or select a column named value")
                })?;
                let topic = if request.options.text("topic").is_some() { None } else { find("topic") };
                let key = named_key.or_else(|| find("key"));
                for at in [Some(value), key.filter(|_| named_key.is_none()), topic].into_iter().flatten() {
                    let field = schema.field(at);
                    if !matches!(field.data_type(), DataType::Utf8 | DataType::Binary) {
                        return Err(Error::invalid(format!(
                            "column '{}' of table '{}' is {}; without a format it must be string or binary",
                            field.name(),
                            request.table,
                            name(field.data_type())
                        )));
                    }
                }
                Ok(RecordEncoder { values: Values::Column(value), key, topic })
            }
        }
    }

    /// True when the rows themselves name the topic.
    pub(crate) fn has_topic_column(&self) -> bool {
        self.topic.is_some()
    }

    /// Encodes `rows`.
    pub(crate) fn encode(&self, rows: &RecordBatch) -> Result<Encoded> {
        let mut payloads = Payloads::default();
        let values = match &self.values {
            Values::Formatted(encoder) => {
                encoder.encode(rows, &mut payloads)?;
                if payloads.ends.len() != rows.num_rows() {
                    let (made, count) = (payloads.ends.len(), rows.num_rows());
                    return Err(Error::bug(format!("the format made {made} payloads of {count} rows")));
                }
                None
            }
            Values::Column(at) => Some(bytes_of(rows.column(*at))?),
        };
        let keys = self.key.map(|at| bytes_of(rows.column(at))).transpose()?;
        let topics = self.topic.map(|at| text_of(rows.column(at))).transpose()?;
        Ok(Encoded { payloads, values, keys, topics, count: rows.num_rows() })
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
}

/// The column that option `key` names.
fn key_column(table: &str, schema: &Schema, wanted: &str) -> Result<usize> {
    let found = schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(wanted));
    if let Some(at) = found {
        let of = schema.field(at).data_type();
        return match of {
            DataType::Binary => Ok(at),
            _ if can_cast_types(of, &DataType::Utf8) => Ok(at),
            _ => {
                Err(Error::invalid(format!("column '{wanted}' of table '{table}' is {} and cannot be a key", name(of))))
            }
        };
    }
    found.ok_or_else(|| {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let error = Error::invalid(format!("option 'key' names '{wanted}', which is no column of table '{table}'"));
        match nearest(wanted, names.clone()) {
            Some(near) => error.help(format!("did you mean '{near}'?")),
            None => error.help(format!("columns: {}", names.collect::<Vec<_>>().join(", "))),
        }
    })
}

fn text_of(column: &ArrayRef) -> Result<StringArray> {
    let text = cast(column, &DataType::Utf8)?;
    text.as_any().downcast_ref::<StringArray>().cloned().ok_or_else(|| Error::bug("a cast to text gave no text"))
}

/// The bytes of a binary column; any other as its text.
fn bytes_of(column: &ArrayRef) -> Result<BinaryArray> {
    let bytes = match column.data_type() {
        DataType::Binary => column.clone(),
        DataType::Utf8 => cast(column, &DataType::Binary)?,
        _ => cast(&cast(column, &DataType::Utf8)?, &DataType::Binary)?,
    };
    bytes.as_any().downcast_ref::<BinaryArray>().cloned().ok_or_else(|| Error::bug("a cast to bytes gave no bytes"))
}
