//! Files and directories that survive a power cut: written, synced, and only then seen.
//!
//! Must not know what is in the files. A failed sync is an error and is never tried again on the same
//! file: the kernel may already have dropped the pages.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Result};

const NAME_BYTES_MAX: usize = 200;

/// True for a text that can be the name of a file anywhere: up to 200 letters, digits, `.`, `_` and `-`,
/// with no `.` in front.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-'));
    plain && !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('.')
}

/// Makes the names in `directory` durable.
///
/// # Errors
/// The directory cannot be opened or synced.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    let opened = File::open(directory).and_then(|handle| handle.sync_all());
    opened.map_err(|cause| Error::io(format!("cannot make the directory {} durable", directory.display()), cause))
}

/// Makes `directory` and its parents, each name durable.
///
/// # Errors
/// A directory cannot be made or synced.
pub(crate) fn make_directory(directory: &Path) -> Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_directory(parent)?;
    }
    match fs::create_dir(directory) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::io(format!("cannot make the directory {}", directory.display()), cause))
        }
        _ => sync_directory(parent.unwrap_or(Path::new("."))),
    }
}

/// Writes a file that must not exist yet: to a temporary name, synced, then linked to its own name.
/// False when a file of that name is already there; it is left as it is.
///
/// # Errors
/// The file cannot be written or synced.
pub(crate) fn create(path: &Path, content: &[u8]) -> Result<bool> {
    let failed = |cause| Error::io(format!("cannot write {}", path.display()), cause);
    let temporary = temporary(path);
    let written = write_synced(&temporary, content).and_then(|()| match fs::hard_link(&temporary, path) {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(cause) => Err(cause),
    });
    let removed = fs::remove_file(&temporary);
    let created = written.map_err(failed)?;
    removed.map_err(failed)?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))?;
    Ok(created)
}

/// Writes a file in place of the one that may be there, in one step.
///
/// # Errors
/// The file cannot be written or synced.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let failed = |cause| Error::io(format!("cannot write {}", path.display()), cause);
    let temporary = temporary(path);
    write_synced(&temporary, content).and_then(|()| fs::rename(&temporary, path)).map_err(failed)?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", uuid::Uuid::new_v4()))
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_created_once_and_leaves_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        make_directory(&deep).unwrap();
        assert!(create(&deep.join("f"), b"one").unwrap());
        assert!(!create(&deep.join("f"), b"two").unwrap());
        assert_eq!(fs::read(deep.join("f")).unwrap(), b"one");
        replace(&deep.join("f"), b"three").unwrap();
        assert_eq!(fs::read(deep.join("f")).unwrap(), b"three");
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 1);
    }
}
