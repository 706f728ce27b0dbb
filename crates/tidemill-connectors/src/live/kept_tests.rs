//! Tests of live tables on disk.

use super::*;
use arrow::array::{ArrayRef, AsArray as _, Int64Array};
use arrow::datatypes::Int64Type;
use std::sync::Arc;
use tidemill_core::Incarnation;

fn rows(from: i64, count: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new((from..from + count).collect::<Int64Array>());
    let texts: ArrayRef = Arc::new((0..count).map(|_| Some("x".repeat(200))).collect::<arrow::array::StringArray>());
    RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap()
}

fn rules() -> Rules {
    let schema = rows(0, 0).schema();
    Rules { table: "t".into(), schema, key: vec![0], rows_max: 1_000_000, evicts: false, retention: None }
}

fn writer() -> Writer {
    Writer { query: "q".into(), sink: "t".into(), incarnation: Incarnation("one".into()) }
}

struct Table(Content, Kept, Marker);

fn open(folder: &Path) -> Result<Table> {
    let mut content = Content::new(rules()).unwrap();
    let (kept, marker) = Kept::open(folder, &rules(), &mut content, &writer())?;
    Ok(Table(content, kept, marker))
}

fn commit(table: &mut Table, epoch: u64, rows: RecordBatch) {
    let rows = [rows];
    table.0.apply(Epoch(epoch), &rows, false, i64::MIN).unwrap();
    let change = Change { writer: &writer(), epoch: Epoch(epoch), rows: &rows, replace: false, newest: 0 };
    table.1.commit(&change, &table.0.snapshot()).unwrap();
}

fn ids(table: &Table) -> Vec<i64> {
    let batches = table.0.snapshot().batches().unwrap();
    let mut ids: Vec<i64> =
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn what_was_committed_is_there_again_also_over_many_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = open(folder.path()).unwrap();
    assert_eq!(table.2, Marker::Absent);
    for epoch in 0..60 {
        commit(&mut table, epoch, rows(epoch as i64 * 100, 1_000));
        if epoch % 7 == 0 {
            drop(table);
            table = open(folder.path()).unwrap();
            assert_eq!(table.2, Marker::At(Epoch(epoch)));
        }
    }
    assert!(table.1.number > 1, "a new file was begun");
    assert_eq!(numbers(folder.path()).unwrap().len(), 1);
    assert_eq!(ids(&table), (0..6_900).collect::<Vec<_>>());
}

#[test]
fn every_cut_of_the_last_epoch_gives_the_epoch_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = open(folder.path()).unwrap();
    commit(&mut table, 0, rows(0, 3));
    let first = table.1.length;
    commit(&mut table, 1, rows(3, 2));
    let (path, number) = (file_name(folder.path(), 1), table.1.number);
    assert_eq!(number, 1);
    drop(table);
    let bytes = std::fs::read(&path).unwrap();
    for cut in (first as usize..bytes.len()).step_by(7) {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let table = open(folder.path()).unwrap();
        assert_eq!((table.2.clone(), ids(&table)), (Marker::At(Epoch(0)), vec![0, 1, 2]), "cut at {cut}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), first);
    }
    let mut flipped = bytes.clone();
    flipped[20] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    assert!(open(folder.path()).err().unwrap().to_string().contains("damaged at byte 0"));
}

#[test]
fn a_second_process_is_refused_and_another_incarnation_is_foreign() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = open(folder.path()).unwrap();
    commit(&mut table, 0, rows(0, 3));
    assert_eq!(open(folder.path()).err().unwrap().kind(), Kind::Fenced);
    drop(table);
    let mut content = Content::new(rules()).unwrap();
    let other = Writer { incarnation: Incarnation("two".into()), ..writer() };
    let (_kept, marker) = Kept::open(folder.path(), &rules(), &mut content, &other).unwrap();
    assert_eq!(marker, Marker::Foreign(Incarnation("one".into())));
}
