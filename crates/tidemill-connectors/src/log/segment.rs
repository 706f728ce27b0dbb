//! Names of numbered files, and the segments of one partition: which there are, and where a batch is.

use super::batch::{self, Head, Step};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Result};

/// Bytes read at a time.
pub(crate) const READ_BYTES: usize = 1 << 20;

/// Name of the file with number `base`.
pub(crate) fn name(base: u64) -> String {
    format!("{base:020}.log")
}

/// Numbers of the files in `directory`, ascending.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn list(directory: &Path) -> Result<Vec<u64>> {
    let failed = |cause| Error::io(format!("cannot list {}", directory.display()), cause);
    let mut bases = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let file_name = entry.file_name();
        let base = file_name.to_str().and_then(|name| name.strip_suffix(".log")).map(str::parse::<u64>);
        bases.extend(base.and_then(std::result::Result::ok));
    }
    bases.sort_unstable();
    Ok(bases)
}

/// Names of the plain files in `directory`, ascending; none when it is not there.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn list_names(directory: &Path) -> Result<Vec<String>> {
    let failed = |cause| Error::io(format!("cannot list {}", directory.display()), cause);
    let entries = match std::fs::read_dir(directory) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// A batch in the bytes of a [`Loaded`].
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) head: Head,
    /// Where it starts.
    pub(crate) start: usize,
    /// Where its records start.
    pub(crate) records: usize,
    /// Where it ends.
    pub(crate) end: usize,
}

/// A piece of a segment.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) batches: Vec<Batch>,
    /// Position after the last of the batches.
    pub(crate) next: u64,
}

/// One segment, open for reading.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    file: File,
}

impl Segment {
    /// Opens the segment with base offset `base`; `None` when it is not there.
    ///
    /// # Errors
    /// It is there and cannot be opened.
    pub(crate) fn open(directory: &Path, base: u64) -> Result<Option<Segment>> {
        let path = directory.join(name(base));
        match File::open(&path) {
            Ok(file) => Ok(Some(Segment { path, file })),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(Error::io(format!("cannot open {}", path.display()), cause)),
        }
    }

    /// Bytes there are.
    ///
    /// # Errors
    /// The file cannot be looked at.
    pub(crate) fn len(&self) -> Result<u64> {
        self.file.metadata().map(|data| data.len()).map_err(|cause| self.failed(cause))
    }

    /// Up to `count` bytes from `position`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn bytes(&self, position: u64, count: usize) -> Result<Vec<u8>> {
        let there = self.len()?.saturating_sub(position).min(count as u64) as usize;
        let mut bytes = vec![0; there];
        self.file.read_exact_at(&mut bytes, position).map_err(|cause| self.failed(cause))?;
        Ok(bytes)
    }

    /// The head of the first batch; `None` for an empty segment.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn first(&self) -> Result<Option<Head>> {
        Ok(batch::peek(&self.bytes(0, batch::PEEK_BYTES)?))
    }

    /// The whole batches from `position`, which must start one, that begin before `end_offset`: as many
    /// as one read brings, and at least one while there are any.
    ///
    /// # Errors
    /// A batch before `end_offset` is cut off or damaged, or the file cannot be read.
    pub(crate) fn load(&self, position: u64, end_offset: u64) -> Result<Loaded> {
        let mut wanted = READ_BYTES;
        loop {
            let bytes = self.bytes(position, wanted)?;
            let (mut batches, mut at) = (Vec::new(), 0);
            while at < bytes.len() {
                match batch::look(&bytes, at) {
                    Step::Batch { head, .. } if head.base >= end_offset => {
                        return Ok(Loaded { next: position + at as u64, bytes, batches });
                    }
                    Step::Batch { head, records, end } => {
                        batches.push(Batch { head, start: at, records, end });
                        at = end;
                    }
                    Step::Damaged(why) => return Err(self.damaged(position + at as u64, why)),
                    Step::Incomplete(needed) => {
                        wanted = wanted.max(needed);
                        break;
                    }
                }
            }
            if !batches.is_empty() || bytes.is_empty() {
                return Ok(Loaded { bytes, batches, next: position + at as u64 });
            }
            if self.len()?.saturating_sub(position) < wanted as u64 {
                return Err(self.damaged(position, "it is cut off"));
            }
        }
    }

    /// Says where and how the file is damaged.
    pub(crate) fn damaged(&self, position: u64, why: &str) -> Error {
        Error::invalid(format!("{} is damaged at byte {position}: {why}", self.path.display()))
            .help("restore the topic, or write to a new one")
    }

    fn failed(&self, cause: std::io::Error) -> Error {
        Error::io(format!("cannot read {}", self.path.display()), cause)
    }
}
