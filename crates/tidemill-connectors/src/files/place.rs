//! Where the files sink writes: a directory of this machine, or a folder in an object store. Both publish by
//! a manifest that is made under its number once; they differ in how a file gets where no manifest names it yet.

use super::manifest::OWN_DIRECTORY;
use crate::durable::Disk;
use bytes::Bytes;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Kind, Result};
use tidemill_objects::Objects;
use tokio::runtime::Handle;

/// A place that files are written to.
#[derive(Clone)]
pub(super) enum Place {
    /// A directory of this machine.
    Local { disk: Disk, root: PathBuf },
    /// A folder in an object store; `runtime` waits for its answers on a thread that may block.
    Store { objects: Objects, runtime: Handle },
}

impl Place {
    /// A directory, as it is.
    pub fn local(disk: Disk, root: impl Into<PathBuf>) -> Self {
        Place::Local { disk, root: root.into() }
    }

    /// Makes what must be there before the first write, and finds out whether a store can publish.
    ///
    /// # Errors
    /// The place cannot be written.
    pub fn prepare(&self) -> Result<()> {
        match self {
            Place::Local { disk, .. } => {
                disk.create_directory(&self.own("staging"))?;
                disk.create_directory(&self.own("log"))
            }
            Place::Store { objects, runtime } => runtime.block_on(objects.probe()),
        }
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        match self {
            Place::Local { root, .. } => root.display().to_string(),
            Place::Store { objects, .. } => objects.place().to_owned(),
        }
    }

    /// What messages call the manifest of this number.
    pub fn manifest_name(&self, number: u64) -> String {
        format!("{}/{OWN_DIRECTORY}/log/{}", self.name().trim_end_matches('/'), file_of(number))
    }

    /// The manifest of this number; `None` when there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn manifest(&self, number: u64) -> Result<Option<Vec<u8>>> {
        match self {
            Place::Local { .. } => {
                let path = self.own("log").join(file_of(number));
                match fs::read(&path) {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(Error::io(format!("cannot read '{}'", path.display()), error)),
                }
            }
            Place::Store { objects, runtime } => {
                let name = format!("{OWN_DIRECTORY}/log/{}", file_of(number));
                Ok(runtime.block_on(objects.read(&name))?.map(|bytes| bytes.to_vec()))
            }
        }
    }

    /// The highest number of a manifest.
    ///
    /// # Errors
    /// The place cannot be listed.
    pub fn last_manifest(&self) -> Result<Option<u64>> {
        let names = match self {
            Place::Local { .. } => names(&self.own("log"))?,
            Place::Store { objects, runtime } => {
                runtime.block_on(objects.below(OWN_DIRECTORY).below("log").list(""))?
            }
        };
        Ok(names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).max())
    }

    /// Makes the manifest of this number if there is none; false if there is one. `staged` names it while it is
    /// written. `text` is such that nobody else can have written it.
    ///
    /// # Errors
    /// After an error it may be there or not.
    pub fn publish(&self, number: u64, staged: &str, text: Vec<u8>) -> Result<bool> {
        match self {
            Place::Local { disk, .. } => {
                disk.create(&self.own("log").join(file_of(number)), &self.own("staging").join(staged), &text)
            }
            Place::Store { objects, runtime } => {
                let name = format!("{OWN_DIRECTORY}/log/{}", file_of(number));
                runtime.block_on(objects.create(&name, text.into()))
            }
        }
    }

    /// Writes a file that no manifest names yet, and gives its length in bytes. On a disk it is staged until
    /// [`Place::release`].
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, content: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>) -> Result<u64> {
        match self {
            Place::Local { disk, .. } => {
                let path = self.staged(name);
                let mut file = disk.new_file(&path)?;
                content(&mut file)?;
                disk.sync_file(&file, &path)?;
                let length = file.metadata();
                length
                    .map(|found| found.len())
                    .map_err(|error| Error::io(format!("cannot read '{}'", path.display()), error))
            }
            Place::Store { objects, runtime } => {
                let mut bytes = Vec::new();
                content(&mut bytes)?;
                let length = bytes.len() as u64;
                runtime.block_on(objects.put(name, Bytes::from(bytes)))?;
                Ok(length)
            }
        }
    }

    /// Puts the files that were written where readers look, durably.
    ///
    /// # Errors
    /// One of that name is there already, or the disk fails.
    pub fn release<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        let Place::Local { disk, root } = self else { return Ok(()) };
        let mut directories = Vec::new();
        for name in names {
            let to = root.join(name);
            let directory = to.parent().unwrap_or(root).to_path_buf();
            if !directories.contains(&directory) {
                if directory != *root {
                    disk.create_directory(&directory)?;
                }
                directories.push(directory);
            }
            if !disk.move_new(&self.staged(name), &to)? {
                return Err(Error::new(Kind::Fenced, format!("'{}' is there already", to.display())).help(
                    "another process, or another sink of this query, writes the same epochs here: keep one of them",
                ));
            }
        }
        directories.iter().try_for_each(|directory| disk.sync_directory(directory))
    }

    /// The files of rows, published or not, by their names in this place.
    ///
    /// # Errors
    /// The place cannot be listed.
    pub fn files(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        match self {
            Place::Local { root, .. } => walk(root, "", &mut found)?,
            Place::Store { objects, runtime } => found = runtime.block_on(objects.list(""))?,
        }
        found.retain(|name| !name.starts_with(OWN_DIRECTORY));
        Ok(found)
    }

    /// Removes a file of rows.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        match self {
            Place::Local { disk, root } => disk.remove(&root.join(name)),
            Place::Store { objects, runtime } => runtime.block_on(objects.remove(name)),
        }
    }

    /// Removes staged files whose names have `mark` in them.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove_staged(&self, mark: &str) -> Result<()> {
        let Place::Local { disk, .. } = self else { return Ok(()) };
        let staging = self.own("staging");
        names(&staging)?.iter().filter(|name| name.contains(mark)).try_for_each(|name| disk.remove(&staging.join(name)))
    }

    fn own(&self, name: &str) -> PathBuf {
        match self {
            Place::Local { root, .. } => root.join(OWN_DIRECTORY).join(name),
            Place::Store { .. } => PathBuf::from(name),
        }
    }

    /// Where a file is staged: flat, whatever partition it is of.
    fn staged(&self, name: &str) -> PathBuf {
        self.own("staging").join(name.replace('/', "%2F"))
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

fn file_of(number: u64) -> String {
    format!("{number:020}.json")
}

/// Names of what is in `directory`; nothing when it is not there.
fn names(directory: &Path) -> Result<Vec<String>> {
    let context = |error| Error::io(format!("cannot read '{}'", directory.display()), error);
    match fs::read_dir(directory) {
        Ok(entries) => {
            entries.map(|entry| Ok(entry.map_err(context)?.file_name().to_string_lossy().into_owned())).collect()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(context(error)),
    }
}

/// Files below `root`, partitions among them; `prefix` is where we are.
fn walk(root: &Path, prefix: &str, found: &mut Vec<String>) -> Result<()> {
    for name in names(&root.join(prefix))? {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        // only partitions are directories of ours
        if name.contains('=') && root.join(&path).is_dir() {
            walk(root, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}
