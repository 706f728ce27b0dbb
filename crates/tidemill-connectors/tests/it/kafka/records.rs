//! What rows say of their records: key, headers, partition, topic.

use super::topic;
use crate::services;
use crate::support::{options, sink_request};
use arrow::array::{ArrayRef, Int32Array, MapBuilder, RecordBatch, StringArray, StringBuilder};
use std::sync::Arc;
use tidemill_connectors::format::json::Json;
use tidemill_connectors::kafka::{KafkaSinkConnector, KafkaSourceConnector};
use tidemill_core::format::Format;
use tidemill_core::sink::{Marker, OutputMode, Sink, SinkConnector};
use tidemill_core::source::{Ask, Body, SourceConnector, SourceRequest};
use tidemill_core::types::parse_schema;
use tidemill_core::{Epoch, Kind, Offsets, Result};

async fn open(
    query: &str,
    rows: &RecordBatch,
    format: Option<Arc<dyn Format>>,
    given: &[(&str, &str)],
) -> Result<Box<dyn Sink>> {
    let connector = KafkaSinkConnector::default();
    let mut all = vec![("bootstrap_servers", services::kafka())];
    all.extend_from_slice(given);
    let mut request = sink_request(&connector, &all, "one", OutputMode::Append)?;
    (request.schema, request.format) = (rows.schema(), format);
    request.writer.query = query.to_owned();
    connector.open(request).await
}

/// What our own source reads of a topic, as a table.
async fn read(topic: &str, columns: &str) -> String {
    let connector = KafkaSourceConnector::default();
    let given = [("bootstrap_servers", services::kafka()), ("topic", topic), ("starting_offsets", "earliest")];
    let request = SourceRequest {
        table: "in".into(),
        schema: Arc::new(parse_schema(columns).unwrap()),
        options: options(connector.describe(), &given).unwrap(),
        reads_headers: false,
        framing: None,
        resume_from: Offsets::default(),
    };
    let mut source = connector.open(request).await.unwrap();
    let ask = Ask { until: Some(source.latest().await.unwrap()), ..Ask::default() };
    let mut rows = Vec::new();
    for range in source.plan(&Offsets::default(), &ask).await.unwrap() {
        for chunk in source.read(&range).await.unwrap() {
            let Body::Rows { rows: some, .. } = chunk.body else { panic!("{chunk:?}") };
            rows.push(some);
        }
    }
    arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string()
}

type Headers<'a> = &'a [(&'a str, Option<&'a str>)];

fn headers(of: &[Option<Headers<'_>>]) -> ArrayRef {
    let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for row in of {
        for (key, value) in row.unwrap_or_default() {
            maps.keys().append_value(key);
            maps.values().append_option(*value);
        }
        maps.append(row.is_some()).unwrap();
    }
    Arc::new(maps.finish())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_format_leaves_headers_and_partition_out_of_the_value() {
    let topic = topic(3).await;
    let rows = RecordBatch::try_from_iter([
        ("user", Arc::new(StringArray::from(vec!["ann", "bob"])) as ArrayRef),
        ("n", Arc::new(Int32Array::from(vec![Some(1), None])) as _),
        ("place", Arc::new(Int32Array::from(vec![2, 0])) as _),
        ("about", headers(&[Some(&[("trace", Some("t1")), ("none", None)]), None])),
    ])
    .unwrap();
    let given = [("topic", topic.as_str()), ("key", "user, n"), ("partition", "place"), ("headers", "about")];
    let mut sink = open(&topic, &rows, Some(Arc::new(Json)), &given).await.unwrap();
    sink.commit(Epoch(0), &[rows]).await.unwrap();
    let seen =
        read(&topic, "partition INT, key STRING, value STRING, headers ARRAY<STRUCT<key STRING, value BINARY>>").await;
    let first = r#"| 2         | {"user":"ann","n":1}    | {"user":"ann","n":1} | [{key: trace, value: 7431}, {key: none, value: }] |"#;
    assert!(seen.contains(first), "{seen}");
    assert!(seen.contains(r#"| 0         | {"user":"bob","n":null} | {"user":"bob"} "#), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_name_their_topics_are_written_exactly_once_too() {
    let (left, right) = (topic(1).await, topic(1).await);
    let rows = RecordBatch::try_from_iter([
        ("value", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
        ("topic", Arc::new(StringArray::from(vec![left.as_str(), right.as_str()])) as _),
    ])
    .unwrap();
    let mut sink = open(&left, &rows, None, &[("marker_topic", &right)]).await.unwrap();
    assert_eq!(sink.marker().await.unwrap(), Marker::Absent);
    sink.commit(Epoch(0), &[rows]).await.unwrap();
    assert_eq!(sink.marker().await.unwrap(), Marker::At(Epoch(0)));
    assert!(
        read(&left, "value STRING").await.contains("| a     |")
            && read(&right, "value STRING").await.contains("| b     |")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_not_there_is_refused_and_leaves_nothing() {
    let topic = topic(1).await;
    let rows = |partitions: [i32; 2]| {
        RecordBatch::try_from_iter([
            ("value", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef),
            ("partition", Arc::new(Int32Array::from(partitions.to_vec())) as _),
        ])
        .unwrap()
    };
    for (wrong, says) in [(7, "the topic has not"), (-1, "count from 0")] {
        let mut sink = open(&topic, &rows([0, 0]), None, &[("topic", &topic)]).await.unwrap();
        let error = sink.commit(Epoch(0), &[rows([0, wrong])]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Data, "{}", error.report());
        assert!(error.report().contains(says), "{}", error.report());
    }
    let mut sink = open(&topic, &rows([0, 0]), None, &[("topic", &topic)]).await.unwrap();
    assert_eq!(sink.marker().await.unwrap(), Marker::Absent);
    sink.commit(Epoch(0), &[rows([0, 0])]).await.unwrap();
    let seen = read(&topic, "value STRING").await;
    assert_eq!(seen.matches("| a").count(), 1, "{seen}");
}
