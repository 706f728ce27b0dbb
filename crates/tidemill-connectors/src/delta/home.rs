//! Where a table lives, and how its files become durable there.

use super::errors::{failed, store_failed};
use crate::durable::Disk;
use crate::names;
use deltalake::kernel::transaction::TransactionError;
use deltalake::logstore::{CommitOrBytes, LogStoreRef};
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use object_store::ObjectStoreExt;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Kind, Result, ResultExt};
use url::Url;

/// The directory of the log in a table.
pub(crate) const LOG: &str = "_delta_log";

/// How an attempt to write a commit ended.
#[derive(Debug)]
pub(crate) enum Put {
    /// It is there, and it is ours.
    Done,
    /// Another commit has this version; or, on an object store that was asked twice, perhaps our own.
    Taken,
    /// Nobody knows.
    Unclear(Error),
}

/// The place of a table.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    /// For messages.
    pub(crate) place: String,
    url: Url,
    storage: HashMap<String, String>,
    /// The directory, for a table on a local disk.
    directory: Option<PathBuf>,
}

impl Home {
    /// The home at a path or URL; makes a local directory that is not there.
    ///
    /// # Errors
    /// A URL that cannot be read, a directory that cannot be made or written.
    pub(crate) fn new(path: &str, storage: HashMap<String, String>) -> Result<Home> {
        Self::at(path, storage, true)
    }

    /// The home of a table that is only read: a local directory must be there.
    ///
    /// # Errors
    /// A URL that cannot be read, a directory that is not there.
    pub(crate) fn existing(path: &str, storage: HashMap<String, String>) -> Result<Home> {
        Self::at(path, storage, false)
    }

    fn at(path: &str, storage: HashMap<String, String>, is_written: bool) -> Result<Home> {
        let wrong = || Error::invalid(format!("'{path}' is no place for a delta table"));
        let url = Url::parse(path).ok().filter(|_| path.contains("://"));
        let directory = match &url {
            Some(url) if url.scheme() == "file" => Some(url.to_file_path().map_err(|()| wrong())?),
            Some(_) => None,
            None => Some(PathBuf::from(path)),
        };
        let place = path.to_owned();
        let Some(directory) = directory else {
            let url = url.ok_or_else(wrong)?;
            return Ok(Home { place, url, storage, directory: None });
        };
        if is_written {
            Disk::default().create_directory(&directory)?;
            check_writable(&directory)?;
        }
        let failure = |cause| Error::io(format!("cannot open {}", directory.display()), cause);
        let directory = std::fs::canonicalize(&directory).map_err(failure)?;
        let url = Url::from_directory_path(&directory).map_err(|()| wrong())?;
        Ok(Home { place, url, storage, directory: Some(directory) })
    }

    /// A directory that is treated as an object store is: through the library, with conditional puts.
    #[cfg(test)]
    pub(crate) fn as_store(directory: &Path) -> Home {
        let url = Url::from_directory_path(directory).unwrap();
        Home { place: url.to_string(), url, storage: HashMap::new(), directory: None }
    }

    /// The table there; not loaded yet, and perhaps not there.
    ///
    /// # Errors
    /// An unknown kind of URL or a wrong storage option.
    pub(crate) fn table(&self) -> Result<DeltaTable> {
        let builder = DeltaTableBuilder::from_url(self.url.clone());
        let built = builder.and_then(|builder| builder.with_storage_options(self.storage.clone()).build());
        built.map_err(|error| failed("open", &self.place, error))
    }

    /// The directory, for a table on a local disk.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Writes a file of rows, durably. Its name must be new.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) async fn put_file(&self, log: &LogStoreRef, name: &str, content: Vec<u8>) -> Result<()> {
        match &self.directory {
            Some(directory) => {
                let path = directory.join(name);
                let write = move || -> Result<()> {
                    Disk::default().create_directory(path.parent().unwrap_or(&path))?;
                    match names::create(&path, &content)? {
                        true => Ok(()),
                        false => Err(Error::bug(format!("{} is there already", path.display()))),
                    }
                };
                tokio::task::spawn_blocking(write)
                    .await
                    .context(Kind::Bug, || "the thread that writes a file ended early".into())?
            }
            None => {
                let path = object_store::path::Path::parse(name)
                    .context(Kind::Bug, || format!("'{name}' is no path in an object store"))?;
                let put = log.object_store(None).put(&path, content.into()).await;
                put.map(|_| ()).map_err(|error| store_failed("write a file of", &self.place, error))
            }
        }
    }

    /// Writes commit `version` if there is none, durably.
    ///
    /// # Errors
    /// A local disk failed. What an object store did not say clearly is in the result.
    pub(crate) async fn put_commit(&self, log: &LogStoreRef, version: u64, commit: CommitOrBytes) -> Result<Put> {
        if let (Some(directory), CommitOrBytes::LogBytes(bytes)) = (&self.directory, &commit) {
            let path = directory.join(LOG).join(format!("{version:020}.json"));
            let bytes = bytes.clone();
            let created = tokio::task::spawn_blocking(move || names::create(&path, &bytes)).await;
            let created = created.context(Kind::Bug, || "the thread that writes a commit ended early".into())??;
            return Ok(if created { Put::Done } else { Put::Taken });
        }
        Ok(match log.write_commit_entry(version, commit, uuid::Uuid::new_v4()).await {
            Ok(()) => Put::Done,
            Err(TransactionError::VersionAlreadyExists(_)) => Put::Taken,
            Err(error) => Put::Unclear(failed("commit to", &self.place, DeltaTableError::from(error))),
        })
    }

    /// Makes the files that the library wrote into the log (checkpoints) durable.
    ///
    /// # Errors
    /// A file cannot be synced.
    pub(crate) fn sync_log(&self, is_ours: impl Fn(&str) -> bool) -> Result<()> {
        let Some(log) = self.directory.as_ref().map(|directory| directory.join(LOG)) else { return Ok(()) };
        let failure = |cause| Error::io(format!("cannot make {} durable", log.display()), cause);
        for entry in std::fs::read_dir(&log).map_err(failure)? {
            let entry = entry.map_err(failure)?;
            if entry.file_name().to_str().is_some_and(&is_ours) {
                std::fs::File::open(entry.path()).and_then(|file| file.sync_all()).map_err(failure)?;
            }
        }
        Disk::default().sync_directory(&log)
    }
}

fn check_writable(directory: &Path) -> Result<()> {
    let probe = directory.join(format!(".tidemill-{}", uuid::Uuid::new_v4()));
    let written = std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe));
    written.map_err(|cause| Error::io(format!("cannot write into {}", directory.display()), cause))
}
