//! Snapshots: the whole state after an epoch, so that a start replays few changes. A snapshot counts
//! only when its manifest is there and every file matches it; otherwise the one before is used.

use super::durable;
use crate::faults::QueryFaults;
use crate::state::home::{self, StateHome, StoreCopy};
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tidemill_core::{Epoch, Error, Offsets, Result, Step};

/// Snapshots that are kept.
const KEPT: usize = 2;

/// What a snapshot holds beside the state of operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The epoch it is the state after.
    pub epoch: Epoch,
    /// How far each source table has been read.
    pub offsets: BTreeMap<String, Offsets>,
    /// Watermark each part used in the epoch, in milliseconds: rows behind it are late in the next.
    pub watermarks: Vec<i64>,
    /// Watermark of each part after the epoch, in milliseconds.
    pub next_watermarks: Vec<i64>,
    /// The newest epoch in which each sink got rows.
    pub sinks: BTreeMap<String, Epoch>,
    /// Files by operator, when state is in memory.
    pub files: BTreeMap<String, FileEntry>,
    /// The store that has the state of every operator, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreCopy>,
    /// The newest file of the replay log that was read; 0 for none.
    #[serde(default)]
    pub replayed: u64,
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name in the snapshot's directory.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its CRC-32.
    pub crc32: u32,
}

/// A snapshot that has been read.
#[derive(Debug)]
pub struct Snapshot {
    /// Its directory.
    pub path: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
    /// Content by operator, an Arrow IPC stream each.
    pub state: BTreeMap<String, Vec<u8>>,
}

/// Writes a snapshot and forgets those that are no longer needed. Gives the epoch of the oldest kept.
///
/// # Errors
/// The disk fails.
pub fn write(
    directory: &Path,
    mut manifest: Manifest,
    state: &BTreeMap<String, Vec<u8>>,
    store: Option<&mut StateHome>,
    faults: &QueryFaults,
) -> Result<Epoch> {
    let name = format!("{:020}-{}", manifest.epoch.0, &uuid::Uuid::new_v4().simple().to_string()[..8]);
    let path = directory.join(name);
    durable::create_directory(&path)?;
    for (number, (operator, content)) in state.iter().enumerate() {
        let name = format!("{number:04}.arrow");
        durable::write_new(&path.join(&name), content)?;
        let entry = FileEntry { name, bytes: content.len() as u64, crc32: crc32fast::hash(content) };
        manifest.files.insert(operator.clone(), entry);
    }
    manifest.store = store.map(|store| store.copy_to(&path)).transpose()?;
    let text =
        serde_json::to_vec_pretty(&manifest).map_err(|error| Error::bug("a manifest has no JSON").caused_by(error))?;
    faults.at(Step::SnapshotTorn)?;
    durable::write_new(&path.join("manifest.json"), &text)?;
    // those that a killed process left without a manifest are no snapshots, and must not push one out
    let (whole, partial): (Vec<_>, Vec<_>) = list(directory)?.into_iter().partition(|path| is_whole(path));
    let (old, kept) = whole.split_at(whole.len().saturating_sub(KEPT));
    for path in old.iter().chain(&partial) {
        faults.at(Step::Forgetting)?;
        std::fs::remove_dir_all(path).map_err(|error| Error::io(format!("cannot remove {}", path.display()), error))?;
    }
    let copies = kept.iter().filter_map(|path| read_manifest(path).ok()?.store).collect::<Vec<_>>();
    home::forget_unshared(directory, copies.iter())?;
    Ok(kept.first().and_then(|path| epoch_of(path)).unwrap_or(manifest.epoch))
}

/// The whole snapshots of a checkpoint, each read when it is first asked for, and only once.
pub struct Snapshots(Vec<(Epoch, PathBuf, OnceCell<Option<Snapshot>>)>);

impl Snapshots {
    /// Those in a directory. What a killed process left without a manifest is no snapshot.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(directory: &Path) -> Result<Snapshots> {
        let whole = list(directory)?.into_iter().filter(|path| is_whole(path));
        Ok(Snapshots(whole.filter_map(|path| Some((epoch_of(&path)?, path, OnceCell::new()))).collect()))
    }

    /// The newest undamaged snapshot of an epoch up to `newest`; `None` when there is none.
    pub fn newest(&self, newest: Epoch) -> Option<&Snapshot> {
        let candidates = self.0.iter().rev().filter(|(epoch, ..)| *epoch <= newest);
        candidates.filter_map(|(_, path, read)| read.get_or_init(|| undamaged(path)).as_ref()).next()
    }
}

/// The newest snapshot's directory and manifest, as written: its files are not looked at.
///
/// # Errors
/// The directory cannot be read.
pub fn newest_manifest(directory: &Path) -> Result<Option<(PathBuf, Manifest)>> {
    let whole = list(directory)?.into_iter().rev().filter(|path| is_whole(path));
    Ok(whole.filter_map(|path| Some((path.clone(), read_manifest(&path).ok()?))).next())
}

fn undamaged(path: &Path) -> Option<Snapshot> {
    read_one(path)
        .inspect_err(|error| tracing::warn!(snapshot = %path.display(), error = %error.chain(), "snapshot passed over"))
        .ok()
}

fn read_manifest(path: &Path) -> Result<Manifest> {
    let path = path.join("manifest.json");
    let content = std::fs::read(&path).map_err(|error| Error::io(format!("cannot read {}", path.display()), error))?;
    serde_json::from_slice(&content)
        .map_err(|error| Error::invalid(format!("{} is damaged", path.display())).caused_by(error))
}

fn read_one(path: &Path) -> Result<Snapshot> {
    let read = |name: &str| {
        let path = path.join(name);
        std::fs::read(&path).map_err(|error| Error::io(format!("cannot read {}", path.display()), error))
    };
    let manifest = read_manifest(path)?;
    if manifest.store.as_ref().is_some_and(|copy| !home::is_complete(copy, path)) {
        return Err(Error::invalid(format!("the stored state of {} is not complete", path.display())));
    }
    let mut state = BTreeMap::new();
    for (operator, entry) in &manifest.files {
        let content = read(&entry.name)?;
        if content.len() as u64 != entry.bytes || crc32fast::hash(&content) != entry.crc32 {
            return Err(Error::invalid(format!("{} does not match its checksum", path.join(&entry.name).display())));
        }
        state.insert(operator.clone(), content);
    }
    Ok(Snapshot { path: path.to_owned(), manifest, state })
}

fn is_whole(path: &Path) -> bool {
    path.join("manifest.json").is_file()
}

fn epoch_of(path: &Path) -> Option<Epoch> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    name.split_once('-')?.0.parse().ok().map(Epoch)
}

fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(Error::io(format!("cannot list {}", directory.display()), error)),
    };
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| epoch_of(path).is_some()).collect();
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(epoch: u64) -> Manifest {
        Manifest {
            epoch: Epoch(epoch),
            offsets: BTreeMap::new(),
            watermarks: vec![],
            next_watermarks: vec![],
            sinks: BTreeMap::new(),
            files: BTreeMap::new(),
            store: None,
            replayed: 0,
        }
    }

    #[test]
    fn a_damaged_snapshot_gives_way_to_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        for epoch in [5, 9, 12] {
            let state = BTreeMap::from([("a".to_owned(), vec![epoch as u8; 10])]);
            write(directory.path(), manifest(epoch), &state, None, &QueryFaults::none()).unwrap();
        }
        let newest = |limit| {
            let snapshots = Snapshots::list(directory.path()).unwrap();
            snapshots.newest(Epoch(limit)).map(|snapshot| snapshot.manifest.epoch.0)
        };
        assert_eq!((newest(100), newest(11), newest(8)), (Some(12), Some(9), None));
        let last = list(directory.path()).unwrap().pop().unwrap();
        assert_eq!(list(directory.path()).unwrap().len(), KEPT);
        std::fs::write(last.join("0000.arrow"), b"damaged").unwrap();
        assert_eq!(newest(100), Some(9));
    }

    #[test]
    fn a_snapshot_that_was_cut_off_does_not_push_out_a_whole_one() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), manifest(5), &BTreeMap::new(), None, &QueryFaults::none()).unwrap();
        fs_partial(directory.path(), "00000000000000000009-cut");
        let oldest = write(directory.path(), manifest(12), &BTreeMap::new(), None, &QueryFaults::none()).unwrap();
        let kept: Vec<_> = list(directory.path()).unwrap().iter().filter_map(|path| epoch_of(path)).collect();
        assert_eq!((oldest, kept), (Epoch(5), vec![Epoch(5), Epoch(12)]));
    }

    fn fs_partial(directory: &Path, name: &str) {
        std::fs::create_dir(directory.join(name)).unwrap();
        std::fs::write(directory.join(name).join("0000.arrow"), b"some").unwrap();
    }
}
