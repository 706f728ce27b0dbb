//! The files source on real directories.

use super::*;
use crate::durable::Disk;
use crate::files::sink::FilesSink;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;
use tidemill_core::clock::ManualClock;
use tidemill_core::options::GivenOption;
use tidemill_core::sink::{OutputMode, SinkConnector, SinkRequest, Writer};
use tidemill_core::source::Body;
use tidemill_core::types::parse_schema;
use tidemill_core::{Epoch, Incarnation};

const ASK: Ask = Ask { until: None, rate_limited: true, bytes_max: 64 << 20 };

/// Writes a file that was changed so many seconds after the year 2000.
fn put(root: &Path, name: &str, text: impl AsRef<[u8]>, seconds: u64) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    let time = UNIX_EPOCH + Duration::from_secs(946_684_800 + seconds);
    File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
}

fn request(path: &Path, given: &[(&str, &str)], framing: Option<Framing>) -> SourceRequest {
    let path = path.to_str().unwrap();
    let given: Vec<_> =
        [&("path", path)].into_iter().chain(given).map(|(key, value)| GivenOption::new(*key, *value)).collect();
    SourceRequest {
        table: "in".into(),
        schema: Arc::new(parse_schema("a INT").unwrap()),
        options: Options::check("source 'files'", &[DESCRIPTION.options], &given).unwrap(),
        reads_headers: false,
        framing,
        resume_from: Offsets::default(),
    }
}

async fn open(path: &Path, given: &[(&str, &str)]) -> Box<dyn Source> {
    FilesSource::default().open(request(path, given, Some(Framing::Lines))).await.unwrap()
}

async fn planned(source: &mut dyn Source, from: &Offsets) -> Vec<SplitRange> {
    source.plan(from, &ASK).await.unwrap()
}

async fn splits(path: &Path, given: &[(&str, &str)]) -> Vec<String> {
    let mut source = open(path, given).await;
    planned(source.as_mut(), &Offsets::default()).await.iter().map(|range| range.split.to_string()).collect()
}

fn text(chunks: &[Chunk]) -> String {
    let bytes: Vec<u8> = chunks
        .iter()
        .flat_map(|chunk| match &chunk.body {
            Body::Stream { bytes, .. } => bytes.to_vec(),
            other => panic!("not a stream: {other:?}"),
        })
        .collect();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn new_files_are_read_once_in_order() {
    let root = TempDir::new().unwrap();
    let mut source = open(root.path(), &[]).await;
    assert_eq!(planned(source.as_mut(), &Offsets::default()).await, []);
    put(root.path(), "b.json", "1\n2\n", 1);
    put(root.path(), "a.json", "3\n", 2);
    put(root.path(), "empty.json", "", 3);
    put(root.path(), ".hidden", "x\n", 1);
    put(root.path(), "_temporary", "x\n", 1);
    put(root.path(), "_dir/c.json", "x\n", 1);
    put(root.path(), "below/d.json", "x\n", 1);
    let plan = planned(source.as_mut(), &Offsets::default()).await;
    assert_eq!(
        plan.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["b.json[0..4]", "a.json[0..2]", "empty.json[0..0]"]
    );
    assert_eq!(text(&source.read(&plan[0]).await.unwrap()), "1\n2\n");
    assert!(source.read(&plan[2]).await.unwrap().is_empty());
    let mut offsets = Offsets::default();
    offsets.advance(&plan);
    assert_eq!(source.latest().await.unwrap(), offsets);
    assert_eq!(planned(source.as_mut(), &offsets).await, []);
    put(root.path(), "c.json", "4\n", 3);
    assert_eq!(planned(source.as_mut(), &offsets).await[0].split.as_ref(), "c.json");
}

#[tokio::test]
async fn a_path_is_a_directory_a_file_or_a_pattern() {
    let root = TempDir::new().unwrap();
    for (seconds, name) in
        ["2026-01/a.json", "2026-01/b.csv", "2026-02/c.json", "2026-02/deep/d.json", "e.json"].iter().enumerate()
    {
        put(root.path(), name, "1\n", seconds as u64);
    }
    let root = root.path();
    assert_eq!(splits(root, &[]).await, ["e.json"]);
    let all = ["2026-01/a.json", "2026-01/b.csv", "2026-02/c.json", "2026-02/deep/d.json", "e.json"];
    assert_eq!(splits(root, &[("recursive", "true")]).await, all);
    let json = [("recursiveFileLookup", "true"), ("pathGlobFilter", "*.json")];
    assert_eq!(splits(root, &json).await, ["2026-01/a.json", "2026-02/c.json", "2026-02/deep/d.json", "e.json"]);
    assert_eq!(splits(&root.join("e.json"), &[]).await, ["e.json"]);
    assert_eq!(splits(&root.join("2026-*/*.json"), &[]).await, ["2026-01/a.json", "2026-02/c.json"]);
    assert_eq!(splits(&root.join("2026-*"), &[]).await, ["2026-01/a.json", "2026-01/b.csv", "2026-02/c.json"]);
    assert_eq!(splits(&root.join("2026-02/*"), &[]).await, ["c.json", "deep/d.json"]);
    assert_eq!(splits(&root.join("**/d.json"), &[]).await, ["2026-02/deep/d.json"]);
}

#[tokio::test]
async fn what_is_not_there_or_cannot_be_read_yet_is_refused_at_open() {
    let root = TempDir::new().unwrap();
    let missing = root.path().join("missing");
    for (path, framing, why) in [
        (missing.clone(), Some(Framing::Lines), format!("there is no file or directory '{}'", missing.display())),
        (missing.join("*.json"), Some(Framing::Lines), format!("there is no directory '{}'", missing.display())),
        (
            "ftp://b/in".into(),
            Some(Framing::Lines),
            "'ftp://b/in' is not supported: connector 'files' cannot read ftp://".into(),
        ),
        (root.path().into(), None, "table 'in' reads files and needs a format".into()),
        (root.path().into(), Some(Framing::Payloads), "table 'in' reads files, and its format is not for files".into()),
    ] {
        let error = FilesSource::default().open(request(&path, &[], framing)).await.err().unwrap();
        assert_eq!((error.kind(), error.to_string()), (Kind::Invalid, why));
    }
    let none = request(root.path(), &[("max_files_per_trigger", "0")], Some(Framing::Lines));
    assert!(FilesSource::default().open(none).await.is_err());
}

#[tokio::test]
async fn a_large_file_is_read_in_pieces_that_end_with_a_line() {
    let root = TempDir::new().unwrap();
    let lines: String =
        (0..300_000).map(|number| format!("{{\"a\":{number},\"b\":\"{}\"}}\n", "x".repeat(number % 60))).collect();
    let whole = lines.clone() + "last line without an end";
    put(root.path(), "big.json", &whole, 1);
    let mut source = open(root.path(), &[]).await;
    let plan = planned(source.as_mut(), &Offsets::default()).await;
    let chunks = source.read(&plan[0]).await.unwrap();
    assert!(chunks.len() > 2, "{}", chunks.len());
    let mut position = 0;
    for (index, chunk) in chunks.iter().enumerate() {
        let Body::Stream { bytes, at } = &chunk.body else { panic!("not a stream") };
        assert_eq!(*at, position);
        assert!(bytes.ends_with(b"\n") || index + 1 == chunks.len());
        assert!(bytes.len() <= (4 << 20) + 100);
        position += bytes.len() as u64;
    }
    assert_eq!(text(&chunks), whole);

    let (mut offsets, mut pieces, mut epochs) = (Offsets::default(), String::new(), 0);
    loop {
        let ask = Ask { bytes_max: 1 << 20, ..ASK };
        let plan = source.plan(&offsets, &ask).await.unwrap();
        let [range] = plan.as_slice() else { break };
        assert!(range.len() < (1 << 20) + 100);
        pieces += &text(&source.read(range).await.unwrap());
        assert!(pieces.ends_with('\n') || pieces.len() == whole.len());
        offsets.advance(&plan);
        epochs += 1;
    }
    assert_eq!(pieces, whole);
    assert!(epochs > 10);
}

#[tokio::test]
async fn whole_files_come_in_one_piece() {
    let root = TempDir::new().unwrap();
    let bytes = vec![b'\n'; 9 << 20];
    put(root.path(), "a.parquet", &bytes, 1);
    let request = request(root.path(), &[], Some(Framing::Whole));
    let mut source = FilesSource::default().open(request).await.unwrap();
    let plan = source.plan(&Offsets::default(), &Ask { bytes_max: 1, ..ASK }).await.unwrap();
    let chunks = source.read(&plan[0]).await.unwrap();
    assert_eq!((chunks.len(), text(&chunks).len()), (1, bytes.len()));
}

#[tokio::test]
async fn a_planned_file_that_is_gone_or_changed_is_not_read() {
    let root = TempDir::new().unwrap();
    put(root.path(), "a.json", "1\n", 1);
    let mut source = open(root.path(), &[]).await;
    let plan = planned(source.as_mut(), &Offsets::default()).await;
    let restarted = open(root.path(), &[]).await;
    assert_eq!(text(&restarted.read(&plan[0]).await.unwrap()), "1\n");
    for (name, change) in [("time", ("1\n", 2)), ("size", ("1\n2\n", 1))] {
        put(root.path(), "a.json", change.0, change.1);
        let error = restarted.read(&plan[0]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Data, "{name}");
        assert!(error.to_string().contains("a.json' has changed since it was planned"), "{error}");
    }
    fs::remove_file(root.path().join("a.json")).unwrap();
    let error = restarted.read(&plan[0]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.to_string().contains("a.json' is planned to be read and is gone"), "{error}");
}

#[tokio::test]
async fn a_file_that_may_still_change_is_left_alone() {
    let root = TempDir::new().unwrap();
    put(root.path(), "a.json", "1\n", 100);
    let clock = Arc::new(ManualClock::at((946_684_800 + 105) * 1_000_000));
    let connector = FilesSource::with_clock(clock.clone());
    let request = request(root.path(), &[("min_age", "10s")], Some(Framing::Lines));
    let mut source = connector.open(request).await.unwrap();
    assert_eq!(planned(source.as_mut(), &Offsets::default()).await, []);
    assert!(source.latest().await.unwrap().0.is_empty());
    clock.advance(Duration::from_secs(5));
    assert_eq!(planned(source.as_mut(), &Offsets::default()).await.len(), 1);
}

#[tokio::test]
async fn waiting_ends_when_a_file_appears() {
    let root = TempDir::new().unwrap();
    // Polling would take ten hours: only the announcement can end the wait in time.
    let mut source = open(root.path(), &[("poll_interval", "1 hour")]).await;
    put(root.path(), ".a", "1\n", 1);
    fs::rename(root.path().join(".a"), root.path().join("a")).unwrap();
    let mut found = planned(source.as_mut(), &Offsets::default()).await;
    tokio::time::timeout(Duration::from_secs(60), source.wait()).await.expect("the change is announced");
    found.extend(planned(source.as_mut(), &Offsets::default()).await);
    assert_eq!(found[0].split.as_ref(), "a");
}

#[tokio::test]
async fn of_a_sinks_directory_only_what_is_published_is_read() {
    let root = TempDir::new().unwrap();
    let options = [GivenOption::new("path", root.path().to_str().unwrap())];
    let sink = FilesSink::with_disk(Disk::default());
    let request_sink = SinkRequest {
        table: "out".into(),
        schema: Arc::new(parse_schema("a INT").unwrap()),
        mode: OutputMode::Append,
        options: Options::check("sink 'files'", &[sink.describe().options], &options).unwrap(),
        format: None,
        writer: Writer { query: "q".into(), sink: "s".into(), incarnation: Incarnation("i".into()) },
    };
    let mut sink = sink.open(request_sink).await.unwrap();
    let request = request(root.path(), &[], Some(Framing::Whole));
    let mut source = FilesSource::default().open(request).await.unwrap();
    let column = Arc::new(arrow::array::Int32Array::from(vec![1]));
    let rows = arrow::array::RecordBatch::try_new(Arc::new(parse_schema("a INT").unwrap()), vec![column]).unwrap();
    for epoch in 0..2 {
        sink.commit(Epoch(epoch), std::slice::from_ref(&rows)).await.unwrap();
        put(root.path(), "part-9-0-i.parquet", "not published", 1);
        let plan = planned(source.as_mut(), &Offsets::default()).await;
        let mut splits: Vec<&str> = plan.iter().map(|range| range.split.as_ref()).collect();
        splits.sort_unstable();
        assert_eq!(splits, ["part-0-0-i.parquet", "part-1-0-i.parquet"][..=epoch as usize]);
    }
}
