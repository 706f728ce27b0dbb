//! The commits of a topic: which offsets are committed, and the newest epoch of every writer.
//!
//! A commit is one frame (magic `TMC\x01`) with the body
//! ```text
//! sequence   u64      counts commits from 0 without a gap
//! partitions u32      then the end offset (u64) of each
//! writers    u16      then a marker each: id length u16, id, epoch u64
//! ```
//! A file starts with a commit that names every writer; it repeats the one before it, whose sequence is
//! the file's name. The following ones name the writer that changed. So the newest file alone says
//! everything, and older ones are deleted.

use super::frame::{self, Fields, Frame};
use super::segment::{list, name};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Result};

/// Kind and version of a commit.
const MAGIC: [u8; 4] = *b"TMC\x01";

/// A file that has grown beyond this is followed by a new one.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is committed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Committed {
    /// Number of the newest commit.
    pub(crate) sequence: u64,
    /// End offset of every partition.
    pub(crate) ends: Vec<u64>,
    /// Newest epoch of every writer.
    pub(crate) writers: BTreeMap<String, u64>,
}

impl Committed {
    /// A frame that names `writers` of this state.
    pub(crate) fn seal<'a>(&self, writers: impl ExactSizeIterator<Item = (&'a String, &'a u64)>) -> Vec<u8> {
        let mut body = Vec::with_capacity(64 + 8 * self.ends.len());
        body.extend_from_slice(&self.sequence.to_le_bytes());
        body.extend_from_slice(&(self.ends.len() as u32).to_le_bytes());
        self.ends.iter().for_each(|end| body.extend_from_slice(&end.to_le_bytes()));
        body.extend_from_slice(&(writers.len() as u16).to_le_bytes());
        writers.for_each(|(id, epoch)| frame::put_marker(&mut body, id, *epoch));
        frame::seal(MAGIC, &body)
    }

    fn apply(&mut self, body: &[u8]) -> Option<()> {
        let mut fields = Fields(body);
        self.sequence = fields.u64()?;
        let partitions = fields.u32()?;
        self.ends = (0..partitions).map(|_| fields.u64()).collect::<Option<_>>()?;
        for _ in 0..fields.u16()? {
            let (id, epoch) = fields.marker()?;
            self.writers.insert(id, epoch);
        }
        fields.0.is_empty().then_some(())
    }
}

/// Follows the commits of a topic.
pub(crate) struct Follower {
    directory: PathBuf,
    file: Option<Open>,
    state: Committed,
}

struct Open {
    path: PathBuf,
    file: File,
    /// Where the next frame starts.
    position: u64,
}

impl Follower {
    /// A follower that has read nothing.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Follower { directory, file: None, state: Committed::default() }
    }

    /// Newest state read.
    pub(crate) fn state(&self) -> &Committed {
        &self.state
    }

    /// File of the newest commit, and where it ends.
    pub(crate) fn position(&self) -> Option<(&Path, u64)> {
        self.file.as_ref().map(|open| (open.path.as_path(), open.position))
    }

    /// Reads on, to the commit `sequence_max` or as far as there are whole commits.
    ///
    /// # Errors
    /// There is no commit, a damaged one that is not the last, or one fails that must be there.
    pub(crate) fn advance(&mut self, sequence_max: Option<u64>) -> Result<()> {
        loop {
            if self.file.is_some() && self.read_on(sequence_max)? {
                return Ok(());
            }
            if !self.open_newer(sequence_max)? {
                break;
            }
        }
        match sequence_max {
            Some(wanted) if self.file.is_none() || self.state.sequence < wanted => Err(Error::invalid(format!(
                "{}: commit {wanted} was durable and is not there any more",
                self.directory.display()
            ))
            .help("the topic is damaged: restore it, or write to a new one")),
            None if self.file.is_none() => Err(Error::invalid(format!("{}: no commits", self.directory.display()))),
            _ => Ok(()),
        }
    }

    /// Reads the open file on; true when the wanted commit was reached.
    fn read_on(&mut self, sequence_max: Option<u64>) -> Result<bool> {
        let Some(open) = &mut self.file else { return Ok(false) };
        let reached = |state: &Committed| sequence_max.is_some_and(|most| state.sequence >= most);
        if open.position > 0 && reached(&self.state) {
            return Ok(true);
        }
        let failed = |cause| Error::io(format!("cannot read {}", open.path.display()), cause);
        let length = open.file.metadata().map_err(failed)?.len();
        let mut bytes = vec![0; length.saturating_sub(open.position) as usize];
        open.file.read_exact_at(&mut bytes, open.position).map_err(failed)?;
        let mut at = 0;
        while at < bytes.len() {
            let position = open.position + at as u64;
            match frame::look(MAGIC, &bytes, at) {
                Frame::Whole(body) => {
                    let mut next = self.state.clone();
                    let fits = next.apply(&bytes[body.clone()]).is_some();
                    if !fits || (position > 0 && next.sequence != self.state.sequence + 1) {
                        return Err(damaged(&open.path, position, "a commit that does not follow the one before"));
                    }
                    if sequence_max.is_some_and(|most| next.sequence > most) {
                        break;
                    }
                    self.state = next;
                    at = body.end;
                }
                // the tail may be an append that is just going on, or was cut off by a crash; the first
                // commit of a file was durable before the file had its name
                Frame::Incomplete(_) | Frame::Damaged { last: true, .. } if position > 0 => break,
                Frame::Incomplete(_) => return Err(damaged(&open.path, position, "it is cut off")),
                Frame::Damaged { why, .. } => return Err(damaged(&open.path, position, why)),
            }
        }
        open.position += at as u64;
        Ok(reached(&self.state))
    }

    /// Opens the newest file that the wanted commit may be in; false when it is the open one.
    fn open_newer(&mut self, sequence_max: Option<u64>) -> Result<bool> {
        let bases = list(&self.directory)?;
        let Some(base) = bases.into_iter().rev().find(|base| sequence_max.is_none_or(|most| *base <= most)) else {
            return Ok(false);
        };
        let path = self.directory.join(name(base));
        if self.file.as_ref().is_some_and(|open| open.path == path) {
            return Ok(false);
        }
        let file = File::open(&path).map_err(|cause| Error::io(format!("cannot open {}", path.display()), cause))?;
        self.file = Some(Open { path, file, position: 0 });
        Ok(true)
    }
}

fn damaged(path: &Path, position: u64, why: &str) -> Error {
    Error::invalid(format!("{} is damaged at byte {position}: {why}", path.display()))
        .help("restore the topic, or write to a new one")
}
