//! The journal: records in frames, appended to one open file, one fsync for all records of a write.
//!
//! ```text
//! segment: "TIDEMJ01" frame*
//! frame:   length u32 | crc32 u32 | kind u8 | body          (little endian; the crc covers kind and body)
//! body:    plan, commit: JSON     changes: epoch u64 | name length u16 | name | Arrow IPC stream
//! ```
//!
//! Every start of the query makes a new segment, create-if-absent, so two processes can never append
//! to one file. A frame cut off at the end of a segment is a write that was never acknowledged and is
//! passed over; anything else that does not read is damage and stops the query.

use super::durable;
use super::record::Record;
use crate::faults::QueryFaults;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use tidemill_core::{Epoch, Error, Kind, Result, ResultExt, Step};

const MAGIC: &[u8; 8] = b"TIDEMJ01";
const HEADER: usize = 8;

/// Longest frame that is read, in bytes: larger lengths are damage.
const FRAME_BYTES_MAX: usize = 1 << 31;

/// The open end of the journal.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    number: u64,
    file: File,
    buffer: Vec<u8>,
    /// The middles of the plans and commits in the buffer.
    middles: Vec<(Step, usize)>,
    faults: QueryFaults,
    /// Bytes since the last snapshot, in this segment and those before it.
    since_snapshot: u64,
}

impl Journal {
    /// Starts the segment after `last` in `directory`. `since_snapshot` is how much was written since
    /// the last snapshot, so that a query that starts often makes snapshots as one that runs on does.
    ///
    /// # Errors
    /// Another process has started it ([`Kind::Fenced`]), or it cannot be written.
    pub fn start(directory: &Path, last: Option<u64>, since_snapshot: u64) -> Result<Self> {
        durable::create_directory(directory)?;
        let number = last.map_or(0, |last| last + 1);
        let file = create_segment(directory, number)?;
        remove_empty(directory, number)?;
        let (directory, faults) = (directory.to_owned(), QueryFaults::none());
        Ok(Journal { directory, number, file, buffer: vec![], middles: vec![], faults, since_snapshot })
    }

    /// The same, with faults that may break its writes.
    #[must_use]
    pub fn breaking(self, faults: QueryFaults) -> Self {
        Journal { faults, ..self }
    }

    /// Adds a record to what the next [`Journal::flush`] writes.
    ///
    /// # Errors
    /// A record that has no JSON, which is a bug.
    pub fn add(&mut self, record: &Record) -> Result<()> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; HEADER]);
        match record {
            Record::Plan(plan) => {
                self.buffer.push(b'P');
                serde_json::to_writer(&mut self.buffer, plan).context(Kind::Bug, || "a plan has no JSON".into())?;
            }
            Record::Commit(commit) => {
                self.buffer.push(b'C');
                serde_json::to_writer(&mut self.buffer, commit).context(Kind::Bug, || "a commit has no JSON".into())?;
            }
            Record::Changes { epoch, operator, rows } => {
                self.buffer.push(b'S');
                self.buffer.extend_from_slice(&epoch.0.to_le_bytes());
                self.buffer.extend_from_slice(&(operator.len() as u16).to_le_bytes());
                self.buffer.extend_from_slice(operator.as_bytes());
                self.buffer.extend_from_slice(rows);
            }
        }
        let body = &self.buffer[start + HEADER..];
        let (length, crc) = (body.len() as u32, crc32fast::hash(body));
        self.buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.buffer[start + 4..start + HEADER].copy_from_slice(&crc.to_le_bytes());
        let middle = start.midpoint(self.buffer.len());
        match record {
            Record::Plan(_) => self.middles.push((Step::PlanTorn, middle)),
            Record::Commit(_) => self.middles.push((Step::CommitTorn, middle)),
            Record::Changes { .. } => {}
        }
        Ok(())
    }

    /// True when records wait to be written.
    pub fn has_pending(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Writes what was added and makes it durable.
    ///
    /// # Errors
    /// The disk fails; what it holds is then unknown, and the query must stop.
    pub fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let from = self.torn()?;
        let written = self.file.write_all(&self.buffer[from..]).and_then(|()| self.file.sync_data());
        written.map_err(|error| {
            Error::io(format!("cannot write the journal {}", segment(&self.directory, self.number).display()), error)
                .help(
                    "free space on the disk or mend it, then start the query again: nothing that was committed is lost",
                )
        })?;
        self.since_snapshot += self.buffer.len() as u64;
        self.buffer.clear();
        self.middles.clear();
        Ok(())
    }

    /// Writes up to the middle of a record that a fault wants torn, and says how far that is.
    fn torn(&mut self) -> Result<usize> {
        let mut from = 0;
        for (step, middle) in &self.middles {
            if self.faults.tears(*step) {
                let path = segment(&self.directory, self.number);
                let written = self.file.write_all(&self.buffer[from..*middle]);
                written.map_err(|error| Error::io(format!("cannot write the journal {}", path.display()), error))?;
                from = *middle;
            }
            self.faults.at(*step)?;
        }
        Ok(from)
    }

    /// Bytes written since the last snapshot: what a start replays.
    pub fn bytes_since_snapshot(&self) -> u64 {
        self.since_snapshot
    }

    /// Starts a new segment after a snapshot.
    ///
    /// # Errors
    /// Another process has started it, or it cannot be written.
    pub fn roll(&mut self) -> Result<()> {
        self.flush()?;
        self.file = create_segment(&self.directory, self.number + 1)?;
        self.number += 1;
        self.since_snapshot = 0;
        Ok(())
    }

    /// Removes segments in which every record is of an epoch before `keep_from`.
    ///
    /// # Errors
    /// A segment cannot be read or removed.
    pub fn forget(&self, keep_from: Epoch) -> Result<()> {
        let mut first_epochs = Vec::new();
        for number in list(&self.directory)? {
            let first = read_segment(&segment(&self.directory, number), false)?.first().map(Record::epoch);
            first_epochs.push((number, first));
        }
        let mut removed = false;
        for (at, (number, _)) in first_epochs.iter().enumerate() {
            // one that a killed process left empty says nothing of where the one before it ends
            let next = first_epochs[at + 1..].iter().find_map(|(_, first)| *first);
            if *number == self.number || next.is_none_or(|next| next > keep_from) {
                break;
            }
            self.faults.at(Step::Forgetting)?;
            let path = segment(&self.directory, *number);
            std::fs::remove_file(&path)
                .map_err(|error| Error::io(format!("cannot remove {}", path.display()), error))?;
            removed = true;
        }
        if removed { durable::sync_directory(&self.directory) } else { Ok(()) }
    }
}

/// Everything the journal in `directory` holds, and the number of its last segment.
///
/// # Errors
/// Damage, with file and position.
pub fn read(directory: &Path) -> Result<(Vec<Record>, Option<u64>)> {
    let segments = list(directory)?;
    let mut records = Vec::new();
    for number in &segments {
        records.extend(read_segment(&segment(directory, *number), true)?);
    }
    Ok((records, segments.last().copied()))
}

fn segment(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}.log"))
}

fn create_segment(directory: &Path, number: u64) -> Result<File> {
    let path = segment(directory, number);
    let context = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::new(
            Kind::Fenced,
            format!("another process has taken over the checkpoint: {} is there already", path.display()),
        ),
        _ => Error::io(format!("cannot start the journal segment {}", path.display()), error),
    };
    let mut file = OpenOptions::new().append(true).create_new(true).open(&path).map_err(context)?;
    file.write_all(MAGIC).and_then(|()| file.sync_all()).map_err(context)?;
    durable::sync_directory(directory)?;
    Ok(file)
}

/// Removes segments before `number` that hold nothing: every start that failed has left one.
fn remove_empty(directory: &Path, number: u64) -> Result<()> {
    for path in list(directory)?.into_iter().filter(|other| *other < number).map(|other| segment(directory, other)) {
        let context = |error| Error::io(format!("cannot remove {}", path.display()), error);
        if std::fs::metadata(&path).map_err(context)?.len() <= MAGIC.len() as u64 {
            std::fs::remove_file(&path).map_err(context)?;
        }
    }
    Ok(())
}

fn list(directory: &Path) -> Result<Vec<u64>> {
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

/// The records of a segment, all or only the first.
fn read_segment(path: &Path, all: bool) -> Result<Vec<Record>> {
    let bytes = std::fs::read(path).map_err(|error| Error::io(format!("cannot read {}", path.display()), error))?;
    let damaged = |at: usize, why: &str| {
        Error::invalid(format!("the journal {} is damaged at byte {at}: {why}", path.display()))
            .help("restore the file from a copy, or start over with a new checkpoint directory")
    };
    if bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes) {
        return Ok(vec![]);
    }
    if !bytes.starts_with(MAGIC) {
        return Err(damaged(0, "it does not start as a journal does"));
    }
    let (mut records, mut at) = (Vec::new(), MAGIC.len());
    while at < bytes.len() && (all || records.is_empty()) {
        match frame(&bytes[at..]) {
            Frame::Whole { body, length } => {
                records.push(record(body).map_err(|why| damaged(at, &why))?);
                at += length;
            }
            // the write was cut off: it was never acknowledged
            Frame::CutOff => break,
            Frame::Damaged if frame_follows(&bytes[at..]) => {
                return Err(damaged(at, "a record does not match its checksum"));
            }
            Frame::Damaged => break,
        }
    }
    Ok(records)
}

enum Frame<'a> {
    Whole { body: &'a [u8], length: usize },
    CutOff,
    Damaged,
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    let Some((header, rest)) = bytes.split_at_checked(HEADER) else { return Frame::CutOff };
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (length, crc) = (number(0) as usize, number(4));
    if length == 0 || length > FRAME_BYTES_MAX {
        return Frame::Damaged;
    }
    let Some(body) = rest.get(..length) else { return Frame::CutOff };
    if crc32fast::hash(body) == crc { Frame::Whole { body, length: HEADER + length } } else { Frame::Damaged }
}

/// True when a whole frame stands behind a damaged one: then it was damaged after it was written.
fn frame_follows(bytes: &[u8]) -> bool {
    let Some(header) = bytes.get(..4) else { return false };
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let next = bytes.get(HEADER.saturating_add(length)..);
    next.is_some_and(|next| !next.is_empty() && matches!(frame(next), Frame::Whole { .. }))
}

fn record(body: &[u8]) -> Result<Record, String> {
    let (kind, rest) = body.split_first().ok_or("an empty record")?;
    match kind {
        b'P' => serde_json::from_slice(rest).map(Record::Plan).map_err(|error| error.to_string()),
        b'C' => serde_json::from_slice(rest).map(Record::Commit).map_err(|error| error.to_string()),
        b'S' => {
            let (head, rest) = rest.split_at_checked(10).ok_or("a short record of changes")?;
            let epoch = u64::from_le_bytes(head[..8].try_into().map_err(|_| "no epoch")?);
            let name = usize::from(u16::from_le_bytes([head[8], head[9]]));
            let (name, rows) = rest.split_at_checked(name).ok_or("a short name")?;
            let operator = String::from_utf8(name.to_vec()).map_err(|_| "a name that is no text")?;
            Ok(Record::Changes { epoch: Epoch(epoch), operator, rows: rows.to_vec() })
        }
        other => Err(format!("a record of the unknown kind {other}")),
    }
}

#[cfg(test)]
mod tests;
