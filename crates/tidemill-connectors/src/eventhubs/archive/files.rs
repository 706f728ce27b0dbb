//! Where archives lie: a directory of this machine, or a folder in an object store. Reads only; a file that is an
//! archive is whole, since Capture and the sink `capture` give it its name when it is.

use bytes::Bytes;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Kind, Options, Result, ResultExt};
use tidemill_objects::open::PREFIX;
use tidemill_objects::{Objects, is_object_store};

/// A place with archives.
#[derive(Clone)]
pub(crate) enum Files {
    Local(PathBuf),
    Store(Objects),
}

impl Files {
    /// The place that the option `archive` names.
    ///
    /// # Errors
    /// A scheme that is not known, or an option of the store.
    pub(crate) fn open(location: &str, options: &Options) -> Result<Files> {
        let location = location.trim();
        if is_object_store(location) {
            return Ok(Files::Store(Objects::open(location, options.with_prefix(PREFIX))?));
        }
        match location.split_once("://") {
            None => Ok(Files::Local(PathBuf::from(location))),
            Some(("file", path)) => Ok(Files::Local(PathBuf::from(path))),
            Some((scheme, _)) => Err(Error::invalid(format!("an archive cannot be read from {scheme}://"))
                .help("give a path of this machine, or s3://, abfss://, az:// or gs://")),
        }
    }

    /// The names of all files, with `/` between folders.
    ///
    /// # Errors
    /// The place cannot be listed.
    pub(crate) async fn list(&self) -> Result<Vec<String>> {
        match self {
            Files::Store(objects) => objects.list("").await,
            Files::Local(root) => {
                let root = root.clone();
                let listed = tokio::task::spawn_blocking(move || {
                    let mut names = Vec::new();
                    list(&root, "", &mut names).map_err(|error| {
                        Error::io(format!("cannot list the archives in '{}'", root.display()), error)
                    })?;
                    Ok(names)
                });
                listed.await.context(Kind::Bug, || "the thread that lists archives ended early".into())?
            }
        }
    }

    /// What a file holds.
    ///
    /// # Errors
    /// It is gone or cannot be read.
    pub(crate) async fn read(&self, name: &str) -> Result<Bytes> {
        let gone = || {
            Error::new(Kind::Data, format!("the archive '{name}' is gone, and its events are to be read"))
                .help("put it back, or start with a new checkpoint")
        };
        match self {
            Files::Store(objects) => objects.read(name).await?.ok_or_else(gone),
            Files::Local(root) => {
                let path = root.join(name);
                let read = tokio::task::spawn_blocking(move || (fs::read(&path), path)).await;
                match read.context(Kind::Bug, || "the thread that reads an archive ended early".into())? {
                    (Ok(bytes), _) => Ok(bytes.into()),
                    (Err(error), _) if error.kind() == io::ErrorKind::NotFound => Err(gone()),
                    (Err(error), path) => Err(Error::io(format!("cannot read '{}'", path.display()), error)),
                }
            }
        }
    }
}

fn list(folder: &Path, below: &str, names: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}
