//! Where a table lives, and how its files become durable there.

use super::errors::{failed, store_failed};
use crate::durable::Disk;
use crate::names;
use deltalake::kernel::transaction::TransactionError;
use deltalake::logstore::{CommitOrBytes, LogStoreRef, StorageConfig, default_logstore};
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    /// The object store, where the library has none for the URL.
    store: Option<Arc<dyn ObjectStore>>,
}

impl Home {
    /// The home at a path or URL; makes a local directory that is not there.
    ///
    /// # Errors
    /// A URL that cannot be read, a directory that cannot be made or written.
    pub(crate) fn new(path: &str, storage: HashMap<String, String>) -> Result<Home> {
        Self::at(path, storage, true)
    }

    /// The directory of a table at a path or URL; `None` for one that is not on this machine.
    pub(crate) fn local(path: &str) -> Option<PathBuf> {
        match Url::parse(path).ok().filter(|_| path.contains("://")) {
            Some(url) if url.scheme() == "file" => url.to_file_path().ok(),
            Some(_) => None,
            None => Some(PathBuf::from(path)),
        }
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
            let store = if url.scheme() == "gs" { Some(google(&url, &storage, &place)?) } else { None };
            return Ok(Home { place, url, storage, directory: None, store });
        };
        if is_written {
            Disk::default().create_directory(&directory)?;
            check_writable(&directory)?;
        }
        let failure = |cause| Error::io(format!("cannot open {}", directory.display()), cause);
        let directory = std::fs::canonicalize(&directory).map_err(failure)?;
        let url = Url::from_directory_path(&directory).map_err(|()| wrong())?;
        Ok(Home { place, url, storage, directory: Some(directory), store: None })
    }

    /// A table at the root of an object store.
    #[cfg(test)]
    pub(crate) fn in_store(store: Arc<dyn ObjectStore>) -> Home {
        let url = Url::parse("memory:///").unwrap();
        Home { place: url.to_string(), url, storage: HashMap::new(), directory: None, store: Some(store) }
    }

    /// The table there; not loaded yet, and perhaps not there.
    ///
    /// # Errors
    /// An unknown kind of URL or a wrong storage option.
    pub(crate) fn table(&self) -> Result<DeltaTable> {
        if let Some(store) = &self.store {
            let log = default_logstore(store.clone(), store.clone(), &self.url, &StorageConfig::default());
            return Ok(DeltaTable::new(log));
        }
        let builder = DeltaTableBuilder::from_url(self.url.clone());
        let built = builder.and_then(|builder| builder.with_storage_options(self.storage.clone()).build());
        built.map_err(|error| failed("open", &self.place, error))
    }

    /// Where a file of the table is in its store.
    ///
    /// # Errors
    /// A name outside the table.
    pub(crate) fn location(&self, name: &str) -> Result<object_store::path::Path> {
        let wrong = || format!("'{name}' is no file of the delta table at {}", self.place);
        object_store::path::Path::parse(name).context(Kind::Invalid, wrong)
    }

    /// Deletes a file; one that is gone already does not matter.
    ///
    /// # Errors
    /// The place refuses it.
    pub(crate) async fn delete(&self, log: &LogStoreRef, name: &str) -> Result<()> {
        if let Some(directory) = &self.directory {
            return match std::fs::remove_file(directory.join(name)) {
                Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::io(format!("cannot delete {}", directory.join(name).display()), cause))
                }
                _ => Ok(()),
            };
        }
        match log.object_store(None).delete(&self.location(name)?).await {
            Err(error) if !matches!(error, object_store::Error::NotFound { .. }) => {
                Err(store_failed("delete a file of", &self.place, error))
            }
            _ => Ok(()),
        }
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
                let put = log.object_store(None).put(&self.location(name)?, content.into()).await;
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
                let synced = std::fs::File::open(entry.path()).and_then(|file| file.sync_all());
                synced.map_err(|cause| Error::unsynced(format!("cannot sync {}", entry.path().display()), cause))?;
            }
        }
        Disk::default().sync_directory(&log)
    }
}

/// Google Cloud Storage, below the table's URL.
fn google(url: &Url, storage: &HashMap<String, String>, place: &str) -> Result<Arc<dyn ObjectStore>> {
    let parsed = object_store::parse_url_opts(url, storage);
    let (store, prefix) = parsed.map_err(|error| store_failed("open", place, error))?;
    Ok(Arc::new(PrefixStore::new(store, prefix)))
}

fn check_writable(directory: &Path) -> Result<()> {
    let probe = directory.join(format!(".tidemill-{}", uuid::Uuid::new_v4()));
    let written = std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe));
    written.map_err(|cause| Error::io(format!("cannot write into {}", directory.display()), cause))
}
