//! The ballast: a file that holds room on the checkpoint's disk while it gets full, and is thrown overboard when a
//! commit would otherwise find none.
//!
//! It is made when the disk comes near its limit, not before: a checkpoint on a disk with plenty of room has none.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const NAME: &str = "ballast";

/// What is written at once where the file system cannot reserve room, in bytes.
const PIECE: usize = 1 << 20;

/// The ballast of a checkpoint.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
    bytes_max: u64,
    /// That it cannot be had was said already.
    told: bool,
}

impl Ballast {
    /// That of the checkpoint in `directory`, of at most `bytes_max` bytes.
    pub fn new(directory: &Path, bytes_max: u64) -> Self {
        Ballast { path: directory.join(NAME), bytes_max, told: false }
    }

    /// Makes it when `free` has come near `limit`, and removes it when there is plenty again; all in bytes.
    pub fn keep(&mut self, free: u64, limit: u64) {
        let bytes = self.bytes_max.min(limit);
        let is_held = self.path.exists();
        let plenty = limit.saturating_mul(4).saturating_add(bytes);
        let near = limit.saturating_mul(2).saturating_add(bytes);
        if is_held && (free > plenty || bytes == 0) {
            self.throw();
        } else if !is_held
            && bytes > 0
            && (limit.saturating_add(bytes)..near).contains(&free)
            && let Err(error) = reserve(&self.path, bytes)
        {
            self.throw();
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!(ballast = %self.path.display(), %error, "no ballast: the last commit may find no room");
            }
        }
    }

    /// Gives its room to whoever writes next; false when there is none.
    pub fn throw(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }
}

/// A file whose room is taken, not only promised.
fn reserve(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    #[cfg(target_os = "linux")]
    match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        reserved => return Ok(reserved?),
    }
    let piece = vec![0x54; PIECE];
    let mut left = bytes;
    while left > 0 {
        let length = left.min(PIECE as u64);
        file.write_all(&piece[..length as usize])?;
        left -= length;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_only_while_the_disk_gets_full() {
        let directory = tempfile::tempdir().unwrap();
        let mut ballast = Ballast::new(directory.path(), 64 << 10);
        let path = directory.path().join(NAME);
        let limit = 1 << 20;
        ballast.keep(100 << 20, limit);
        assert!(!path.exists(), "plenty");
        ballast.keep(limit + 1, limit);
        assert!(!path.exists(), "it would itself bring the disk below its limit");
        ballast.keep(2 << 20, limit);
        assert_eq!(fs::metadata(&path).unwrap().len(), 64 << 10);
        ballast.keep(limit / 2, limit);
        assert!(path.exists(), "kept while it may be needed");
        assert!(ballast.throw() && !ballast.throw());
        ballast.keep(2 << 20, limit);
        ballast.keep(100 << 20, limit);
        assert!(!path.exists());
        Ballast::new(directory.path(), 0).keep(2 << 20, limit);
        assert!(!path.exists());
    }
}
