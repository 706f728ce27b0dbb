//! Tests of what a live table holds.

use super::*;
use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use std::collections::BTreeMap;

fn rules(key: bool, rows_max: usize, evicts: bool, retention: Option<i64>) -> Rules {
    let schema = rows(&[]).schema();
    let key = if key { vec![0] } else { vec![] };
    Rules { table: "t".into(), schema, key, rows_max, evicts, retention: retention.map(|span| (1, span)) }
}

fn rows(values: &[(i64, i64)]) -> RecordBatch {
    let ids: ArrayRef = Arc::new(values.iter().map(|(id, _)| *id).collect::<Int64Array>());
    let times: ArrayRef = Arc::new(values.iter().map(|(_, at)| Some(*at)).collect::<TimestampMicrosecondArray>());
    RecordBatch::try_from_iter([("id", ids), ("at", times)]).unwrap()
}

fn held(content: &Content) -> Vec<(i64, i64)> {
    let mut out = vec![];
    for batch in content.snapshot().batches().unwrap() {
        let ids = batch.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        out.extend(ids.values().iter().copied().zip(times.values().iter().copied()));
    }
    out
}

fn apply(content: &mut Content, epoch: u64, values: &[(i64, i64)]) {
    content.apply(Epoch(epoch), &[rows(values)], false, i64::MIN).unwrap();
}

#[test]
fn a_row_replaces_that_of_its_key_and_an_old_snapshot_stays() {
    let mut content = Content::new(rules(true, 100, false, None)).unwrap();
    apply(&mut content, 0, &[(1, 10), (2, 20), (1, 11)]);
    let before = content.snapshot();
    apply(&mut content, 1, &[(2, 21)]);
    assert_eq!(held(&content), [(1, 11), (2, 21)]);
    assert_eq!((before.rows, before.epoch), (2, Some(Epoch(0))));
    assert_eq!(before.batches().unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
}

#[test]
fn many_epochs_of_many_keys_are_as_a_map_would_have_them() {
    let mut content = Content::new(rules(true, 10_000, false, None)).unwrap();
    let mut map = BTreeMap::new();
    let mut seed = 7_u64;
    for epoch in 0..400 {
        let values: Vec<(i64, i64)> = (0..seed % 9)
            .map(|at| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((seed >> 33) as i64 % 200, at as i64 + 10 * epoch as i64)
            })
            .collect();
        seed = seed.wrapping_add(0x9E37_79B9);
        map.extend(values.iter().copied());
        apply(&mut content, epoch, &values);
    }
    let mut found = held(&content);
    found.sort_unstable();
    assert_eq!(found, map.into_iter().collect::<Vec<_>>());
    assert!(content.pieces.len() < 12, "{} pieces", content.pieces.len());
}

#[test]
fn the_oldest_rows_go_or_the_query_stops() {
    let mut content = Content::new(rules(false, 3, true, None)).unwrap();
    for epoch in 0..5 {
        apply(&mut content, epoch, &[(epoch as i64, 0), (epoch as i64, 1)]);
    }
    assert_eq!(held(&content), [(3, 1), (4, 0), (4, 1)]);
    let mut keyed = Content::new(rules(true, 2, true, None)).unwrap();
    apply(&mut keyed, 0, &[(1, 0), (2, 0), (3, 0)]);
    apply(&mut keyed, 1, &[(1, 5)]);
    assert_eq!(held(&keyed), [(3, 0), (1, 5)]);
    let mut full = Content::new(rules(true, 2, false, None)).unwrap();
    let error = full.apply(Epoch(0), &[rows(&[(1, 0), (2, 0), (3, 0)])], false, i64::MIN).unwrap_err();
    assert!(error.report().contains("max_rows = 2") && error.report().contains("evict"), "{}", error.report());
}

#[test]
fn rows_too_far_behind_the_newest_go() {
    let mut content = Content::new(rules(true, 100, false, Some(10))).unwrap();
    apply(&mut content, 0, &[(1, 100), (2, 95), (3, 80)]);
    assert_eq!(held(&content), [(1, 100), (2, 95)]);
    apply(&mut content, 1, &[(4, 106)]);
    assert_eq!(held(&content), [(1, 100), (4, 106)]);
    // a key that went may come back
    apply(&mut content, 2, &[(2, 107)]);
    assert_eq!(held(&content), [(1, 100), (4, 106), (2, 107)]);
}

#[test]
fn complete_replaces_everything() {
    let mut content = Content::new(rules(false, 100, false, None)).unwrap();
    content.apply(Epoch(0), &[rows(&[(1, 1), (2, 2)])], true, i64::MIN).unwrap();
    content.apply(Epoch(1), &[rows(&[(3, 3)])], true, i64::MIN).unwrap();
    assert_eq!(held(&content), [(3, 3)]);
    content.apply(Epoch(2), &[], true, i64::MIN).unwrap();
    assert_eq!(content.snapshot().rows, 0);
}
