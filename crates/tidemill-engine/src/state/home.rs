//! The store of a query: where it is, how it comes out of a snapshot and goes into one.
//!
//! ```text
//! state/            the store, a working copy that every start makes anew
//! snapshots/shared/ files that never change, by content: snapshots that have one share it
//! ```

use super::groups::KEY_GROUPS;
use super::reader;
use super::space::{self, Space};
use super::stored::Stored;
use super::table::StateShape;
use crate::checkpoint::durable;
use crate::dataflow::{Dataflow, KeyedStep};
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidemill_core::state::{StateBackend, StateRequest, StateStore};
use tidemill_core::{Error, Result};

const LIVE: &str = "state";
const SHARED: &str = "shared";

/// The stores a query may use.
#[derive(Clone)]
pub struct StateBackends {
    /// The one it uses; `None` for memory.
    pub chosen: Option<Arc<dyn StateBackend>>,
    /// Those the program knows.
    pub known: Vec<Arc<dyn StateBackend>>,
    /// Memory the store may hold, in bytes.
    pub memory_bytes: u64,
}

impl StateBackends {
    /// The one of this name, for a snapshot that was made with it.
    ///
    /// # Errors
    /// This program has none of that name.
    pub fn named(&self, name: &str) -> Result<&Arc<dyn StateBackend>> {
        self.known.iter().find(|backend| backend.name() == name).ok_or_else(|| {
            Error::invalid(format!("the checkpoint's state is in {name}, which this program does not have"))
                .help("run it with a program that has it")
        })
    }
}

/// The copy of a store that is part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreCopy {
    /// The kind of store.
    pub backend: String,
    /// Its files.
    pub files: Vec<StoreFile>,
}

/// A file of a copied store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreFile {
    /// What the store calls it.
    pub name: String,
    /// Its name among the shared files; `None` for one in the snapshot's own directory.
    pub shared: Option<String>,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its CRC-32.
    pub crc32: u32,
}

/// The open store of a query.
pub struct StateHome {
    store: Arc<dyn StateStore>,
    backend: &'static str,
    directory: PathBuf,
    snapshots: PathBuf,
    /// Shared files whose checksum is known, by the store's name for them.
    known: Vec<StoreFile>,
}

impl StateHome {
    /// Opens the store of a checkpoint in the directory `working` as `copy`, which is of the snapshot in directory
    /// `of`, has it; an empty one without.
    ///
    /// # Errors
    /// A file is missing or has another length; the disk fails.
    pub fn open(
        backend: &Arc<dyn StateBackend>,
        checkpoint: &Path,
        working: &Path,
        memory_bytes: u64,
        copy: Option<(&StoreCopy, &Path)>,
    ) -> Result<StateHome> {
        let (directory, snapshots) = (working.to_owned(), checkpoint.join("snapshots"));
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(format!("cannot remove {}", directory.display()), error));
            }
            _ => durable::create_directory(&directory)?,
        }
        let mut known = vec![];
        if let Some((copy, of)) = copy {
            for file in &copy.files {
                bring(&file_of(of, file), &directory.join(&file.name), file)?;
            }
            known.extend(copy.files.iter().filter(|file| file.shared.is_some()).cloned());
        }
        let store = backend.open(&StateRequest { directory: directory.clone(), memory_bytes })?;
        Ok(StateHome { store, backend: backend.name(), directory, snapshots, known })
    }

    /// Puts the state of every operator into the store. Rows of other columns than an operator has now go
    /// through `put_back`, which brings them into its form.
    ///
    /// # Errors
    /// A type that cannot be stored, rows that cannot be kept under other columns; the disk fails.
    pub fn take(
        &self,
        flow: &mut Dataflow,
        put_back: &dyn Fn(&mut KeyedStep, RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let sharers = flow.parts.iter_mut().flat_map(|part| part.keyed()).map(|step| step.partitions.len()).sum();
        for step in flow.parts.iter_mut().flat_map(|part| part.keyed()) {
            let shape = step.partitions[0].shape();
            let known = Space::find(&self.store, &step.name)?;
            let saved = known.as_ref().map(Space::shape).transpose()?;
            let fits = saved.as_ref() == Some(&shape);
            let space = match known.clone().filter(|_| fits) {
                Some(space) => space,
                None => Space::make(&self.store, &step.name, &shape)?,
            };
            let count = step.partitions.len();
            let partitions = std::mem::take(&mut step.partitions).into_iter().enumerate();
            let stored = partitions.map(|(number, operator)| {
                Ok(Box::new(Stored::new(operator, space.clone(), (number, count), sharers)?) as _)
            });
            step.partitions = stored.collect::<Result<_>>()?;
            step.inputs.iter_mut().for_each(|input| input.exchange.hand_out_groups());
            if let Some(before) = known.filter(|_| !fits) {
                reader::rows(&before, &mut |rows| put_back(step, rows).map(|()| true))?;
                before.empty()?;
            }
        }
        Ok(())
    }

    /// Gives memory back that the store can do without for a while.
    ///
    /// # Errors
    /// The disk fails.
    pub fn relieve(&self) -> Result<()> {
        self.store.relieve()
    }

    /// Closes the store and removes its working copy: what it held is somewhere else now.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove(self) -> Result<()> {
        drop(self.store);
        let removed = std::fs::remove_dir_all(&self.directory);
        removed.map_err(|error| Error::io(format!("cannot remove {}", self.directory.display()), error))
    }

    /// Shows the rows of an operator as they were written; nothing when the store does not know it.
    ///
    /// # Errors
    /// The disk fails; damage; what the visitor says.
    pub fn rows(&self, operator: &str, visit: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        self.rows_until(operator, &mut |rows| visit(rows).map(|()| true))
    }

    /// The same until the visitor says that it is enough.
    ///
    /// # Errors
    /// The disk fails; damage; what the visitor says.
    pub fn rows_until(&self, operator: &str, visit: &mut dyn FnMut(RecordBatch) -> Result<bool>) -> Result<()> {
        Space::find(&self.store, operator)?.map_or(Ok(()), |space| reader::rows(&space, visit))
    }

    /// The columns of an operator's rows; `None` when the store does not know it.
    ///
    /// # Errors
    /// The disk fails; damage.
    pub fn shape(&self, operator: &str) -> Result<Option<StateShape>> {
        Space::find(&self.store, operator)?.map(|space| space.shape()).transpose()
    }

    /// How many rows an operator has.
    ///
    /// # Errors
    /// The disk fails.
    pub fn count(&self, operator: &str) -> Result<u64> {
        let Some(space) = Space::find(&self.store, operator)? else { return Ok(0) };
        Ok(space.counts(&(0..KEY_GROUPS))?.iter().sum())
    }

    /// Bytes of its files.
    pub fn disk_bytes(&self) -> u64 {
        self.store.size().disk_bytes
    }

    /// Lets the state of every operator go that is not among these, and gives its room back. Gives their names.
    ///
    /// # Errors
    /// The disk fails.
    pub fn keep_only(&self, operators: &BTreeSet<String>) -> Result<Vec<String>> {
        let known = space::operators(&*self.store)?.into_iter().map(|(name, _)| name);
        let gone: Vec<String> = known.filter(|name| !operators.contains(name)).collect();
        for name in &gone {
            if let Some(space) = Space::find(&self.store, name)? {
                space.forget(name)?;
            }
        }
        self.store.compact()?;
        Ok(gone)
    }

    /// Copies the store into the directory of a snapshot. What an earlier snapshot has already costs nothing.
    ///
    /// # Errors
    /// The disk fails.
    pub fn copy_to(&mut self, snapshot: &Path) -> Result<StoreCopy> {
        let copied = snapshot.join("store");
        let files = self.store.copy_to(&copied)?;
        let shared = self.snapshots.join(SHARED);
        durable::create_directory(&shared)?;
        let (mut all, mut known) = (vec![], vec![]);
        for file in files {
            let path = copied.join(&file.name);
            let bytes = length_of(&path)?;
            if !file.immutable {
                let content = read(&path)?;
                durable::write_new(&snapshot.join(&file.name), &content)?;
                all.push(StoreFile { name: file.name, shared: None, bytes, crc32: crc32fast::hash(&content) });
                continue;
            }
            let entry = match self.known.iter().find(|known| known.name == file.name && known.bytes == bytes) {
                Some(entry) => entry.clone(),
                None => share(&path, &shared, file.name, bytes)?,
            };
            known.push(entry.clone());
            all.push(entry);
        }
        durable::sync_directory(&shared)?;
        std::fs::remove_dir_all(&copied)
            .map_err(|error| Error::io(format!("cannot remove {}", copied.display()), error))?;
        self.known = known;
        Ok(StoreCopy { backend: self.backend.to_owned(), files: all })
    }
}

/// Where the working copy of the query that runs is.
pub fn working(checkpoint: &Path) -> PathBuf {
    checkpoint.join(LIVE)
}

/// Removes shared files that none of these copies has.
///
/// # Errors
/// The disk fails.
pub fn forget_unshared<'a>(snapshots: &Path, copies: impl Iterator<Item = &'a StoreCopy>) -> Result<()> {
    let kept: BTreeSet<&str> = copies.flat_map(|copy| &copy.files).filter_map(|file| file.shared.as_deref()).collect();
    let Ok(entries) = std::fs::read_dir(snapshots.join(SHARED)) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| !kept.contains(&*entry.file_name().to_string_lossy())) {
        let path = entry.path();
        std::fs::remove_file(&path).map_err(|error| Error::io(format!("cannot remove {}", path.display()), error))?;
    }
    Ok(())
}

/// True when every file of a copy is there and has its length.
pub fn is_complete(copy: &StoreCopy, snapshot: &Path) -> bool {
    let has_its_length =
        |file: &StoreFile| std::fs::metadata(file_of(snapshot, file)).is_ok_and(|found| found.len() == file.bytes);
    copy.files.iter().all(has_its_length)
}

/// Where a file of a copied store is, of the snapshot in this directory.
pub fn file_of(snapshot: &Path, file: &StoreFile) -> PathBuf {
    match &file.shared {
        Some(shared) => snapshot.with_file_name(SHARED).join(shared),
        None => snapshot.join(&file.name),
    }
}

/// A file of a snapshot under the name the store gives it: linked when it never changes.
fn bring(from: &Path, to: &Path, file: &StoreFile) -> Result<()> {
    let failed = |error| Error::io(format!("cannot bring {} to {}", from.display(), to.display()), error);
    if file.shared.is_some() && std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    std::fs::copy(from, to).map(|_| ()).map_err(failed)
}

/// A new shared file, named by what it holds.
fn share(path: &Path, shared: &Path, name: String, bytes: u64) -> Result<StoreFile> {
    let crc32 = crc32fast::hash(&read(path)?);
    let by_content = format!("{}-{bytes:x}-{crc32:08x}.sst", name.trim_end_matches(".sst"));
    let to = shared.join(&by_content);
    match std::fs::hard_link(path, &to) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            std::fs::copy(path, &to).map_err(|error| Error::io(format!("cannot write {}", to.display()), error))?;
        }
        _ => {}
    }
    durable::sync_file(&to)?;
    Ok(StoreFile { name, shared: Some(by_content), bytes, crc32 })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io(format!("cannot read {}", path.display()), error))
}

fn length_of(path: &Path) -> Result<u64> {
    let found = std::fs::metadata(path);
    found.map(|found| found.len()).map_err(|error| Error::io(format!("cannot read {}", path.display()), error))
}
