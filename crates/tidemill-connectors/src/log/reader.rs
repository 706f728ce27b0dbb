//! Reads a topic: what is committed, and the records of a range.
//!
//! Blocking; callers on an async runtime move the reads to a blocking thread.

use super::batch;
use super::commits::Follower;
use super::published;
use super::readers::{self, KnownReader};
use super::segment::{Batch, Segment, list, name};
use super::topic::{Identity, Paths, missing};
use bytes::Bytes;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tidemill_core::source::Records;
use tidemill_core::{Error, Kind, Result};

/// A reader of one topic.
pub struct LogReader {
    paths: Paths,
    identity: Identity,
    published: File,
    boot: [u8; 16],
    follower: Follower,
    partitions: Vec<Arc<PartitionReader>>,
}

impl LogReader {
    /// Opens `topic` in the log at `root`.
    ///
    /// # Errors
    /// There is no such topic (yet); a damaged topic; no permission.
    pub fn open(root: &Path, topic: &str) -> Result<LogReader> {
        let paths = Paths::new(root, topic)?;
        let identity = Identity::read(&paths)?.ok_or_else(|| missing(&paths))?;
        let path = paths.published();
        let published =
            File::open(&path).map_err(|cause| Error::io(format!("cannot open {}", path.display()), cause))?;
        let partitions = (0..identity.all() as u32).map(|partition| {
            Arc::new(PartitionReader {
                topic: topic.to_owned(),
                partition,
                directory: paths.partition(partition),
                cursor: Mutex::new(None),
            })
        });
        let mut reader = LogReader {
            partitions: partitions.collect(),
            follower: Follower::new(paths.commits()),
            boot: published::boot(),
            published,
            identity,
            paths,
        };
        reader.refresh()?;
        Ok(reader)
    }

    /// Identity of the topic: another one when the topic was deleted and made again.
    pub fn id(&self) -> &str {
        &self.identity.id
    }

    /// Looks for new commits; end offset of every partition.
    ///
    /// # Errors
    /// The topic is damaged, or was deleted and made again ([`Kind::Data`]).
    pub fn refresh(&mut self) -> Result<&[u64]> {
        let sequence = published::read(&self.published, &self.paths.published(), self.boot)?;
        if let Err(error) = self.follower.advance(sequence) {
            self.check_identity()?;
            return Err(error);
        }
        Ok(self.ends())
    }

    /// End offset of every partition, as of the last refresh.
    pub fn ends(&self) -> &[u64] {
        let ends = &self.follower.state().ends;
        &ends[..ends.len().min(self.identity.partitions as usize)]
    }

    /// The reader of an internal partition, and its end offset.
    ///
    /// # Errors
    /// No such partition.
    pub(crate) fn internal(&self, number: u32) -> Result<(&Arc<PartitionReader>, u64)> {
        let at = (self.identity.partitions + number) as usize;
        match (self.partitions.get(at), self.follower.state().ends.get(at)) {
            (Some(reader), Some(end)) => Ok((reader, *end)),
            _ => Err(Error::bug(format!("topic '{}' has no internal partition {number}", self.paths.topic))),
        }
    }

    /// True when a refresh would bring something, or an error.
    pub fn has_news(&self) -> bool {
        let read = published::read(&self.published, &self.paths.published(), self.boot);
        read.map_or(true, |sequence| sequence.is_some_and(|sequence| sequence > self.follower.state().sequence))
    }

    /// The reader of one partition.
    ///
    /// # Errors
    /// No such partition.
    pub fn partition(&self, partition: u32) -> Result<&Arc<PartitionReader>> {
        let open = &self.partitions[..self.identity.partitions as usize];
        open.get(partition as usize).ok_or_else(|| {
            let (topic, count) = (&self.paths.topic, open.len());
            Error::new(Kind::Data, format!("topic '{topic}' has {count} partitions and no partition {partition}"))
        })
    }

    /// Number of commits so far.
    pub fn commits(&self) -> u64 {
        self.follower.state().sequence
    }

    /// Every writer that has committed with a marker, and its newest epoch.
    pub fn writers(&self) -> impl Iterator<Item = (&str, u64)> {
        self.follower.state().writers.iter().map(|(id, epoch)| (id.as_str(), *epoch))
    }

    /// What its readers have committed.
    ///
    /// # Errors
    /// That cannot be read.
    pub fn readers(&self) -> Result<Vec<KnownReader>> {
        readers::known(&self.paths)
    }

    /// Forgets a reader that does not run, so that retention waits for it no more; false when there is none of the
    /// name.
    ///
    /// # Errors
    /// It runs, or cannot be forgotten.
    pub fn forget_reader(&self, name: &str) -> Result<bool> {
        readers::forget(&self.paths, name)
    }

    /// Where the parts of the topic are.
    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Refuses a topic that is not the one that was opened.
    ///
    /// # Errors
    /// [`Kind::Data`] when it was deleted, or made again.
    pub fn check_identity(&self) -> Result<()> {
        let (topic, root) = (&self.paths.topic, self.paths.root.display());
        match Identity::read(&self.paths)? {
            Some(now) if now.id == self.identity.id => Ok(()),
            Some(_) => Err(Error::new(Kind::Data, format!("topic '{topic}' in {root} was deleted and made again"))),
            None => Err(Error::new(Kind::Data, format!("topic '{topic}' in {root} was deleted"))),
        }
    }
}

/// A reader of one partition.
pub struct PartitionReader {
    topic: String,
    partition: u32,
    directory: PathBuf,
    cursor: Mutex<Option<Cursor>>,
}

/// Where in which segment the batch with the offsets `offset` to `reach` starts.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    segment: u64,
    position: u64,
    offset: u64,
    reach: u64,
}

impl PartitionReader {
    /// Offset of the oldest record that is kept.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn start(&self) -> Result<u64> {
        Ok(list(&self.directory)?.first().copied().unwrap_or(0))
    }

    /// Number of segments.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn segments(&self) -> Result<usize> {
        Ok(list(&self.directory)?.len())
    }

    /// Bytes of all segments.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn bytes(&self) -> Result<u64> {
        let segments = list(&self.directory)?.into_iter();
        let sizes = segments.filter_map(|base| std::fs::metadata(self.directory.join(name(base))).ok());
        Ok(sizes.map(|data| data.len()).sum())
    }

    /// The records of `range`, which must be committed, in pieces of about a mebibyte.
    ///
    /// # Errors
    /// [`Kind::Data`] when retention has deleted the start of the range; a damaged segment.
    pub fn read(&self, range: &Range<u64>) -> Result<Vec<Records>> {
        let mut pieces = Vec::new();
        if range.is_empty() {
            return Ok(pieces);
        }
        let mut at = self.locate(range)?;
        let mut segment = self.open(at.segment, range)?;
        let (mut position, mut offset) = (at.position, at.offset);
        while offset < range.end {
            let loaded = segment.load(position, range.end)?;
            let Some(last) = loaded.batches.last() else {
                if at.segment == offset {
                    return Err(segment.damaged(position, "it ends before what is committed"));
                }
                segment = self.open(offset, range)?;
                (at.segment, position) = (offset, 0);
                continue;
            };
            let (last_base, last_start, reach) = (last.head.base, last.start as u64, last.head.end());
            let follows = pairs_follow(&loaded.batches, offset);
            let piece = piece(loaded.bytes, &loaded.batches, range);
            let Some(piece) = piece.filter(|_| follows) else {
                return Err(segment.damaged(position, "batches that do not follow each other"));
            };
            at = Cursor { segment: at.segment, position: position + last_start, offset: last_base, reach };
            (position, offset) = (loaded.next, reach);
            if !piece.is_empty() {
                pieces.push(piece);
            }
        }
        if offset == range.end {
            at = Cursor { segment: at.segment, position, offset, reach: offset };
        }
        *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
        Ok(pieces)
    }

    /// Where to start reading: the batch the last read stopped in or before, or else the segment's start.
    fn locate(&self, range: &Range<u64>) -> Result<Cursor> {
        let cursor = *self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cursor) = cursor.filter(|cursor| (cursor.offset..=cursor.reach).contains(&range.start)) {
            return Ok(cursor);
        }
        let bases = list(&self.directory)?;
        match bases.iter().rev().find(|base| **base <= range.start) {
            Some(base) => Ok(Cursor { segment: *base, position: 0, offset: *base, reach: *base }),
            None => Err(self.gone(range, bases.first().copied().unwrap_or(0))),
        }
    }

    fn open(&self, base: u64, range: &Range<u64>) -> Result<Segment> {
        match Segment::open(&self.directory, base)? {
            Some(segment) => Ok(segment),
            None => Err(self.gone(range, self.start()?)),
        }
    }

    fn gone(&self, range: &Range<u64>, start: u64) -> Error {
        let place = format!("topic '{}', partition {}", self.topic, self.partition);
        let (from, to) = (range.start, start.clamp(range.start, range.end));
        Error::new(Kind::Data, format!("{place}: offsets {from} to {to} are gone; the log starts at {start}"))
    }
}

/// True when each batch starts where the one before it ended, the first at `offset`.
fn pairs_follow(batches: &[Batch], mut offset: u64) -> bool {
    batches.iter().all(|batch| {
        let follows = batch.head.base == offset;
        offset = batch.head.end();
        follows
    })
}

/// The records of `batches` within `range`; `None` when a batch does not hold what it says.
fn piece(bytes: Vec<u8>, batches: &[Batch], range: &Range<u64>) -> Option<Records> {
    let mut piece = Records { data: Bytes::from(bytes), ..Records::default() };
    let data = piece.data.clone();
    let fits = batches
        .iter()
        .filter(|batch| batch.head.end() > range.start)
        .all(|batch| batch::records(&data, &batch.head, batch.records, batch.end, range, &mut piece));
    fits.then_some(piece)
}
