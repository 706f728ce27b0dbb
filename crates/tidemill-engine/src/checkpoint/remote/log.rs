//! The open end of a journal in an object store: each write is one object, made if there is none of its number. Who
//! has made the newest object owns the checkpoint; whoever finds the next number taken has lost it.

use super::patience::Patience;
use crate::checkpoint::journal::frame::{self, MAGIC};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;
use tidemill_core::{Epoch, Error, Kind, Result};
use tidemill_objects::Objects;
use tidemill_objects::sequence::Sequence;
use tokio::task::JoinHandle;

/// How the names of its objects end.
pub const SUFFIX: &str = ".log";

/// For how long an answer of the store that the log is ours is believed.
const CONFIRMED_FOR: Duration = Duration::from_secs(1);

/// The end that is written. Dropping it gives up what is on its way.
#[derive(Debug)]
pub struct ObjectLog {
    sequence: Sequence,
    writer: String,
    /// The write that is on its way, of which there is one at most: a later object never comes before an earlier one.
    flight: Option<JoinHandle<Result<Sequence>>>,
    /// Objects that hold records, with the first epoch of each.
    firsts: VecDeque<(u64, Epoch)>,
    since_snapshot: u64,
    patience: Patience,
    /// When the store last said that the log is ours.
    confirmed: Duration,
}

impl ObjectLog {
    /// The log whose last object is this writer's. `firsts` are the objects with records that are kept, with the
    /// first epoch of each.
    pub fn new(sequence: Sequence, writer: String, firsts: VecDeque<(u64, Epoch)>, patience: Patience) -> Self {
        let (since_snapshot, confirmed) = (firsts.len() as u64, patience.elapsed());
        ObjectLog { sequence, writer, flight: None, firsts, since_snapshot, patience, confirmed }
    }

    /// Whose the log is.
    pub fn writer(&self) -> &str {
        &self.writer
    }

    /// True when a write is on its way.
    pub fn is_in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Sends records, the first of which is of the epoch `first`.
    ///
    /// # Errors
    /// What was sent before has failed.
    pub async fn begin(&mut self, records: &[u8], first: Option<Epoch>) -> Result<()> {
        self.durable().await?;
        let content = content(&self.writer, records)?;
        let (sequence, patience) = (self.sequence.clone(), self.patience.clone());
        if let Some(first) = first {
            self.firsts.push_back((sequence.next(), first));
        }
        self.since_snapshot += 1;
        self.flight = Some(tokio::spawn(async move {
            let appended = patience.wait("write the journal", || {
                let (mut sequence, content) = (sequence.clone(), content.clone());
                async move { sequence.append(content).await.map(|made| made.then_some(sequence)) }
            });
            appended.await?.ok_or_else(|| taken_over(&sequence))
        }));
        Ok(())
    }

    /// Waits until what was sent is durable.
    ///
    /// # Errors
    /// The store does not answer; another process has taken over.
    pub async fn durable(&mut self) -> Result<()> {
        let Some(flight) = &mut self.flight else { return Ok(()) };
        let landed = flight.await;
        self.flight = None;
        self.sequence =
            landed.map_err(|error| Error::bug("a write of the journal was given up").caused_by(error))??;
        self.confirmed = self.patience.elapsed();
        Ok(())
    }

    /// Makes sure that the log is still ours. Costs nothing right after a write.
    ///
    /// # Errors
    /// The store does not answer; another process has taken over.
    pub async fn confirm(&mut self) -> Result<()> {
        if self.patience.elapsed().saturating_sub(self.confirmed) <= CONFIRMED_FOR {
            return Ok(());
        }
        let asked = self.patience.elapsed();
        match self.patience.wait("ask whose the journal is", || self.sequence.is_overtaken()).await? {
            true => Err(taken_over(&self.sequence)),
            false => {
                self.confirmed = asked;
                Ok(())
            }
        }
    }

    /// Objects written since the last snapshot.
    pub fn objects_since_snapshot(&self) -> u64 {
        self.since_snapshot
    }

    /// A snapshot of what was written so far has been made.
    pub fn snapshot_taken(&mut self) {
        self.since_snapshot = 0;
    }

    /// Number of the first object that has records of `keep_from` or later.
    pub fn number_of(&self, keep_from: Epoch) -> u64 {
        let later = self.firsts.partition_point(|(_, first)| *first <= keep_from);
        self.firsts.get(later.saturating_sub(1)).map_or(self.sequence.next(), |(number, _)| *number)
    }

    /// Objects before `from` are no longer part of the log.
    pub fn forget(&mut self, from: u64) {
        self.firsts.retain(|(number, _)| *number >= from);
    }
}

impl Drop for ObjectLog {
    fn drop(&mut self) {
        if let Some(flight) = &self.flight {
            flight.abort();
        }
    }
}

/// An object with records of a writer; without any, it says only that the log is this writer's now.
///
/// # Errors
/// A bug.
pub fn content(writer: &str, records: &[u8]) -> Result<Bytes> {
    let mut content = MAGIC.to_vec();
    frame::encode_writer(&mut content, writer)?;
    content.extend_from_slice(records);
    Ok(content.into())
}

/// True when the newest object of the log in `journal` is this writer's.
///
/// # Errors
/// The store does not answer.
pub async fn is_of(journal: &Objects, writer: &str) -> Result<bool> {
    let Some(last) = journal.list("").await?.into_iter().rfind(|name| name.ends_with(SUFFIX)) else { return Ok(false) };
    let content = journal.read(&last).await?;
    Ok(content.is_some_and(|content| frame::writer(&content) == Some(writer)))
}

/// Another process owns the log.
pub fn taken_over(sequence: &Sequence) -> Error {
    Error::new(
        Kind::Fenced,
        format!("another process has taken over the checkpoint: object {} of its journal is not ours", sequence.next()),
    )
    .help("leave it to that process, or give this query a checkpoint of its own")
}
