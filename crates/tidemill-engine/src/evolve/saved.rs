//! What a checkpoint holds of each operator, read from outside: how much, and in which columns.

use crate::checkpoint::record::Record;
use crate::checkpoint::snapshot::{self, Manifest};
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use tidemill_core::{Epoch, Result};

/// The state in a checkpoint.
pub struct Saved {
    /// The newest committed epoch.
    pub committed: Option<Epoch>,
    snapshot: Option<(PathBuf, Manifest)>,
    /// Of the changes after the snapshot: bytes and columns by operator.
    changes: BTreeMap<String, (u64, Option<SchemaRef>)>,
}

impl Saved {
    /// The state of the checkpoint in `directory`, whose journal has these records.
    ///
    /// # Errors
    /// The snapshots cannot be listed.
    pub fn of(directory: &Path, records: &[Record]) -> Result<Saved> {
        let committed = records.iter().filter(|record| matches!(record, Record::Commit(_))).map(Record::epoch).max();
        let snapshot = snapshot::newest_manifest(&directory.join("snapshots"))?;
        let first = snapshot.as_ref().map_or(Epoch(0), |(_, manifest)| manifest.epoch.next());
        let committed = committed.max(snapshot.as_ref().map(|(_, manifest)| manifest.epoch));
        let mut changes: BTreeMap<String, (u64, Option<SchemaRef>)> = BTreeMap::new();
        for record in records {
            let Record::Changes { epoch, operator, rows } = record else { continue };
            if *epoch >= first {
                let known = changes.entry(operator.clone()).or_default();
                known.0 += rows.len() as u64;
                known.1 = schema(&rows[..]).or(known.1.take());
            }
        }
        Ok(Saved { committed, snapshot, changes })
    }

    /// True when there is a snapshot.
    pub fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// The store that has the state, by name; `None` for files.
    pub fn store(&self) -> Option<&str> {
        self.snapshot.as_ref()?.1.store.as_ref().map(|store| store.backend.as_str())
    }

    /// Bytes of an operator's state: its file and the changes since, as they are on disk. `None` when it shares a
    /// store with others.
    pub fn bytes(&self, operator: &str) -> Option<u64> {
        if self.store().is_some() {
            return None;
        }
        let file = self.snapshot.as_ref().and_then(|(_, manifest)| manifest.files.get(operator));
        Some(file.map_or(0, |file| file.bytes) + self.changes.get(operator).map_or(0, |(bytes, _)| *bytes))
    }

    /// Bytes of the whole store, when there is one.
    pub fn store_bytes(&self) -> Option<u64> {
        let store = self.snapshot.as_ref()?.1.store.as_ref()?;
        Some(store.files.iter().map(|file| file.bytes).sum())
    }

    /// The columns an operator's state was last saved in.
    pub fn schema(&self, operator: &str) -> Option<SchemaRef> {
        if let Some((_, Some(known))) = self.changes.get(operator) {
            return Some(known.clone());
        }
        let (path, manifest) = self.snapshot.as_ref()?;
        schema(File::open(path.join(&manifest.files.get(operator)?.name)).ok()?)
    }
}

fn schema(bytes: impl std::io::Read) -> Option<SchemaRef> {
    StreamReader::try_new(bytes, None).ok().map(|reader| reader.schema())
}
