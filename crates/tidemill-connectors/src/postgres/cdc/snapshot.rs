//! The copy of the table on local disk: its rows as they were at the position where the slot begins.
//!
//! A snapshot of Postgres lives no longer than the connection that holds it, and an epoch must read the same rows
//! again after a crash. So all rows are copied first, and epochs read the copy. It is a folder:
//!
//! ```text
//! lock             held by the process that reads the slot (flock)
//! begun            there since before the slot was made: a slot of the name is ours
//! rows             blocks: length and crc32 of what follows, then rows, each its length and its values as pgoutput has them
//! copy.json        comes last and makes it real: slot, position, server, columns
//! ```

use super::buffer::{Operation, Row, Transaction};
use super::message::{Relation, RelationColumn, write_tuple};
use crate::durable::Disk;
use bytes::{Buf as _, Bytes};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, ResultExt as _};

const FORMAT: u32 = 1;
/// A block is closed once it is so large.
const BLOCK_BYTES: usize = 256 * 1024;
const HEADER_BYTES: u64 = 8;

/// What the copy is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// Where its slot begins.
    pub(super) lsn: u64,
    pub(super) system: u64,
    pub(super) timeline: u64,
    /// When it was taken, in microseconds since 1970.
    pub(super) taken_at: i64,
    /// Size of `rows`.
    pub(super) bytes: u64,
    table: u32,
    schema: String,
    name: String,
    columns: Vec<CopiedColumn>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct CopiedColumn {
    name: String,
    oid: u32,
    modifier: i32,
}

/// The folder, held by this process.
pub(super) struct Folder {
    path: PathBuf,
    disk: Disk,
    _lock: File,
}

impl Folder {
    /// Takes the folder; `None` when there is none and `make` is false.
    ///
    /// # Errors
    /// Another process has it.
    pub(super) fn take(path: &Path, make: bool) -> Result<Option<Self>> {
        let disk = Disk::default();
        if !path.is_dir() {
            if !make {
                return Ok(None);
            }
            disk.create_directory(path)?;
        }
        let lock = path.join("lock");
        let failed = |cause| Error::io(format!("cannot lock {}", lock.display()), cause);
        let file = OpenOptions::new().append(true).create(true).open(&lock).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Folder { path: path.to_owned(), disk, _lock: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let message = format!("another process reads the slot whose copy is in {}", path.display());
                Err(Error::new(Kind::Fenced, message).help("one query a slot: stop the other, or name another slot"))
            }
            Err(cause) => Err(failed(cause.into())),
        }
    }

    /// What the copy is of, when it is whole.
    ///
    /// # Errors
    /// It is damaged.
    pub(super) fn manifest(&self) -> Result<Option<Manifest>> {
        let path = self.path.join("copy.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("cannot read {}", path.display()), error)),
        };
        let manifest: Manifest =
            serde_json::from_slice(&text).context(Kind::Invalid, || format!("{} is damaged", path.display()))?;
        if manifest.format != FORMAT {
            return Err(Error::invalid(format!("{} is of another version of this program", path.display())));
        }
        Ok(Some(manifest))
    }

    /// True when a copy was begun.
    pub(super) fn is_begun(&self) -> bool {
        self.path.join("begun").exists()
    }

    /// Notes that a slot will be made.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn begin(&self) -> Result<()> {
        self.disk.write(&self.path.join("begun"), b"")?;
        self.disk.sync_directory(&self.path)
    }

    /// A writer of rows, in place of what a crash has left.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn writer(&self) -> Result<Writer> {
        let path = self.path.join("rows");
        let file = BufWriter::new(self.disk.new_file(&path)?);
        Ok(Writer { file, path, disk: self.disk.clone(), block: Vec::new(), bytes: 0, rows: 0 })
    }

    /// Makes the copy real.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn finish(&self, manifest: &Manifest) -> Result<()> {
        let text = serde_json::to_vec(manifest).context(Kind::Bug, || "a manifest has no JSON".into())?;
        self.disk.sync_directory(&self.path)?;
        self.disk.create(&self.path.join("copy.json"), &self.path.join(".copy.json"), &text)?;
        Ok(())
    }

    /// Removes the copy: its rows are through.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn remove(&self) -> Result<()> {
        for name in ["copy.json", "begun", "rows", "lock"] {
            self.disk.remove(&self.path.join(name))?;
        }
        match std::fs::remove_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
                tracing::warn!(folder = %self.path.display(), "the folder holds other files and stays");
                Ok(())
            }
            removed => removed.map_err(|error| Error::io(format!("cannot remove {}", self.path.display()), error)),
        }
    }

    /// The copy, to read it.
    ///
    /// # Errors
    /// It is damaged.
    pub(super) fn open(&self, manifest: Manifest) -> Result<Copied> {
        Copied::open(self.path.join("rows"), manifest)
    }
}

impl Manifest {
    /// Of a table whose slot begins at `lsn`.
    pub(super) fn new(
        relation: &Relation,
        lsn: u64,
        (system, timeline): (u64, u64),
        taken_at: i64,
        bytes: u64,
    ) -> Self {
        let column = |column: &RelationColumn| CopiedColumn {
            name: column.name.clone(),
            oid: column.oid,
            modifier: column.modifier,
        };
        Manifest {
            format: FORMAT,
            lsn,
            system,
            timeline,
            taken_at,
            bytes,
            table: relation.id,
            schema: relation.schema.clone(),
            name: relation.name.clone(),
            columns: relation.columns.iter().map(column).collect(),
        }
    }
}

/// Writes rows.
pub(super) struct Writer {
    file: BufWriter<File>,
    path: PathBuf,
    disk: Disk,
    block: Vec<u8>,
    bytes: u64,
    /// Rows written.
    pub(super) rows: u64,
}

impl Writer {
    /// Adds a line of COPY in its text form, without the line's end.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<()> {
        let values: Vec<Option<Vec<u8>>> = line.split(|byte| *byte == b'\t').map(unescaped).collect();
        let start = self.block.len();
        self.block.extend([0; 4]);
        write_tuple(values.iter().map(Option::as_deref), &mut self.block);
        let length = (self.block.len() - start - 4) as u32;
        self.block[start..start + 4].copy_from_slice(&length.to_be_bytes());
        self.rows += 1;
        if self.block.len() >= BLOCK_BYTES { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<()> {
        let (length, crc) = (self.block.len() as u32, crc32fast::hash(&self.block));
        let header = [length.to_be_bytes(), crc.to_be_bytes()].concat();
        let written = self.file.write_all(&header).and_then(|()| self.file.write_all(&self.block));
        written.map_err(|error| Error::io(format!("cannot write '{}'", self.path.display()), error))?;
        self.bytes += HEADER_BYTES + self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    /// Makes what was written durable; its size.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn finish(mut self) -> Result<u64> {
        if !self.block.is_empty() {
            self.close()?;
        }
        let file = self.file.into_inner();
        let file =
            file.map_err(|error| Error::io(format!("cannot write '{}'", self.path.display()), error.into_error()))?;
        self.disk.sync_file(&file, &self.path)?;
        Ok(self.bytes)
    }
}

/// A value of COPY's text form; `None` is NULL.
/// Source: PostgreSQL 15, reference page of COPY, "Text Format".
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    if text == b"\\N" {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 11,
                Some(other) => *other,
                None => b'\\',
            },
            other => *other,
        });
    }
    Some(out)
}

/// The copy, to be read by positions: those of its blocks.
#[derive(Debug, Clone)]
pub(super) struct Copied {
    path: PathBuf,
    /// Where each block begins, then the end of the last.
    blocks: Arc<Vec<u64>>,
    relation: Arc<Relation>,
    transaction: Arc<Transaction>,
}

impl Copied {
    fn open(path: PathBuf, manifest: Manifest) -> Result<Self> {
        let failed = |error| Error::io(format!("cannot read '{}'", path.display()), error);
        let mut file = File::open(&path).map_err(failed)?;
        let (mut blocks, mut at) = (vec![0], 0);
        while at < manifest.bytes {
            let mut header = [0; HEADER_BYTES as usize];
            file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut header)).map_err(failed)?;
            let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
            at += HEADER_BYTES + u64::from(length);
            blocks.push(at);
        }
        if at != manifest.bytes {
            return Err(Error::invalid(format!("'{}' is damaged: its blocks end at byte {at}", path.display())));
        }
        let Manifest { lsn, taken_at, table, schema, name, columns, .. } = manifest;
        let column = |column: CopiedColumn| RelationColumn {
            name: column.name,
            is_key: false,
            oid: column.oid,
            modifier: column.modifier,
        };
        let columns = columns.into_iter().map(column).collect();
        let relation = Arc::new(Relation { id: table, schema, name, is_full: false, columns });
        let transaction = Arc::new(Transaction { lsn, committed_at: taken_at, xid: None });
        Ok(Copied { path, blocks: Arc::new(blocks), relation, transaction })
    }

    /// How far about `bytes` from `from` reach: to the end of a block, of one at least if there is one before `until`.
    pub(super) fn reach(&self, from: u64, until: u64, bytes: u64) -> u64 {
        let next = self.blocks.partition_point(|block| *block <= from);
        let fitting = self.blocks[next..].iter().take_while(|block| **block - from <= bytes && **block <= until);
        let one = self.blocks.get(next).copied().filter(|block| *block <= until);
        fitting.last().copied().or(one).unwrap_or(from)
    }

    /// The rows between two positions, a block at a time, each with where it begins.
    ///
    /// # Errors
    /// The copy is gone or damaged.
    pub(super) fn read(&self, from: u64, to: u64) -> Result<Vec<(u64, Vec<Row>)>> {
        let failed = |error| Error::io(format!("cannot read '{}'", self.path.display()), error);
        let damaged = |at: u64| {
            Error::invalid(format!("'{}' is damaged at byte {at}", self.path.display()))
                .help("start with a new checkpoint and a new slot, once the folder is removed")
        };
        let mut file = File::open(&self.path).map_err(failed)?;
        let starts =
            self.blocks.iter().zip(self.blocks.iter().skip(1)).filter(|(start, end)| **start >= from && **end <= to);
        let mut all = Vec::new();
        for (start, end) in starts {
            let mut bytes = vec![0; (end - start) as usize];
            file.seek(SeekFrom::Start(*start)).and_then(|_| file.read_exact(&mut bytes)).map_err(failed)?;
            let mut block = Bytes::from(bytes);
            let (_, crc) = (block.get_u32(), block.get_u32());
            if crc != crc32fast::hash(&block) {
                return Err(damaged(*start));
            }
            let mut rows = Vec::new();
            while !block.is_empty() {
                let length = block.try_get_u32().map_err(|_| damaged(*start))? as usize;
                if length > block.len() {
                    return Err(damaged(*start));
                }
                rows.push(Row {
                    operation: Operation::Read,
                    transaction: self.transaction.clone(),
                    number: rows.len() as u64,
                    relation: self.relation.clone(),
                    old: None,
                    new: Some(block.split_to(length)),
                });
            }
            all.push((*start, rows));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{Value, values};
    use super::*;

    fn relation() -> Relation {
        let columns = vec![RelationColumn { name: "id".into(), is_key: true, oid: 23, modifier: -1 }];
        Relation { id: 7, schema: "public".into(), name: "t".into(), is_full: false, columns }
    }

    #[test]
    fn a_copy_is_read_by_blocks_and_gives_the_same_rows_each_time() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("copies/s");
        assert!(Folder::take(&path, false).unwrap().is_none());
        let folder = Folder::take(&path, true).unwrap().unwrap();
        assert_eq!(Folder::take(&path, true).err().unwrap().kind(), Kind::Fenced);
        folder.begin().unwrap();
        assert!(folder.is_begun() && folder.manifest().unwrap().is_none());
        let mut writer = folder.writer().unwrap();
        let long = "x".repeat(BLOCK_BYTES / 2);
        for id in 0..5 {
            writer.line(format!("{id}\t{long}").as_bytes()).unwrap();
        }
        let bytes = writer.finish().unwrap();
        folder.finish(&Manifest::new(&relation(), 9, (1, 1), 5, bytes)).unwrap();
        let copied = folder.open(folder.manifest().unwrap().unwrap()).unwrap();
        let first = copied.reach(0, bytes, 1);
        assert!(first > 0 && copied.reach(0, bytes, u64::MAX) == bytes && copied.reach(bytes, bytes, 1) == bytes);
        assert_eq!(copied.reach(0, first, u64::MAX), first);
        let ids = |from, to| {
            let blocks = copied.read(from, to).unwrap();
            let rows = blocks.iter().flat_map(|(_, rows)| rows);
            rows.map(|row| match values(row.new.as_deref().unwrap()).next() {
                Some(Value::Text(id)) => String::from_utf8(id.to_vec()).unwrap(),
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(ids(0, bytes), ["0", "1", "2", "3", "4"]);
        assert_eq!(ids(0, first).len() + ids(first, bytes).len(), 5);
        let rows = path.join("rows");
        let mut content = std::fs::read(&rows).unwrap();
        content[20] ^= 1;
        std::fs::write(&rows, content).unwrap();
        assert!(copied.read(0, first).unwrap_err().report().contains("damaged at byte 0"));
        folder.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn values_of_a_copy_are_unescaped() {
        assert_eq!(unescaped(b"\\N"), None);
        assert_eq!(unescaped(b"a\\tb\\\\N\\n"), Some(b"a\tb\\N\n".to_vec()));
        assert_eq!(unescaped(b""), Some(vec![]));
    }
}
