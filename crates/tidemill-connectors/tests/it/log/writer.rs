//! Appending: what is written reads back, one writer at a time, segments roll and are retained.

use super::{append, record, values};
use std::fs;
use std::time::Duration;
use tidemill_connectors::log::{LogReader, LogRecord, LogWriter, TopicOptions};
use tidemill_core::Kind;

#[test]
fn appends_read_back_in_order_after_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let options = TopicOptions { partitions: Some(2), ..TopicOptions::default() };
    let mut writer = LogWriter::open(folder.path(), "t", options.clone()).unwrap();
    append(&mut writer, &["a", "b", "c"], Some(("w", 0)));
    drop(writer);
    let mut writer = LogWriter::open(folder.path(), "t", TopicOptions::default()).unwrap();
    append(&mut writer, &["d"], Some(("w", 1)));
    append(&mut writer, &[], Some(("w", 2)));
    assert_eq!(values(folder.path(), "t", 0), ["a", "c", "d"]);
    assert_eq!(values(folder.path(), "t", 1), ["b"]);
    assert_eq!(writer.writers().collect::<Vec<_>>(), [("w", 2)]);
    drop(writer);
    let other = TopicOptions { partitions: Some(3), ..options };
    let error = LogWriter::open(folder.path(), "t", other).unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (Kind::Invalid, "topic 't' has 2 partitions, not 3".into()));
}

#[test]
fn a_second_writer_is_fenced_and_a_reader_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let _writer = LogWriter::open(folder.path(), "t", TopicOptions::default()).unwrap();
    let error = LogWriter::open(folder.path(), "t", TopicOptions::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    assert!(LogReader::open(folder.path(), "t").is_ok());
    let error = LogReader::open(folder.path(), "T").map(|_| ()).unwrap_err();
    assert!(error.report().contains("did you mean 't'?"), "{}", error.report());
    for wrong in ["", "../x", ".hidden", "a/b"] {
        assert_eq!(LogReader::open(folder.path(), wrong).map(|_| ()).unwrap_err().kind(), Kind::Invalid);
    }
}

#[test]
fn segments_roll_and_old_ones_are_deleted_by_bytes_and_by_age() {
    let folder = tempfile::tempdir().unwrap();
    let options = TopicOptions {
        segment_bytes_max: 500,
        retention: Some(Duration::from_secs(10)),
        retention_bytes: Some(2_000),
        ..TopicOptions::default()
    };
    let mut writer = LogWriter::open(folder.path(), "t", options).unwrap();
    let long = "x".repeat(300);
    for second in 0..20 {
        let mut append = writer.begin(0);
        append.push(0, &record(&long)).unwrap();
        writer.commit(append, None, second * 1_000_000).unwrap();
    }
    let segments = || fs::read_dir(folder.path().join("t/0")).unwrap().count();
    assert_eq!(segments(), 5, "370 bytes a segment, 2,000 bytes kept");
    let reader = LogReader::open(folder.path(), "t").unwrap();
    let part = reader.partition(0).unwrap();
    assert_eq!((part.start().unwrap(), reader.ends()), (15, &[20][..]));
    writer.retain(27_500_000).unwrap();
    assert_eq!((segments(), part.start().unwrap()), (3, 17), "the youngest record of the segment before is too old");
    let error = part.read(&(12..20)).unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.to_string().contains("offsets 12 to 17 are gone"), "{error}");
    assert_eq!(part.read(&(18..20)).unwrap().iter().map(|piece| piece.len()).sum::<usize>(), 2);
}

#[test]
fn files_of_commits_roll_and_a_reader_follows() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::open(folder.path(), "t", TopicOptions::default()).unwrap();
    let mut reader = LogReader::open(folder.path(), "t").unwrap();
    let names: Vec<String> = (0..40).map(|at| format!("{at:0>1000}")).collect();
    for epoch in 0..3_000_u64 {
        append_cached(&mut writer, &names[(epoch % 40) as usize], epoch);
        if epoch % 700 == 0 {
            assert_eq!(reader.refresh().unwrap(), [epoch + 1]);
        }
    }
    assert_eq!(reader.refresh().unwrap(), [3_000]);
    let files = fs::read_dir(folder.path().join("t/commits")).unwrap().count();
    assert_eq!(files, 2, "the open one and the one before");
    drop(writer);
    let writer = LogWriter::open(folder.path(), "t", TopicOptions::default()).unwrap();
    assert_eq!((writer.writers().count(), writer.writers().map(|(_, epoch)| epoch).max()), (40, Some(2_999)));
}

fn append_cached(writer: &mut LogWriter, id: &str, epoch: u64) {
    let mut append = writer.begin(0);
    append.push(0, &LogRecord { key: Some(b"k"), timestamp: Some(7), ..LogRecord::default() }).unwrap();
    writer.commit(append, Some((id, epoch)), 0).unwrap();
}
