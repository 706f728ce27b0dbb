//! Tables in memory: a sink whose rows a program reads, and a source whose rows a program adds. For
//! tests and notebooks.
//!
//! A program makes a [`MemoryStore`], hands it to [`MemorySink`] and [`MemorySource`], and finds its
//! tables in it by name. Nothing outlives the store, which holds everything without a limit.

mod sink;
mod source;
#[cfg(test)]
mod tests;

pub use sink::MemorySink;
pub use source::MemorySource;

use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidemill_core::sink::{Marker, Writer};
use tidemill_core::{Epoch, Incarnation};
use tokio::sync::Notify;

/// Tables in memory, by name. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    tables: Arc<Mutex<BTreeMap<String, MemoryTable>>>,
}

impl MemoryStore {
    /// A store without tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// The table called `name`, a new one if there is none yet.
    pub fn table(&self, name: &str) -> MemoryTable {
        held(&self.tables).entry(name.to_owned()).or_default().clone()
    }
}

/// One table in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryTable {
    content: Arc<Mutex<Content>>,
    /// Rows were added.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Content {
    batches: Vec<(Epoch, RecordBatch)>,
    /// Who wrote last what, by query and sink.
    markers: BTreeMap<String, (Incarnation, Epoch)>,
}

impl MemoryTable {
    /// Adds rows for a source to read.
    pub fn push(&self, rows: RecordBatch) {
        let mut content = held(&self.content);
        let epoch = content.batches.last().map_or(Epoch(0), |(epoch, _)| epoch.next());
        content.batches.push((epoch, rows));
        drop(content);
        self.changed.notify_waiters();
    }

    /// Every batch, with the epoch that wrote it.
    pub fn batches(&self) -> Vec<(Epoch, RecordBatch)> {
        held(&self.content).batches.clone()
    }

    /// Number of rows.
    pub fn row_count(&self) -> usize {
        held(&self.content).batches.iter().map(|(_, rows)| rows.num_rows()).sum()
    }

    /// Removes all rows; what has been written stays marked.
    pub fn clear(&self) {
        held(&self.content).batches.clear();
    }

    /// Writes an epoch in one step: its rows, instead of what there was if `replace`, and its number.
    fn commit(&self, writer: &Writer, epoch: Epoch, rows: &[RecordBatch], replace: bool) {
        let mut content = held(&self.content);
        if replace {
            content.batches.clear();
        }
        content.batches.extend(rows.iter().filter(|rows| rows.num_rows() > 0).map(|rows| (epoch, rows.clone())));
        content.markers.insert(writer.prefix(), (writer.incarnation.clone(), epoch));
        drop(content);
        self.changed.notify_waiters();
    }

    fn marker(&self, writer: &Writer) -> Marker {
        match held(&self.content).markers.get(&writer.prefix()) {
            None => Marker::Absent,
            Some((incarnation, epoch)) if *incarnation == writer.incarnation => Marker::At(*epoch),
            Some((incarnation, _)) => Marker::Foreign(incarnation.clone()),
        }
    }
}

/// What a lock holds. Every change here is one step, so that a thread that panics elsewhere leaves
/// nothing half done.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
