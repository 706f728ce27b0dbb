//! A live table on disk, so that a restart finds the rows and the epoch that readers saw last.
//!
//! ```text
//! <path>/lock                flock of the process that serves the table
//! <path>/<20 digits>.live    frames (log/frame.rs): the whole table first, then each epoch's rows
//! ```
//! An epoch is any number of frames `R` (Arrow IPC stream) and one frame `E`: whether the rows replace everything,
//! the newest time of the retention column, and the writer's id with the epoch. It counts when its `E` is whole; what
//! stands behind the last one at a start was never acknowledged and is cut off. When the rows of epochs take more
//! room than the table itself, a new file is begun, which is there whole or not at all.

use super::table::{Content, Rules, Snapshot};
use crate::durable::Disk;
use crate::log::frame::{self, Fields, Frame};
use crate::marker;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tidemill_core::sink::{Marker, Writer};
use tidemill_core::{Epoch, Error, Kind, Result, ResultExt as _};

const MAGIC: [u8; 4] = *b"TLV\x01";
/// Rows in one frame, so that a frame stays far below its bound.
const FRAME_ROWS: usize = 64 * 1024;
/// A file grows by at least so much before a new one is begun, in bytes.
const GROWTH_BYTES_MIN: u64 = 4 << 20;

/// The files of one table.
pub(super) struct Kept {
    folder: PathBuf,
    disk: Disk,
    number: u64,
    file: Option<File>,
    /// Size of the table at the begin of the file, and of the file now, in bytes.
    base: u64,
    length: u64,
    _lock: File,
}

/// An epoch as it is written.
pub(super) struct Change<'a> {
    pub(super) writer: &'a Writer,
    pub(super) epoch: Epoch,
    pub(super) rows: &'a [RecordBatch],
    pub(super) replace: bool,
    pub(super) newest: i64,
}

impl Kept {
    /// Takes the folder and brings what is there into `content`.
    ///
    /// # Errors
    /// Another process has the folder; it cannot be read; it is damaged; it is of other columns.
    pub(super) fn open(folder: &Path, rules: &Rules, content: &mut Content, writer: &Writer) -> Result<(Self, Marker)> {
        let disk = Disk::default();
        disk.create_directory(folder)?;
        let lock = lock(folder, &rules.table)?;
        let mut numbers = numbers(folder)?;
        numbers.sort_unstable();
        let number = numbers.pop();
        for older in numbers {
            disk.remove(&file_name(folder, older))?;
        }
        let mut kept = Kept { folder: folder.to_owned(), disk, number: 0, file: None, base: 0, length: 0, _lock: lock };
        let mut held = Marker::Absent;
        if let Some(number) = number {
            kept.number = number;
            held = kept.load(rules, content, writer)?;
        }
        Ok((kept, held))
    }

    /// Reads the newest file and opens it to go on.
    fn load(&mut self, rules: &Rules, content: &mut Content, writer: &Writer) -> Result<Marker> {
        let path = file_name(&self.folder, self.number);
        let bytes =
            std::fs::read(&path).map_err(|error| Error::io(format!("cannot read '{}'", path.display()), error))?;
        let damaged = |at: usize, why: &str| {
            Error::invalid(format!(
                "the live table '{}' in '{}' is damaged at byte {at}: {why}",
                rules.table,
                path.display()
            ))
            .help("restore the folder from a copy, or remove it together with the checkpoint and start over")
        };
        let (mut at, mut whole, mut rows) = (0, 0, Vec::new());
        let mut held = None;
        while at < bytes.len() {
            let body = match frame::look(MAGIC, &bytes, at) {
                Frame::Whole(body) => body,
                // never acknowledged
                Frame::Incomplete(_) | Frame::Damaged { last: true, .. } if whole > 0 => break,
                Frame::Incomplete(_) => return Err(damaged(at, "it ends early")),
                Frame::Damaged { why, .. } => return Err(damaged(at, why)),
            };
            at = body.end;
            match bytes[body.clone()].split_first() {
                Some((b'R', stream)) => rows.extend(read(stream, rules, &path)?),
                Some((b'E', end)) => {
                    let mut fields = Fields(end);
                    let parts = (|| Some((fields.u8()? == 1, fields.u64()?.cast_signed(), fields.marker()?)))();
                    let (replace, newest, (id, epoch)) = parts.ok_or_else(|| damaged(body.start, "a short end"))?;
                    content.apply(Epoch(epoch), &rows, replace, newest)?;
                    rows.clear();
                    self.base = if whole == 0 { at as u64 } else { self.base };
                    whole = at;
                    held = Some((id, epoch));
                }
                _ => return Err(damaged(body.start, "an unknown frame")),
            }
        }
        self.length = whole as u64;
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.map_err(|error| Error::io(format!("cannot write '{}'", path.display()), error))?;
        if whole < bytes.len() {
            file.set_len(self.length).map_err(|error| Error::io(format!("cannot cut '{}'", path.display()), error))?;
        }
        self.disk.sync_file(&file, &path)?;
        self.file = Some(file);
        Ok(marker::find(writer, held.iter().map(|(id, epoch)| (id.as_str(), *epoch))))
    }

    /// Makes an epoch durable; `after` is the table with it.
    ///
    /// # Errors
    /// The disk does not take it; what is there must be read again before anything else is written.
    pub(super) fn commit(&mut self, change: &Change<'_>, after: &Snapshot) -> Result<()> {
        let grown = self.length.saturating_sub(self.base);
        let Some(file) = self.file.as_mut().filter(|_| grown < self.base.max(GROWTH_BYTES_MIN)) else {
            return self.begin(change, after);
        };
        let bytes = encode(change, change.rows, change.replace, &after.schema)?;
        let path = file_name(&self.folder, self.number);
        file.write_all(&bytes).map_err(|error| Error::io(format!("cannot write '{}'", path.display()), error))?;
        self.disk.sync_file(file, &path)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Begins a file with the whole table.
    fn begin(&mut self, change: &Change<'_>, after: &Snapshot) -> Result<()> {
        let bytes = encode(change, &after.batches()?, true, &after.schema)?;
        let older = self.file.take().map(|_| file_name(&self.folder, self.number));
        self.number += 1;
        let path = file_name(&self.folder, self.number);
        if !self.disk.create(&path, &self.folder.join("begun"), &bytes)? {
            let why = format!("'{}' is there already: another process writes this table", path.display());
            return Err(Error::new(Kind::Fenced, why));
        }
        let file = OpenOptions::new().append(true).open(&path);
        self.file = Some(file.map_err(|error| Error::io(format!("cannot write '{}'", path.display()), error))?);
        (self.base, self.length) = (bytes.len() as u64, bytes.len() as u64);
        older.map_or(Ok(()), |older| self.disk.remove(&older))
    }
}

fn lock(folder: &Path, table: &str) -> Result<File> {
    let path = folder.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|error| Error::io(format!("cannot open '{}'", path.display()), error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
            let why = format!("another process serves the live table '{table}' from '{}'", folder.display());
            Err(Error::new(Kind::Fenced, why).help("stop it, or give this table a 'path' of its own"))
        }
        Err(error) => Err(Error::io(format!("cannot lock '{}'", path.display()), error.into())),
    }
}

fn numbers(folder: &Path) -> Result<Vec<u64>> {
    let unreadable = |error| Error::io(format!("cannot read '{}'", folder.display()), error);
    let mut numbers = vec![];
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_suffix(".live")).and_then(|digits| digits.parse::<u64>().ok());
        numbers.extend(number);
    }
    Ok(numbers)
}

fn file_name(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.live"))
}

fn encode(change: &Change<'_>, rows: &[RecordBatch], replace: bool, schema: &SchemaRef) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for batch in rows {
        for from in (0..batch.num_rows()).step_by(FRAME_ROWS) {
            let mut body = vec![b'R'];
            let mut writer = StreamWriter::try_new(&mut body, schema)?;
            writer.write(&batch.slice(from, FRAME_ROWS.min(batch.num_rows() - from)))?;
            writer.finish()?;
            drop(writer);
            if body.len() > frame::BODY_BYTES_MAX {
                return Err(Error::new(
                    Kind::Data,
                    format!("{FRAME_ROWS} rows of a live table take {} bytes", body.len()),
                ));
            }
            out.extend(frame::seal(MAGIC, &body));
        }
    }
    let mut end = vec![b'E', u8::from(replace)];
    end.extend(change.newest.to_le_bytes());
    frame::put_marker(&mut end, &change.writer.id(), change.epoch.0);
    out.extend(frame::seal(MAGIC, &end));
    Ok(out)
}

fn read(stream: &[u8], rules: &Rules, path: &Path) -> Result<Vec<RecordBatch>> {
    let what = || format!("cannot read the rows in '{}'", path.display());
    let reader = StreamReader::try_new(stream, None).context(Kind::Invalid, what)?;
    if reader.schema().fields() != rules.schema.fields() {
        let why = format!("the live table '{}' in '{}' has other columns than the query", rules.table, path.display());
        return Err(Error::invalid(why)
            .help("give the changed query a new 'path', or remove the folder and start with a new checkpoint"));
    }
    reader.map(|batch| batch.context(Kind::Invalid, what)).collect()
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
