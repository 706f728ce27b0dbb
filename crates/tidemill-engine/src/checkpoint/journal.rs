//! The journal: the open end of what a query has planned, changed and committed. Records are gathered and written
//! together: to one file with one fsync, or as one object of a log in an object store.
//!
//! How they look is in [`frame`], the files are in [`segments`], the objects in [`super::remote::log`].

pub mod frame;
pub mod segments;

use super::record::Record;
use super::remote::log::ObjectLog;
use crate::faults::QueryFaults;
use segments::Segments;
use std::path::Path;
use tidemill_core::{Epoch, Result, Step};

/// Objects of a journal in an object store after which a snapshot is made, so that a start reads few of them.
const OBJECTS_MAX: u64 = 2000;

/// The open end of the journal.
#[derive(Debug)]
pub struct Journal {
    end: End,
    buffer: Vec<u8>,
    /// The first epoch in the buffer.
    first: Option<Epoch>,
    /// The middles of the plans and commits in the buffer.
    middles: Vec<(Step, usize)>,
    faults: QueryFaults,
    /// Bytes since the last snapshot, by this process and those before it.
    since_snapshot: u64,
}

#[derive(Debug)]
enum End {
    Files(Segments),
    Objects(ObjectLog),
}

impl Journal {
    /// Starts a new segment in `directory`.
    ///
    /// # Errors
    /// Another process has started it ([`tidemill_core::Kind::Fenced`]), or it cannot be written.
    pub fn start(directory: &Path) -> Result<Self> {
        Ok(Journal::with(End::Files(Segments::start(directory)?)))
    }

    /// Goes on with a log in an object store.
    pub fn of_objects(log: ObjectLog) -> Self {
        Journal::with(End::Objects(log))
    }

    fn with(end: End) -> Self {
        let faults = QueryFaults::none();
        Journal { end, buffer: vec![], first: None, middles: vec![], faults, since_snapshot: 0 }
    }

    /// The start goes through. `since_snapshot` is how much was written since the last snapshot, so that a query that
    /// starts often makes snapshots as one that runs on does; `faults` may break its writes.
    pub fn go_on(&mut self, since_snapshot: u64, faults: QueryFaults) {
        if let End::Files(segments) = &mut self.end {
            segments.stay();
        }
        (self.since_snapshot, self.faults) = (since_snapshot, faults);
    }

    /// Adds a record to what the next [`Journal::flush`] writes.
    ///
    /// # Errors
    /// A record that has no JSON, which is a bug.
    pub fn add(&mut self, record: &Record) -> Result<()> {
        let start = self.buffer.len();
        frame::encode(&mut self.buffer, record)?;
        self.first.get_or_insert(record.epoch());
        let middle = start.midpoint(self.buffer.len());
        match record {
            Record::Plan(_) => self.middles.push((Step::PlanTorn, middle)),
            Record::Commit(_) => self.middles.push((Step::CommitTorn, middle)),
            Record::Changes { .. } => {}
        }
        Ok(())
    }

    /// True when records wait to be written.
    pub fn has_pending(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// True when what [`Journal::begin`] began may not be durable yet.
    pub fn is_in_flight(&self) -> bool {
        matches!(&self.end, End::Objects(log) if log.is_in_flight())
    }

    /// Begins to write what was added. On a disk it is durable at once; to an object store it is on its way.
    ///
    /// # Errors
    /// There is no room ([`tidemill_core::Error::is_no_room`]): nothing was written, and it may be tried again. Or
    /// the disk fails; what it holds is then unknown, and the query must stop. Or what was begun before has failed.
    pub async fn begin(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        match &mut self.end {
            End::Files(_) => tokio::task::block_in_place(|| self.write())?,
            End::Objects(log) => {
                self.middles.iter().try_for_each(|(step, _)| self.faults.at(*step))?;
                log.begin(&self.buffer, self.first).await?;
            }
        }
        self.since_snapshot += self.buffer.len() as u64;
        self.buffer.clear();
        self.middles.clear();
        self.first = None;
        Ok(())
    }

    /// Waits until what was begun is durable.
    ///
    /// # Errors
    /// It cannot be written, or another process has taken over ([`tidemill_core::Kind::Fenced`]).
    pub async fn durable(&mut self) -> Result<()> {
        match &mut self.end {
            End::Files(_) => Ok(()),
            End::Objects(log) => log.durable().await,
        }
    }

    /// Makes sure that the checkpoint is still ours: nothing may be done for others to see without.
    ///
    /// # Errors
    /// Another process has taken over ([`tidemill_core::Kind::Fenced`]).
    pub async fn confirm(&mut self) -> Result<()> {
        match &mut self.end {
            End::Files(segments) => segments.confirm(),
            End::Objects(log) => log.confirm().await,
        }
    }

    /// Writes what was added and waits until it is durable.
    ///
    /// # Errors
    /// As [`Journal::begin`] and [`Journal::durable`].
    pub async fn flush(&mut self) -> Result<()> {
        self.begin().await?;
        self.durable().await
    }

    /// Writes what was added to a journal on a disk, for tools.
    ///
    /// # Errors
    /// The disk fails.
    pub fn flush_to_disk(&mut self) -> Result<()> {
        self.write()?;
        self.buffer.clear();
        self.middles.clear();
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let End::Files(segments) = &mut self.end else { return Ok(()) };
        let mut from = 0;
        for (step, middle) in &self.middles {
            // a fault wants the record torn: its first half is written before
            if self.faults.tears(*step) {
                segments.append(&self.buffer[from..*middle])?;
                from = *middle;
            }
            self.faults.at(*step)?;
        }
        segments.append(&self.buffer[from..])?;
        segments.sync()
    }

    /// Bytes written since the last snapshot: what a start replays.
    pub fn bytes_since_snapshot(&self) -> u64 {
        self.since_snapshot
    }

    /// True when a start would have much to read: more than `bytes_max`, or many objects.
    pub fn wants_snapshot(&self, bytes_max: u64) -> bool {
        let objects = match &self.end {
            End::Files(_) => 0,
            End::Objects(log) => log.objects_since_snapshot(),
        };
        self.since_snapshot >= bytes_max || objects >= OBJECTS_MAX
    }

    /// Number of the first object that has records of `keep_from` or later; `None` on a disk.
    pub fn number_of(&self, keep_from: Epoch) -> Option<u64> {
        match &self.end {
            End::Files(_) => None,
            End::Objects(log) => Some(log.number_of(keep_from)),
        }
    }

    /// Starts a new segment after a snapshot.
    ///
    /// # Errors
    /// Another process has started it, or it cannot be written.
    pub async fn roll(&mut self) -> Result<()> {
        self.flush().await?;
        match &mut self.end {
            End::Files(segments) => segments.roll()?,
            End::Objects(log) => log.snapshot_taken(),
        }
        self.since_snapshot = 0;
        Ok(())
    }

    /// Removes segments in which every record is of an epoch before `keep_from`. Objects are removed once the
    /// snapshot is in the store ([`super::remote::snapshots`]).
    ///
    /// # Errors
    /// A segment cannot be read or removed.
    pub fn forget(&mut self, keep_from: Epoch) -> Result<()> {
        match &mut self.end {
            End::Files(segments) => segments.forget(keep_from, &self.faults),
            End::Objects(log) => {
                log.forget(log.number_of(keep_from));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
