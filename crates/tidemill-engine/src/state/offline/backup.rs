//! Copies of a checkpoint, also while its query runs, and the way back.
//!
//! Files of a checkpoint never change once they are made; only the end of the journal grows. So a copy is
//! consistent when the snapshots are copied first and the journal after them: whatever a snapshot lacks, the journal
//! has. `backup.json` lists every file with its length and SHA-256. The copy is a checkpoint by itself.

use super::audit::hexadecimal;
use super::saved::{SCRATCH, committed};
use super::verify::{Finding, files_below};
use crate::checkpoint::journal::segments;
use crate::checkpoint::lock::CheckpointLock;
use crate::checkpoint::metadata::Metadata;
use crate::checkpoint::snapshot;
use crate::checkpoint::{durable, sealed};
use crate::progress::iso;
use crate::state::home;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Incarnation, Kind, Result};

/// Name of the list of files in a backup.
pub const MANIFEST: &str = "backup.json";
/// How often a copy is begun again because files went while it was made.
const ATTEMPTS: usize = 4;
/// Bytes that are copied at once.
const PIECE_BYTES: usize = 1 << 20;

/// What a backup is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Backup {
    /// The pipeline.
    pub pipeline: String,
    /// Which life of its checkpoint.
    pub incarnation: Incarnation,
    /// The newest committed epoch.
    pub committed: Option<u64>,
    /// When it was made, ISO 8601.
    pub made_at: String,
    /// The version of the program that made it.
    pub made_by: String,
    /// Its files.
    pub files: BTreeMap<String, BackupFile>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

/// Copies a checkpoint into a directory that does not exist yet. The query may run.
///
/// # Errors
/// There is no checkpoint, the directory is there already, the disk fails.
pub fn backup(directory: &Path, to: &Path, now: i64) -> Result<Backup> {
    let metadata = Metadata::read(directory)?.ok_or_else(|| Metadata::missing(directory))?;
    must_be_new(to)?;
    let partial = to.with_file_name(format!(".{}.part", to.file_name().unwrap_or_default().to_string_lossy()));
    let mut attempt = 1;
    let files = loop {
        remove(&partial)?;
        match copied(directory, &partial) {
            // a snapshot that was made meanwhile has let files go
            Err(error) if error.kind() == Kind::Io && attempt < ATTEMPTS => attempt += 1,
            done => break done?,
        }
    };
    let manifest = Backup {
        pipeline: metadata.pipeline,
        incarnation: metadata.incarnation,
        committed: committed(&partial)?.map(|epoch| epoch.0),
        made_at: iso(now),
        made_by: format!("tidemill {}", env!("CARGO_PKG_VERSION")),
        files,
    };
    let text =
        serde_json::to_vec_pretty(&manifest).map_err(|error| Error::bug("a backup has no JSON").caused_by(error))?;
    durable::write_new(&partial.join(MANIFEST), &sealed::seal(text))?;
    // a backup is there as a whole or not at all
    std::fs::rename(&partial, to).map_err(|error| Error::io(format!("cannot make {}", to.display()), error))?;
    durable::sync_directory(to.parent().unwrap_or(Path::new(".")))?;
    Ok(manifest)
}

/// Puts a backup where there is no checkpoint, after every file has been compared with the list.
///
/// # Errors
/// It is no backup, a file of it is damaged, the directory has something in it; the disk fails.
pub fn restore(from: &Path, directory: &Path) -> Result<Backup> {
    let manifest = read(from)?.ok_or_else(|| {
        Error::new(Kind::Usage, format!("{} is no backup: it has no {MANIFEST}", from.display()))
            .help("`tidemill state backup` makes one")
    })?;
    let damaged = check(from)?;
    if let Some(first) = damaged.first() {
        return Err(Error::invalid(format!("the backup {} is damaged: {} {}", from.display(), first.file, first.what))
            .help("use another one; `tidemill state verify` names all that is wrong"));
    }
    must_be_new(directory)?;
    durable::create_directory(directory)?;
    let _lock = CheckpointLock::take(directory)?;
    // the file that makes it a checkpoint comes last
    let (first, last): (Vec<_>, Vec<_>) = manifest.files.keys().partition(|name| *name != "metadata.json");
    for name in first.into_iter().chain(last) {
        copy(&from.join(name), &directory.join(name))?;
    }
    Ok(manifest)
}

/// What of a backup is not as its list says; nothing for a directory that is no backup.
///
/// # Errors
/// The list is damaged.
pub fn check(directory: &Path) -> Result<Vec<Finding>> {
    let Some(manifest) = read(directory)? else { return Ok(vec![]) };
    let mut findings = vec![];
    for (name, file) in &manifest.files {
        let what = match digest(&directory.join(name)) {
            Err(error) => error.chain(),
            Ok(found) if found.bytes != file.bytes => format!("has {} bytes, not {}", found.bytes, file.bytes),
            Ok(found) if found != *file => "is not what was backed up".to_owned(),
            Ok(_) => continue,
        };
        findings.push(Finding { file: name.clone(), what });
    }
    Ok(findings)
}

fn read(directory: &Path) -> Result<Option<Backup>> {
    let path = directory.join(MANIFEST);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(format!("cannot read {}", path.display()), error)),
    };
    let damaged = || Error::invalid(format!("{} is damaged", path.display())).help("use another backup");
    if sealed::is_intact(&text) != Some(true) {
        return Err(damaged());
    }
    serde_json::from_slice(&text).map(Some).map_err(|error| damaged().caused_by(error))
}

/// The files of a checkpoint in the order in which they are to be copied.
fn files_of(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![];
    for (path, manifest) in snapshot::all(&directory.join("snapshots"))? {
        if !path.join("manifest.json").is_file() {
            continue;
        }
        let manifest = manifest?;
        files.extend(manifest.files.values().map(|entry| path.join(&entry.name)));
        let stored = manifest.store.iter().flat_map(|copy| &copy.files);
        files.extend(stored.map(|file| home::file_of(&path, file)));
        files.push(path.join("manifest.json"));
    }
    files.sort();
    files.dedup();
    files.extend(segments::paths(&directory.join("journal"))?);
    let listed = std::fs::read_dir(directory)
        .map_err(|error| Error::io(format!("cannot list {}", directory.display()), error))?;
    for entry in listed.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let made_anew = ["snapshots", "journal", "state", "lock", MANIFEST];
        if made_anew.contains(&name.as_str()) || name.starts_with(SCRATCH) || name.ends_with(".tmp") {
            continue;
        }
        match entry.path().is_dir() {
            true => files.extend(files_below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    Ok(files)
}

fn copied(directory: &Path, to: &Path) -> Result<BTreeMap<String, BackupFile>> {
    durable::create_directory(to)?;
    let mut files = BTreeMap::new();
    for path in files_of(directory)? {
        let name = path.strip_prefix(directory).map_err(|_| Error::bug("a file is not in its checkpoint"))?;
        files.insert(name.display().to_string(), copy(&path, &to.join(name))?);
    }
    Ok(files)
}

/// Copies a file as it is now, durably.
fn copy(from: &Path, to: &Path) -> Result<BackupFile> {
    if let Some(parent) = to.parent() {
        durable::create_directory(parent)?;
    }
    std::fs::copy(from, to)
        .map_err(|error| Error::io(format!("cannot copy {} to {}", from.display(), to.display()), error))?;
    durable::sync_file(to)?;
    durable::sync_directory(to.parent().unwrap_or(Path::new(".")))?;
    digest(to)
}

fn digest(path: &Path) -> Result<BackupFile> {
    let failed = |error| Error::io(format!("cannot read {}", path.display()), error);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let (mut hasher, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE_BYTES]);
    loop {
        let count = file.read(&mut piece).map_err(failed)?;
        if count == 0 {
            return Ok(BackupFile { bytes, sha256: hexadecimal(&hasher.finalize()) });
        }
        hasher.update(&piece[..count]);
        bytes += count as u64;
    }
}

fn must_be_new(directory: &Path) -> Result<()> {
    let is_empty = || std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none());
    match directory.exists() && !is_empty() {
        true => Err(Error::new(Kind::Usage, format!("{} is there already", directory.display()))
            .help("name a directory that does not exist yet")),
        false => Ok(()),
    }
}

fn remove(directory: &Path) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("cannot remove {}", directory.display()), error))
        }
        _ => Ok(()),
    }
}
