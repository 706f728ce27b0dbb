//! Tables in memory through the contracts.

use super::*;
use arrow::array::{AsArray, Int32Array};
use arrow::datatypes::{Int32Type, SchemaRef};
use futures::FutureExt as _;
use tidemill_core::sink::{OutputMode, Sink, SinkConnector, SinkRequest};
use tidemill_core::source::{Ask, Body, Source, SourceConnector, SourceRequest};
use tidemill_core::types::parse_schema;
use tidemill_core::{Kind, Offsets, Options, SplitRange};

fn schema() -> SchemaRef {
    Arc::new(parse_schema("a INT, b INT").unwrap())
}

fn rows(numbers: &[i32]) -> RecordBatch {
    let column = Arc::new(Int32Array::from(numbers.to_vec()));
    RecordBatch::try_new(schema(), vec![column.clone(), column]).unwrap()
}

async fn sink(store: &MemoryStore, mode: OutputMode, incarnation: &str) -> Box<dyn Sink> {
    let request = SinkRequest {
        table: "out".into(),
        schema: schema(),
        mode,
        options: Options::default(),
        format: None,
        writer: Writer { query: "q".into(), sink: "s".into(), incarnation: Incarnation(incarnation.into()) },
    };
    MemorySink::new(store.clone()).open(request).await.unwrap()
}

#[tokio::test]
async fn a_sink_keeps_rows_and_marker_for_whoever_holds_the_store() {
    let store = MemoryStore::new();
    let mut first = sink(&store, OutputMode::Append, "i").await;
    assert_eq!(first.marker().await.unwrap(), Marker::Absent);
    first.commit(Epoch(0), &[rows(&[1]), rows(&[])]).await.unwrap();
    first.commit(Epoch(2), &[rows(&[2, 3])]).await.unwrap();
    assert_eq!(store.table("out").batches(), [(Epoch(0), rows(&[1])), (Epoch(2), rows(&[2, 3]))]);
    assert_eq!(sink(&store, OutputMode::Append, "i").await.marker().await.unwrap(), Marker::At(Epoch(2)));
    let mut other = sink(&store, OutputMode::Complete, "j").await;
    assert_eq!(other.marker().await.unwrap(), Marker::Foreign(Incarnation("i".into())));
    other.commit(Epoch(0), &[rows(&[9])]).await.unwrap();
    assert_eq!(store.table("out").batches(), [(Epoch(0), rows(&[9]))]);
}

async fn source(store: &MemoryStore) -> Box<dyn Source> {
    let request = SourceRequest {
        table: "in".into(),
        schema: Arc::new(parse_schema("b INT").unwrap()),
        options: Options::default(),
        reads_headers: false,
        framing: None,
        resume_from: Offsets::default(),
    };
    MemorySource::new(store.clone()).open(request).await.unwrap()
}

#[tokio::test]
async fn a_source_reads_what_is_added_and_any_range_of_it_again() {
    let store = MemoryStore::new();
    let mut reader = source(&store).await;
    assert!(reader.wait().now_or_never().is_none());
    store.table("in").push(rows(&[1, 2]));
    store.table("in").push(rows(&[3]));
    reader.wait().await;
    let plan = reader.plan(&Offsets::default(), &Ask::default()).await.unwrap();
    assert_eq!(plan, [SplitRange::new("rows", 0, 3)]);
    let chunks = reader.read(&SplitRange::new("rows", 1, 3)).await.unwrap();
    let numbers = chunks.iter().flat_map(|chunk| match &chunk.body {
        Body::Rows { rows, .. } => rows.column(0).as_primitive::<Int32Type>().values().to_vec(),
        other => panic!("not rows: {other:?}"),
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [2, 3]);
    let mut offsets = Offsets::default();
    offsets.advance(&plan);
    assert_eq!(reader.plan(&offsets, &Ask::default()).await.unwrap(), []);
    assert!(reader.wait().now_or_never().is_none());
    assert_eq!(reader.read(&SplitRange::new("rows", 3, 4)).await.unwrap_err().kind(), Kind::Data);
}
