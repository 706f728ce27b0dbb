//! The log of a place that the files sink writes: `_tidemill/log/` holds a manifest a commit,
//! numbered without a gap, each naming the files it published. The log is the truth; what else lies in
//! the directory is not published, or not any more.

use super::place::Place;
use crate::durable::Disk;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
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
    /// A word of chance: whoever reads the manifest knows whether it is the one that was written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nonce: String,
}

impl Manifest {
    pub fn new(writer: Writer, epoch: Epoch, mode: Publication, schema: String, files: Vec<PublishedFile>) -> Self {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        Manifest { version: VERSION, writer, epoch, mode, schema, files, nonce }
    }
}

/// What all manifests say together, as far as they have been read.
#[derive(Debug)]
pub(super) struct Log {
    place: Place,
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
    /// Reads the log of `place`; one without a log is empty.
    ///
    /// # Errors
    /// A manifest that is missing between others, damaged, or of a later version.
    pub fn open(place: Place) -> Result<Self> {
        let mut log =
            Log { place, next: 0, schema: None, published: Vec::new(), replaced: Vec::new(), newest: BTreeMap::new() };
        log.refresh()?;
        if let Some(last) = log.place.last_manifest()?
            && last >= log.next
        {
            let missing = log.place.manifest_name(log.next);
            return Err(Error::invalid(format!("'{missing}' is missing, though '{last:020}.json' is there"))
                .help("restore it from a backup, or let the sink write to another directory"));
        }
        Ok(log)
    }

    /// Reads the manifests that have come since.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn refresh(&mut self) -> Result<()> {
        while let Some(bytes) = self.place.manifest(self.next)? {
            self.add(parse(&self.place.manifest_name(self.next), &bytes)?);
        }
        Ok(())
    }

    /// Publishes `manifest` as the next one; false if another writer has just taken its number. `staged`
    /// names it while it is written.
    ///
    /// # Errors
    /// After an error it may be published or not.
    pub fn publish(&mut self, staged: &str, manifest: &Manifest) -> Result<bool> {
        let text = serde_json::to_vec_pretty(manifest)
            .map_err(|error| Error::bug("a manifest cannot be written as JSON").caused_by(error))?;
        let published = self.place.publish(self.next, staged, text)?;
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
}

fn parse(name: &str, bytes: &[u8]) -> Result<Manifest> {
    let damaged = |why: String| {
        Error::invalid(format!("the manifest '{name}' cannot be read: {why}"))
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
    Log::open(Place::local(Disk::default(), path)).map(|log| log.published)
}
