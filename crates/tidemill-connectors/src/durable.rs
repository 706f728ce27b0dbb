//! Files that are still there after a crash: written, synced, moved into place without replacing, and
//! their directory synced. Everything else that writes commit markers to a local disk goes through here.
//!
//! A failed sync is fatal. The kernel may have dropped the dirty pages, so that a second sync would
//! succeed without the data on disk (Rebello et al., "Can Applications Recover from fsync Failures?",
//! 2020): the caller must stop, and read back what is there when it starts again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

/// A single change or sync of the disk, named before it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A new file is written, not yet synced.
    Write(PathBuf),
    /// A file's content is synced.
    SyncFile(PathBuf),
    /// A directory's entries are synced.
    SyncDirectory(PathBuf),
    /// The first path becomes the second, which must not exist.
    Move(PathBuf, PathBuf),
    /// A file is removed.
    Remove(PathBuf),
}

/// Called before each step; what it fails is not done. For tests.
pub type Hook = Arc<dyn Fn(&Step) -> io::Result<()> + Send + Sync>;

/// The local disk.
#[derive(Clone, Default)]
pub struct Disk {
    hook: Option<Hook>,
}

impl Disk {
    /// The disk, with `hook` called before each step.
    pub fn with_hook(hook: Hook) -> Self {
        Disk { hook: Some(hook) }
    }

    fn step(&self, step: Step) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(&step))
    }

    /// Makes `path` and the directories above it that are missing, durably.
    ///
    /// # Errors
    /// Names the directory that could not be made.
    pub fn create_directory(&self, path: &Path) -> Result<()> {
        let above = parent(path);
        if path.is_dir() {
            // It may have been made just before a crash. Who may not read the directory above did not
            // make it.
            return match self.sync_directory(above) {
                Err(error) if error.kind() == Kind::Denied => Ok(()),
                result => result,
            };
        }
        self.create_directory(above)?;
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => {
                return Err(Error::io(format!("cannot make the directory '{}'", path.display()), error));
            }
            _ => {}
        }
        self.sync_directory(above)
    }

    /// Writes a new file and syncs it; its entry in the directory is not yet durable. A file of that
    /// name, left by a crash, is replaced.
    ///
    /// # Errors
    /// Names the file.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let mut file = self.new_file(path)?;
        file.write_all(bytes).map_err(|error| cannot_write(path, error))?;
        self.sync_file(&file, path)
    }

    /// Opens a new file to write to, in place of one of that name that a crash has left.
    ///
    /// # Errors
    /// Names the file.
    pub fn new_file(&self, path: &Path) -> Result<File> {
        self.step(Step::Write(path.into())).and_then(|()| File::create(path)).map_err(|error| cannot_write(path, error))
    }

    /// Syncs what was written to `file`, which is at `path`.
    ///
    /// # Errors
    /// Fatal: what was written may be lost, and trying again tells nothing.
    pub fn sync_file(&self, file: &File, path: &Path) -> Result<()> {
        self.step(Step::SyncFile(path.into())).and_then(|()| file.sync_all()).map_err(|error| not_synced(path, error))
    }

    /// Syncs the entries of the directory `path`.
    ///
    /// # Errors
    /// Fatal, as [`Disk::sync_file`].
    pub fn sync_directory(&self, path: &Path) -> Result<()> {
        self.step(Step::SyncDirectory(path.into()))
            .and_then(|()| File::open(path))
            .and_then(|directory| directory.sync_all())
            .map_err(|error| not_synced(path, error))
    }

    /// Moves `from` to `to` if there is nothing yet, in one atomic step; false if there is. The new entry
    /// is durable after [`Disk::sync_directory`].
    ///
    /// # Errors
    /// Names both.
    pub fn move_new(&self, from: &Path, to: &Path) -> Result<bool> {
        match self.step(Step::Move(from.into(), to.into())).and_then(|()| rename_new(from, to)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Error::io(format!("cannot move '{}' to '{}'", from.display(), to.display()), error)),
        }
    }

    /// Creates `path` with `bytes` if there is nothing yet, whole and durable or not at all; false if
    /// there is something. `staged`, on the same disk, is where it is written first.
    ///
    /// # Errors
    /// Names the file. After an error it may be there or not.
    pub fn create(&self, path: &Path, staged: &Path, bytes: &[u8]) -> Result<bool> {
        self.write(staged, bytes)?;
        let created = self.move_new(staged, path)?;
        if created {
            self.sync_directory(parent(path))?;
        } else {
            self.remove(staged)?;
        }
        Ok(created)
    }

    /// Removes a file; one that is gone already is no error.
    ///
    /// # Errors
    /// Names the file.
    pub fn remove(&self, path: &Path) -> Result<()> {
        match self.step(Step::Remove(path.into())).and_then(|()| fs::remove_file(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("cannot remove '{}'", path.display()), error))
            }
            _ => Ok(()),
        }
    }
}

/// The directory that holds `path`.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        Some(_) => Path::new("."),
        None => path,
    }
}

#[cfg(target_os = "linux")]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system knows the flag.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => link_new(from, to),
        result => Ok(result?),
    }
}

#[cfg(not(target_os = "linux"))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    link_new(from, to)
}

/// The same in two steps; a crash between them leaves both names, of which the first is only staged.
fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

fn cannot_write(path: &Path, error: io::Error) -> Error {
    Error::io(format!("cannot write '{}'", path.display()), error)
}

fn not_synced(path: &Path, error: io::Error) -> Error {
    Error::unsynced(format!("the disk did not confirm '{}': what was written to it may be lost", path.display()), error)
        .help("check the disk; then start again, which finds out what was kept")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_file_is_created_once_and_whole() {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        disk.create_directory(&root.path().join("a/b")).unwrap();
        let (path, staged) = (root.path().join("a/b/c"), root.path().join("staged"));
        assert!(disk.create(&path, &staged, b"first").unwrap());
        assert!(!disk.create(&path, &staged, b"second").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert!(!staged.exists());
    }

    #[test]
    fn linking_is_as_good_as_renaming() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        fs::write(&from, "x").unwrap();
        link_new(&from, &to).unwrap();
        fs::write(&from, "y").unwrap();
        assert_eq!(link_new(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), b"x");
    }

    #[test]
    fn content_is_synced_before_the_move_and_the_directory_after_it() {
        let root = tempfile::tempdir().unwrap();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let seen = steps.clone();
        let disk = Disk::with_hook(Arc::new(move |step| {
            seen.lock().unwrap().push(step.clone());
            Ok(())
        }));
        let (path, staged) = (root.path().join("c"), root.path().join("s"));
        disk.create(&path, &staged, b"x").unwrap();
        let expected = [
            Step::Write(staged.clone()),
            Step::SyncFile(staged.clone()),
            Step::Move(staged, path),
            Step::SyncDirectory(root.path().into()),
        ];
        assert_eq!(*steps.lock().unwrap(), expected);
    }

    #[test]
    fn a_failed_sync_says_that_data_may_be_lost() {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk::with_hook(Arc::new(|step| match step {
            Step::SyncFile(_) => Err(io::Error::other("planted")),
            _ => Ok(()),
        }));
        let error = disk.create(&root.path().join("c"), &root.path().join("s"), b"x").unwrap_err();
        assert_eq!(error.kind(), Kind::Io);
        assert!(error.chain().contains("may be lost: planted"), "{}", error.chain());
        assert!(!root.path().join("c").exists());
    }
}
