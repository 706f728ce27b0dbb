//! The capture sink on a disk: windows that stay open over epochs and starts, kills before every step, damage.

use super::CaptureSinkConnector;
use crate::durable::{Disk, Hook, Step};
use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use arrow_avro::reader::ReaderBuilder;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tidemill_core::clock::ManualClock;
use tidemill_core::options::GivenOption;
use tidemill_core::sink::{Marker, OutputMode, Sink, SinkConnector, SinkRequest, Writer};
use tidemill_core::types::parse_schema;
use tidemill_core::{Epoch, Incarnation, Kind, Options, Result};

/// 2017-12-08T03:03:17Z.
const START: i64 = 1_512_702_197_000_000;
const FIRST: &str = "ns/hub/0/2017/12/08/03/03/17.avro";

fn request(root: &Path, incarnation: &str, given: &[(&str, &str)]) -> SinkRequest {
    let path = root.to_str().unwrap();
    let fixed = [("path", path), ("namespace", "ns"), ("event_hub", "hub"), ("interval_in_seconds", "60")];
    let given: Vec<_> = fixed.iter().chain(given).map(|(key, value)| GivenOption::new(*key, *value)).collect();
    SinkRequest {
        table: "out".into(),
        schema: Arc::new(parse_schema("body STRING, partition STRING").unwrap()),
        mode: OutputMode::Append,
        options: Options::check("sink 'capture'", &[super::DESCRIPTION.options], &given).unwrap(),
        format: None,
        writer: Writer { query: "q".into(), sink: "out".into(), incarnation: Incarnation(incarnation.into()) },
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(START))
}

async fn open(root: &Path, clock: &Arc<ManualClock>, given: &[(&str, &str)]) -> Box<dyn Sink> {
    let connector = CaptureSinkConnector::new(Disk::default(), clock.clone());
    connector.open(request(root, "i", given)).await.unwrap()
}

/// Rows whose bodies are numbers, in partitions by whether they are even.
fn rows(numbers: std::ops::Range<i64>) -> Vec<RecordBatch> {
    let schema = Arc::new(parse_schema("body STRING, partition STRING").unwrap());
    let bodies = StringArray::from_iter_values(numbers.clone().map(|number| number.to_string()));
    let partitions = StringArray::from_iter_values(numbers.map(|number| (number % 2).to_string()));
    vec![RecordBatch::try_new(schema, vec![Arc::new(bodies), Arc::new(partitions)]).unwrap()]
}

/// The archives a reader of the path sees, with sequence numbers and bodies; each must be whole.
fn visible(root: &Path) -> BTreeMap<String, Vec<(i64, i64)>> {
    let mut found = BTreeMap::new();
    walk(root, "", &mut found);
    found
}

fn walk(root: &Path, below: &str, found: &mut BTreeMap<String, Vec<(i64, i64)>>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        if name == "_tidemill" {
            continue;
        }
        if root.join(&path).is_dir() {
            walk(root, &path, found);
            continue;
        }
        let file = BufReader::new(fs::File::open(root.join(&path)).unwrap());
        let reader = ReaderBuilder::new().build(file).unwrap();
        let mut events = Vec::new();
        for batch in reader {
            let batch = batch.unwrap();
            let body = batch.column_by_name("Body").unwrap().as_binary::<i32>().clone();
            let number = batch.column_by_name("SequenceNumber").unwrap().as_primitive::<Int64Type>().clone();
            let value = |row| std::str::from_utf8(body.value(row)).unwrap().parse().unwrap();
            events.extend((0..body.len()).map(|row| (number.value(row), value(row))));
        }
        found.insert(path, events);
    }
}

fn bodies(root: &Path) -> Vec<i64> {
    let mut bodies: Vec<i64> = visible(root).into_values().flatten().map(|(_, body)| body).collect();
    bodies.sort_unstable();
    bodies
}

#[tokio::test]
async fn a_window_gathers_epochs_until_its_time_is_over() {
    let (root, clock) = (TempDir::new().unwrap(), clock());
    let mut sink = open(root.path(), &clock, &[]).await;
    assert_eq!(sink.marker().await.unwrap(), Marker::Absent);
    sink.commit(Epoch(0), &rows(0..3)).await.unwrap();
    clock.advance(Duration::from_secs(59));
    sink.commit(Epoch(1), &rows(3..6)).await.unwrap();
    assert_eq!(visible(root.path()), BTreeMap::new());
    assert_eq!(sink.marker().await.unwrap(), Marker::At(Epoch(1)));
    drop(sink);

    // a window that was open when the process ended is open at the next start
    let mut sink = open(root.path(), &clock, &[]).await;
    assert_eq!(sink.marker().await.unwrap(), Marker::At(Epoch(1)));
    clock.advance(Duration::from_secs(1));
    sink.commit(Epoch(4), &rows(6..7)).await.unwrap();
    let seen = visible(root.path());
    assert_eq!(seen[FIRST], [(0, 0), (1, 2), (2, 4)]);
    assert_eq!(seen[&FIRST.replace("/0/2017", "/1/2017")], [(0, 1), (1, 3), (2, 5)]);
    // 6 is in the next window, which the end of the query closes
    sink.finish().await.unwrap();
    assert_eq!(visible(root.path())["ns/hub/0/2017/12/08/03/04/17.avro"], [(3, 6)]);
    assert_eq!(sink.marker().await.unwrap(), Marker::At(Epoch(4)));
    assert_eq!(bodies(root.path()), (0..7).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_window_that_is_over_is_published_while_no_rows_come() {
    let (root, clock) = (TempDir::new().unwrap(), clock());
    let mut sink = open(root.path(), &clock, &[]).await;
    sink.commit(Epoch(0), &rows(0..2)).await.unwrap();
    clock.advance(Duration::from_secs(60));
    while visible(root.path()).len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // and the one after it, which has no events
    clock.advance(Duration::from_secs(60));
    while visible(root.path()).len() < 4 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(visible(root.path())["ns/hub/0/2017/12/08/03/04/17.avro"], []);
}

#[tokio::test]
async fn a_window_closes_when_it_is_full() {
    let (root, clock) = (TempDir::new().unwrap(), clock());
    let given = [("size_limit_in_bytes", "64KiB"), ("encoding", "AvroDeflate")];
    let mut sink = open(root.path(), &clock, &given).await;
    // an event counts 64 bytes beside its body, so that about 960 of each partition fill a window
    sink.commit(Epoch(0), &rows(10_000..15_000)).await.unwrap();
    let seen = visible(root.path());
    assert_eq!(seen.len(), 4, "{:?}", seen.keys());
    let counts: HashSet<usize> = seen.values().map(Vec::len).collect();
    assert_eq!(counts, HashSet::from([950]));
    sink.finish().await.unwrap();
    assert_eq!(bodies(root.path()), (10_000..15_000).collect::<Vec<_>>());
    let numbers: Vec<i64> = visible(root.path())
        .into_iter()
        .filter(|(name, _)| name.contains("/1/"))
        .flat_map(|(_, events)| events.into_iter().map(|(number, _)| number))
        .collect();
    assert_eq!(numbers, (0..2_500).collect::<Vec<_>>());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => assert!(fs::copy(entry.path(), target).is_ok()),
        }
    }
}

/// Opens, commits an epoch that closes the window of the one before, and ends.
async fn second_epoch(root: &Path, clock: &Arc<ManualClock>, disk: Disk) -> Result<()> {
    let connector = CaptureSinkConnector::new(disk, clock.clone());
    let mut sink = connector.open(request(root, "i", &[("skip_empty_archives", "true")])).await?;
    sink.commit(Epoch(1), &rows(4..8)).await?;
    sink.finish().await
}

#[tokio::test]
async fn a_kill_before_every_step_neither_loses_nor_doubles_an_event() {
    let mut outcomes = HashSet::new();
    for kill_at in 0.. {
        let (root, clock) = (TempDir::new().unwrap(), clock());
        let given = [("skip_empty_archives", "true")];
        open(root.path(), &clock, &given).await.commit(Epoch(0), &rows(0..4)).await.unwrap();
        clock.advance(Duration::from_secs(61));
        let crashed = TempDir::new().unwrap();
        let crash = crashed.path().to_path_buf();
        let steps = Arc::new(AtomicUsize::new(0));
        let (count, from, to) = (steps.clone(), root.path().to_path_buf(), crash.clone());
        let hook: Hook = Arc::new(move |_| {
            if count.fetch_add(1, Ordering::SeqCst) == kill_at {
                copy(&from, &to);
                return Err(io::Error::other("killed"));
            }
            Ok(())
        });
        let outcome = second_epoch(root.path(), &clock, Disk::with_hook(hook)).await;
        if steps.load(Ordering::SeqCst) <= kill_at {
            outcome.unwrap();
            break;
        }
        // what is seen in the moment of the crash is whole and not doubled
        let seen = bodies(&crash);
        assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len(), "killed at step {kill_at}");
        let mut again = open(&crash, &clock, &given).await;
        let marker = again.marker().await.unwrap();
        outcomes.insert(format!("{marker:?}"));
        if marker == Marker::At(Epoch(0)) {
            again.commit(Epoch(1), &rows(4..8)).await.unwrap();
        }
        again.finish().await.unwrap();
        let expected: Vec<i64> = (0..8).collect();
        assert_eq!(bodies(&crash), expected, "killed at step {kill_at}");
        let home = crash.join("_tidemill/capture/q.out");
        for folder in ["parts", "staging"] {
            assert_eq!(fs::read_dir(home.join(folder)).unwrap().count(), 0, "killed at step {kill_at}");
        }
    }
    assert_eq!(outcomes.len(), 2, "some kills come before the commit and some after it: {outcomes:?}");
}

#[tokio::test]
async fn nothing_is_named_before_it_is_durable() {
    let (root, clock) = (TempDir::new().unwrap(), clock());
    let steps = Arc::new(Mutex::new(Vec::new()));
    let seen = steps.clone();
    let hook: Hook = Arc::new(move |step: &Step| {
        seen.lock().unwrap().push(step.clone());
        Ok(())
    });
    let connector = CaptureSinkConnector::new(Disk::with_hook(hook), clock.clone());
    let mut sink = connector.open(request(root.path(), "i", &[])).await.unwrap();
    sink.commit(Epoch(0), &rows(0..4)).await.unwrap();
    sink.finish().await.unwrap();
    let (mut synced, mut unsynced) = (HashSet::new(), HashSet::new());
    let mut moves = 0;
    for step in steps.lock().unwrap().iter() {
        match step {
            Step::Write(path) => {
                if path.extension().is_some_and(|extension| extension == "part") {
                    unsynced.insert(path.parent().unwrap().to_path_buf());
                }
                synced.remove(path);
            }
            Step::SyncFile(path) => {
                synced.insert(path.clone());
            }
            Step::Move(from, to) => {
                assert!(synced.contains(from), "{} is moved and not synced", from.display());
                assert!(unsynced.is_empty(), "{} appears before {unsynced:?} is synced", to.display());
                unsynced.insert(to.parent().unwrap().to_path_buf());
                moves += 1;
            }
            Step::SyncDirectory(path) => {
                unsynced.remove(path);
            }
            Step::Remove(path) => assert!(unsynced.is_empty(), "{} goes too early", path.display()),
        }
    }
    assert_eq!(moves, 5, "three manifests and two archives");
}

#[tokio::test]
async fn damage_is_found_out_and_not_passed_over() {
    let (root, clock) = (TempDir::new().unwrap(), clock());
    open(root.path(), &clock, &[]).await.commit(Epoch(0), &rows(0..4)).await.unwrap();
    let parts = root.path().join("_tidemill/capture/q.out/parts");
    let part = fs::read_dir(&parts).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&part).unwrap();
    fs::write(&part, &whole[..whole.len() - 5]).unwrap();
    let mut sink = open(root.path(), &clock, &[]).await;
    let error = sink.finish().await.unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    assert!(sink.commit(Epoch(1), &rows(4..5)).await.unwrap_err().to_string().contains("takes nothing after"));
    drop(sink);
    fs::remove_file(&part).unwrap();
    let connector = CaptureSinkConnector::new(Disk::default(), clock.clone());
    let error = connector.open(request(root.path(), "i", &[])).await.err().unwrap();
    assert!(error.to_string().contains("2 events are lost"), "{error}");
    fs::write(&part, whole).unwrap();
    open(root.path(), &clock, &[]).await;
    assert_eq!(bodies(root.path()), [0, 1, 2, 3]);
}

#[tokio::test]
async fn another_writer_is_told_from_ours() {
    let (root, clock) = (TempDir::new().unwrap(), clock());
    let mut first = open(root.path(), &clock, &[]).await;
    let mut second = open(root.path(), &clock, &[]).await;
    first.commit(Epoch(0), &rows(0..4)).await.unwrap();
    assert_eq!(second.commit(Epoch(0), &rows(0..4)).await.unwrap_err().kind(), Kind::Fenced);
    drop((first, second));

    // a new checkpoint takes over what the old one has not published
    let connector = CaptureSinkConnector::new(Disk::default(), clock.clone());
    let mut new = connector.open(request(root.path(), "new", &[])).await.unwrap();
    assert_eq!(new.marker().await.unwrap(), Marker::Foreign(Incarnation("i".into())));
    new.commit(Epoch(0), &rows(4..6)).await.unwrap();
    new.finish().await.unwrap();
    assert_eq!(visible(root.path())[FIRST], [(0, 0), (1, 2), (2, 4)]);

    // another query that captures to the same names is stopped, and loses nothing
    let mut other = request(root.path(), "i", &[]);
    other.writer.query = "another".into();
    let mut other = connector.open(other).await.unwrap();
    other.commit(Epoch(0), &rows(7..8)).await.unwrap();
    let error = other.finish().await.unwrap_err();
    assert!(error.to_string().contains("another query has written it"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_captured_is_refused() {
    let (root, clock) = (TempDir::new().unwrap(), clock());
    let refused = async |given: &[(&str, &str)]| {
        let given: Vec<_> = given.to_vec();
        let connector = CaptureSinkConnector::new(Disk::default(), clock.clone());
        connector.open(request(root.path(), "i", &given)).await.err().unwrap().to_string()
    };
    assert!(refused(&[("size_limit_in_bytes", "501MiB")]).await.contains("must be 65536 to 524288000"));
    assert!(refused(&[("partition", "pertition")]).await.contains("no column of table 'out'"));
    let mut sink = open(root.path(), &clock, &[("partition", "body")]).await;
    let schema = Arc::new(parse_schema("body STRING, partition STRING").unwrap());
    let bad: Vec<Arc<dyn Array>> =
        vec![Arc::new(StringArray::from(vec!["../x"])), Arc::new(StringArray::from(vec!["0"]))];
    let error = sink.commit(Epoch(0), &[RecordBatch::try_new(schema, bad).unwrap()]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
}
