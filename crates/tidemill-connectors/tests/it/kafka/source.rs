//! Reading: exact ranges, replay, transactions, limits, new partitions, data loss, unreachable brokers.

use super::{TIMEOUT, admin, make_topic, numbers, produce, producer, send, topic};
use crate::services;
use crate::support::{offsets, options, read_all, records, source};
use rdkafka::admin::{AdminOptions, NewPartitions};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidemill_connectors::kafka::KafkaSourceConnector;
use tidemill_core::source::{Ask, Body, Source, SourceConnector, SourceRequest};
use tidemill_core::{Kind, Offsets, Result, SplitRange};

const ALL: Ask = Ask { until: None, rate_limited: true, bytes_max: 1 << 30 };

async fn open(topic: &str, extra: &[(&str, &str)], from: Offsets) -> Result<Box<dyn Source>> {
    let mut given = vec![("bootstrap_servers", services::kafka())];
    if !extra.iter().any(|(key, _)| *key == "subscribe_pattern") {
        given.push(("topic", topic));
    }
    given.extend_from_slice(extra);
    source(&KafkaSourceConnector::default(), &given, from).await
}

/// Plans and reads as an engine does, until `count` records came; positions are in `from` afterwards.
async fn read_on(source: &mut dyn Source, from: &mut Offsets, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    while all.len() < count {
        assert!(tokio::time::Instant::now() < deadline, "only {} of {count} records came", all.len());
        let plan = source.plan(from, &ALL).await.unwrap();
        if plan.iter().all(SplitRange::is_empty) {
            let _ = tokio::time::timeout(Duration::from_secs(1), source.wait()).await;
        }
        all.extend(read_all(source, &plan).await);
        from.advance(&plan);
    }
    all
}

/// Without the ids of topics, which go into the checkpoint with the positions.
fn partitions(offsets: &Offsets) -> Offsets {
    offsets.0.iter().filter(|(split, _)| !split.ends_with("#id")).map(|(split, at)| (split.clone(), *at)).collect()
}

/// The same of a plan.
fn of_partitions(plan: &[SplitRange]) -> Vec<SplitRange> {
    plan.iter().filter(|range| !range.split.ends_with("#id")).cloned().collect()
}

async fn refused(topic: &str, extra: &[(&str, &str)]) -> tidemill_core::Error {
    open(topic, extra, Offsets::default()).await.map(|_| ()).unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_once_and_in_order_and_ranges_replay_exactly() {
    let topic = topic(2).await;
    produce(&topic, 0, 0..1_000);
    produce(&topic, 1, 1_000..1_500);
    let mut first = open(&topic, &[("starting_offsets", "earliest")], Offsets::default()).await.unwrap();
    let mut from = Offsets::default();
    let mut all = read_on(&mut *first, &mut from, 1_500).await;
    all.sort_by_key(|value| value.parse::<u64>().unwrap());
    assert_eq!(all, numbers(0..1_500));
    let (zero, one) = (format!("{topic}-0"), format!("{topic}-1"));
    assert_eq!(partitions(&from), offsets(&[(&zero, 1_000), (&one, 500)]));
    assert!(from.get(&format!("{topic}#id")).is_some(), "{from:?}");
    drop(first);

    let again = open(&topic, &[], offsets(&[(&zero, 1_000)])).await.unwrap();
    for step in [1_000, 333, 90] {
        let ranges: Vec<_> =
            (0..1_000).step_by(step).map(|at| SplitRange::new(&*zero, at, (at + step as u64).min(1_000))).collect();
        assert_eq!(read_all(&*again, &ranges).await, numbers(0..1_000), "steps of {step}");
    }
    let back = again.read(&SplitRange::new(&*zero, 5, 7)).await.unwrap();
    assert_eq!(records(&back), [(5, "5".into()), (6, "6".into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_query_begins_at_latest_and_pins_it() {
    let topic = topic(1).await;
    produce(&topic, 0, 0..10);
    let mut source = open(&topic, &[], Offsets::default()).await.unwrap();
    let plan = source.plan(&Offsets::default(), &ALL).await.unwrap();
    assert_eq!(of_partitions(&plan), [SplitRange::new(format!("{topic}-0"), 10, 10)]);
    let mut from = Offsets::default();
    from.advance(&plan);
    produce(&topic, 0, 10..13);
    assert_eq!(read_on(&mut *source, &mut from, 3).await, numbers(10..13));
    assert_eq!(source.latest().await.unwrap(), partitions(&from));

    let start = format!(r#"{{"{topic}": {{"0": 7}}}}"#);
    let mut source = open(&topic, &[("starting_offsets", &start)], Offsets::default()).await.unwrap();
    assert_eq!(read_on(&mut *source, &mut Offsets::default(), 6).await, numbers(7..13));
    let error = refused(&topic, &[("starting_offsets", &start.replace(": 7", ": 70"))]).await;
    assert!(error.to_string().contains("holds 0 to 13"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_committed_records_are_read_and_ends_of_transactions_do_not_stall() {
    let topic = topic(1).await;
    let split = format!("{topic}-0");
    for (id, is_kept) in [("a", true), ("b", false), ("c", true)] {
        let writer = producer(Some(&format!("{topic}-{id}")));
        send(&writer, &topic, 0, &[format!("{id}1"), format!("{id}2")]);
        match is_kept {
            true => writer.commit_transaction(TIMEOUT).unwrap(),
            false => writer.abort_transaction(TIMEOUT).unwrap(),
        }
    }
    let open_writer = producer(Some(&format!("{topic}-open")));
    send(&open_writer, &topic, 0, &["open".into()]);

    let mut source = open(&topic, &[("starting_offsets", "earliest")], Offsets::default()).await.unwrap();
    let latest = source.latest().await.unwrap();
    assert_eq!(
        latest,
        offsets(&[(&split, 9)]),
        "three transactions of two records and an end, and none of the open one"
    );
    let now = Ask { until: Some(latest.clone()), rate_limited: false, bytes_max: 1 << 30 };
    let plan = source.plan(&Offsets::default(), &now).await.unwrap();
    assert_eq!(of_partitions(&plan), [SplitRange::new(&*split, 0, 9)]);
    assert_eq!(read_all(&*source, &plan).await, ["a1", "a2", "c1", "c2"]);
    assert!(source.plan(&latest, &now).await.unwrap().is_empty());
    for (from, to, expected) in [(2, 3, vec![]), (3, 6, vec![]), (6, 9, vec!["c1", "c2"]), (8, 9, vec![])] {
        assert_eq!(read_all(&*source, &[SplitRange::new(&*split, from, to)]).await, expected, "{from}..{to}");
    }
    let again = open(&topic, &[], latest.clone()).await.unwrap();
    assert_eq!(read_all(&*again, &[SplitRange::new(&*split, 8, 9)]).await, Vec::<String>::new());
    open_writer.commit_transaction(TIMEOUT).unwrap();
    let mut from = latest;
    assert_eq!(read_on(&mut *source, &mut from, 1).await, ["open"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_bound_an_epoch() {
    let topic = topic(2).await;
    produce(&topic, 0, 0..300);
    produce(&topic, 1, 300..600);
    let given = [("starting_offsets", "earliest"), ("max_offsets_per_trigger", "100")];
    let mut source = open(&topic, &given, Offsets::default()).await.unwrap();
    let mut from = Offsets::default();
    let (mut epochs, mut all) = (0, 0);
    while all < 600 {
        let plan = source.plan(&from, &ALL).await.unwrap();
        let planned: u64 = plan.iter().map(SplitRange::len).sum();
        assert!(planned <= 100);
        if planned == 0 {
            source.wait().await;
        } else {
            epochs += 1;
        }
        all += read_all(&*source, &plan).await.len();
        from.advance(&plan);
    }
    assert!(epochs >= 6, "{epochs} epochs");
    let some = Ask { until: Some(offsets(&[(&format!("{topic}-0"), 250)])), rate_limited: false, bytes_max: 1 << 30 };
    let plan = source.plan(&Offsets::default(), &some).await.unwrap();
    let expected = [SplitRange::new(format!("{topic}-0"), 0, 250)];
    assert_eq!(of_partitions(&plan), expected, "no split that is absent");
    assert_eq!(read_all(&*source, &plan).await, numbers(0..250));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_partitions_and_topics_are_read_from_their_beginning() {
    let prefix = topic(1).await;
    let pattern = format!("{prefix}.*");
    let given = [("subscribe_pattern", pattern.as_str()), ("metadata_refresh", "100ms")];
    let mut source = open("", &given, Offsets::default()).await.unwrap();
    let mut from = Offsets::default();
    from.advance(&source.plan(&from, &ALL).await.unwrap());
    admin().create_partitions([&NewPartitions::new(&prefix, 3)], &AdminOptions::new()).await.unwrap();
    let later = format!("{prefix}-later");
    make_topic(&later, 1).await;
    produce(&prefix, 2, 0..5);
    produce(&later, 0, 5..8);
    let mut read = read_on(&mut *source, &mut from, 8).await;
    read.sort();
    assert_eq!(read, numbers(0..8));
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_records_stop_the_query_unless_it_says_otherwise() {
    let topic = topic(1).await;
    let split = format!("{topic}-0");
    produce(&topic, 0, 0..100);
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(&topic, 0, Offset::Offset(40)).unwrap();
    admin().delete_records(&until, &AdminOptions::new()).await.unwrap();

    let position = offsets(&[(&split, 10)]);
    let mut strict = open(&topic, &[], position.clone()).await.unwrap();
    let error = loop {
        match strict.plan(&position, &ALL).await {
            Ok(plan) => assert!(plan.is_empty(), "{plan:?}"),
            Err(error) => break error,
        }
        let _ = tokio::time::timeout(TIMEOUT, strict.wait()).await;
    };
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.to_string().contains("partition 0: offsets 10 to 40 were deleted"), "{error}");
    let error = strict.read(&SplitRange::new(&*split, 10, 50)).await.unwrap_err();
    assert!(error.to_string().contains("offsets 10 to 40 were deleted"), "{error}");

    let lenient = open(&topic, &[("fail_on_data_loss", "false")], position.clone()).await.unwrap();
    assert_eq!(read_all(&*lenient, &[SplitRange::new(&*split, 10, 50)]).await, numbers(40..50));
    assert_eq!(read_all(&*lenient, &[SplitRange::new(&*split, 5, 20)]).await, Vec::<String>::new());
    let mut lenient = open(&topic, &[("fail_on_data_loss", "false")], position.clone()).await.unwrap();
    assert_eq!(read_on(&mut *lenient, &mut position.clone(), 60).await, numbers(40..100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_again_stops_the_query() {
    let topic = topic(1).await;
    let split = format!("{topic}-0");
    produce(&topic, 0, 0..20);
    let given = [("starting_offsets", "earliest"), ("metadata_refresh", "200ms")];
    let mut source = open(&topic, &given, Offsets::default()).await.unwrap();
    let mut from = Offsets::default();
    read_on(&mut *source, &mut from, 20).await;
    admin().delete_topics(&[&topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let deadline = Instant::now() + TIMEOUT;
    let error = loop {
        assert!(Instant::now() < deadline, "the loss of the topic was not noticed");
        match source.plan(&from, &ALL).await {
            Ok(plan) => assert!(plan.is_empty(), "{plan:?}"),
            Err(error) => break error,
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), source.wait()).await;
    };
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.to_string().contains("deleted"), "{error}");
    drop(source);

    make_topic(&topic, 1).await;
    produce(&topic, 0, 0..3);
    let error = open(&topic, &[], from.clone()).await.map(|_| ()).unwrap_err();
    assert_eq!((error.kind(), error.error_class()), (Kind::Data, Some("TOPIC_RECREATED")), "{}", error.report());
    // a checkpoint of a time before ids were kept
    let restarted = open(&topic, &[], partitions(&from)).await.unwrap();
    let error = restarted.read(&SplitRange::new(&*split, 20, 25)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.to_string().contains("the partition ends at 3"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_says_why() {
    let topic = topic(1).await;
    let started = Instant::now();
    let given = [("bootstrap_servers", "127.0.0.1:1"), ("topic", "t"), ("connect_timeout", "1s")];
    let error = source(&KafkaSourceConnector::default(), &given, Offsets::default()).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Again);
    assert!(error.to_string().contains("127.0.0.1:1") && error.to_string().contains("refused"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());

    let error = refused(&topic.replace('-', "_"), &[]).await;
    assert_eq!((error.kind(), error.error_class()), (Kind::Invalid, Some("UNKNOWN_TOPIC_OR_PARTITION")));
    assert!(error.report().contains("did you mean"), "{}", error.report());
    let error = refused(&topic, &[("subscribe_pattern", "x"), ("subscribe", "y")]).await;
    assert!(error.to_string().contains("needs one of the options"), "{error}");
    let error = refused(&topic, &[("kafka.plugin.library.paths", "/tmp/x.so")]).await;
    assert!(error.to_string().contains("cannot be set"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_format_the_rows_have_sparks_columns() {
    let topic = topic(1).await;
    produce(&topic, 0, 0..3);
    let connector = KafkaSourceConnector::default();
    let given = [("bootstrap_servers", services::kafka()), ("topic", &topic), ("starting_offsets", "earliest")];
    let options = options(connector.describe(), &given).unwrap();
    let schema = connector.default_schema(&options).unwrap();
    let (table, resume_from) = ("in".into(), Offsets::default());
    let request =
        SourceRequest { table, schema: schema.clone(), options, reads_headers: false, framing: None, resume_from };
    let source = connector.open(request).await.unwrap();
    let chunks = source.read(&SplitRange::new(format!("{topic}-0"), 1, 3)).await.unwrap();
    let Body::Rows { rows, at } = &chunks[0].body else { panic!("not rows") };
    assert_eq!((*at, rows.num_rows(), rows.schema()), (1, 2, Arc::clone(&schema)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_wakes_the_query_soon() {
    let topic = topic(1).await;
    let mut source = open(&topic, &[], Offsets::default()).await.unwrap();
    let mut from = Offsets::default();
    from.advance(&source.plan(&from, &ALL).await.unwrap());
    let (writer, mut took) = (producer(None), Vec::new());
    for at in 0..50_u64 {
        let sent = Instant::now();
        send(&writer, &topic, 0, &numbers(at..at + 1));
        assert_eq!(read_on(&mut *source, &mut from, 1).await, numbers(at..at + 1));
        took.push(sent.elapsed());
    }
    took.sort();
    eprintln!("sent, acknowledged and read: median {:?}, slowest {:?}", took[25], took[49]);
}
