//! How large the state of an operator is: by key group, and the keys that hold most.

use super::saved::SavedState;
use crate::state::codec::Codec;
use crate::state::groups::{KEY_GROUPS, group_of};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::Serialize;
use std::collections::HashMap;
use tidemill_core::Result;

/// The size of an operator's state. Bytes are those of keys and values as a store has them, before compression.
#[derive(Debug, Clone, Serialize)]
pub struct Sizes {
    /// The operator.
    pub operator: String,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// The key groups that have rows.
    pub groups: Vec<GroupSize>,
    /// The keys with most bytes, largest first.
    pub largest: Vec<KeySize>,
}

/// The size of a key group.
#[derive(Debug, Clone, Serialize)]
pub struct GroupSize {
    /// Its number.
    pub group: u16,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// The size of a key.
#[derive(Debug, Clone, Serialize)]
pub struct KeySize {
    /// The key's columns, as text.
    pub key: Vec<String>,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Rows and bytes of a key, and how it is written.
type Counted = (u64, u64, Vec<String>);

/// Counts the state of an operator; of keys the `most` largest. Rows of a key stand together, so that few keys have
/// to be remembered.
///
/// # Errors
/// Damage; the disk fails.
pub fn sizes(state: &mut SavedState, operator: &str, most: usize) -> Result<Sizes> {
    let shape = state.shape(operator)?;
    let (codec, key_columns) = (Codec::new(&shape)?, shape.keys);
    let mut groups = vec![(0_u64, 0_u64); usize::from(KEY_GROUPS)];
    let mut largest: HashMap<Vec<u8>, Counted> = HashMap::new();
    state.rows(operator, &mut |rows| {
        let (keys, bytes) = (codec.keys(&rows)?, codec.bytes(&rows)?);
        let mut of_batch: HashMap<&[u8], (u64, u64, usize)> = HashMap::new();
        for (row, bytes) in bytes.into_iter().enumerate() {
            let group = &mut groups[usize::from(group_of(keys.row(row)))];
            *group = (group.0 + 1, group.1 + bytes);
            let key = of_batch.entry(keys.row(row)).or_insert((0, 0, row));
            *key = (key.0 + 1, key.1 + bytes, key.2);
        }
        let mut of_batch: Vec<_> = of_batch.into_iter().collect();
        of_batch.sort_by_key(|(_, (_, bytes, _))| std::cmp::Reverse(*bytes));
        let known: Vec<bool> = of_batch.iter().map(|(key, _)| largest.contains_key(*key)).collect();
        for (place, (key, (rows_of, bytes, row))) in of_batch.into_iter().enumerate() {
            if place < most || known[place] {
                let key = largest.entry(key.to_vec()).or_insert_with(|| (0, 0, words(&rows, &key_columns, row)));
                (key.0, key.1) = (key.0 + rows_of, key.1 + bytes);
            }
        }
        keep_most(&mut largest, most * 4);
        Ok(true)
    })?;
    keep_most(&mut largest, most);
    let mut largest: Vec<KeySize> =
        largest.into_values().map(|(rows, bytes, key)| KeySize { key, rows, bytes }).collect();
    largest.sort_by(|left, right| right.bytes.cmp(&left.bytes).then_with(|| left.key.cmp(&right.key)));
    let numbered = groups.iter().enumerate().filter(|(_, (rows, _))| *rows > 0);
    Ok(Sizes {
        operator: operator.to_owned(),
        rows: groups.iter().map(|(rows, _)| rows).sum(),
        bytes: groups.iter().map(|(_, bytes)| bytes).sum(),
        groups: numbered
            .map(|(group, (rows, bytes))| GroupSize { group: group as u16, rows: *rows, bytes: *bytes })
            .collect(),
        largest,
    })
}

fn keep_most(keys: &mut HashMap<Vec<u8>, Counted>, most: usize) {
    if keys.len() > most {
        let mut bytes: Vec<u64> = keys.values().map(|(_, bytes, _)| *bytes).collect();
        bytes.sort_unstable_by_key(|bytes| std::cmp::Reverse(*bytes));
        let least = bytes.get(most.saturating_sub(1)).copied().unwrap_or(0);
        let mut left = most;
        keys.retain(|_, (_, bytes, _)| {
            let stays = *bytes >= least && left > 0;
            left -= usize::from(stays);
            stays
        });
    }
}

fn words(rows: &RecordBatch, keys: &std::ops::Range<usize>, row: usize) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns = rows.columns()[keys.clone()].iter();
    columns
        .map(|column| {
            let shown = ArrayFormatter::try_new(column.as_ref(), &options);
            shown.map_or_else(|_| "?".to_owned(), |shown| shown.value(row).to_string())
        })
        .collect()
}
