//! The journal: what is written is read, torn tails are passed over, damage is named.

use super::super::record::CommitRecord;
use super::frame::{HEADER, MAGIC};
use super::segments::{list, path as segment, read};
use super::*;
use std::collections::BTreeMap;
use tidemill_core::Kind;

fn commit(epoch: u64) -> Record {
    Record::Commit(CommitRecord { epoch: Epoch(epoch), next_watermarks: vec![epoch as i64], sinks: BTreeMap::new() })
}

fn changes(epoch: u64) -> Record {
    Record::Changes { epoch: Epoch(epoch), operator: "append-aggregate-0".into(), rows: vec![7; 100] }
}

async fn written(directory: &Path, epochs: std::ops::Range<u64>) -> Vec<Record> {
    let mut journal = Journal::start(directory).unwrap();
    let records: Vec<Record> = epochs.flat_map(|epoch| [changes(epoch), commit(epoch)]).collect();
    for pair in records.chunks(2) {
        pair.iter().for_each(|record| journal.add(record).unwrap());
        journal.flush().await.unwrap();
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_over_several_starts_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut records = written(directory.path(), 0..3).await;
    records.extend(written(directory.path(), 3..5).await);
    assert_eq!(read(directory.path()).unwrap(), records);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_cut_off_anywhere_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let records = written(directory.path(), 0..2).await;
    let path = segment(directory.path(), 0);
    let whole = std::fs::read(&path).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let read = read(directory.path()).unwrap();
        assert_eq!(read, records[..read.len()], "cut at {length}");
        seen.insert(read.len());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_before_the_last_record_is_damage_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), 0..2).await;
    let path = segment(directory.path(), 0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[MAGIC.len() + HEADER + 20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = read(directory.path()).unwrap_err();
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(error.to_string().contains("00000000000000000000.log is damaged at byte 8"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_process_is_fenced() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Journal::start(directory.path()).unwrap();
    first.add(&commit(0)).unwrap();
    first.flush().await.unwrap();
    first.confirm().await.unwrap();
    let mut second = Journal::start(directory.path()).unwrap();
    first.add(&commit(1)).unwrap();
    first.flush().await.unwrap();
    assert_eq!(first.confirm().await.unwrap_err().kind(), Kind::Fenced);
    assert_eq!(first.roll().await.unwrap_err().kind(), Kind::Fenced);
    second.confirm().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_free_again_belongs_to_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Journal::start(directory.path()).unwrap();
    first.add(&commit(0)).unwrap();
    first.flush().await.unwrap();
    let mut second = Journal::start(directory.path()).unwrap();
    for epoch in 1..4 {
        second.add(&commit(epoch)).unwrap();
        second.roll().await.unwrap();
    }
    second.forget(Epoch(3)).unwrap();
    assert_eq!(list(directory.path()).unwrap(), [3, 4]);
    assert_eq!(first.roll().await.unwrap_err().kind(), Kind::Fenced);
    assert_eq!(list(directory.path()).unwrap(), [3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_refused_leaves_nothing_and_one_that_goes_through_stays() {
    let directory = tempfile::tempdir().unwrap();
    drop(Journal::start(directory.path()).unwrap());
    assert!(list(directory.path()).unwrap().is_empty());
    let mut journal = Journal::start(directory.path()).unwrap();
    journal.go_on(0, QueryFaults::none());
    drop(journal);
    assert_eq!(list(directory.path()).unwrap(), [0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_segments_are_forgotten_and_needed_ones_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::start(directory.path()).unwrap();
    for epoch in 0..10 {
        journal.add(&commit(epoch)).unwrap();
        journal.flush().await.unwrap();
        journal.roll().await.unwrap();
    }
    journal.forget(Epoch(4)).unwrap();
    let records = read(directory.path()).unwrap();
    assert_eq!(records.first().map(Record::epoch), Some(Epoch(4)));
    assert_eq!(records.last().map(Record::epoch), Some(Epoch(9)));
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_that_killed_starts_left_empty_do_not_keep_older_ones() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), 0..2).await;
    std::fs::write(segment(directory.path(), 1), MAGIC).unwrap();
    std::fs::write(segment(directory.path(), 2), [&MAGIC[..], &[9, 0, 0]].concat()).unwrap();
    let mut journal = Journal::start(directory.path()).unwrap();
    journal.go_on(50, QueryFaults::none());
    assert_eq!(list(directory.path()).unwrap(), [0, 2, 3], "the empty one is gone");
    assert!(journal.wants_snapshot(50) && !journal.wants_snapshot(51));
    journal.add(&commit(2)).unwrap();
    journal.roll().await.unwrap();
    assert!(!journal.wants_snapshot(1));
    journal.forget(Epoch(1)).unwrap();
    assert_eq!(list(directory.path()).unwrap(), [0, 2, 3, 4]);
    journal.forget(Epoch(2)).unwrap();
    assert_eq!(list(directory.path()).unwrap(), [3, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_write_without_room_left_is_cut_off_before_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::start(directory.path()).unwrap();
    journal.add(&commit(0)).unwrap();
    journal.flush().await.unwrap();
    journal.add(&commit(1)).unwrap();
    // half of it got there, then the disk was full
    let half = journal.buffer[..journal.buffer.len() / 2].to_vec();
    let End::Files(segments) = &mut journal.end else { panic!("a journal on a disk") };
    segments.append(&half).unwrap();
    segments.cut_off().unwrap();
    journal.flush().await.unwrap();
    assert_eq!(read(directory.path()).unwrap(), [commit(0), commit(1)]);
}
