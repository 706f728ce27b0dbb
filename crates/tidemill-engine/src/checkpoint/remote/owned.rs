//! A checkpoint in an object store that this process has taken.

use super::replays::Follower;
use super::{Held, Remote};
use crate::checkpoint::metadata::Metadata;
use std::path::PathBuf;
use tidemill_core::{Error, Result};
use tokio::task::JoinHandle;

/// What its owner does with it beside writing the journal. Dropping it gives up what is on its way.
#[derive(Debug)]
pub struct Owned {
    remote: Remote,
    held: Held,
    writer: String,
    /// The snapshot that is on its way to the store.
    upload: Option<JoinHandle<Result<()>>>,
    _replays: Follower,
}

impl Owned {
    /// What `writer` has taken of `remote`.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn new(remote: Remote, held: Held, writer: String) -> Result<Owned> {
        let replays = remote.follow_replays().await?;
        Ok(Owned { remote, held, writer, upload: None, _replays: replays })
    }

    /// Adds what the checkpoint is now.
    ///
    /// # Errors
    /// As [`Remote::add_metadata`].
    pub async fn add_metadata(&mut self, metadata: &Metadata) -> Result<()> {
        self.remote.add_metadata(&mut self.held, metadata).await
    }

    /// Begins to bring a snapshot of the working copy into the store; epochs go on meanwhile.
    pub fn publish(&mut self, snapshot: PathBuf) {
        let publish = self.remote.clone().publish(snapshot, self.writer.clone());
        self.upload = Some(tokio::spawn(publish));
    }

    /// True while a snapshot is on its way.
    ///
    /// # Errors
    /// It could not be brought.
    pub async fn is_publishing(&mut self) -> Result<bool> {
        match &self.upload {
            Some(upload) if !upload.is_finished() => Ok(true),
            _ => self.published().await.map(|()| false),
        }
    }

    /// Waits until the snapshot that is on its way has arrived.
    ///
    /// # Errors
    /// It could not be brought.
    pub async fn published(&mut self) -> Result<()> {
        let Some(upload) = self.upload.take() else { return Ok(()) };
        upload.await.map_err(|error| Error::bug("the upload of a snapshot was given up").caused_by(error))?
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(upload) = &self.upload {
            upload.abort();
        }
    }
}
