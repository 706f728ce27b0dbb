//! What the tests share: opening components by their descriptions, a tiny format, small batches.

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::collections::BTreeSet;
use std::sync::Arc;
use tidemill_core::describe::{Description, Guarantee, Role};
use tidemill_core::format::{Decoder, Encoder, Format, Framing, Payloads};
use tidemill_core::options::GivenOption;
use tidemill_core::sink::{OutputMode, Sink, SinkConnector, SinkRequest, Writer};
use tidemill_core::source::{Body, Chunk, Source, SourceConnector, SourceRequest};
use tidemill_core::{Incarnation, Offsets, Options, Result, SplitRange};

/// Writes a row as `id:name`.
pub struct Plain;

static PLAIN: Description = Description {
    name: "plain",
    role: Role::Format,
    summary: "id and name with a colon between, for tests",
    guarantee: Guarantee::ExactlyOnce,
    options: &[],
    example: "format = 'plain'",
};

impl Format for Plain {
    fn describe(&self) -> &'static Description {
        &PLAIN
    }

    fn framing(&self) -> Framing {
        Framing::Payloads
    }

    fn decoder(&self, _schema: SchemaRef, _options: &Options) -> Result<Box<dyn Decoder>> {
        unreachable!("the tests read payloads as they are")
    }

    fn encoder(&self, _schema: SchemaRef, _options: &Options) -> Result<Option<Box<dyn Encoder>>> {
        Ok(Some(Box::new(PlainEncoder)))
    }
}

struct PlainEncoder;

impl Encoder for PlainEncoder {
    fn encode(&self, rows: &RecordBatch, out: &mut Payloads) -> Result<()> {
        let ids = rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        let names = rows.column(1).as_any().downcast_ref::<StringArray>().unwrap();
        for at in 0..rows.num_rows() {
            out.data.extend_from_slice(format!("{}:{}", ids.value(at), names.value(at)).as_bytes());
            out.ends.push(out.data.len());
        }
        Ok(())
    }
}

/// The schema of [`batch`].
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]))
}

/// Rows with these ids; the name is `n<id mod 10>`.
pub fn batch(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    let ids: Vec<i64> = ids.into_iter().collect();
    let names: StringArray = ids.iter().map(|id| Some(format!("n{}", id % 10))).collect();
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(ids)), Arc::new(names)]).unwrap()
}

/// Checks options as a pipeline does.
pub fn options(of: &'static Description, given: &[(&str, &str)]) -> Result<Options> {
    let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
    Options::check(of.name, &[of.options], &given)
}

/// A writer of query `q` and sink `s`.
pub fn writer(incarnation: &str) -> Writer {
    Writer { query: "q".into(), sink: "s".into(), incarnation: Incarnation(incarnation.into()) }
}

/// A request for a sink of [`batch`]es in the format [`Plain`].
pub fn sink_request(
    connector: &dyn SinkConnector,
    given: &[(&str, &str)],
    incarnation: &str,
    mode: OutputMode,
) -> Result<SinkRequest> {
    Ok(SinkRequest {
        table: "out".into(),
        schema: schema(),
        mode,
        options: options(connector.describe(), given)?,
        format: Some(Arc::new(Plain)),
        writer: writer(incarnation),
    })
}

/// Opens a sink for appends.
pub async fn sink(connector: &dyn SinkConnector, given: &[(&str, &str)], incarnation: &str) -> Result<Box<dyn Sink>> {
    connector.open(sink_request(connector, given, incarnation, OutputMode::Append)?).await
}

/// Opens a source of payloads.
pub async fn source(
    connector: &dyn SourceConnector,
    given: &[(&str, &str)],
    resume_from: Offsets,
) -> Result<Box<dyn Source>> {
    let options = options(connector.describe(), given)?;
    let (table, framing) = ("in".into(), Some(Framing::Payloads));
    connector.open(SourceRequest { table, schema: schema(), options, reads_headers: false, framing, resume_from }).await
}

/// Positions by split.
pub fn offsets(positions: &[(&str, u64)]) -> Offsets {
    positions.iter().map(|(split, offset)| ((*split).into(), *offset)).collect()
}

/// Offset and payload of every record.
pub fn records(chunks: &[Chunk]) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    for chunk in chunks {
        let Body::Records(records) = &chunk.body else { panic!("not records") };
        for at in 0..records.len() {
            let text = records.value(at).map_or("null".into(), |value| String::from_utf8_lossy(value).into_owned());
            all.push((records.offsets[at], text));
        }
    }
    all
}

/// Reads every range; the payloads.
pub async fn read_all(source: &dyn Source, ranges: &[SplitRange]) -> Vec<String> {
    let mut all = Vec::new();
    for range in ranges {
        all.extend(records(&source.read(range).await.unwrap()).into_iter().map(|(_, text)| text));
    }
    all
}

/// The payloads that [`Plain`] makes of the ids.
pub fn payloads(ids: impl IntoIterator<Item = i64>) -> BTreeSet<String> {
    ids.into_iter().map(|id| format!("{id}:n{}", id % 10)).collect()
}
