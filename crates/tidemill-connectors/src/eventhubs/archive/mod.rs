//! The archive of an event hub: where the event of a position lies, and what is in a file.
//!
//! Files of a partition follow each other in time, so their events do in number. Which events a file holds is known once
//! it was read; a look-up reads as few as a binary search needs, then one after the other.

mod decode;
mod files;
mod layout;

pub(super) use files::Files;
pub(super) use layout::{DEFAULT, Layout};

use bytes::Bytes;
use layout::Named;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tidemill_core::source::Records;
use tidemill_core::{Kind, Result, ResultExt};

/// The archive, as it was when it was listed.
pub(super) struct Archive {
    files: Files,
    layout: Layout,
    partitions: BTreeMap<u32, Partition>,
    /// Files that were read and may be read again soon.
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Partition {
    /// In the order of time.
    names: Vec<String>,
    /// The file that was looked at last.
    at: usize,
}

/// Where a position lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In this file.
    In { name: String, span: Span },
    /// In none; the archive goes on at this position.
    Before(u64),
    /// Behind all there is.
    Behind,
}

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Its first position, and the one after its last.
    pub(super) first: u64,
    pub(super) end: u64,
    /// When its first event was enqueued, in microseconds since 1970.
    pub(super) time: i64,
    /// What it takes of memory.
    pub(super) bytes: u64,
}

struct Cache {
    bytes_max: usize,
    bytes: usize,
    kept: VecDeque<(String, Arc<Records>)>,
    /// `None` for a file without events, which Capture writes for a window in which nothing came.
    spans: BTreeMap<String, Option<Span>>,
}

impl Archive {
    /// Lists what there is; about `cache_bytes` of files are kept in memory.
    ///
    /// # Errors
    /// The place cannot be listed.
    pub(super) async fn open(files: Files, layout: Layout, cache_bytes: usize) -> Result<Archive> {
        let cache = Cache { bytes_max: cache_bytes, bytes: 0, kept: VecDeque::new(), spans: BTreeMap::new() };
        let mut archive = Archive { files, layout, partitions: BTreeMap::new(), cache: Mutex::new(cache) };
        archive.list().await?;
        Ok(archive)
    }

    /// Lists again; true when there is more than before.
    ///
    /// # Errors
    /// The place cannot be listed.
    pub(super) async fn list(&mut self) -> Result<bool> {
        let names = self.files.list().await?;
        let mut named: Vec<Named> = names.iter().filter_map(|name| self.layout.read(name)).collect();
        named.sort();
        let mut partitions: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for one in named {
            partitions.entry(one.partition).or_default().push(one.name);
        }
        let mut grew = false;
        for (number, names) in partitions {
            let partition = self.partitions.entry(number).or_default();
            grew |= names.len() > partition.names.len();
            *partition = Partition { at: partition.at.min(names.len()), names };
        }
        Ok(grew)
    }

    /// The partitions there are archives of.
    pub(super) fn partitions(&self) -> Vec<u32> {
        self.partitions.keys().copied().collect()
    }

    /// Where `position` lies.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) async fn find(&mut self, partition: u32, position: u64) -> Result<Place> {
        let Some(mut known) = self.partitions.remove(&partition) else { return Ok(Place::Behind) };
        let found = self.find_in(&mut known, position).await;
        self.partitions.insert(partition, known);
        found
    }

    async fn find_in(&self, partition: &mut Partition, position: u64) -> Result<Place> {
        let starts_behind = match self.span_from(partition, partition.at, partition.names.len()).await? {
            Some((_, span)) => span.first > position,
            None => true,
        };
        if partition.at == 0 || starts_behind {
            partition.at = self.search(partition, position).await?;
        }
        while let Some((at, span)) = self.span_from(partition, partition.at, partition.names.len()).await? {
            partition.at = at;
            if position < span.first {
                return Ok(Place::Before(span.first));
            }
            if position < span.end {
                return Ok(Place::In { name: partition.names[at].clone(), span });
            }
            partition.at = at + 1;
        }
        Ok(Place::Behind)
    }

    /// The last file that begins at `position` or before, or the first.
    async fn search(&self, partition: &Partition, position: u64) -> Result<usize> {
        let (mut low, mut high) = (0, partition.names.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.span_from(partition, middle, high).await? {
                Some((at, span)) if span.first <= position => low = at + 1,
                _ => high = middle,
            }
        }
        Ok(low.saturating_sub(1))
    }

    /// The first file of those from `from` to `to` that holds events.
    async fn span_from(&self, partition: &Partition, from: usize, to: usize) -> Result<Option<(usize, Span)>> {
        for at in from..to {
            let name = &partition.names[at];
            let known = self.cache().spans.get(name).copied();
            let span = match known {
                Some(span) => span,
                None => span_of(&*self.records(name).await?),
            };
            if let Some(span) = span {
                return Ok(Some((at, span)));
            }
        }
        Ok(None)
    }

    /// The events of a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) async fn records(&self, name: &str) -> Result<Arc<Records>> {
        let kept = self.cache().kept.iter().find(|(of, _)| of == name).map(|(_, records)| records.clone());
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let (file, of): (Bytes, String) = (self.files.read(name).await?, name.to_owned());
        let decoded = tokio::task::spawn_blocking(move || decode::records(&of, &file)).await;
        let records =
            Arc::new(decoded.context(Kind::Bug, || "the thread that decodes an archive ended early".into())??);
        self.cache().keep(name, records.clone());
        Ok(records)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// Keeps a file; the oldest go, but never this one.
    fn keep(&mut self, name: &str, records: Arc<Records>) {
        self.spans.insert(name.to_owned(), span_of(&records));
        self.bytes += records.data.len();
        self.kept.push_back((name.to_owned(), records));
        while self.bytes > self.bytes_max && self.kept.len() > 1 {
            if let Some((_, gone)) = self.kept.pop_front() {
                self.bytes -= gone.data.len();
            }
        }
    }
}

fn span_of(records: &Records) -> Option<Span> {
    Some(Span {
        first: *records.offsets.first()?,
        end: records.offsets.last()? + 1,
        time: *records.timestamps.first()?,
        bytes: records.data.len() as u64,
    })
}
