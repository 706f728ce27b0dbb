//! Who a checkpoint belongs to, and what its state looks like.

use super::journal::segments;
use super::{durable, sealed};
use crate::evolve::calls::Before;
use crate::evolve::identity::Identity;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tidemill_core::{Error, Incarnation, Result, ResultExt};

/// The format this version writes and reads.
pub const FORMAT: u32 = 1;

/// The content of `metadata.json`. Written when the checkpoint is made and when a changed query goes on with it; the
/// epochs are in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Version of the layout on disk.
    pub format: u32,
    /// The pipeline's name.
    pub pipeline: String,
    /// This life of the checkpoint.
    pub incarnation: Incarnation,
    /// Version of the program that made it.
    pub made_by: String,
    /// Stateful operators by name, each with the layout of its state.
    pub operators: BTreeMap<String, String>,
    /// Source tables.
    pub sources: Vec<String>,
    /// What each operator computes: by this it is found again in a changed query. Missing in the first versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub identities: BTreeMap<String, Remembered>,
    /// The parts of the query: records tell their watermarks in this order. Those that are gone keep their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// Names of operators whose state was let go: older records may still have it, so nobody gets the name again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub retired: BTreeSet<String>,
}

/// What is remembered of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// What it computes.
    #[serde(flatten)]
    pub identity: Identity,
    /// The functions of an aggregate that some of its state may still be of, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Before>,
}

impl Metadata {
    /// The error of a directory without a checkpoint.
    pub fn missing(directory: &Path) -> Error {
        Error::new(tidemill_core::Kind::Usage, format!("there is no checkpoint in {}", directory.display()))
            .help("name the directory that holds metadata.json; a pipeline of several queries has one for each")
    }

    /// Reads the metadata of a checkpoint; `None` when there is none yet.
    ///
    /// # Errors
    /// A file that is damaged or of another version, or one that is gone while the journal is there.
    pub fn read(directory: &Path) -> Result<Option<Metadata>> {
        let path = directory.join("metadata.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let has_journal = segments::hold_any(&directory.join("journal"))?;
                if has_journal {
                    return Err(Error::invalid(format!(
                        "the checkpoint {} is damaged: metadata.json is missing, but there is a journal",
                        directory.display()
                    ))
                    .help("put the file back, or start over with a new checkpoint directory"));
                }
                return Ok(None);
            }
            Err(error) => return Err(Error::io(format!("cannot read {}", path.display()), error)),
        };
        Metadata::parse(&text, &path.display().to_string()).map(Some)
    }

    /// Reads the text of the file `name`.
    ///
    /// # Errors
    /// It is damaged or of another version.
    pub fn parse(text: &[u8], name: &str) -> Result<Metadata> {
        if sealed::is_intact(text) == Some(false) {
            return Err(Error::invalid(format!("the checkpoint file {name} does not match its checksum"))
                .help("restore the file from a copy, or start over with a new checkpoint directory"));
        }
        let metadata: Metadata = serde_json::from_slice(text).map_err(|error| {
            Error::invalid(format!("the checkpoint file {name} is damaged"))
                .caused_by(error)
                .help("restore the file from a copy, or start over with a new checkpoint directory")
        })?;
        if metadata.format != FORMAT {
            return Err(Error::invalid(format!(
                "the checkpoint file {name} has format {}, this program reads format {FORMAT}",
                metadata.format
            ))
            .help(format!("run it with the version that made it: {}", metadata.made_by)));
        }
        Ok(metadata)
    }

    /// As the file has it.
    ///
    /// # Errors
    /// A bug.
    pub fn text(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_vec_pretty(self);
        text.map(sealed::seal).context(tidemill_core::Kind::Bug, || "metadata has no JSON".into())
    }

    /// Writes the metadata of a new checkpoint.
    ///
    /// # Errors
    /// The file is there already or cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        match durable::write_new(&directory.join("metadata.json"), &self.text()?)? {
            true => Ok(()),
            false => Err(Error::new(tidemill_core::Kind::Fenced, "another process has just made this checkpoint")),
        }
    }

    /// Writes the metadata of a checkpoint whose query has changed.
    ///
    /// # Errors
    /// The file cannot be written; the one before is then still there.
    pub fn replace(&self, directory: &Path) -> Result<()> {
        durable::replace(&directory.join("metadata.json"), &self.text()?)
    }
}
