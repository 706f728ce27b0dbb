//! The log through the contracts: exactly once, replay, limits, waking, data loss.

use super::append;
use crate::support::{batch, offsets, payloads, read_all, records, sink, source};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tidemill_connectors::log::{LogSinkConnector, LogSourceConnector, LogWriter, TopicOptions};
use tidemill_core::sink::Marker;
use tidemill_core::source::{Ask, Source};
use tidemill_core::{Epoch, Incarnation, Kind, Offsets, Result, SplitRange};

const ALL: Ask = Ask { until: None, rate_limited: true, bytes_max: 1 << 30 };

async fn open(root: &Path, extra: &[(&str, &str)], from: Offsets) -> Result<Box<dyn Source>> {
    let mut given = vec![("path", root.to_str().unwrap()), ("topic", "t")];
    given.extend_from_slice(extra);
    source(&LogSourceConnector, &given, from).await
}

#[tokio::test]
async fn a_sink_writes_each_epoch_once_and_knows_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let given = [("path", folder.path().to_str().unwrap()), ("topic", "t"), ("partitions", "3"), ("key", "name")];
    let connector = LogSinkConnector::default();
    let mut first = sink(&connector, &given, "one").await.unwrap();
    assert_eq!(first.marker().await.unwrap(), Marker::Absent);
    first.commit(Epoch(0), &[batch(0..50), batch(50..60)]).await.unwrap();
    first.commit(Epoch(1), &[]).await.unwrap();
    assert_eq!(first.marker().await.unwrap(), Marker::At(Epoch(1)));
    assert_eq!(sink(&connector, &given, "one").await.map(|_| ()).unwrap_err().kind(), Kind::Fenced);
    drop(first);
    let mut second = sink(&connector, &given, "two").await.unwrap();
    assert_eq!(second.marker().await.unwrap(), Marker::Foreign(Incarnation("one".into())));
    drop(second);
    let mut again = sink(&connector, &given, "one").await.unwrap();
    assert_eq!(again.marker().await.unwrap(), Marker::At(Epoch(1)));

    let mut reader = open(folder.path(), &[], Offsets::default()).await.unwrap();
    let ranges = reader.plan(&Offsets::default(), &ALL).await.unwrap();
    let read = read_all(&*reader, &ranges).await;
    assert_eq!((read.len(), read.into_iter().collect::<BTreeSet<_>>()), (60, payloads(0..60)));
    let mut names = 0;
    for range in &ranges {
        let read = read_all(&*reader, std::slice::from_ref(range)).await;
        names += read.iter().map(|text| text.split(':').nth(1)).collect::<BTreeSet<_>>().len();
    }
    assert_eq!(names, 10, "a key is in one partition only");
}

#[tokio::test]
async fn ranges_replay_in_any_cut_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer =
        LogWriter::open(folder.path(), "t", TopicOptions { segment_bytes_max: 2_000, ..TopicOptions::default() })
            .unwrap();
    let values: Vec<String> = (0..300).map(|at| format!("value {at}")).collect();
    for piece in values.chunks(7) {
        append(&mut writer, &piece.iter().map(String::as_str).collect::<Vec<_>>(), None);
    }
    for step in [1, 3, 7, 50, 300] {
        let source = open(folder.path(), &[], offsets(&[("t-0", 0)])).await.unwrap();
        let ranges: Vec<_> =
            (0..300).step_by(step).map(|at| SplitRange::new("t-0", at, (at + step as u64).min(300))).collect();
        assert_eq!(read_all(&*source, &ranges).await, values, "steps of {step}");
        let chunks = source.read(&SplitRange::new("t-0", 13, 16)).await.unwrap();
        assert_eq!(records(&chunks), [(13, "value 13".into()), (14, "value 14".into()), (15, "value 15".into())]);
    }
}

#[tokio::test]
async fn limits_bound_an_epoch_and_until_bounds_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let options = TopicOptions { partitions: Some(2), ..TopicOptions::default() };
    let mut writer = LogWriter::open(folder.path(), "t", options).unwrap();
    append(&mut writer, &["x"; 20], None);
    let mut source = open(folder.path(), &[("max_offsets_per_trigger", "6")], Offsets::default()).await.unwrap();
    let plan = source.plan(&Offsets::default(), &ALL).await.unwrap();
    assert_eq!(plan.iter().map(ToString::to_string).collect::<Vec<_>>(), ["t-0[0..3]", "t-1[0..3]"]);
    let once = Ask { until: Some(offsets(&[("t-0", 8)])), rate_limited: false, bytes_max: 1 << 30 };
    let plan = source.plan(&offsets(&[("t-0", 3)]), &once).await.unwrap();
    assert_eq!(plan.iter().map(ToString::to_string).collect::<Vec<_>>(), ["t-0[3..8]"]);
    assert_eq!(source.latest().await.unwrap(), offsets(&[("t-0", 10), ("t-1", 10)]));

    append(&mut writer, &[&"x".repeat(1_000)[..]; 4_000], None);
    let small = Ask { until: None, rate_limited: false, bytes_max: 100_000 };
    let bytes: u64 = source.plan(&Offsets::default(), &small).await.unwrap().iter().map(SplitRange::len).sum();
    assert!((50..200).contains(&bytes), "about 100 records of 1,000 bytes, not {bytes}");
}

#[tokio::test]
async fn a_query_that_begins_at_latest_pins_its_position() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::open(folder.path(), "t", TopicOptions::default()).unwrap();
    append(&mut writer, &["old"], None);
    let latest = [("starting_offsets", "latest")];
    let mut source = open(folder.path(), &latest, Offsets::default()).await.unwrap();
    let plan = source.plan(&Offsets::default(), &ALL).await.unwrap();
    assert_eq!(plan.iter().map(ToString::to_string).collect::<Vec<_>>(), ["t-0[1..1]"]);
    assert!(source.read(&plan[0]).await.unwrap().is_empty());
    let mut from = Offsets::default();
    from.advance(&plan);
    assert!(source.plan(&from, &ALL).await.unwrap().is_empty());
    append(&mut writer, &["new"], None);
    let plan = source.plan(&from, &ALL).await.unwrap();
    assert_eq!(read_all(&*source, &plan).await, ["new"]);
    let start = [("starting_offsets", r#"{"t": {"0": 9}}"#)];
    let mut source = open(folder.path(), &start, Offsets::default()).await.unwrap();
    assert!(source.plan(&Offsets::default(), &ALL).await.unwrap_err().to_string().contains("holds 0 to 2"));
}

#[tokio::test]
async fn wait_wakes_when_another_process_appends() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::open(folder.path(), "t", TopicOptions::default()).unwrap();
    append(&mut writer, &["a"], None);
    let mut source = open(folder.path(), &[], Offsets::default()).await.unwrap();
    let plan = source.plan(&Offsets::default(), &ALL).await.unwrap();
    let mut from = Offsets::default();
    from.advance(&plan);
    assert!(source.plan(&from, &ALL).await.unwrap().is_empty());
    assert!(tokio::time::timeout(Duration::from_millis(60), source.wait()).await.is_err(), "nothing is new");
    let appended = tokio::task::spawn_blocking(move || append(&mut writer, &["b"], None));
    tokio::time::timeout(Duration::from_secs(10), source.wait()).await.unwrap();
    appended.await.unwrap();
    let plan = source.plan(&from, &ALL).await.unwrap();
    assert_eq!(read_all(&*source, &plan).await, ["b"]);
}

#[tokio::test]
async fn lost_records_stop_the_query_unless_it_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let options = TopicOptions { segment_bytes_max: 200, retention_bytes: Some(500), ..TopicOptions::default() };
    let mut writer = LogWriter::open(folder.path(), "t", options).unwrap();
    (0..20).for_each(|_| append(&mut writer, &["0123456789"; 10], None));
    let start = offsets(&[("t-0", 5)]);
    let mut strict = open(folder.path(), &[], start.clone()).await.unwrap();
    let error = strict.plan(&start, &ALL).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.to_string().contains("offsets 5 to 1"), "{error}");
    let mut lenient = open(folder.path(), &[("fail_on_data_loss", "false")], start.clone()).await.unwrap();
    let plan = lenient.plan(&start, &ALL).await.unwrap();
    assert_eq!((plan[0].from > 100, plan[0].to), (true, 200));
    drop(writer);

    std::fs::remove_dir_all(folder.path().join("t")).unwrap();
    let mut writer = LogWriter::open(folder.path(), "t", TopicOptions::default()).unwrap();
    append(&mut writer, &["new"], None);
    let mut strict = open(folder.path(), &[], start.clone()).await.unwrap();
    let error = strict.plan(&start, &ALL).await.unwrap_err();
    assert!(error.to_string().contains("made again or cut"), "{error}");
    let error =
        strict.read(&SplitRange { tag: plan[0].tag.clone(), ..SplitRange::new("t-0", 0, 1) }).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    let error = open(folder.path(), &[], offsets(&[("other-0", 5)])).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("topic 'other'"), "{error}");
}
