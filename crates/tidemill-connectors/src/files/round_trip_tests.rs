//! Rows on their whole way: made, written as lines, read, published as Parquet, read again.

use super::sink::FilesSink;
use super::source::FilesSource;
use crate::format::json::Json;
use crate::format::parquet::Parquet;
use crate::generator::Generator;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tidemill_core::describe::OptionSpec;
use tidemill_core::format::{Format, Payloads};
use tidemill_core::options::GivenOption;
use tidemill_core::sink::{OutputMode, SinkConnector, SinkRequest, Writer};
use tidemill_core::source::{Ask, Body, Chunk, Source, SourceConnector, SourceRequest};
use tidemill_core::types::parse_schema;
use tidemill_core::{Epoch, Incarnation, Offsets, Options};

fn options(specs: &[OptionSpec], given: &[(&str, &str)]) -> Options {
    let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
    Options::check("test", &[specs], &given).unwrap()
}

fn request(schema: &SchemaRef, options: Options, format: Option<&dyn Format>) -> SourceRequest {
    let framing = format.map(Format::framing);
    SourceRequest {
        table: "in".into(),
        schema: schema.clone(),
        options,
        reads_headers: false,
        framing,
        resume_from: Offsets::default(),
    }
}

async fn chunks(source: &mut dyn Source) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for range in source.plan(&Offsets::default(), &Ask::default()).await.unwrap() {
        chunks.extend(source.read(&range).await.unwrap());
    }
    chunks
}

async fn read_files(path: &Path, schema: &SchemaRef, format: &dyn Format) -> RecordBatch {
    let options = options(FilesSource::default().describe().options, &[("path", path.to_str().unwrap())]);
    let mut source = FilesSource::default().open(request(schema, options, Some(format))).await.unwrap();
    let decoder = format.decoder(schema.clone(), &Options::default()).unwrap();
    let decoded = chunks(source.as_mut()).await.iter().map(|chunk| decoder.decode(chunk).unwrap()).collect::<Vec<_>>();
    assert!(decoded.iter().all(|decoded| decoded.rejects.is_empty()));
    concat_batches(schema, &decoded.into_iter().map(|decoded| decoded.rows).collect::<Vec<_>>()).unwrap()
}

#[tokio::test]
async fn rows_come_out_as_they_went_in() {
    let generator = Generator::default();
    let given = [("number_of_rows", "5000"), ("start_timestamp", "2026-01-01"), ("late", "1%")];
    let ddl = "event_id STRING NOT NULL, user_id STRING, duration DOUBLE, amount DECIMAL(12,2), timestamp TIMESTAMP, \
               tags ARRAY<STRING>, home STRUCT<city: STRING, lat: FLOAT>, attributes MAP<STRING, BIGINT>, born DATE";
    let schema = Arc::new(parse_schema(ddl).unwrap());
    let made = request(&schema, options(generator.describe().options, &given), None);
    let mut source = generator.open(made).await.unwrap();
    let Body::Rows { rows, .. } = chunks(source.as_mut()).await.remove(0).body else { panic!("not rows") };
    assert_eq!(rows.num_rows(), 5000);

    let (lines, tables) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut payloads = Payloads::default();
    Json.encoder(schema.clone(), &Options::default()).unwrap().unwrap().encode(&rows, &mut payloads).unwrap();
    let text: Vec<u8> = payloads.iter().flat_map(|payload| [payload, b"\n"].concat()).collect();
    std::fs::write(lines.path().join("a.json"), text).unwrap();
    let read = read_files(lines.path(), &schema, &Json).await;
    assert_eq!(read, rows);

    let sink = FilesSink::default();
    let request = SinkRequest {
        table: "out".into(),
        schema: schema.clone(),
        mode: OutputMode::Append,
        options: options(sink.describe().options, &[("path", tables.path().to_str().unwrap())]),
        format: Some(Arc::new(Parquet)),
        writer: Writer { query: "q".into(), sink: "s".into(), incarnation: Incarnation::mint() },
    };
    sink.open(request).await.unwrap().commit(Epoch(0), &[read]).await.unwrap();
    assert_eq!(read_files(tables.path(), &schema, &Parquet).await, rows);
}
