//! Snapshots: the whole state after an epoch, so that a start replays few changes. A snapshot counts
//! only when its manifest is there and every file matches it; otherwise the one before is used.

use super::{durable, sealed};
use crate::faults::QueryFaults;
use crate::state::home::{self, StateHome, StoreCopy};
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tidemill_core::{Epoch, Error, Offsets, Result, Step};

/// Snapshots that are kept.
const KEPT: usize = 2;
/// In the names of snapshots that were made when the query stopped.
const STOP: &str = "-stop-";
/// In the names of those that a tool has made: behind every other of the epoch.
const REWRITE: &str = "-tool";

/// Why a snapshot is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Enough changes were written.
    Due,
    /// The query stops. Such a one makes a start faster and lets tools read the state; it takes the place of no
    /// other, so that a sink that has gone back is filled again as far as without it.
    Stop,
    /// Somebody has rewritten the state: it stands above every other of its epoch.
    Rewrite,
}

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
    /// In an object store: number of the first object of the journal that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_from: Option<u64>,
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

/// A snapshot that has been written.
#[derive(Debug)]
pub struct Written {
    /// Its directory.
    pub path: PathBuf,
    /// The epoch of the oldest kept; `None` when none is kept but that of a stop, which makes nothing else unneeded.
    pub oldest: Option<Epoch>,
}

/// The epoch of the oldest snapshot that is kept once one of `newest` is made because enough has changed.
///
/// # Errors
/// The directory cannot be listed.
pub fn oldest_kept(directory: &Path, newest: Epoch) -> Result<Epoch> {
    let whole = list(directory)?.into_iter().filter(|path| is_whole(path) && !is_of_a_stop(path));
    let whole: Vec<PathBuf> = whole.collect();
    let kept = &whole[(whole.len() + 1).saturating_sub(KEPT).min(whole.len())..];
    Ok(kept.first().and_then(|path| epoch_of(path)).unwrap_or(newest))
}

/// Writes a snapshot and forgets those that are no longer needed.
///
/// # Errors
/// There is no room, and what was written is removed again; the disk fails.
pub fn write(
    directory: &Path,
    occasion: Occasion,
    manifest: Manifest,
    state: &BTreeMap<String, Vec<u8>>,
    store: Option<&mut StateHome>,
    faults: &QueryFaults,
) -> Result<Written> {
    let path = directory.join(new_name(directory, manifest.epoch, occasion)?);
    if let Err(error) = write_one(&path, manifest, state, store, faults) {
        if error.is_no_room() {
            // one without a manifest is no snapshot; the next one removes it if this does not
            let _ = std::fs::remove_dir_all(&path);
        }
        return Err(error);
    }
    Ok(Written { oldest: forget(directory, occasion, faults)?, path })
}

fn write_one(
    path: &Path,
    mut manifest: Manifest,
    state: &BTreeMap<String, Vec<u8>>,
    store: Option<&mut StateHome>,
    faults: &QueryFaults,
) -> Result<()> {
    durable::create_directory(path)?;
    for (number, (operator, content)) in state.iter().enumerate() {
        let name = format!("{number:04}.arrow");
        durable::write_new(&path.join(&name), content)?;
        let entry = FileEntry { name, bytes: content.len() as u64, crc32: crc32fast::hash(content) };
        manifest.files.insert(operator.clone(), entry);
    }
    manifest.store = store.map(|store| store.copy_to(path)).transpose()?;
    let text =
        serde_json::to_vec_pretty(&manifest).map_err(|error| Error::bug("a manifest has no JSON").caused_by(error))?;
    faults.at(Step::SnapshotTorn)?;
    durable::write_new(&path.join("manifest.json"), &sealed::seal(text)).map(|_| ())
}

/// Removes what is older than the snapshots that are kept; gives the epoch of the oldest of them.
fn forget(directory: &Path, occasion: Occasion, faults: &QueryFaults) -> Result<Option<Epoch>> {
    // those that a killed process left without a manifest are no snapshots, and must not push one out
    let (whole, partial): (Vec<_>, Vec<_>) = list(directory)?.into_iter().partition(|path| is_whole(path));
    let (mut stops, whole): (Vec<_>, Vec<_>) = whole.into_iter().partition(|path| is_of_a_stop(path));
    // one of a stop serves until there is a newer one
    let newest_stop = stops.pop_if(|stop| whole.last().is_none_or(|newest| *newest < *stop));
    let kept_count = if occasion == Occasion::Rewrite { 1 } else { KEPT };
    let (old, kept) = whole.split_at(whole.len().saturating_sub(kept_count));
    for path in old.iter().chain(&stops).chain(&partial) {
        faults.at(Step::Forgetting)?;
        std::fs::remove_dir_all(path).map_err(|error| Error::io(format!("cannot remove {}", path.display()), error))?;
    }
    let copies = kept.iter().chain(&newest_stop).filter_map(|path| read_manifest(path).ok()?.store).collect::<Vec<_>>();
    home::forget_unshared(directory, copies.iter())?;
    Ok(kept.first().and_then(|path| epoch_of(path)))
}

/// Names sort by epoch, and within one by how much they count.
fn new_name(directory: &Path, epoch: Epoch, occasion: Occasion) -> Result<String> {
    let unique = &uuid::Uuid::new_v4().simple().to_string()[..8];
    Ok(match occasion {
        Occasion::Due => format!("{:020}-{unique}", epoch.0),
        Occasion::Stop => format!("{:020}{STOP}{unique}", epoch.0),
        Occasion::Rewrite => {
            let numbers = list(directory)?.into_iter().filter_map(|path| rewrite_number(&path)).max();
            format!("{:020}{REWRITE}{:04}-{unique}", epoch.0, numbers.map_or(0, |newest| newest + 1))
        }
    })
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

    /// The epoch of the newest that was made because enough had changed.
    pub fn newest_due(&self) -> Option<Epoch> {
        self.0.iter().rev().find(|(_, path, _)| !is_of_a_stop(path)).map(|(epoch, ..)| *epoch)
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

/// The snapshots of a directory, oldest first, each with its manifest: those that a killed process left without
/// one, and manifests that are damaged, give an error in its place.
///
/// # Errors
/// The directory cannot be read.
pub fn all(directory: &Path) -> Result<Vec<(PathBuf, Result<Manifest>)>> {
    Ok(list(directory)?.into_iter().map(|path| (path.clone(), read_manifest(&path))).collect())
}

/// The manifest in the directory of a snapshot.
///
/// # Errors
/// It cannot be read, or is damaged.
pub fn read_manifest(path: &Path) -> Result<Manifest> {
    let path = path.join("manifest.json");
    let content = std::fs::read(&path).map_err(|error| Error::io(format!("cannot read {}", path.display()), error))?;
    parse_manifest(&content, &path.display().to_string())
}

/// Reads the text of the manifest `name`.
///
/// # Errors
/// It is damaged.
pub fn parse_manifest(text: &[u8], name: &str) -> Result<Manifest> {
    if sealed::is_intact(text) == Some(false) {
        return Err(Error::invalid(format!("{name} does not match its checksum")));
    }
    serde_json::from_slice(text).map_err(|error| Error::invalid(format!("{name} is damaged")).caused_by(error))
}

/// True when the file is there and holds this.
pub fn matches(path: &Path, bytes: u64, crc32: u32) -> bool {
    let has_length = std::fs::metadata(path).is_ok_and(|found| found.len() == bytes);
    has_length && std::fs::read(path).is_ok_and(|content| crc32fast::hash(&content) == crc32)
}

/// What a file of the snapshot in the directory `path` holds.
///
/// # Errors
/// It cannot be read, or is not what was written.
pub fn content(path: &Path, entry: &FileEntry) -> Result<Vec<u8>> {
    let path = path.join(&entry.name);
    let content = std::fs::read(&path).map_err(|error| Error::io(format!("cannot read {}", path.display()), error))?;
    if content.len() as u64 != entry.bytes || crc32fast::hash(&content) != entry.crc32 {
        return Err(Error::invalid(format!("{} does not match its checksum", path.display())));
    }
    Ok(content)
}

fn read_one(path: &Path) -> Result<Snapshot> {
    let manifest = read_manifest(path)?;
    if manifest.store.as_ref().is_some_and(|copy| !home::is_complete(copy, path)) {
        return Err(Error::invalid(format!("the stored state of {} is not complete", path.display())));
    }
    let mut state = BTreeMap::new();
    for (operator, entry) in &manifest.files {
        state.insert(operator.clone(), content(path, entry)?);
    }
    Ok(Snapshot { path: path.to_owned(), manifest, state })
}

fn name_of(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

fn is_of_a_stop(path: &Path) -> bool {
    name_of(path).contains(STOP)
}

/// The number that a snapshot of a tool has in its name.
fn rewrite_number(path: &Path) -> Option<u32> {
    name_of(path).split_once(REWRITE)?.1.split('-').next()?.parse().ok()
}

/// True when a snapshot's manifest is there.
pub fn is_whole(path: &Path) -> bool {
    path.join("manifest.json").is_file()
}

fn epoch_of(path: &Path) -> Option<Epoch> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    name.split_once('-')?.0.parse().ok().map(Epoch)
}

/// Directories of snapshots, whole or not, oldest first.
///
/// # Errors
/// The directory cannot be listed.
pub fn list(directory: &Path) -> Result<Vec<PathBuf>> {
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
            journal_from: None,
        }
    }

    #[test]
    fn a_damaged_snapshot_gives_way_to_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        for epoch in [5, 9, 12] {
            let state = BTreeMap::from([("a".to_owned(), vec![epoch as u8; 10])]);
            write(directory.path(), Occasion::Due, manifest(epoch), &state, None, &QueryFaults::none()).unwrap();
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
        write(directory.path(), Occasion::Due, manifest(5), &BTreeMap::new(), None, &QueryFaults::none()).unwrap();
        fs_partial(directory.path(), "00000000000000000009-cut");
        let oldest = write(directory.path(), Occasion::Due, manifest(12), &BTreeMap::new(), None, &QueryFaults::none())
            .unwrap()
            .oldest;
        let kept: Vec<_> = list(directory.path()).unwrap().iter().filter_map(|path| epoch_of(path)).collect();
        assert_eq!((oldest, kept), (Some(Epoch(5)), vec![Epoch(5), Epoch(12)]));
    }

    #[test]
    fn one_of_a_stop_takes_the_place_of_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let made = |epoch, occasion| {
            let oldest =
                write(directory.path(), occasion, manifest(epoch), &BTreeMap::new(), None, &QueryFaults::none());
            let names = list(directory.path()).unwrap();
            (
                oldest.unwrap().oldest.map(|epoch| epoch.0),
                names.iter().filter_map(|path| Some(epoch_of(path)?.0)).collect(),
            )
        };
        let all = |epochs: &[u64]| epochs.to_vec();
        assert_eq!(made(3, Occasion::Stop), (None, all(&[3])));
        assert_eq!(made(5, Occasion::Due), (Some(5), all(&[5])));
        assert_eq!(made(7, Occasion::Stop), (Some(5), all(&[5, 7])));
        assert_eq!(made(8, Occasion::Stop), (Some(5), all(&[5, 8])));
        assert_eq!(made(9, Occasion::Due), (Some(5), all(&[5, 9])));
        assert_eq!(made(9, Occasion::Rewrite), (Some(9), all(&[9])));
        for number in 1..5 {
            made(9, Occasion::Rewrite);
            let [only] = &list(directory.path()).unwrap()[..] else { panic!("one is kept") };
            assert_eq!(rewrite_number(only), Some(number));
        }
    }

    fn fs_partial(directory: &Path, name: &str) {
        std::fs::create_dir(directory.join(name)).unwrap();
        std::fs::write(directory.join(name).join("0000.arrow"), b"some").unwrap();
    }
}
