//! The journal on this machine: files that one process each appends to.
//!
//! Every start makes a new segment, create-if-absent, and only then reads those before it: a process that has lost
//! the checkpoint may still append to its own file, but before it acts on what it has planned it looks whether there
//! is a later one ([`Segments::confirm`]).

use super::frame::{self, MAGIC, Tail};
use crate::checkpoint::durable;
use crate::checkpoint::record::Record;
use crate::faults::QueryFaults;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use tidemill_core::{Epoch, Error, Kind, Result, Step};

/// What to do when it cannot be written.
const HELP: &str = "free space on the disk or mend it, then start the query again: nothing that was committed is lost";

/// The segment that is written.
#[derive(Debug)]
pub struct Segments {
    directory: PathBuf,
    number: u64,
    file: File,
    /// Bytes of the segment that are durable, and those that were appended since: a write that found no room is cut off
    /// there.
    durable: u64,
    appended: u64,
    /// The start may still be refused: then it leaves nothing behind.
    on_trial: bool,
}

impl Segments {
    /// Starts the segment after the last one in `directory`.
    ///
    /// # Errors
    /// Another process has started it ([`Kind::Fenced`]), or it cannot be written.
    pub fn start(directory: &Path) -> Result<Self> {
        durable::create_directory(directory)?;
        let number = list(directory)?.last().map_or(0, |last| last + 1);
        let file = create(directory, number)?;
        remove_empty(directory, number)?;
        let durable = MAGIC.len() as u64;
        Ok(Segments { directory: directory.to_owned(), number, file, durable, appended: 0, on_trial: true })
    }

    /// The start goes through: the segment stays even if nothing is written to it.
    pub fn stay(&mut self) {
        self.on_trial = false;
    }

    /// The file that is written.
    pub fn path(&self) -> PathBuf {
        path(&self.directory, self.number)
    }

    /// Appends bytes; they are not durable yet.
    ///
    /// # Errors
    /// There is no room ([`Error::is_no_room`]): nothing since the last [`Segments::sync`] is there, and it may be tried
    /// again. Or the disk fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.on_trial = false;
        if let Err(error) = self.file.write_all(bytes) {
            let failed = Error::io(format!("cannot write the journal {}", self.path().display()), error).help(HELP);
            if failed.is_no_room() {
                self.cut_off()?;
            }
            return Err(failed);
        }
        self.appended += bytes.len() as u64;
        Ok(())
    }

    /// Makes what was appended durable.
    ///
    /// # Errors
    /// The disk fails; what it holds is then unknown, and the query must stop.
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|error| {
            Error::unsynced(format!("cannot sync the journal {}", self.path().display()), error).help(HELP)
        })?;
        self.durable += std::mem::take(&mut self.appended);
        Ok(())
    }

    /// Takes away what a write left that found no room: the next one must not stand behind half a record.
    ///
    /// # Errors
    /// The disk fails; what it holds is then unknown.
    pub fn cut_off(&mut self) -> Result<()> {
        self.appended = 0;
        let cut = self.file.set_len(self.durable);
        cut.map_err(|error| Error::unsynced(format!("cannot cut half a record off {}", self.path().display()), error))
    }

    /// Makes sure that no other process has taken over.
    ///
    /// # Errors
    /// One has ([`Kind::Fenced`]).
    pub fn confirm(&self) -> Result<()> {
        match list(&self.directory)?.last() {
            Some(last) if *last > self.number => Err(taken_over(&path(&self.directory, *last))),
            _ => Ok(()),
        }
    }

    /// Starts a new segment after a snapshot.
    ///
    /// # Errors
    /// Another process has started it, or it cannot be written.
    pub fn roll(&mut self) -> Result<()> {
        self.file = create(&self.directory, self.number + 1)?;
        self.number += 1;
        (self.durable, self.appended) = (MAGIC.len() as u64, 0);
        Ok(())
    }

    /// Removes segments in which every record is of an epoch before `keep_from`.
    ///
    /// # Errors
    /// A segment cannot be read or removed.
    pub fn forget(&self, keep_from: Epoch, faults: &QueryFaults) -> Result<()> {
        let mut first_epochs = Vec::new();
        for number in list(&self.directory)? {
            let first = read_one(&path(&self.directory, number), false)?.first().map(Record::epoch);
            first_epochs.push((number, first));
        }
        let mut removed = false;
        for (at, (number, _)) in first_epochs.iter().enumerate() {
            // one that a killed process left empty says nothing of where the one before it ends
            let next = first_epochs[at + 1..].iter().find_map(|(_, first)| *first);
            if *number == self.number || next.is_none_or(|next| next > keep_from) {
                break;
            }
            faults.at(Step::Forgetting)?;
            let path = path(&self.directory, *number);
            std::fs::remove_file(&path)
                .map_err(|error| Error::io(format!("cannot remove {}", path.display()), error))?;
            removed = true;
        }
        if removed { durable::sync_directory(&self.directory) } else { Ok(()) }
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        if self.on_trial {
            // the next start removes it otherwise
            let _ = std::fs::remove_file(self.path());
        }
    }
}

/// Everything the segments in `directory` hold.
///
/// # Errors
/// Damage, with file and position.
pub fn read(directory: &Path) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for number in list(directory)? {
        records.extend(read_one(&path(directory, number), true)?);
    }
    Ok(records)
}

/// True when a segment in `directory` holds anything: a start that was killed may have left an empty one.
///
/// # Errors
/// They cannot be looked at.
pub fn hold_any(directory: &Path) -> Result<bool> {
    for path in list(directory)?.into_iter().map(|number| path(directory, number)) {
        let found =
            std::fs::metadata(&path).map_err(|error| Error::io(format!("cannot read {}", path.display()), error))?;
        if found.len() > MAGIC.len() as u64 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The file of a segment.
pub fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}.log"))
}

/// Numbers of the segments in `directory`, in order.
///
/// # Errors
/// It cannot be listed.
pub fn list(directory: &Path) -> Result<Vec<u64>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(Error::io(format!("cannot list {}", directory.display()), error)),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Error::io(format!("cannot list {}", directory.display()), error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(number) = name.strip_suffix(".log").and_then(|number| number.parse().ok()) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn taken_over(path: &Path) -> Error {
    Error::new(
        Kind::Fenced,
        format!("another process has taken over the checkpoint: {} is there already", path.display()),
    )
}

fn create(directory: &Path, number: u64) -> Result<File> {
    let path = path(directory, number);
    let context = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => taken_over(&path),
        _ => Error::io(format!("cannot start the journal segment {}", path.display()), error),
    };
    let mut file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(context)?;
    file.write_all(MAGIC).and_then(|()| file.sync_all()).map_err(context)?;
    durable::sync_directory(directory)?;
    if let Some(later) = list(directory)?.into_iter().rfind(|other| *other > number) {
        // the number was free because another process has gone far beyond it
        std::fs::remove_file(&path).map_err(context)?;
        return Err(taken_over(&self::path(directory, later)));
    }
    Ok(file)
}

/// Removes segments before `number` that hold nothing: every start that was killed has left one.
fn remove_empty(directory: &Path, number: u64) -> Result<()> {
    for path in list(directory)?.into_iter().filter(|other| *other < number).map(|other| path(directory, other)) {
        let context = |error| Error::io(format!("cannot remove {}", path.display()), error);
        if std::fs::metadata(&path).map_err(context)?.len() <= MAGIC.len() as u64 {
            std::fs::remove_file(&path).map_err(context)?;
        }
    }
    Ok(())
}

/// The segments in `directory`, oldest first.
///
/// # Errors
/// The directory cannot be read.
pub fn paths(directory: &Path) -> Result<Vec<PathBuf>> {
    Ok(list(directory)?.into_iter().map(|number| path(directory, number)).collect())
}

/// The records of a segment, and how it ends.
///
/// # Errors
/// It cannot be read; damage before its end.
pub fn check(path: &Path) -> Result<(Vec<Record>, Tail)> {
    scan(path, true)
}

/// The records of a segment, all or only the first.
fn read_one(path: &Path, all: bool) -> Result<Vec<Record>> {
    Ok(scan(path, all)?.0)
}

fn scan(path: &Path, all: bool) -> Result<(Vec<Record>, Tail)> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(format!("cannot read {}", path.display()), error))?;
    frame::decode(&bytes, &path.display().to_string(), all)
}
