//! The files sink, killed at every step.

use super::*;
use crate::durable::{Hook, Step};
use crate::files::manifest::{PublishedFile, published_files};
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{Int64Type, SchemaRef};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tidemill_core::options::GivenOption;
use tidemill_core::sink::{OutputMode, Writer};
use tidemill_core::types::parse_schema;
use tidemill_core::{Incarnation, Kind};

fn writer(incarnation: &str) -> Writer {
    Writer { query: "q".into(), sink: "s".into(), incarnation: Incarnation(incarnation.into()) }
}

fn request(path: &Path, mode: OutputMode, given: &[(&str, &str)]) -> SinkRequest {
    let path = path.to_str().unwrap();
    let given: Vec<_> =
        [&("path", path)].into_iter().chain(given).map(|(key, value)| GivenOption::new(*key, *value)).collect();
    SinkRequest {
        table: "out".into(),
        schema: Arc::new(parse_schema("n BIGINT").unwrap()),
        mode,
        options: Options::check("sink 'files'", &[DESCRIPTION.options], &given).unwrap(),
        format: None,
        writer: writer("11111111-aaaa"),
    }
}

async fn open(path: &Path, mode: OutputMode) -> Box<dyn Sink> {
    FilesSink::default().open(request(path, mode, &[])).await.unwrap()
}

fn rows(numbers: std::ops::Range<i64>) -> Vec<RecordBatch> {
    let schema: SchemaRef = Arc::new(parse_schema("n BIGINT").unwrap());
    vec![RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(numbers))]).unwrap()]
}

fn numbers_in(root: &Path, files: &[PublishedFile]) -> Vec<i64> {
    let mut numbers = Vec::new();
    for file in files {
        let open = File::open(root.join(&file.name)).unwrap();
        assert_eq!(open.metadata().unwrap().len(), file.bytes);
        let before = numbers.len();
        for batch in ParquetRecordBatchReaderBuilder::try_new(open).unwrap().build().unwrap() {
            numbers.extend(batch.unwrap().column(0).as_primitive::<Int64Type>().values());
        }
        assert_eq!((numbers.len() - before) as u64, file.rows);
    }
    numbers
}

fn published(root: &Path) -> Vec<i64> {
    numbers_in(root, &published_files(root).unwrap())
}

/// Parquet files that a reader sees who knows no manifest.
fn globbed(root: &Path) -> HashSet<String> {
    let names = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".parquet")).collect()
}

#[tokio::test]
async fn epochs_are_appended_and_the_marker_follows() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("new/out");
    let mut sink = open(&path, OutputMode::Append).await;
    assert_eq!(sink.marker().await.unwrap(), Marker::Absent);
    sink.commit(Epoch(0), &rows(0..3)).await.unwrap();
    sink.commit(Epoch(1), &[]).await.unwrap();
    sink.commit(Epoch(4), &rows(3..5)).await.unwrap();
    assert_eq!(sink.marker().await.unwrap(), Marker::At(Epoch(4)));
    assert_eq!(published(&path), [0, 1, 2, 3, 4]);
    assert_eq!(
        globbed(&path),
        HashSet::from(["part-0-0-11111111.parquet".to_owned(), "part-4-0-11111111.parquet".to_owned()])
    );
    let mut later = open(&path, OutputMode::Append).await;
    assert_eq!(later.marker().await.unwrap(), Marker::At(Epoch(4)));
    assert_eq!(later.commit(Epoch(4), &rows(0..1)).await.unwrap_err().kind(), Kind::Bug);
}

#[tokio::test]
async fn complete_mode_replaces_all_files() {
    let root = TempDir::new().unwrap();
    let mut sink = open(root.path(), OutputMode::Complete).await;
    for epoch in 0..3 {
        sink.commit(Epoch(epoch), &rows(0..epoch as i64 + 2)).await.unwrap();
    }
    assert_eq!(published(root.path()), [0, 1, 2, 3]);
    assert_eq!(globbed(root.path()), HashSet::from(["part-2-0-11111111.parquet".to_owned()]));
    sink.commit(Epoch(3), &[]).await.unwrap();
    assert_eq!((published(root.path()).len(), globbed(root.path()).len()), (0, 0));
}

#[tokio::test]
async fn writers_are_told_apart() {
    let root = TempDir::new().unwrap();
    open(root.path(), OutputMode::Append).await.commit(Epoch(5), &rows(0..1)).await.unwrap();
    let with = |writer| SinkRequest { writer, ..request(root.path(), OutputMode::Append, &[]) };
    let mut other = FilesSink::default().open(with(Writer { query: "p".into(), ..writer("x") })).await.unwrap();
    assert_eq!(other.marker().await.unwrap(), Marker::Absent);
    other.commit(Epoch(0), &rows(1..2)).await.unwrap();
    let mut next = FilesSink::default().open(with(writer("22222222-bbbb"))).await.unwrap();
    assert_eq!(next.marker().await.unwrap(), Marker::Foreign(Incarnation("11111111-aaaa".into())));
    next.commit(Epoch(0), &rows(2..3)).await.unwrap();
    assert_eq!(next.marker().await.unwrap(), Marker::At(Epoch(0)));
    assert_eq!(published(root.path()), [0, 1, 2]);
}

#[tokio::test]
async fn queries_share_a_directory_and_a_twin_is_fenced() {
    let root = TempDir::new().unwrap();
    let with = |writer| SinkRequest { writer, ..request(root.path(), OutputMode::Append, &[]) };
    let mut first = open(root.path(), OutputMode::Append).await;
    let mut twin = open(root.path(), OutputMode::Append).await;
    let mut other = FilesSink::default().open(with(Writer { query: "p".into(), ..writer("33333333") })).await.unwrap();
    other.commit(Epoch(0), &rows(0..1)).await.unwrap();
    first.commit(Epoch(0), &rows(1..2)).await.unwrap();
    assert_eq!(twin.commit(Epoch(0), &rows(1..2)).await.unwrap_err().kind(), Kind::Fenced);
    assert!(twin.commit(Epoch(1), &rows(2..3)).await.is_err(), "nothing after a failure");
    assert_eq!(published(root.path()), [0, 1]);
}

#[tokio::test]
async fn columns_are_fixed_by_the_first_commit() {
    let root = TempDir::new().unwrap();
    open(root.path(), OutputMode::Append).await.commit(Epoch(0), &rows(0..1)).await.unwrap();
    for (ddl, why) in [
        ("n INT", "column 1 was 'n bigint' and is 'n int'"),
        ("n BIGINT, m INT", "column 'm int' is new"),
        ("m BIGINT", "column 1 was 'n bigint' and is 'm bigint'"),
    ] {
        let schema = Arc::new(parse_schema(ddl).unwrap());
        let request = SinkRequest { schema, ..request(root.path(), OutputMode::Append, &[]) };
        let error = FilesSink::default().open(request).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().ends_with(why), "{error}");
    }
}

#[tokio::test]
async fn a_limit_of_rows_makes_more_files() {
    let root = TempDir::new().unwrap();
    let given = [("maxRecordsPerFile", "2"), ("compression", "zstd")];
    let mut sink = FilesSink::default().open(request(root.path(), OutputMode::Append, &given)).await.unwrap();
    sink.commit(Epoch(0), &[rows(0..3), rows(3..5)].concat()).await.unwrap();
    let files = published_files(root.path()).unwrap();
    assert_eq!(files.iter().map(|file| file.rows).collect::<Vec<_>>(), [2, 2, 1]);
    assert_eq!(published(root.path()), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn json_is_a_line_a_row() {
    let root = TempDir::new().unwrap();
    let with = |format: Arc<dyn tidemill_core::format::Format>| SinkRequest {
        format: Some(format),
        ..request(root.path(), OutputMode::Append, &[])
    };
    let mut sink = FilesSink::default().open(with(Arc::new(crate::format::json::Json))).await.unwrap();
    sink.commit(Epoch(0), &[rows(0..2), rows(2..3)].concat()).await.unwrap();
    let files = published_files(root.path()).unwrap();
    assert_eq!((files[0].name.as_str(), files[0].rows), ("part-0-0-11111111.json", 3));
    let text = fs::read_to_string(root.path().join(&files[0].name)).unwrap();
    assert_eq!(text, "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n");

    let refused = FilesSink::default().open(with(Arc::new(crate::format::raw::Raw))).await.err().unwrap();
    assert_eq!(refused.to_string(), "sink 'files' of 'out' cannot write format 'raw'");
}

#[tokio::test]
async fn a_missing_or_damaged_manifest_stops_the_sink() {
    let root = TempDir::new().unwrap();
    let mut sink = open(root.path(), OutputMode::Append).await;
    for epoch in 0..3 {
        sink.commit(Epoch(epoch), &rows(0..1)).await.unwrap();
    }
    let log = root.path().join("_tidemill/log");
    let (second, kept) = (log.join("00000000000000000001.json"), root.path().join("kept"));
    fs::rename(&second, &kept).unwrap();
    let missing = FilesSink::default().open(request(root.path(), OutputMode::Append, &[])).await.err().unwrap();
    assert_eq!(missing.kind(), Kind::Invalid);
    assert!(missing.to_string().contains("00000000000000000001.json' is missing"), "{missing}");
    fs::write(&second, "{\"version\":1").unwrap();
    let damaged = published_files(root.path()).unwrap_err();
    assert!(damaged.to_string().contains("cannot be read"), "{damaged}");
    let text = fs::read_to_string(&kept).unwrap();
    fs::write(&second, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
    assert!(published_files(root.path()).unwrap_err().to_string().contains("its version is 2"));
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_at_open() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let error = FilesSink::default().open(request(&file, OutputMode::Append, &[])).await.err().unwrap();
    assert!(error.to_string().contains("cannot make the directory"), "{error}");
    let raw: Arc<dyn tidemill_core::format::Format> = Arc::new(crate::format::raw::Raw);
    let request = SinkRequest { format: Some(raw), ..request(root.path(), OutputMode::Append, &[]) };
    assert_eq!(FilesSink::default().open(request).await.err().unwrap().kind(), Kind::Invalid);
}

/// Directories that version 1 wrote must be readable for ever.
#[tokio::test]
async fn the_log_of_version_1_is_read() {
    let root = TempDir::new().unwrap();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/files_sink_v1"), root.path());
    let mut sink = open(root.path(), OutputMode::Append).await;
    assert_eq!(sink.marker().await.unwrap(), Marker::At(Epoch(4)));
    sink.commit(Epoch(5), &rows(0..2)).await.unwrap();
    assert_eq!(published(root.path()), [0, 1]);
}

/// Copies a directory as a crash would leave it.
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

/// Kills the sink before every step of its start and of epoch 1, and starts it again: the marker says whether the epoch is
/// there, it is written if it is not, and then every row is there once and nothing else is.
async fn killed_at_every_step(mode: OutputMode, expected: &[i64]) {
    let limit = [("max_records_per_file", "2")];
    let mut outcomes = HashSet::new();
    for kill_at in 0.. {
        let root = TempDir::new().unwrap();
        open(root.path(), mode).await.commit(Epoch(0), &rows(0..3)).await.unwrap();
        let crashed = TempDir::new().unwrap();
        let crash = crashed.path().to_path_buf();
        let (steps, from, to) = (Arc::new(AtomicUsize::new(0)), root.path().to_path_buf(), crash.clone());
        let count = steps.clone();
        let hook: Hook = Arc::new(move |_| {
            if count.fetch_add(1, Ordering::SeqCst) == kill_at {
                copy(&from, &to);
                return Err(io::Error::other("killed"));
            }
            Ok(())
        });
        let connector = FilesSink::with_disk(Disk::with_hook(hook));
        let outcome = match connector.open(request(root.path(), mode, &limit)).await {
            Ok(mut sink) => sink.commit(Epoch(1), &rows(3..8)).await,
            Err(error) => Err(error),
        };
        if steps.load(Ordering::SeqCst) <= kill_at {
            outcome.unwrap();
            break;
        }
        let mut again = open(&crash, mode).await;
        let marker = again.marker().await.unwrap();
        outcomes.insert(format!("{marker:?}"));
        assert!(outcome.is_err() || marker == Marker::At(Epoch(1)), "a commit that was reported is there");
        if marker == Marker::At(Epoch(0)) {
            again.commit(Epoch(1), &rows(3..8)).await.unwrap();
        }
        let files = published_files(&crash).unwrap();
        assert_eq!(numbers_in(&crash, &files), expected, "killed at step {kill_at}");
        assert_eq!(globbed(&crash), files.into_iter().map(|file| file.name).collect(), "killed at step {kill_at}");
        assert_eq!(fs::read_dir(crash.join("_tidemill/staging")).unwrap().count(), 0, "killed at step {kill_at}");
    }
    assert_eq!(outcomes.len(), 2, "some kills come before the commit and some after it: {outcomes:?}");
}

#[tokio::test]
async fn an_append_survives_a_kill_at_every_step() {
    killed_at_every_step(OutputMode::Append, &[0, 1, 2, 3, 4, 5, 6, 7]).await;
}

#[tokio::test]
async fn an_overwrite_survives_a_kill_at_every_step() {
    killed_at_every_step(OutputMode::Complete, &[3, 4, 5, 6, 7]).await;
}

#[tokio::test]
async fn nothing_is_moved_before_it_is_synced_nor_published_before_its_directory_is() {
    let root = TempDir::new().unwrap();
    let steps = Arc::new(Mutex::new(Vec::new()));
    let seen = steps.clone();
    let hook: Hook = Arc::new(move |step: &Step| {
        seen.lock().unwrap().push(step.clone());
        Ok(())
    });
    let connector = FilesSink::with_disk(Disk::with_hook(hook));
    let given = [("max_records_per_file", "2")];
    let mut sink = connector.open(request(root.path(), OutputMode::Append, &given)).await.unwrap();
    steps.lock().unwrap().clear();
    sink.commit(Epoch(0), &rows(0..5)).await.unwrap();

    let steps = steps.lock().unwrap();
    let (mut synced, mut unsynced): (HashSet<PathBuf>, HashSet<PathBuf>) = Default::default();
    let mut moves = 0;
    for step in steps.iter() {
        match step {
            Step::Write(path) => drop(synced.remove(path)),
            Step::SyncFile(path) => drop(synced.insert(path.clone())),
            Step::Move(from, to) => {
                assert!(synced.contains(from), "{} is moved and not synced", from.display());
                let is_manifest = to.extension().is_some_and(|extension| extension == "json");
                assert!(!is_manifest || unsynced.is_empty(), "published before {unsynced:?} is synced");
                unsynced.insert(to.parent().unwrap().into());
                moves += 1;
            }
            Step::SyncDirectory(path) => drop(unsynced.remove(path)),
            Step::Remove(_) => {}
        }
    }
    assert_eq!(moves, 4, "three files and their manifest");
    assert!(unsynced.is_empty(), "{unsynced:?} is not synced when the commit returns");
}
