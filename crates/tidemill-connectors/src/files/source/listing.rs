//! Which files there are: walks the directory, leaves out what is hidden, does not match or may still be
//! changing.

use crate::durable::Disk;
use crate::files::manifest::{Log, OWN_DIRECTORY};
use crate::files::place::Place;
use glob::{MatchOptions, Pattern};
use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};
use tidemill_core::{Error, Kind, Result, Split};

/// Deepest nesting of directories, which also ends a circle of links.
const DEPTH_MAX: usize = 32;

/// A `*` does not match across directories.
pub(super) const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileInfo {
    /// Its path below the root, with `/` between names.
    pub split: Split,
    pub bytes: u64,
    /// When it was changed last, in microseconds since 1970.
    pub modified: i64,
    /// Which writing of the file it is, where a store tells.
    pub version: Option<String>,
}

impl FileInfo {
    /// What a plan pins of the file.
    pub fn tag(&self) -> String {
        match &self.version {
            Some(version) => format!("bytes={} version={version}", self.bytes),
            None => tag(self.bytes, self.modified),
        }
    }
}

/// True for a name that is passed over, as Spark does.
pub(super) fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

/// Size and time of a file, as a plan pins them.
pub(super) fn tag(bytes: u64, modified: i64) -> String {
    format!("bytes={bytes} modified={modified}")
}

/// When a file was changed last, in microseconds since 1970; 0 where the system does not tell.
pub(super) fn modified(metadata: &Metadata) -> i64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_micros() as i64)
}

/// Compiles a pattern of names.
///
/// # Errors
/// What is wrong with it.
pub(super) fn glob_pattern(text: &str) -> Result<Pattern> {
    Pattern::new(text).map_err(|error| {
        Error::invalid(format!(
            "'{text}' is no pattern of file \
                        names"
        ))
        .caused_by(error)
    })
}

/// Where to look, and for what.
pub(super) struct Directory {
    root: PathBuf,
    /// What the path below the root must match; `None` for anything.
    pattern: Option<Pattern>,
    recursive: bool,
    name_filter: Option<Pattern>,
    /// In microseconds.
    min_age: i64,
    /// The log of a directory that a files sink writes: only what it publishes is there.
    log: Mutex<Option<Log>>,
}

impl Directory {
    /// Looks at `path`: a directory, a file or a pattern.
    ///
    /// # Errors
    /// Nothing is there.
    pub fn open(path: PathBuf, recursive: bool, name_filter: Option<Pattern>, min_age: Duration) -> Result<Self> {
        let (root, pattern) = root_and_pattern(&path)?;
        if !root.is_dir() {
            return Err(Error::invalid(format!("there is no directory '{}'", root.display()))
                .help("make it, or correct option 'path'"));
        }
        let min_age = min_age.as_micros() as i64;
        Ok(Directory { root, pattern, recursive, name_filter, min_age, log: Mutex::new(None) })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// True when directories below the root are looked into.
    pub fn is_deep(&self) -> bool {
        self.recursive || self.pattern.as_ref().is_some_and(|pattern| pattern.as_str().contains('/'))
    }

    /// The path of a split.
    pub fn path_of(&self, split: &str) -> PathBuf {
        self.root.join(split)
    }

    /// All files, in no order. `now` is in microseconds since 1970.
    ///
    /// # Errors
    /// A directory that cannot be read, a name that is not UTF-8.
    pub fn list(&self, now: i64) -> Result<Vec<FileInfo>> {
        let mut files = Vec::new();
        self.walk(&self.root, "", 0, self.pattern.is_none(), &mut files)?;
        // without a least age the clocks do not matter: that of the files may be ahead of ours
        files.retain(|file| self.min_age == 0 || now.saturating_sub(file.modified) >= self.min_age);
        if let Some(published) = self.published()? {
            files.retain(|file| published.contains(&*file.split));
        }
        Ok(files)
    }

    /// `inside`: the directory is one of those asked for, so that every file in it counts.
    fn walk(
        &self,
        directory: &Path,
        prefix: &str,
        depth: usize,
        inside: bool,
        files: &mut Vec<FileInfo>,
    ) -> Result<()> {
        let context = |error| Error::io(format!("cannot read the directory '{}'", directory.display()), error);
        let entries = match fs::read_dir(directory) {
            // It was removed since its parent was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound && depth > 0 => return Ok(()),
            entries => entries.map_err(context)?,
        };
        for entry in entries {
            let entry = entry.map_err(context)?;
            let name = entry.file_name().into_string().map_err(|name| {
                let path = directory.join(name);
                Error::new(Kind::Data, format!("the name of '{}' is not UTF-8", path.display())).help(
                    "rename the \
                                                file",
                )
            })?;
            if is_hidden(&name) {
                continue;
            }
            let path = entry.path();
            let metadata = match fs::metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata.map_err(|error| Error::io(format!("cannot read '{}'", path.display()), error))?,
            };
            let below = format!("{prefix}{name}");
            let matches = self.pattern.as_ref().is_some_and(|pattern| pattern.matches_with(&below, MATCHING));
            if metadata.is_dir() {
                if depth < DEPTH_MAX && (self.recursive || matches || (!inside && self.is_deep())) {
                    self.walk(&path, &format!("{below}/"), depth + 1, inside || matches, files)?;
                }
            } else if (inside || matches) && self.name_filter.as_ref().is_none_or(|filter| filter.matches(&name)) {
                let (bytes, modified) = (metadata.len(), modified(&metadata));
                files.push(FileInfo { split: below.into(), bytes, modified, version: None });
            }
        }
        Ok(())
    }

    /// The names that a files sink has published here; `None` when no sink writes here.
    fn published(&self) -> Result<Option<HashSet<String>>> {
        if !self.root.join(OWN_DIRECTORY).join("log").is_dir() {
            return Ok(None);
        }
        let mut log = self.log.lock().map_err(|_| Error::bug("the files source stopped while it read a log"))?;
        match log.as_mut() {
            Some(log) => log.refresh()?,
            None => *log = Some(Log::open(Place::local(Disk::default(), &self.root))?),
        }
        Ok(log.as_ref().map(|log| log.published.iter().map(|file| file.name.clone()).collect()))
    }
}

/// The directory that `path` is or begins with, and what is asked for in it.
fn root_and_pattern(path: &Path) -> Result<(PathBuf, Option<Pattern>)> {
    if path.is_dir() {
        return Ok((path.to_path_buf(), None));
    }
    let Some(text) = path.to_str() else {
        return Err(Error::invalid(format!("the path '{}' is not UTF-8", path.display())));
    };
    let first_special = text.find(['*', '?', '[']);
    let split_at = match first_special {
        Some(special) => text[..special].rfind('/'),
        None if path.is_file() => text.rfind('/'),
        None => {
            return Err(Error::invalid(format!("there is no file or directory '{text}'"))
                .help("make the directory, or correct option 'path'"));
        }
    };
    let (root, rest) = match split_at {
        None => (".", text),
        Some(0) => ("/", &text[1..]),
        Some(at) => (&text[..at], &text[at + 1..]),
    };
    let pattern = if first_special.is_some() { glob_pattern(rest)? } else { glob_pattern(&Pattern::escape(rest))? };
    Ok((PathBuf::from(root), Some(pattern)))
}
