//! Where captures are written: a directory of this machine, or a folder in an object store. Names are relative to
//! it, with `/` between folders. Everything here blocks.

use crate::durable::Disk;
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Result};
use tidemill_objects::Objects;
use tokio::runtime::Handle;

/// A place that captures are written to.
#[derive(Clone)]
pub(super) enum Place {
    /// A directory of this machine.
    Local { disk: Disk, root: PathBuf },
    /// A folder in an object store; `runtime` waits for its answers on a thread that may block.
    Store { objects: Objects, runtime: Handle },
}

impl Place {
    /// Makes the folders that are written to without more ado, and finds out whether a store can publish.
    ///
    /// # Errors
    /// The place cannot be written.
    pub fn prepare(&self, folders: &[&str]) -> Result<()> {
        match self {
            Place::Local { disk, root } => {
                folders.iter().try_for_each(|folder| disk.create_directory(&root.join(folder)))
            }
            Place::Store { objects, runtime } => runtime.block_on(objects.probe()),
        }
    }

    /// What messages call `name` in it.
    pub fn shown(&self, name: &str) -> String {
        let place = match self {
            Place::Local { root, .. } => root.display().to_string(),
            Place::Store { objects, .. } => objects.place().to_owned(),
        };
        format!("{}/{name}", place.trim_end_matches('/'))
    }

    /// What the file `name` holds; `None` when there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self {
            Place::Local { root, .. } => match fs::read(root.join(name)) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Error::io(format!("cannot read '{}'", self.shown(name)), error)),
            },
            Place::Store { objects, runtime } => Ok(runtime.block_on(objects.read(name))?.map(|bytes| bytes.to_vec())),
        }
    }

    /// Writes the file `name`, whose name nobody else uses. On a disk it is there after a crash when its folder is
    /// synced, too.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, content: Vec<u8>) -> Result<()> {
        match self {
            Place::Local { disk, root } => disk.write(&root.join(name), &content),
            Place::Store { objects, runtime } => runtime.block_on(objects.put(name, content.into())),
        }
    }

    /// Makes the files that were written to `folder` durable.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync(&self, folder: &str) -> Result<()> {
        match self {
            Place::Local { disk, root } => disk.sync_directory(&root.join(folder)),
            Place::Store { .. } => Ok(()),
        }
    }

    /// Makes the file `name` of `pieces` if there is none, whole and durable or not at all; false if another one
    /// is there. `staged` names it on a disk while it is written. What is in it nobody else can have written.
    ///
    /// # Errors
    /// After an error it may be there or not.
    pub fn create(&self, name: &str, staged: &str, mut pieces: impl Iterator<Item = Result<Vec<u8>>>) -> Result<bool> {
        match self {
            Place::Local { disk, root } => {
                let (path, staged) = (root.join(name), root.join(staged));
                let folder = path.parent().unwrap_or(root);
                disk.create_directory(folder)?;
                let mut file = disk.new_file(&staged)?;
                for piece in pieces {
                    file.write_all(&piece?)
                        .map_err(|error| Error::io(format!("cannot write '{}'", staged.display()), error))?;
                }
                disk.sync_file(&file, &staged)?;
                let made = disk.move_new(&staged, &path)?;
                let ours = made
                    || same(&staged, &path)
                        .map_err(|error| Error::io(format!("cannot read '{}'", path.display()), error))?;
                if !made {
                    disk.remove(&staged)?;
                }
                disk.sync_directory(folder)?;
                Ok(ours)
            }
            Place::Store { objects, runtime } => {
                let content = pieces.try_fold(Vec::new(), |mut all, piece| {
                    all.extend(piece?);
                    Ok::<_, Error>(all)
                })?;
                runtime.block_on(objects.create(name, Bytes::from(content)))
            }
        }
    }

    /// Names of the files in the folder `folder`, in order.
    ///
    /// # Errors
    /// It cannot be listed.
    pub fn list(&self, folder: &str) -> Result<Vec<String>> {
        match self {
            Place::Local { root, .. } => {
                let context = |error| Error::io(format!("cannot read '{}'", self.shown(folder)), error);
                let mut names = Vec::new();
                for entry in fs::read_dir(root.join(folder)).map_err(context)? {
                    names.push(entry.map_err(context)?.file_name().to_string_lossy().into_owned());
                }
                names.sort_unstable();
                Ok(names)
            }
            Place::Store { objects, runtime } => runtime.block_on(objects.below(folder).list("")),
        }
    }

    /// Removes a file; one that is gone already is no error.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        match self {
            Place::Local { disk, root } => disk.remove(&root.join(name)),
            Place::Store { objects, runtime } => runtime.block_on(objects.remove(name)),
        }
    }
}

/// True when both files hold the same.
fn same(left: &Path, right: &Path) -> io::Result<bool> {
    let (left, right) = (File::open(left)?, File::open(right)?);
    if left.metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let mut right = BufReader::new(right).bytes();
    for byte in BufReader::new(left).bytes() {
        if right.next().transpose()? != Some(byte?) {
            return Ok(false);
        }
    }
    Ok(true)
}
