//! The log of a directory that the files sink writes: `_tidemill/log/` holds a manifest a commit,
//! numbered without a gap, each naming the files it published. The log is the truth; what else lies in
//! the directory is not published, or not any more.

use crate::durable::Disk;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tidemill_core::sink::{Marker, Writer};
use tidemill_core::{Epoch, Error, Result};

/// Directory of ours, below that of the files.
pub(super) const OWN_DIRECTORY: &str = "_tidemill";

/// The form of manifests that we write and read.
const VERSION: u32 = 1;

/// What a commit does with the rows there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publication {
    /// Keeps them.
    Append,
    /// Replaces them all.
    Overwrite,
}

/// A published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedFile {
    /// Its name in the directory.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
}

/// One commit, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub version: u32,
    pub writer: Writer,
    pub epoch: Epoch,
    pub mode: Publication,
    /// The columns, as DDL.
    pub schema: String,
    pub files: Vec<PublishedFile>,
}

impl Manifest {
    pub fn new(writer: Writer, epoch: Epoch, mode: Publication, schema: String, files: Vec<PublishedFile>) -> Self {
        Manifest { version: VERSION, writer, epoch, mode, schema, files }
    }
}

/// What all manifests say together, as far as they have been read.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    /// Number of the next manifest.
    next: u64,
    /// Columns of the newest manifest, as DDL.
    pub schema: Option<String>,
    /// Published files, oldest first.
    pub published: Vec<PublishedFile>,
    /// Names of files that were published once.
    pub replaced: Vec<String>,
    /// The newest epoch of each writer, by its identity; with the number of its manifest.
    newest: BTreeMap<String, (u64, Writer, Epoch)>,
}

impl Log {
    /// Reads the log of the directory `root`; one without a log is empty.
    ///
    /// # Errors
    /// A manifest that is missing between others, damaged, or of a later version.
    pub fn open(root: &Path) -> Result<Self> {
        let mut log = Log {
            directory: root.join(OWN_DIRECTORY).join("log"),
            next: 0,
            schema: None,
            published: Vec::new(),
            replaced: Vec::new(),
            newest: BTreeMap::new(),
        };
        log.refresh()?;
        let last = log.last_number()?;
        if let Some(last) = last
            && last >= log.next
        {
            let missing = log.path(log.next);
            return Err(Error::invalid(format!(
                "'{}' is missing, though '{last:020}.json' is there",
                missing.display()
            ))
            .help("restore it from a backup, or let the sink write to another directory"));
        }
        Ok(log)
    }

    /// Reads the manifests that have come since.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn refresh(&mut self) -> Result<()> {
        loop {
            let path = self.path(self.next);
            match fs::read(&path) {
                Ok(bytes) => self.add(parse(&path, &bytes)?),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(Error::io(format!("cannot read '{}'", path.display()), error)),
            }
        }
    }

    /// Publishes `manifest` as the next one; false if another writer has just taken its number. `staged`
    /// is where it is written first.
    ///
    /// # Errors
    /// After an error it may be published or not.
    pub fn publish(&mut self, disk: &Disk, staged: &Path, manifest: &Manifest) -> Result<bool> {
        let text = serde_json::to_vec_pretty(manifest)
            .map_err(|error| Error::bug("a manifest cannot be written as JSON").caused_by(error))?;
        let published = disk.create(&self.path(self.next), staged, &text)?;
        if published {
            self.add(manifest.clone());
        }
        Ok(published)
    }

    /// What the log says of `writer`.
    pub fn marker(&self, writer: &Writer) -> Marker {
        if let Some((_, _, epoch)) = self.newest.get(&writer.id()) {
            return Marker::At(*epoch);
        }
        let others = self.newest.values().filter(|(_, other, _)| other.prefix() == writer.prefix());
        match others.max_by_key(|(number, ..)| *number) {
            Some((_, other, _)) => Marker::Foreign(other.incarnation.clone()),
            None => Marker::Absent,
        }
    }

    fn add(&mut self, manifest: Manifest) {
        if manifest.mode == Publication::Overwrite {
            self.replaced.extend(self.published.drain(..).map(|file| file.name));
        }
        self.published.extend(manifest.files);
        self.schema = Some(manifest.schema);
        self.newest.insert(manifest.writer.id(), (self.next, manifest.writer, manifest.epoch));
        self.next += 1;
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:020}.json"))
    }

    fn last_number(&self) -> Result<Option<u64>> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("cannot read '{}'", self.directory.display()), error)),
        };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.filter_map(|name| name.strip_suffix(".json")?.parse().ok()).max())
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Manifest> {
    let damaged = |why: String| {
        Error::invalid(format!("the manifest '{}' cannot be read: {why}", path.display()))
            .help("restore it from a backup, or let the sink write to another directory")
    };
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if manifest.version != VERSION {
        return Err(damaged(format!("its version is {}, and this program knows {VERSION}", manifest.version)));
    }
    Ok(manifest)
}

/// The published files of the directory `path`, oldest first.
///
/// # Errors
/// A log that cannot be read; the manifest is named.
pub fn published_files(path: &Path) -> Result<Vec<PublishedFile>> {
    Log::open(path).map(|log| log.published)
}
