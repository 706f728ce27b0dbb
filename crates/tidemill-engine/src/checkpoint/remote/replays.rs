//! Dead letters that are to be read again come into a checkpoint's `replays` folder from outside. They are brought
//! into the working copy, where the query looks for them.

use crate::checkpoint::durable;
use std::path::Path;
use std::time::Duration;
use tidemill_core::{Error, Result};
use tidemill_objects::Objects;
use tokio::task::JoinHandle;

const FOLDER: &str = "replays";
/// How often the store is asked for new ones.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Brings files as they come, until it is dropped.
#[derive(Debug)]
pub struct Follower(JoinHandle<()>);

impl Follower {
    /// Brings those that are there, and then looks for more.
    ///
    /// # Errors
    /// The store does not answer; the disk fails.
    pub async fn start(objects: Objects, directory: &Path) -> Result<Follower> {
        let directory = directory.join(FOLDER);
        forget_others(&objects, &directory).await?;
        bring(&objects, &directory).await?;
        Ok(Follower(tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                if let Err(error) = bring(&objects, &directory).await {
                    tracing::info!(error = %error.chain(), "cannot look for replays");
                }
            }
        })))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Makes `directory` hold the files of the folder.
///
/// # Errors
/// The store does not answer; the disk fails.
pub async fn bring(objects: &Objects, directory: &Path) -> Result<()> {
    let remote = objects.below(FOLDER);
    for name in remote.list("").await? {
        if directory.join(&name).exists() {
            continue;
        }
        durable::create_directory(directory)?;
        if let Some(content) = remote.read(&name).await? {
            durable::write_new(&directory.join(&name), &content)?;
        }
    }
    Ok(())
}

/// Removes files of the working copy that the store does not have: they are of another checkpoint.
async fn forget_others(objects: &Objects, directory: &Path) -> Result<()> {
    let there = objects.below(FOLDER).list("").await?;
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        if !path.file_name().is_some_and(|name| there.iter().any(|there| **there == *name.to_string_lossy())) {
            std::fs::remove_file(&path)
                .map_err(|error| Error::io(format!("cannot remove {}", path.display()), error))?;
        }
    }
    Ok(())
}
