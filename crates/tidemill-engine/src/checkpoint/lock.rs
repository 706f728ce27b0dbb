//! The fence on one machine: a lock the operating system holds for the process and lets go with it.

use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use tidemill_core::{Error, Kind, Result};

/// The right to write a checkpoint. Let go when dropped, or when the process dies.
#[derive(Debug)]
pub struct CheckpointLock {
    _file: File,
}

impl CheckpointLock {
    /// Takes the lock of the checkpoint in `directory`.
    ///
    /// # Errors
    /// Another process holds it ([`Kind::Fenced`]), or the file cannot be made.
    pub fn take(directory: &Path) -> Result<Self> {
        let path = directory.join("lock");
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(|error| {
                Error::io(format!("cannot open the lock of the checkpoint {}", directory.display()), error)
                    .help("check that the checkpoint is a directory this user may write")
            })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                let owner =
                    if owner.trim().is_empty() { String::new() } else { format!(" (process {})", owner.trim()) };
                return Err(Error::new(
                    Kind::Fenced,
                    format!("another process{owner} is running on the checkpoint {}", directory.display()),
                )
                .help("stop it, or give this query a checkpoint of its own"));
            }
            Err(error) => return Err(Error::io("cannot lock the checkpoint", error.into())),
        }
        let owner = std::process::id().to_string();
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(owner.as_bytes()));
        written.map_err(|error| Error::io("cannot write the lock of the checkpoint", error))?;
        Ok(CheckpointLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_is_fenced() {
        let directory = tempfile::tempdir().unwrap();
        let first = CheckpointLock::take(directory.path()).unwrap();
        let error = CheckpointLock::take(directory.path()).unwrap_err();
        assert_eq!(error.kind(), Kind::Fenced);
        assert!(error.to_string().contains(&std::process::id().to_string()));
        drop(first);
        CheckpointLock::take(directory.path()).unwrap();
    }
}
