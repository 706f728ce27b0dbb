//! Files in an object store: which there are, and their bytes.

use super::listing::{FileInfo, MATCHING, glob_pattern, is_hidden};
use crate::files::manifest::{Log, OWN_DIRECTORY};
use crate::files::place::Place;
use bytes::Bytes;
use glob::Pattern;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidemill_core::{Error, Kind, Result, ResultExt, Split};
use tidemill_objects::{Object, Objects};
use tokio::runtime::Handle;

/// How much is read at a time in search of a line's end, in bytes.
const SEARCH_BYTES: u64 = 256 << 10;

/// Where to look, and for what.
pub(super) struct Folder {
    objects: Objects,
    /// What the name below the folder must match; `None` for anything.
    pattern: Option<Pattern>,
    recursive: bool,
    name_filter: Option<Pattern>,
    /// In microseconds.
    min_age: i64,
    /// The log of a folder that a files sink writes: only what it publishes is there.
    log: Arc<Mutex<Option<Log>>>,
}

impl Folder {
    /// Looks at `location`: a folder, an object or a pattern. A folder may be empty. `options` are those of the store.
    ///
    /// # Errors
    /// No such URL; an option the store does not know; a store that does not answer.
    pub async fn open(
        location: &str,
        options: &[(&str, &str)],
        recursive: bool,
        name_filter: Option<Pattern>,
        min_age: Duration,
    ) -> Result<Self> {
        let (root, pattern) = root_and_pattern(location)?;
        let mut objects = Objects::open(root, options.iter().copied())?;
        let mut pattern = pattern.map(glob_pattern).transpose()?;
        if pattern.is_none()
            && let Some((above, name)) = root.trim_end_matches('/').rsplit_once('/')
            && !above.ends_with(":/")
        {
            // a name with nothing below it may be that of one object
            let folder = Objects::open(&format!("{above}/"), options.iter().copied())?;
            if folder.look(name).await?.is_some() {
                (objects, pattern) = (folder, Some(glob_pattern(&Pattern::escape(name))?));
            }
        }
        let min_age = min_age.as_micros() as i64;
        Ok(Folder { objects, pattern, recursive, name_filter, min_age, log: Arc::default() })
    }

    /// What messages call it.
    pub fn place(&self) -> &str {
        self.objects.place()
    }

    /// All files, in no order. `now` is in microseconds since 1970.
    ///
    /// # Errors
    /// The store does not answer; the log of a files sink cannot be read.
    pub async fn list(&self, now: i64) -> Result<Vec<FileInfo>> {
        let (mut found, folders) = self.objects.objects(self.recursive || self.pattern.is_some()).await?;
        let own = format!("{OWN_DIRECTORY}/");
        let is_sinks = folders.iter().any(|name| name == OWN_DIRECTORY)
            || found.iter().any(|object| object.name.starts_with(&own));
        found.retain(|object| self.admits(&object.name));
        found.retain(|object| self.min_age == 0 || now.saturating_sub(object.modified) >= self.min_age);
        if is_sinks && let Some(published) = self.published().await? {
            found.retain(|object| published.contains(&object.name));
        }
        Ok(found.into_iter().map(info).collect())
    }

    /// A part of a file; `None` when it is gone. Beside it what the file is now.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn read(&self, split: &Split, part: Range<u64>) -> Result<Option<(Bytes, FileInfo)>> {
        Ok(self.objects.read_part(split, part).await?.map(|(bytes, object)| (bytes, info(object))))
    }

    /// Where the first line ends that ends at `at` or after it; `end` when none does before.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn line_end(&self, split: &Split, at: u64, end: u64) -> Result<u64> {
        let mut position = at.saturating_sub(1);
        while position < end {
            let part = position..(position + SEARCH_BYTES).min(end);
            let Some((bytes, _)) = self.objects.read_part(split, part.clone()).await? else { break };
            if let Some(found) = memchr::memchr(b'\n', &bytes) {
                return Ok(position + found as u64 + 1);
            }
            position = part.end;
        }
        Ok(end)
    }

    /// True for a file that is asked for: the same ones as on a disk.
    fn admits(&self, name: &str) -> bool {
        let (folders, file) = name.rsplit_once('/').map_or(("", name), |(folders, file)| (folders, file));
        if is_hidden(file) || self.name_filter.as_ref().is_some_and(|filter| !filter.matches(file)) {
            return false;
        }
        let matches = |name: &str| self.pattern.as_ref().is_some_and(|pattern| pattern.matches_with(name, MATCHING));
        let is_deep = self.recursive || self.pattern.as_ref().is_some_and(|pattern| pattern.as_str().contains('/'));
        let (mut inside, mut at) = (self.pattern.is_none(), 0);
        for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
            at += folder.len();
            let below = &name[..at];
            at += 1;
            if is_hidden(folder) || !(self.recursive || matches(below) || (!inside && is_deep)) {
                return false;
            }
            inside = inside || matches(below);
        }
        inside || matches(name)
    }

    /// The names that a files sink has published here; `None` when it has published nothing yet, and may never have
    /// been here.
    async fn published(&self) -> Result<Option<HashSet<String>>> {
        let (log, objects, runtime) = (self.log.clone(), self.objects.clone(), Handle::current());
        let read = move || {
            let mut log = log.lock().map_err(|_| Error::bug("the files source stopped while it read a log"))?;
            match log.as_mut() {
                Some(log) => log.refresh()?,
                None => *log = Some(Log::open(Place::Store { objects, runtime })?),
            }
            let names = log.as_ref().map(|log| log.published.iter().map(|file| file.name.clone()).collect());
            Ok(names)
        };
        tokio::task::spawn_blocking(read).await.context(Kind::Bug, || "the files source broke off".into())?
    }
}

fn info(object: Object) -> FileInfo {
    FileInfo { split: object.name.into(), bytes: object.bytes, modified: object.modified, version: object.tag }
}

/// The folder that a location is or begins with, and what is asked for in it.
fn root_and_pattern(location: &str) -> Result<(&str, Option<&str>)> {
    let location = location.trim();
    let Some(special) = location.find(['*', '?', '[']) else { return Ok((location, None)) };
    let after_scheme = location.find("://").map_or(0, |at| at + 3);
    match location[after_scheme..special].rfind('/') {
        Some(at) => Ok((&location[..=after_scheme + at], Some(&location[after_scheme + at + 1..]))),
        None => Err(Error::invalid(format!("'{location}' has a pattern in the name of its bucket"))
            .help("patterns are for what is in a bucket, such as s3://bucket/in/2026-*/*.json")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;
    use object_store::path::Path;

    fn folder(pattern: Option<&str>, recursive: bool) -> Folder {
        Folder {
            objects: Objects::new(Arc::new(InMemory::new()), Path::from("in"), "memory:///in"),
            pattern: pattern.map(|pattern| glob_pattern(pattern).unwrap()),
            recursive,
            name_filter: None,
            min_age: 0,
            log: Arc::default(),
        }
    }

    #[test]
    fn the_same_files_are_asked_for_as_on_a_disk() {
        let names = ["a.json", "_a.json", ".b", "d/a.json", "d/e/a.json", "_d/a.json", "x/a.csv"];
        let asked = |pattern, recursive| {
            let folder = folder(pattern, recursive);
            names.into_iter().filter(|name| folder.admits(name)).collect::<Vec<_>>()
        };
        assert_eq!(asked(None, false), ["a.json"]);
        assert_eq!(asked(None, true), ["a.json", "d/a.json", "d/e/a.json", "x/a.csv"]);
        assert_eq!(asked(Some("*.json"), false), ["a.json"]);
        assert_eq!(asked(Some("d"), false), ["d/a.json"]);
        assert_eq!(asked(Some("*/*.json"), false), ["d/a.json"]);
        assert_eq!(asked(Some("d"), true), ["d/a.json", "d/e/a.json"]);
    }

    #[test]
    fn a_pattern_begins_after_the_last_whole_name() {
        assert_eq!(root_and_pattern("s3://b/in").unwrap(), ("s3://b/in", None));
        assert_eq!(root_and_pattern("s3://b/in/2026-*/*.json").unwrap(), ("s3://b/in/", Some("2026-*/*.json")));
        assert_eq!(root_and_pattern("s3://b/*.gz").unwrap(), ("s3://b/", Some("*.gz")));
        assert!(root_and_pattern("s3://b*/in").is_err());
    }

    #[tokio::test]
    async fn lines_end_where_they_do_and_files_tell_which_writing_they_are() {
        let folder = folder(None, false);
        folder.objects.put("a", Bytes::from_static(b"one\ntwo\nthree")).await.unwrap();
        let split: Split = "a".into();
        assert_eq!(folder.line_end(&split, 1, 13).await.unwrap(), 4);
        assert_eq!(folder.line_end(&split, 4, 13).await.unwrap(), 4);
        assert_eq!(folder.line_end(&split, 5, 13).await.unwrap(), 8);
        assert_eq!(folder.line_end(&split, 9, 13).await.unwrap(), 13);
        let before = folder.list(0).await.unwrap();
        folder.objects.put("a", Bytes::from_static(b"one\ntwo\nTHREE")).await.unwrap();
        let (bytes, now) = folder.read(&split, 4..8).await.unwrap().unwrap();
        assert_eq!(bytes, "two\n");
        assert!(before[0].tag() != now.tag(), "{}", now.tag());
    }
}
