//! Who a checkpoint belongs to, and what its state looks like.

use super::durable;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use tidemill_core::{Error, Incarnation, Result, ResultExt};

/// The format this version writes and reads.
pub const FORMAT: u32 = 1;

/// The content of `metadata.json`. Written once; the epochs are in the journal.
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
}

impl Metadata {
    /// Reads the metadata of a checkpoint; `None` when there is none yet.
    ///
    /// # Errors
    /// A file that is damaged or of another version, or one that is gone while the journal is there.
    pub fn read(directory: &Path) -> Result<Option<Metadata>> {
        let path = directory.join("metadata.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let has_journal =
                    std::fs::read_dir(directory.join("journal")).is_ok_and(|mut entries| entries.next().is_some());
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
        let metadata: Metadata = serde_json::from_slice(&text).map_err(|error| {
            Error::invalid(format!("the checkpoint file {} is damaged", path.display()))
                .caused_by(error)
                .help("restore the file from a copy, or start over with a new checkpoint directory")
        })?;
        if metadata.format != FORMAT {
            return Err(Error::invalid(format!(
                "the checkpoint {} has format {}, this program reads format {FORMAT}",
                directory.display(),
                metadata.format
            ))
            .help(format!("run it with the version that made it: {}", metadata.made_by)));
        }
        Ok(Some(metadata))
    }

    /// Writes the metadata of a new checkpoint.
    ///
    /// # Errors
    /// The file is there already or cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let text =
            serde_json::to_vec_pretty(self).context(tidemill_core::Kind::Bug, || "metadata has no JSON".into())?;
        match durable::write_new(&directory.join("metadata.json"), &text)? {
            true => Ok(()),
            false => Err(Error::new(tidemill_core::Kind::Fenced, "another process has just made this checkpoint")),
        }
    }

    /// Checks that a checkpoint is that of a pipeline with this metadata.
    ///
    /// # Errors
    /// Another pipeline, other sources, other state; each difference is named.
    pub fn check_fits(&self, now: &Metadata, directory: &Path) -> Result<()> {
        let refuse = |what: String| {
            Err(Error::invalid(format!("the checkpoint {} does not fit this pipeline: {what}", directory.display()))
                .help("give the changed pipeline a new checkpoint directory, or run the pipeline this checkpoint was made by"))
        };
        if self.pipeline != now.pipeline {
            return refuse(format!("it belongs to the pipeline '{}', this one is '{}'", self.pipeline, now.pipeline));
        }
        if self.sources != now.sources {
            return refuse(format!("it reads {}, this one reads {}", self.sources.join(", "), now.sources.join(", ")));
        }
        for (name, layout) in &self.operators {
            match now.operators.get(name) {
                None => return refuse(format!("its operator {name} ({layout}) is gone")),
                Some(other) if other != layout => {
                    return refuse(format!("the state of operator {name} was '{layout}' and is now '{other}'"));
                }
                Some(_) => {}
            }
        }
        match now.operators.keys().find(|name| !self.operators.contains_key(*name)) {
            Some(new) => refuse(format!("it has no state for the operator {new}")),
            None => Ok(()),
        }
    }
}
