//! Writing: one transaction an epoch, the marker, fencing, killed producers.

use super::{TIMEOUT, admin, client, producer, send, topic};
use crate::services;
use crate::support::{batch, payloads, sink, sink_request};
use arrow::array::{RecordBatch, StringArray};
use rdkafka::Message;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tidemill_connectors::kafka::KafkaSinkConnector;
use tidemill_core::sink::{Marker, OutputMode, Sink, SinkConnector};
use tidemill_core::{Clock, Epoch, Incarnation, Kind};

/// Each test has a topic of its own, and so needs a query of its own: its writer's names are the topic.
async fn open(topic: &str, incarnation: &str, extra: &[(&str, &str)]) -> tidemill_core::Result<Box<dyn Sink>> {
    let connector = KafkaSinkConnector::default();
    let mut given = vec![("bootstrap_servers", services::kafka()), ("topic", topic), ("key", "name")];
    given.extend_from_slice(extra);
    let mut request = sink_request(&connector, &given, incarnation, OutputMode::Append)?;
    request.writer.query = topic.to_owned();
    connector.open(request).await
}

/// All records that a reader of committed records sees, up to the end.
fn committed(topic: &str, partitions: i32) -> Vec<String> {
    let consumer: BaseConsumer = client()
        .set("group.id", format!("{topic}-reader"))
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let (mut found, mut ended) = (Vec::new(), BTreeSet::new());
    while ended.len() < partitions as usize {
        match consumer.poll(TIMEOUT) {
            Some(Ok(message)) => found.push(String::from_utf8(message.payload().unwrap_or(b"null").to_vec()).unwrap()),
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            other => panic!("{other:?}"),
        }
    }
    found
}

fn set(found: Vec<String>) -> (usize, BTreeSet<String>) {
    (found.len(), found.into_iter().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_and_its_number_are_one_transaction() {
    let topic = topic(2).await;
    let mut sink = open(&topic, "one", &[]).await.unwrap();
    assert_eq!(sink.marker().await.unwrap(), Marker::Absent);
    sink.commit(Epoch(0), &[batch(0..40), batch(40..50)]).await.unwrap();
    assert_eq!(sink.marker().await.unwrap(), Marker::At(Epoch(0)));
    sink.commit(Epoch(1), &[]).await.unwrap();
    sink.commit(Epoch(2), &[batch(50..60)]).await.unwrap();
    drop(sink);
    assert_eq!(open(&topic, "one", &[]).await.unwrap().marker().await.unwrap(), Marker::At(Epoch(2)));
    let mut other = open(&topic, "two", &[]).await.unwrap();
    assert_eq!(other.marker().await.unwrap(), Marker::Foreign(Incarnation("one".into())));
    assert_eq!(set(committed(&topic, 2)), (60, payloads(0..60)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_is_fenced_and_leaves_nothing() {
    let topic = topic(1).await;
    let mut zombie = open(&topic, "one", &[]).await.unwrap();
    zombie.commit(Epoch(0), &[batch(0..5)]).await.unwrap();
    let mut heir = open(&topic, "one", &[]).await.unwrap();
    assert_eq!(heir.marker().await.unwrap(), Marker::At(Epoch(0)));
    let error = zombie.commit(Epoch(1), &[batch(5..10)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced, "{}", error.report());
    heir.commit(Epoch(1), &[batch(5..10)]).await.unwrap();
    assert_eq!(set(committed(&topic, 1)), (10, payloads(0..10)));
}

/// Sends half an epoch in a transaction as the sink does, says so, and waits to be killed.
#[test]
#[ignore = "the child process of a_killed_producer_leaves_nothing"]
fn child_that_is_killed() {
    let topic = std::env::var("TIDEMILL_TEST_TOPIC").unwrap();
    let writer = producer(Some(&format!("tidemill-{topic}-s")));
    send(&writer, &topic, 0, &["torn".into()]);
    eprintln!("sent");
    std::thread::sleep(Duration::from_secs(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_producer_leaves_nothing() {
    let topic = topic(1).await;
    let mut sink = open(&topic, "one", &[]).await.unwrap();
    sink.commit(Epoch(0), &[batch(0..5)]).await.unwrap();
    drop(sink);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kafka::sink::child_that_is_killed", "--ignored", "--nocapture"])
        .env("TIDEMILL_TEST_TOPIC", &topic)
        .env("KAFKA_BOOTSTRAP", services::kafka())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "sent"));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut heir = open(&topic, "one", &[]).await.unwrap();
    assert_eq!(heir.marker().await.unwrap(), Marker::At(Epoch(0)));
    heir.commit(Epoch(1), &[batch(5..10)]).await.unwrap();
    assert_eq!(set(committed(&topic, 1)), (10, payloads(0..10)), "and no 'torn'");
}

/// A clock in which every look takes two minutes.
#[derive(Default)]
struct SlowClock(AtomicU64);

impl Clock for SlowClock {
    fn now_micros(&self) -> i64 {
        0
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(120 * self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// Brokers that abort a transaction for lateness answer its producer as if it were a zombie. The sink then looks
/// at the group's note: nobody has written, so it fences and goes on; or another process has, and it leaves.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_transaction_is_settled_by_the_note() {
    let topic = topic(1).await;
    let connector = KafkaSinkConnector::new(Arc::new(SlowClock::default()));
    let given = [("bootstrap_servers", services::kafka()), ("topic", &topic)];
    let mut request = sink_request(&connector, &given, "one", OutputMode::Append).unwrap();
    request.writer.query = topic.clone();
    let mut late = connector.open(request).await.unwrap();
    assert_eq!(late.marker().await.unwrap(), Marker::Absent);
    late.commit(Epoch(0), &[batch(0..5)]).await.unwrap();
    drop(open(&topic, "one", &[]).await.unwrap());
    late.commit(Epoch(1), &[batch(5..10)]).await.unwrap();
    let mut heir = open(&topic, "one", &[]).await.unwrap();
    heir.commit(Epoch(2), &[batch(10..15)]).await.unwrap();
    let error = late.commit(Epoch(2), &[batch(10..15)]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced, "{}", error.report());
    heir.commit(Epoch(3), &[batch(15..20)]).await.unwrap();
    assert_eq!(set(committed(&topic, 1)), (20, payloads(0..20)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_timeout_that_brokers_do_not_allow_is_said_at_the_start() {
    let topic = topic(1).await;
    let error = open(&topic, "one", &[("transaction_timeout", "20 minutes")]).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.report().contains("transaction.max.timeout.ms"), "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_least_once_writes_without_a_marker() {
    let topic = topic(1).await;
    let mut sink = open(&topic, "one", &[("delivery", "at-least-once")]).await.unwrap();
    assert_eq!(sink.marker().await.unwrap(), Marker::Unsupported);
    sink.commit(Epoch(0), &[batch(0..100)]).await.unwrap();
    assert_eq!(set(committed(&topic, 1)), (100, payloads(0..100)));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_format_rows_bring_value_and_topic() {
    let (left, right) = (topic(1).await, topic(1).await);
    let rows = RecordBatch::try_from_iter([
        ("value", Arc::new(StringArray::from(vec![Some("a"), Some("b"), None])) as _),
        ("topic", Arc::new(StringArray::from(vec![left.as_str(), right.as_str(), left.as_str()])) as _),
    ])
    .unwrap();
    let connector = KafkaSinkConnector::default();
    let given = [("bootstrap_servers", services::kafka()), ("delivery", "at-least-once")];
    let mut request = sink_request(&connector, &given, "one", OutputMode::Append).unwrap();
    (request.schema, request.format) = (rows.schema(), None);
    let mut sink = connector.open(request.clone()).await.unwrap();
    sink.commit(Epoch(0), &[rows]).await.unwrap();
    assert_eq!((committed(&left, 1), committed(&right, 1)), (vec!["a".into(), "null".into()], vec!["b".into()]));
    request.options = crate::support::options(connector.describe(), &given[..1]).unwrap();
    let error = connector.open(request).await.map(|_| ()).unwrap_err();
    assert!(error.report().contains("marker_topic"), "{}", error.report());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_others_use_is_refused() {
    let topic = topic(1).await;
    let consumer: BaseConsumer = client().set("group.id", format!("tidemill-{topic}-s")).create().unwrap();
    let mut offset = TopicPartitionList::new();
    offset.add_partition_offset(&topic, 0, Offset::Offset(3)).unwrap();
    consumer.commit(&offset, CommitMode::Sync).unwrap();
    let error = open(&topic, "one", &[]).await.unwrap().marker().await.unwrap_err();
    assert!(error.to_string().contains("not of this query"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_broker_is_said_in_time() {
    let given = [("bootstrap_servers", "127.0.0.1:1"), ("topic", "t"), ("connect_timeout", "1s")];
    let started = Instant::now();
    let error = sink(&KafkaSinkConnector::default(), &given, "one").await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Again);
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_epoch_commits_soon() {
    let topic = topic(1).await;
    let mut sink = open(&topic, "one", &[]).await.unwrap();
    let mut took = Vec::new();
    for epoch in 0..30 {
        let begun = Instant::now();
        sink.commit(Epoch(epoch), &[batch(0..10)]).await.unwrap();
        took.push(begun.elapsed());
    }
    took.sort();
    eprintln!("a transaction of ten rows: median {:?}, slowest {:?}", took[15], took[29]);
}

/// Records of which every hundredth is larger than it may be.
fn with_large(bytes: usize) -> RecordBatch {
    let value = |at: usize| if at % 100 == 50 { "x".repeat(bytes) } else { format!("value {at}") };
    let values: Vec<String> = (0..300).map(value).collect();
    let names: Vec<String> = (0..300).map(|at| format!("k{}", at % 7)).collect();
    let (names, values) = (StringArray::from(names), StringArray::from(values));
    RecordBatch::try_from_iter([("name", Arc::new(names) as _), ("value", Arc::new(values) as _)]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_too_large_are_named_and_the_others_are_written_without_them() {
    // for the client, which does not send them, and for the topic, whose brokers refuse a whole request
    for (limit, bytes) in [(None, 2 << 20), (Some("max.message.bytes=20000"), 100_000)] {
        let topic = format!("t-{}", uuid::Uuid::new_v4());
        let mut new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
        if let Some((name, value)) = limit.and_then(|limit| limit.split_once('=')) {
            new = new.set(name, value);
        }
        admin().create_topics([&new], &AdminOptions::new()).await.unwrap();
        let connector = KafkaSinkConnector::default();
        let given = [("bootstrap_servers", services::kafka()), ("topic", topic.as_str())];
        let mut request = sink_request(&connector, &given, "one", OutputMode::Append).unwrap();
        request.writer.query.clone_from(&topic);
        let rows = with_large(bytes);
        request.schema = rows.schema();
        request.format = None;
        let mut sink = connector.open(request).await.unwrap();
        sink.marker().await.unwrap();
        let refusal = sink.commit(Epoch(0), std::slice::from_ref(&rows)).await.unwrap_err();
        assert_eq!(refusal.kind(), Kind::Data, "{refusal:?}");
        let refused = sink.refused(Epoch(0), &[rows.slice(0, 120), rows.slice(120, 180)]).await.unwrap();
        assert_eq!(refused.iter().map(|refused| refused.row).collect::<Vec<_>>(), [50, 150, 250]);
        assert!(refused.iter().all(|refused| refused.code == "MESSAGE_TOO_LARGE"), "{refused:?}");
        let pieces = [rows.slice(0, 50), rows.slice(51, 99), rows.slice(151, 99), rows.slice(251, 49)];
        sink.commit(Epoch(0), &pieces).await.unwrap();
        let (count, found) = set(committed(&topic, 1));
        assert_eq!((count, found.len()), (297, 297));
        assert!(found.iter().all(|value| value.starts_with("value ")));
    }
}
