//! The journal: what is written is read, torn tails are passed over, damage is named.

use super::super::record::CommitRecord;
use super::*;
use std::collections::BTreeMap;

fn commit(epoch: u64) -> Record {
    Record::Commit(CommitRecord { epoch: Epoch(epoch), next_watermarks: vec![epoch as i64], sinks: BTreeMap::new() })
}

fn changes(epoch: u64) -> Record {
    Record::Changes { epoch: Epoch(epoch), operator: "append-aggregate-0".into(), rows: vec![7; 100] }
}

fn written(directory: &Path, epochs: std::ops::Range<u64>, last: Option<u64>) -> Vec<Record> {
    let mut journal = Journal::start(directory, last, 0).unwrap();
    let records: Vec<Record> = epochs.flat_map(|epoch| [changes(epoch), commit(epoch)]).collect();
    for pair in records.chunks(2) {
        pair.iter().for_each(|record| journal.add(record).unwrap());
        journal.flush().unwrap();
    }
    records
}

#[test]
fn what_is_written_over_several_starts_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut records = written(directory.path(), 0..3, None);
    records.extend(written(directory.path(), 3..5, Some(0)));
    assert_eq!(read(directory.path()).unwrap(), (records, Some(1)));
}

#[test]
fn a_write_cut_off_anywhere_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let records = written(directory.path(), 0..2, None);
    let path = segment(directory.path(), 0);
    let whole = std::fs::read(&path).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let (read, _) = read(directory.path()).unwrap();
        assert_eq!(read, records[..read.len()], "cut at {length}");
        seen.insert(read.len());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn a_flipped_bit_before_the_last_record_is_damage_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), 0..2, None);
    let path = segment(directory.path(), 0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[MAGIC.len() + HEADER + 20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = read(directory.path()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("00000000000000000000.log is damaged at byte 8"), "{error}");
}

#[test]
fn the_second_process_is_fenced() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Journal::start(directory.path(), None, 0).unwrap();
    assert_eq!(Journal::start(directory.path(), None, 0).unwrap_err().kind(), Kind::Fenced);
}

#[test]
fn old_segments_are_forgotten_and_needed_ones_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::start(directory.path(), None, 0).unwrap();
    for epoch in 0..10 {
        journal.add(&commit(epoch)).unwrap();
        journal.flush().unwrap();
        journal.roll().unwrap();
    }
    journal.forget(Epoch(4)).unwrap();
    let (records, _) = read(directory.path()).unwrap();
    assert_eq!(records.first().map(Record::epoch), Some(Epoch(4)));
    assert_eq!(records.last().map(Record::epoch), Some(Epoch(9)));
}

#[test]
fn segments_that_killed_starts_left_empty_do_not_keep_older_ones() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), 0..2, None);
    drop(Journal::start(directory.path(), Some(0), 0).unwrap());
    std::fs::write(segment(directory.path(), 2), [&MAGIC[..], &[9, 0, 0]].concat()).unwrap();
    let mut journal = Journal::start(directory.path(), Some(2), 50).unwrap();
    assert_eq!(list(directory.path()).unwrap(), [0, 2, 3], "the empty one is gone");
    assert_eq!(journal.bytes_since_snapshot(), 50);
    journal.add(&commit(2)).unwrap();
    journal.roll().unwrap();
    assert_eq!(journal.bytes_since_snapshot(), 0);
    journal.forget(Epoch(1)).unwrap();
    assert_eq!(list(directory.path()).unwrap(), [0, 2, 3, 4]);
    journal.forget(Epoch(2)).unwrap();
    assert_eq!(list(directory.path()).unwrap(), [3, 4]);
}
