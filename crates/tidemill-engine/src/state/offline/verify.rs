//! Checks every file of a checkpoint: that it is there, that it is what was written, and that a start can go on from
//! it. Nothing is changed.

use super::audit;
use super::backup;
use super::saved::{SCRATCH, SavedState};
use crate::checkpoint::journal::frame::Tail;
use crate::checkpoint::journal::segments;
use crate::checkpoint::metadata::Metadata;
use crate::checkpoint::record::Record;
use crate::checkpoint::snapshot::{self, Manifest};
use crate::checkpoint::{ipc, sealed};
use crate::state::home::{self, StateBackends};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tidemill_core::{Epoch, Error, Kind, Result};

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Files that were looked at.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong: a start would stop, or lose something.
    pub problems: Vec<Finding>,
    /// What is odd and does no harm.
    pub notes: Vec<Finding>,
}

/// Something about a file.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The file, from the checkpoint's directory.
    pub file: String,
    /// What is to be said of it.
    pub what: String,
}

struct Check<'a> {
    directory: &'a Path,
    report: Report,
}

/// Checks the checkpoint in a directory, or a backup of one.
///
/// # Errors
/// There is none.
pub fn verify(directory: &Path, backends: &StateBackends) -> Result<Report> {
    if !directory.is_dir() {
        return Err(Metadata::missing(directory));
    }
    let mut check = Check { directory, report: Report::default() };
    check.metadata();
    let records = check.journal();
    let snapshots = check.snapshots();
    check.reaches(&records, &snapshots);
    check.read_through(backends, &snapshots);
    if let Err(error) = audit::read(directory) {
        check.problem(&directory.join(audit::FILE), error.chain());
    }
    check.replays();
    check.others(&snapshots);
    check.backup();
    Ok(check.report)
}

impl Check<'_> {
    fn named(&self, path: &Path) -> String {
        path.strip_prefix(self.directory).unwrap_or(path).display().to_string()
    }

    fn problem(&mut self, path: &Path, what: impl Into<String>) {
        let finding = Finding { file: self.named(path), what: what.into() };
        self.report.problems.push(finding);
    }

    fn note(&mut self, path: &Path, what: impl Into<String>) {
        let finding = Finding { file: self.named(path), what: what.into() };
        self.report.notes.push(finding);
    }

    fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        match std::fs::read(path) {
            Ok(content) => Some(content),
            Err(error) => {
                self.problem(path, format!("cannot be read: {error}"));
                None
            }
        }
    }

    fn metadata(&mut self) {
        let path = self.directory.join("metadata.json");
        match Metadata::read(self.directory) {
            Ok(Some(_)) if self.read(&path).is_some_and(|text| sealed::is_intact(&text).is_none()) => {
                self.note(&path, "has no checksum: it is of an earlier version");
            }
            Ok(Some(_)) => {}
            Ok(None) => self.problem(&path, "is missing"),
            Err(error) => self.problem(&path, error.chain()),
        }
    }

    fn journal(&mut self) -> Vec<Record> {
        let mut records = vec![];
        let segments = segments::paths(&self.directory.join("journal")).unwrap_or_default();
        for path in &segments {
            match segments::check(path) {
                Ok((of_segment, Tail::Whole)) => records.extend(of_segment),
                Ok((of_segment, Tail::CutOff { at, bytes })) => {
                    records.extend(of_segment);
                    let end = format!("ends at byte {at} with {bytes} bytes of a record that was cut off: ");
                    self.note(path, end + "nobody was told that it was written");
                }
                Ok((of_segment, Tail::Damaged { at })) => {
                    records.extend(of_segment);
                    self.problem(path, format!("is damaged at byte {at}: a record does not match its checksum"));
                }
                Err(error) => self.problem(path, error.chain()),
            }
        }
        if segments.is_empty() {
            self.problem(&self.directory.join("journal"), "has no segment");
        }
        records
    }

    fn snapshots(&mut self) -> Vec<(PathBuf, Manifest)> {
        let mut whole = vec![];
        for (path, manifest) in snapshot::all(&self.directory.join("snapshots")).unwrap_or_default() {
            let named = path.join("manifest.json");
            match manifest {
                Ok(manifest) => {
                    self.snapshot(&path, &manifest);
                    whole.push((path, manifest));
                }
                Err(_) if !named.exists() => self.note(&path, "was cut off while it was written, and is not used"),
                Err(error) => self.problem(&named, error.chain()),
            }
        }
        whole
    }

    fn snapshot(&mut self, path: &Path, manifest: &Manifest) {
        let files = manifest.files.values().map(|entry| (path.join(&entry.name), entry.bytes, entry.crc32));
        let stored = manifest.store.iter().flat_map(|copy| &copy.files);
        let stored = stored.map(|file| (home::file_of(path, file), file.bytes, file.crc32));
        for (path, bytes, crc32) in files.chain(stored).collect::<Vec<_>>() {
            let Some(content) = self.read(&path) else { continue };
            if content.len() as u64 != bytes {
                self.problem(&path, format!("has {} bytes, not {bytes}", content.len()));
            } else if crc32fast::hash(&content) != crc32 {
                self.problem(&path, "does not match its checksum");
            }
        }
    }

    /// Whether a start can rebuild the state after the newest commit.
    fn reaches(&mut self, records: &[Record], snapshots: &[(PathBuf, Manifest)]) {
        let epochs = |wanted: fn(&Record) -> bool| -> BTreeSet<u64> {
            records.iter().filter(|record| wanted(record)).map(|record| record.epoch().0).collect()
        };
        let commits = epochs(|record| matches!(record, Record::Commit(_)));
        let Some(committed) = commits.last().copied() else { return };
        let newest = snapshots.iter().map(|(_, manifest)| manifest.epoch).filter(|epoch| epoch.0 <= committed).max();
        let first = newest.map_or(Epoch(0), Epoch::next);
        let missing = (first.0..=committed).find(|epoch| !commits.contains(epoch));
        if let Some(missing) = missing {
            let from =
                newest.map_or_else(|| "no snapshot".to_owned(), |newest| format!("the snapshot of epoch {newest}"));
            let what =
                format!("lacks epoch {missing}: the state after epoch {committed} cannot be rebuilt from {from}");
            self.problem(&self.directory.join("journal"), what);
        }
    }

    /// Reads every row of the newest snapshot: files that are whole may still not be what a store understands.
    fn read_through(&mut self, backends: &StateBackends, snapshots: &[(PathBuf, Manifest)]) {
        let Some((path, _)) = snapshots.last().filter(|_| self.report.problems.is_empty()) else { return };
        let read = SavedState::open(self.directory, None, None, backends).and_then(|mut state| {
            let operators: Vec<String> = state.operators().into_iter().map(str::to_owned).collect();
            operators.iter().try_for_each(|operator| state.rows(operator, &mut |_| Ok(true)))
        });
        if let Err(error) = read {
            self.problem(path, format!("its state cannot be read: {}", error.chain()));
        }
    }

    fn replays(&mut self) {
        for path in files_below(&self.directory.join("replays")) {
            let Some(content) = self.read(&path) else { continue };
            match sealed::is_whole(&content) {
                Some(false) => self.problem(&path, "does not match its checksum"),
                Some(true) => {}
                None => match ipc::read(&content, "it") {
                    Ok(_) => self.note(&path, "has no checksum: it is of an earlier version"),
                    Err(error) => self.problem(&path, error.chain()),
                },
            }
        }
    }

    /// Counts the files, and names those that nothing refers to.
    fn others(&mut self, snapshots: &[(PathBuf, Manifest)]) {
        let copies = snapshots.iter().filter_map(|(_, manifest)| manifest.store.as_ref());
        let shared: BTreeSet<String> =
            copies.flat_map(|copy| &copy.files).filter_map(|file| file.shared.clone()).collect();
        for path in files_below(self.directory) {
            let bytes = std::fs::metadata(&path).map_or(0, |found| found.len());
            let name = self.named(&path);
            let mut parts = name.split('/');
            match (parts.next().unwrap_or_default(), parts.next()) {
                // a working copy, made anew by every start
                ("state", Some(_)) => continue,
                (first, Some(_)) if first.starts_with(SCRATCH) => {
                    self.note(&path, "was left by a reader that was killed; `tidemill state compact` removes it");
                    continue;
                }
                ("snapshots", Some("shared")) => {
                    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    if !shared.contains(&file) {
                        self.note(&path, "belongs to no snapshot");
                    }
                }
                _ if name.ends_with(".tmp") => self.note(&path, "was cut off while it was written, and is not used"),
                _ => {}
            }
            self.report.files += 1;
            self.report.bytes += bytes;
        }
        let letters = files_below(&self.directory.join("dead_letters"));
        if !letters.is_empty() {
            let what = format!("{} files are rows of a sink; their content is checked in backups only", letters.len());
            self.note(&self.directory.join("dead_letters"), what);
        }
    }

    fn backup(&mut self) {
        match backup::check(self.directory) {
            Ok(findings) => self.report.problems.extend(findings),
            Err(error) => self.problem(&self.directory.join(backup::MANIFEST), error.chain()),
        }
    }
}

impl Report {
    /// The error that the problems are, if there are any.
    ///
    /// # Errors
    /// There are.
    pub fn into_result(self, directory: &Path) -> Result<()> {
        let Some(first) = self.problems.first() else { return Ok(()) };
        let more = match self.problems.len() {
            1 => String::new(),
            count => format!(", and {} more", count - 1),
        };
        Err(Error::new(
            Kind::Invalid,
            format!("the checkpoint {} is damaged: {} {}{more}", directory.display(), first.file, first.what),
        )
        .help("restore the file, or all of it, from a backup: `tidemill state restore`"))
    }
}

/// Every file below a directory, in the order of their names; none when it is not there.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let (mut files, mut open) = (vec![], vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(_) => files.push(entry.path()),
                Err(_) => {}
            }
        }
    }
    files.sort();
    files
}
