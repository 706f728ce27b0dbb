//! The record of every change that somebody has made to a checkpoint's state: `audit.log`, a line of JSON each,
//! only ever added to. A line has the hash of the one before it, so that none can be changed, taken away from
//! between others, or put in without being noticed; whoever can write the whole file can of course write all of it
//! anew.

use crate::checkpoint::durable;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use tidemill_core::{Error, Result};

/// Name of the file in the checkpoint.
pub const FILE: &str = "audit.log";
/// What the first line has in place of the hash of the one before it.
const NONE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Who changes something, and when.
#[derive(Debug, Clone)]
pub struct Author {
    /// The user of the operating system.
    pub user: String,
    /// The clock's time, in microseconds.
    pub at: i64,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, ISO 8601.
    pub at: String,
    /// The user of the operating system.
    pub user: String,
    /// What was done: `import`, `compact`.
    pub action: String,
    /// The operator, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// How: `upsert`, `replace`, `delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The file the rows came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The epoch whose state was changed.
    pub epoch: u64,
    /// The operator's rows before.
    pub rows_before: u64,
    /// And after.
    pub rows_after: u64,
    /// What they were before: the same for the same rows in any order.
    pub digest_before: String,
    /// And after.
    pub digest_after: String,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// What was done.
    #[serde(flatten)]
    pub entry: Entry,
    /// The hash of the line before it.
    pub previous: String,
    /// SHA-256 of this line with nothing here.
    pub hash: String,
}

/// Adds a line, durably. It is written before the change is made: a change without a line cannot be, a line whose
/// change was cut off can.
///
/// # Errors
/// The file is damaged; the disk fails.
pub fn append(directory: &Path, entry: Entry) -> Result<()> {
    let before = read(directory)?;
    let previous = before.last().map_or_else(|| NONE.to_owned(), |line| line.hash.clone());
    let mut line = Line { number: before.len() as u64 + 1, entry, previous, hash: String::new() };
    line.hash = hash_of(&line)?;
    let text = json(&line)? + "\n";
    let path = directory.join(FILE);
    let written = OpenOptions::new().append(true).create(true).open(&path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Error::io(format!("cannot write {}", path.display()), error))?;
    durable::sync_directory(directory)
}

/// All lines; none when nobody has changed anything.
///
/// # Errors
/// A line is not what was written; it is named.
pub fn read(directory: &Path) -> Result<Vec<Line>> {
    let path = directory.join(FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(Error::io(format!("cannot read {}", path.display()), error)),
    };
    let mut lines: Vec<Line> = vec![];
    let mut previous = NONE.to_owned();
    for (number, text) in text.split(|byte| *byte == b'\n').enumerate().filter(|(_, text)| !text.is_empty()) {
        let number = number as u64 + 1;
        let broken = |why: &str| {
            Error::invalid(format!("line {number} of {} is not what was written: {why}", path.display()))
                .help("compare it with a backup of the checkpoint")
        };
        let line: Line = serde_json::from_slice(text).map_err(|error| broken("it is no entry").caused_by(error))?;
        if line.number != number || line.previous != previous {
            return Err(broken("it does not follow the line before it"));
        }
        // the text itself counts, not only what it says
        if hash_of(&line)? != line.hash || json(&line)?.as_bytes() != text {
            return Err(broken("it does not have its hash"));
        }
        previous.clone_from(&line.hash);
        lines.push(line);
    }
    Ok(lines)
}

fn json(line: &Line) -> Result<String> {
    serde_json::to_string(line).map_err(|error| Error::bug("an entry has no JSON").caused_by(error))
}

fn hash_of(line: &Line) -> Result<String> {
    let open = Line { hash: String::new(), ..line.clone() };
    Ok(hexadecimal(&Sha256::digest(json(&open)?.as_bytes())))
}

/// Bytes as hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // writing to a text does not fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A digest of rows that does not depend on their order: the sum of the SHA-256 of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowsDigest([u64; 4]);

impl RowsDigest {
    /// Adds a row.
    pub fn add(&mut self, parts: [&[u8]; 2]) {
        let mut hasher = Sha256::new();
        hasher.update((parts[0].len() as u64).to_be_bytes());
        parts.iter().for_each(|part| hasher.update(part));
        for (sum, bytes) in self.0.iter_mut().zip(hasher.finalize().chunks_exact(8)) {
            let number = bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            *sum = sum.wrapping_add(number);
        }
    }
}

impl std::fmt::Display for RowsDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|part| write!(f, "{part:016x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(rows: u64) -> Entry {
        Entry {
            at: "2026-01-01T00:00:00.000Z".into(),
            user: "someone".into(),
            action: "import".into(),
            operator: Some("counts/aggregate".into()),
            mode: Some("upsert".into()),
            file: Some("rows.parquet".into()),
            epoch: 7,
            rows_before: rows,
            rows_after: rows + 1,
            digest_before: "0".into(),
            digest_after: "1".into(),
        }
    }

    #[test]
    fn every_flipped_bit_of_every_line_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        (0..3).for_each(|rows| append(directory.path(), entry(rows)).unwrap());
        assert_eq!(read(directory.path()).unwrap().len(), 3);
        let path = directory.path().join(FILE);
        let text = std::fs::read(&path).unwrap();
        for at in 0..text.len() {
            let mut flipped = text.clone();
            flipped[at] ^= 4;
            std::fs::write(&path, &flipped).unwrap();
            let error = read(directory.path()).unwrap_err();
            assert!(error.to_string().contains("line "), "{at}: {error}");
        }
    }

    #[test]
    fn a_line_that_is_taken_out_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        (0..3).for_each(|rows| append(directory.path(), entry(rows)).unwrap());
        let path = directory.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        std::fs::write(&path, format!("{}\n{}\n", lines[0], lines[2])).unwrap();
        assert!(read(directory.path()).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn the_digest_of_rows_does_not_depend_on_their_order() {
        let of = |rows: &[[&[u8]; 2]]| {
            let mut digest = RowsDigest::default();
            rows.iter().for_each(|row| digest.add(*row));
            digest.to_string()
        };
        assert_eq!(of(&[[b"a", b"1"], [b"b", b"2"]]), of(&[[b"b", b"2"], [b"a", b"1"]]));
        assert_ne!(of(&[[b"a", b"1"]]), of(&[[b"a1", b""]]));
        assert_ne!(of(&[[b"a", b"1"]]), of(&[[b"a", b"1"], [b"a", b"1"]]));
    }
}
