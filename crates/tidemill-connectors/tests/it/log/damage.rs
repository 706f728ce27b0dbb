//! Crashes at every byte of an append, damage, and the format on disk of this version.

use super::{append, record, values};
use std::fs;
use std::path::Path;
use tidemill_connectors::log::{LogReader, LogRecord, LogWriter, TopicOptions};
use tidemill_core::Kind;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// A topic with two commits, and its state before the second.
fn two_commits(root: &Path) -> (tempfile::TempDir, tempfile::TempDir) {
    let (before, after) = (tempfile::tempdir_in(root).unwrap(), tempfile::tempdir_in(root).unwrap());
    let options = TopicOptions { partitions: Some(2), ..TopicOptions::default() };
    let mut writer = LogWriter::open(after.path(), "t", options).unwrap();
    append(&mut writer, &["a", "b"], Some(("w", 0)));
    copy(after.path(), before.path());
    append(&mut writer, &["c", "d"], Some(("w", 1)));
    (before, after)
}

fn bytes(root: &Path, file: &str) -> Vec<u8> {
    fs::read(root.join("t").join(file)).unwrap()
}

/// The files in the order in which an append grows them.
const GROWING: [&str; 3] =
    ["0/00000000000000000000.log", "1/00000000000000000000.log", "commits/00000000000000000000.log"];

#[test]
fn an_append_cut_at_any_byte_is_all_there_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = two_commits(folder.path());
    let mut whole = 0;
    for (at, cut_file) in GROWING.iter().enumerate() {
        let (old, new) = (bytes(before.path(), cut_file).len(), bytes(after.path(), cut_file));
        for length in old..=new.len() {
            let crashed = tempfile::tempdir_in(folder.path()).unwrap();
            copy(before.path(), crashed.path());
            for file in &GROWING[..at] {
                fs::copy(after.path().join("t").join(file), crashed.path().join("t").join(file)).unwrap();
            }
            fs::write(crashed.path().join("t").join(cut_file), &new[..length]).unwrap();
            assert_eq!(values(crashed.path(), "t", 0), ["a"], "what was not published is not seen");
            let mut writer = LogWriter::open(crashed.path(), "t", TopicOptions::default()).unwrap();
            let epoch = writer.writers().next().unwrap().1;
            whole += epoch;
            append(&mut writer, &["e", "f"], Some(("w", epoch + 1)));
            let expected: &[&str] = if epoch == 1 { &["a", "c", "e"] } else { &["a", "e"] };
            assert_eq!(values(crashed.path(), "t", 0), expected, "{cut_file} cut at {length}");
            assert_eq!(values(crashed.path(), "t", 1).len(), expected.len());
        }
    }
    assert_eq!(whole, 1, "only the whole commit frame commits");
}

#[test]
fn damage_before_the_end_is_named_and_never_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let (_before, after) = two_commits(folder.path());
    for file in GROWING {
        let good = bytes(after.path(), file);
        for at in (0..good.len() / 2).step_by(7) {
            let damaged = tempfile::tempdir_in(folder.path()).unwrap();
            copy(after.path(), damaged.path());
            let mut flipped = good.clone();
            flipped[at] ^= 0x10;
            fs::write(damaged.path().join("t").join(file), &flipped).unwrap();
            let error = LogWriter::open(damaged.path(), "t", TopicOptions::default()).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{file} flipped at {at}: {error}");
            let named = error.to_string().contains(file) || error.to_string().contains("commits");
            assert!(named, "{error}");
            assert_eq!(bytes(damaged.path(), file), flipped, "a damaged file is left as it is");
        }
    }
}

#[test]
fn a_commit_that_was_published_and_is_gone_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = two_commits(folder.path());
    for file in GROWING {
        fs::copy(before.path().join("t").join(file), after.path().join("t").join(file)).unwrap();
    }
    let error = LogWriter::open(after.path(), "t", TopicOptions::default()).unwrap_err();
    assert!(error.to_string().contains("commit 2 was durable and is not there any more"), "{error}");
    let error = LogReader::open(after.path(), "t").map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
}

#[test]
fn after_a_restart_of_the_machine_the_newest_commit_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (before, after) = two_commits(folder.path());
    // `published` of another boot, one commit behind: what a power cut may leave
    let mut stale = bytes(before.path(), "published");
    stale[8..24].copy_from_slice(&[7; 16]);
    let checksum = crc32fast::hash(&stale[..24]);
    stale[24..].copy_from_slice(&checksum.to_le_bytes());
    fs::write(after.path().join("t/published"), &stale).unwrap();
    assert_eq!(values(after.path(), "t", 0), ["a", "c"]);
}

/// A topic that version 1 wrote: two partitions, a key, a null key, a null value, an own timestamp.
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/log/fixture-v1");

#[test]
fn the_fixture_of_version_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(FIXTURE), folder.path());
    let reader = LogReader::open(folder.path(), "events").unwrap();
    assert_eq!(reader.ends(), [2, 1]);
    let first = reader.partition(0).unwrap().read(&(0..2)).unwrap().remove(0);
    assert_eq!(
        (first.key(0), first.value(0), first.key(1), first.value(1)),
        (Some(&b"k"[..]), Some(&b"one"[..]), None, None)
    );
    assert_eq!(first.timestamps, [1_700_000_000_000_001, 42]);
    assert_eq!(values(folder.path(), "events", 1), ["two"]);
    let writer = LogWriter::open(folder.path(), "events", TopicOptions::default()).unwrap();
    assert_eq!(writer.writers().collect::<Vec<_>>(), [("tidemill/q/s/i", 3)]);
}

/// Writes the fixture; run by hand when a new version of the format begins.
#[test]
#[ignore = "writes the fixture of a new version"]
fn write_fixture() {
    let options = TopicOptions { partitions: Some(2), ..TopicOptions::default() };
    let mut writer = LogWriter::open(Path::new(FIXTURE), "events", options).unwrap();
    let mut append = writer.begin(0);
    append.push(0, &LogRecord { key: Some(b"k"), ..record("one") }).unwrap();
    append.push(0, &LogRecord { timestamp: Some(42), ..LogRecord::default() }).unwrap();
    append.push(1, &record("two")).unwrap();
    writer.commit(append, Some(("tidemill/q/s/i", 3)), 1_700_000_000_000_001).unwrap();
}
