//! A checkpoint in an object store. The query works on a copy of its snapshots on this machine; what it must not lose
//! goes to the store before anything depends on it.
//!
//! ```text
//! metadata/<number>.json    as metadata.json of a directory; a changed query adds one
//! journal/<number>.log      what one write of the journal held; the first of every start holds nothing: it is the fence
//! snapshots/<epoch>-<id>/   as in a directory; the manifest comes last
//! snapshots/shared/         files of stores by content, once each
//! replays/<number>.arrow    dead letters to be read again
//! ```
//!
//! Objects with numbers are made if there is none (`tidemill_objects::sequence`), all others have names nobody else uses.

pub mod log;
pub mod owned;
pub mod patience;
pub mod replays;
pub mod snapshots;
#[cfg(test)]
mod tests;

use super::journal::frame;
use super::metadata::Metadata;
use super::record::Record;
use log::{ObjectLog, SUFFIX};
use patience::Patience;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use tidemill_core::{Epoch, Error, Kind, Result};
use tidemill_objects::Objects;
use tidemill_objects::sequence::Sequence;

/// How often a checkpoint is read anew that its owner changes meanwhile.
const READS_MAX: u32 = 5;
/// How many objects of an owner who goes on are passed by to take the log over.
const TAKES_MAX: u32 = 1000;

/// A checkpoint in an object store and its copy on this machine.
#[derive(Debug, Clone)]
pub struct Remote {
    objects: Objects,
    directory: PathBuf,
    patience: Patience,
}

/// What a checkpoint holds. Its snapshots are in the working copy.
#[derive(Debug)]
pub struct Held {
    /// Who it is; `None` for a new one.
    pub metadata: Option<Metadata>,
    /// The journal.
    pub records: Vec<Record>,
    metadata_log: Sequence,
    log: Sequence,
    firsts: VecDeque<(u64, Epoch)>,
    /// Whose the newest object of the journal is.
    owner: Option<String>,
}

impl Remote {
    /// The checkpoint in `objects`, whose working copy is in `directory`.
    pub fn new(objects: Objects, directory: &Path, patience: Patience) -> Self {
        Remote { objects, directory: directory.to_owned(), patience }
    }

    /// Finds out whether the store can keep a checkpoint.
    ///
    /// # Errors
    /// It replaces what it is told not to, or does not answer.
    pub async fn probe(&self) -> Result<()> {
        self.objects.probe().await
    }

    /// Reads everything and brings the snapshots into the working copy. Changes nothing in the store.
    ///
    /// # Errors
    /// Damage; the store does not answer.
    pub async fn read(&self) -> Result<Held> {
        let mut tries = 1;
        loop {
            match self.read_once().await {
                // its owner may have forgotten what was about to be read
                Err(error) if error.kind() == Kind::Invalid && tries < READS_MAX => tries += 1,
                read => return read,
            }
        }
    }

    async fn read_once(&self) -> Result<Held> {
        let (metadata_log, known) = Sequence::open(self.objects.below("metadata"), ".json", 0).await?;
        let name = |number: u64| format!("{}/metadata/{number:020}.json", self.objects.place());
        let metadata = known.last().map(|(number, text)| Metadata::parse(text, &name(*number))).transpose()?;
        let from = snapshots::bring(&self.objects, &self.directory).await?;
        let (log, content) = Sequence::open(self.objects.below("journal"), SUFFIX, from).await?;
        let (mut records, mut firsts) = (vec![], VecDeque::new());
        let owner = content.last().and_then(|(_, bytes)| frame::writer(bytes)).map(str::to_owned);
        for (number, bytes) in content {
            let name = format!("{}/journal/{number:020}{SUFFIX}", self.objects.place());
            let of = frame::decode_whole(&bytes, &name)?;
            firsts.extend(of.first().map(|first| (number, first.epoch())));
            records.extend(of);
        }
        // one that was killed before it wrote the metadata has left its fence and no more
        if metadata.is_none() && (from > 0 || !records.is_empty()) {
            let place = self.objects.place();
            return Err(Error::invalid(format!(
                "the checkpoint {place} is damaged: metadata is missing, but there is a journal"
            ))
            .help("put it back, or start over with a new checkpoint"));
        }
        Ok(Held { metadata, records, metadata_log, log, firsts, owner })
    }

    /// Takes the checkpoint over: from now on no write of its owner before succeeds. `None` when the owner went on
    /// after `held` was read: then it has to be read again, for [`Remote::taken`].
    ///
    /// # Errors
    /// The store does not answer; others are faster again and again.
    pub async fn take(&self, held: &mut Held, writer: &str) -> Result<Option<ObjectLog>> {
        let fence = log::content(writer, &[])?;
        for turn in 0..TAKES_MAX {
            if held.log.append(fence.clone()).await? {
                return Ok((turn == 0).then(|| self.log(held, writer)));
            }
            held.log.read_on().await?;
        }
        Err(Error::new(Kind::Fenced, format!("other processes run on the checkpoint {}", self.objects.place()))
            .help("stop them, or give this query a checkpoint of its own"))
    }

    /// The log of a checkpoint that was taken, and that was read since.
    ///
    /// # Errors
    /// Somebody else has taken it meanwhile.
    pub fn taken(&self, held: &Held, writer: &str) -> Result<ObjectLog> {
        match held.owner.as_deref() == Some(writer) {
            true => Ok(self.log(held, writer)),
            false => Err(log::taken_over(&held.log)),
        }
    }

    fn log(&self, held: &Held, writer: &str) -> ObjectLog {
        ObjectLog::new(held.log.clone(), writer.to_owned(), held.firsts.clone(), self.patience.clone())
    }

    /// Adds what a new checkpoint is, or what it is now that its query has changed.
    ///
    /// # Errors
    /// Another process has done so; the store does not answer.
    pub async fn add_metadata(&self, held: &mut Held, metadata: &Metadata) -> Result<()> {
        match held.metadata_log.append(metadata.text()?.into()).await? {
            true => Ok(()),
            false => Err(Error::new(Kind::Fenced, "another process has just made or changed this checkpoint")),
        }
    }

    /// Brings a snapshot of the working copy into the store, and forgets those that are no longer needed.
    pub async fn publish(self, snapshot: PathBuf, writer: String) -> Result<()> {
        snapshots::publish(&self.objects, &self.directory, &snapshot, &self.patience).await?;
        let ours = || async { log::is_of(&self.objects.below("journal"), &writer).await };
        if !self.patience.wait("ask whose the journal is", ours).await? {
            // its next write says so
            return Ok(());
        }
        self.patience.wait("remove old snapshots", || snapshots::forget(&self.objects, &snapshot)).await
    }

    /// Brings dead letters that are to be read again into the working copy, now and then as they come.
    ///
    /// # Errors
    /// The store does not answer now.
    pub async fn follow_replays(&self) -> Result<replays::Follower> {
        replays::Follower::start(self.objects.clone(), &self.directory).await
    }
}
