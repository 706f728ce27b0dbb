//! Durable writes to a local disk: temporary file, fsync, rename without replacing, fsync of the
//! directory. A failed fsync is fatal: what the disk holds is then unknown.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Result};

/// Makes a directory and its parents, durably.
///
/// # Errors
/// It cannot be made.
pub fn create_directory(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_directory(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        Err(error) => {
            return Err(Error::io(format!("cannot make the directory {}", path.display()), error)
                .help("check that the path is a directory this user may write"));
        }
    }
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}

/// Makes the entries of a directory durable.
///
/// # Errors
/// The disk fails.
pub fn sync_directory(path: &Path) -> Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|error| Error::unsynced(format!("cannot sync the directory {}", path.display()), error))
}

/// Makes what a file holds durable.
///
/// # Errors
/// The disk fails.
pub fn sync_file(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| Error::unsynced(format!("cannot sync {}", path.display()), error))
}

/// Writes a new file; fails when there is one of that name. Returns false in that case.
///
/// # Errors
/// The file cannot be written.
pub fn write_new(path: &Path, content: &[u8]) -> Result<bool> {
    let temporary = temporary(path);
    let context = |what: &str, error| Error::io(format!("cannot {what} {}", path.display()), error);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&temporary)
        .map_err(|error| context("create", error))?;
    file.write_all(content).map_err(|error| context("write", error))?;
    file.sync_all().map_err(|error| Error::unsynced(format!("cannot sync {}", path.display()), error))?;
    drop(file);
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(|error| context("remove the temporary of", error))?;
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(context("publish", error)),
    }
    sync_directory(path.parent().unwrap_or(Path::new(".")))?;
    Ok(true)
}

/// Writes a file in place of one of that name: a crash leaves the old one or the new one.
///
/// # Errors
/// The file cannot be written.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = temporary(path);
    let context = |error| Error::io(format!("cannot replace {}", path.display()), error);
    let mut file = File::create(&temporary).map_err(context)?;
    file.write_all(content).map_err(context)?;
    file.sync_all().map_err(|error| Error::unsynced(format!("cannot sync {}", path.display()), error))?;
    fs::rename(&temporary, path).map_err(context)?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        create_directory(&path).unwrap();
        assert!(write_new(&path.join("x"), b"1").unwrap());
        assert!(!write_new(&path.join("x"), b"2").unwrap());
        assert_eq!(fs::read(path.join("x")).unwrap(), b"1");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }
}
