//! Reads planned ranges of files: checks that a file is still the one that was planned, and cuts lines
//! into pieces that can be decoded in parallel.

use super::compression::content;
use super::listing::{modified, tag};
use super::store::Folder;
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use tidemill_core::source::{Body, Chunk};
use tidemill_core::{Error, Kind, Result, SplitRange};

/// About how long a piece is, in bytes.
const PIECE_BYTES: usize = 4 << 20;

/// How much is read at a time in search of a line's end, in bytes.
const SEARCH_BYTES: usize = 64 << 10;

/// The bytes of `range` of the file `path`.
///
/// # Errors
/// A file that is gone, or is not as it was planned.
pub(super) fn local(path: &Path, range: &SplitRange) -> Result<Bytes> {
    let failed = |error| Error::io(format!("cannot read '{}'", path.display()), error);
    let name = path.display().to_string();
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(gone(&name)),
        file => file.map_err(failed)?,
    };
    check(&file, path, range)?;
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let length = usize::try_from(range.len())
        .map_err(|_| Error::new(Kind::Data, format!("'{}' is too large to be read at once", path.display())))?;
    let mut bytes = Vec::with_capacity(length);
    file.seek(SeekFrom::Start(range.from)).map_err(failed)?;
    (&mut file).take(range.len()).read_to_end(&mut bytes).map_err(failed)?;
    // It may have been changed while it was read.
    check(&file, path, range)?;
    if bytes.len() != length {
        return Err(changed(&name, range, &format!("{} bytes", range.from + bytes.len() as u64)));
    }
    Ok(bytes.into())
}

/// The bytes of `range` of a file in an object store.
///
/// # Errors
/// As [`local`]; the store does not answer.
pub(super) async fn remote(folder: &Folder, range: &SplitRange) -> Result<Bytes> {
    let name = format!("{}/{}", folder.place().trim_end_matches('/'), range.split);
    let Some((bytes, file)) = folder.read(&range.split, range.from..range.to).await? else { return Err(gone(&name)) };
    let is = file.tag();
    if !range.tag.is_empty() && range.tag != is {
        return Err(changed(&name, range, &is));
    }
    match bytes.len() as u64 == range.len() {
        true => Ok(bytes),
        false => Err(changed(&name, range, &format!("{} bytes", range.from + bytes.len() as u64))),
    }
}

/// The chunks of a range: whole, or in pieces that end with a line. A compressed file becomes what it holds.
///
/// # Errors
/// As [`content`].
pub(super) fn chunks(bytes: Bytes, range: &SplitRange, lines: bool) -> Result<Vec<Chunk>> {
    let content = content(&range.split, bytes)?;
    let length = content.len();
    Ok(pieces(content, range, if lines { PIECE_BYTES } else { length }))
}

/// Where the first line ends that ends at `at` or after it; `end` when none does before.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn line_end(path: &Path, at: u64, end: u64) -> Result<u64> {
    let failed = |error| Error::io(format!("cannot read '{}'", path.display()), error);
    let mut file = File::open(path).map_err(failed)?;
    let mut position = at.saturating_sub(1);
    file.seek(SeekFrom::Start(position)).map_err(failed)?;
    let mut buffer = vec![0; SEARCH_BYTES];
    while position < end {
        let count = file.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            break;
        }
        if let Some(found) = memchr::memchr(b'\n', &buffer[..count]) {
            return Ok((position + found as u64 + 1).min(end));
        }
        position += count as u64;
    }
    Ok(end)
}

fn pieces(bytes: Bytes, range: &SplitRange, piece_bytes: usize) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let least = (start + piece_bytes).min(bytes.len());
        let end = memchr::memchr(b'\n', &bytes[least - 1..]).map_or(bytes.len(), |at| least + at);
        let end = if piece_bytes == bytes.len() { bytes.len() } else { end };
        let body = Body::Stream { bytes: bytes.slice(start..end), at: range.from + start as u64 };
        chunks.push(Chunk { split: range.split.clone(), body });
        start = end;
    }
    chunks
}

fn check(file: &File, path: &Path, range: &SplitRange) -> Result<()> {
    let metadata = file.metadata().map_err(|error| Error::io(format!("cannot read '{}'", path.display()), error))?;
    let is = tag(metadata.len(), modified(&metadata));
    let is_planned = range.tag.is_empty() || range.tag == is;
    if is_planned { Ok(()) } else { Err(changed(&path.display().to_string(), range, &is)) }
}

fn gone(name: &str) -> Error {
    Error::new(Kind::Data, format!("the file '{name}' is planned to be read and is gone"))
        .help("put it back, or start with a new checkpoint without it")
}

fn changed(name: &str, range: &SplitRange, is: &str) -> Error {
    let was = &range.tag;
    Error::new(
        Kind::Data,
        format!("the file '{name}' has changed since it was planned to be read: it was {was} and is {is}"),
    )
    .help(
        "put it back as it was, or start with a new checkpoint; move files in when they are complete, or set \
         'min_age'",
    )
}
