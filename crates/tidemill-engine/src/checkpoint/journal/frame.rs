//! Records as bytes and back.
//!
//! ```text
//! "TIDEMJ01" frame*
//! frame:   length u32 | crc32 u32 | kind u8 | body          (little endian; the crc covers kind and body)
//! body:    P plan, C commit: JSON     S changes: epoch u64 | name length u16 | name | Arrow IPC stream
//!          W writer: a word that nobody else has
//! ```

use crate::checkpoint::record::Record;
use tidemill_core::{Epoch, Error, Kind, Result, ResultExt};

/// What every segment begins with.
pub const MAGIC: &[u8; 8] = b"TIDEMJ01";
/// Length and checksum of a frame, in bytes.
pub const HEADER: usize = 8;

/// Longest frame that is read, in bytes: larger lengths are damage.
const FRAME_BYTES_MAX: usize = 1 << 31;

/// How a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// With a whole record.
    Whole,
    /// With so many bytes of a record that goes on behind the end.
    CutOff {
        /// Where it begins.
        at: usize,
        /// How much of it is there.
        bytes: usize,
    },
    /// With a record that does not match its checksum.
    Damaged {
        /// Where it begins.
        at: usize,
    },
}

/// Appends a record.
///
/// # Errors
/// A record that has no JSON, which is a bug.
pub fn encode(buffer: &mut Vec<u8>, record: &Record) -> Result<()> {
    framed(buffer, |buffer| match record {
        Record::Plan(plan) => {
            buffer.push(b'P');
            serde_json::to_writer(buffer, plan).context(Kind::Bug, || "a plan has no JSON".into())
        }
        Record::Commit(commit) => {
            buffer.push(b'C');
            serde_json::to_writer(buffer, commit).context(Kind::Bug, || "a commit has no JSON".into())
        }
        Record::Changes { epoch, operator, rows } => {
            buffer.push(b'S');
            buffer.extend_from_slice(&epoch.0.to_le_bytes());
            buffer.extend_from_slice(&(operator.len() as u16).to_le_bytes());
            buffer.extend_from_slice(operator.as_bytes());
            buffer.extend_from_slice(rows);
            Ok(())
        }
    })
}

/// Appends whose the bytes are.
pub fn encode_writer(buffer: &mut Vec<u8>, writer: &str) -> Result<()> {
    framed(buffer, |buffer| {
        buffer.push(b'W');
        buffer.extend_from_slice(writer.as_bytes());
        Ok(())
    })
}

fn framed(buffer: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER]);
    body(buffer)?;
    let body = &buffer[start + HEADER..];
    let (length, crc) = (body.len() as u32, crc32fast::hash(body));
    buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
    buffer[start + 4..start + HEADER].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// The records of a segment, all or only the first, and how it ends; `name` is what errors call it. A last record that is
/// cut off or damaged was never acknowledged.
///
/// # Errors
/// Damage before the end, with its place.
pub fn decode(bytes: &[u8], name: &str, all: bool) -> Result<(Vec<Record>, Tail)> {
    if bytes.len() < MAGIC.len() && MAGIC.starts_with(bytes) {
        return Ok((vec![], Tail::CutOff { at: 0, bytes: bytes.len() }));
    }
    if !bytes.starts_with(MAGIC) {
        return Err(damaged(name, 0, "it does not start as a journal does"));
    }
    let (mut records, mut at) = (Vec::new(), MAGIC.len());
    while at < bytes.len() && (all || records.is_empty()) {
        match frame(&bytes[at..]) {
            Frame::Whole { body, length } => {
                records.extend(record(body).map_err(|why| damaged(name, at, &why))?);
                at += length;
            }
            // the write was cut off: it was never acknowledged
            Frame::CutOff => return Ok((records, Tail::CutOff { at, bytes: bytes.len() - at })),
            Frame::Damaged if frame_follows(&bytes[at..]) => {
                return Err(damaged(name, at, "a record does not match its checksum"));
            }
            Frame::Damaged => return Ok((records, Tail::Damaged { at })),
        }
    }
    Ok((records, Tail::Whole))
}

/// The records of bytes that were written at once or not at all.
///
/// # Errors
/// Damage anywhere, with its place.
pub fn decode_whole(bytes: &[u8], name: &str) -> Result<Vec<Record>> {
    match decode(bytes, name, true)? {
        (records, Tail::Whole) => Ok(records),
        (_, Tail::CutOff { at, .. } | Tail::Damaged { at }) => {
            Err(damaged(name, at, "a record does not match its checksum"))
        }
    }
}

fn damaged(name: &str, at: usize, why: &str) -> Error {
    Error::invalid(format!("the journal {name} is damaged at byte {at}: {why}"))
        .help("restore the file from a copy, or start over with a new checkpoint directory")
}

/// Whose the bytes are, if they say so.
pub fn writer(bytes: &[u8]) -> Option<&str> {
    match frame(bytes.strip_prefix(MAGIC)?) {
        Frame::Whole { body, .. } => std::str::from_utf8(body.strip_prefix(b"W")?).ok(),
        _ => None,
    }
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

/// What a frame holds; `None` for one that says only whose it is.
fn record(body: &[u8]) -> Result<Option<Record>, String> {
    let (kind, rest) = body.split_first().ok_or("an empty record")?;
    match kind {
        b'P' => serde_json::from_slice(rest).map(|plan| Some(Record::Plan(plan))).map_err(|error| error.to_string()),
        b'C' => {
            let commit = serde_json::from_slice(rest).map(|commit| Some(Record::Commit(commit)));
            commit.map_err(|error| error.to_string())
        }
        b'S' => {
            let (head, rest) = rest.split_at_checked(10).ok_or("a short record of changes")?;
            let epoch = u64::from_le_bytes(head[..8].try_into().map_err(|_| "no epoch")?);
            let name = usize::from(u16::from_le_bytes([head[8], head[9]]));
            let (name, rows) = rest.split_at_checked(name).ok_or("a short name")?;
            let operator = String::from_utf8(name.to_vec()).map_err(|_| "a name that is no text")?;
            Ok(Some(Record::Changes { epoch: Epoch(epoch), operator, rows: rows.to_vec() }))
        }
        b'W' => Ok(None),
        other => Err(format!("a record of the unknown kind {other}")),
    }
}
