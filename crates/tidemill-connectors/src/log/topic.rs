//! The identity of a topic: `topic.json`, and the paths inside a topic.

use crate::names;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Result};

/// The version of the layout that this code writes, and the only one it reads.
const VERSION: u32 = 1;
const PARTITIONS_MAX: u32 = 1024;

/// What never changes in the life of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    version: u32,
    /// A new one for every topic, so that a topic made again is not taken for the old one.
    pub(crate) id: String,
    /// Number of partitions.
    pub(crate) partitions: u32,
    /// Number of partitions behind them that are its writer's own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) internal: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Where the parts of one topic are.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// The directory of all topics.
    pub(crate) root: PathBuf,
    /// Name of the topic.
    pub(crate) topic: String,
}

impl Paths {
    /// Paths of `topic` in the log at `root`.
    ///
    /// # Errors
    /// A name that is no plain file name.
    pub(crate) fn new(root: &Path, topic: &str) -> Result<Paths> {
        if !names::is_plain(topic) {
            return Err(Error::invalid(format!("'{topic}' is not a name for a topic"))
                .help("use up to 200 letters, digits, '.', '_' and '-', with no '.' in front"));
        }
        Ok(Paths { root: root.to_owned(), topic: topic.to_owned() })
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.root.join(&self.topic)
    }

    pub(crate) fn partition(&self, partition: u32) -> PathBuf {
        self.directory().join(partition.to_string())
    }

    pub(crate) fn commits(&self) -> PathBuf {
        self.directory().join("commits")
    }

    pub(crate) fn published(&self) -> PathBuf {
        self.directory().join("published")
    }

    pub(crate) fn readers(&self) -> PathBuf {
        self.directory().join("readers")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.directory().join("lock")
    }

    fn identity(&self) -> PathBuf {
        self.directory().join("topic.json")
    }
}

impl Identity {
    /// A new identity.
    ///
    /// # Errors
    /// Too many partitions, or none.
    pub(crate) fn mint(partitions: u32, internal: u32) -> Result<Identity> {
        if partitions == 0 || partitions > PARTITIONS_MAX {
            return Err(Error::invalid(format!("a topic has 1 to {PARTITIONS_MAX} partitions, not {partitions}")));
        }
        Ok(Identity { version: VERSION, id: uuid::Uuid::new_v4().to_string(), partitions, internal })
    }

    /// Number of all partitions.
    pub(crate) fn all(&self) -> usize {
        (self.partitions + self.internal) as usize
    }

    /// The identity of a topic; `None` when there is no such topic (yet).
    ///
    /// # Errors
    /// The file cannot be read, or is of a version this program does not know.
    pub(crate) fn read(paths: &Paths) -> Result<Option<Identity>> {
        let path = paths.identity();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(Error::io(format!("cannot read {}", path.display()), cause)),
        };
        let identity: Identity = serde_json::from_slice(&bytes)
            .map_err(|cause| Error::invalid(format!("{} is damaged", path.display())).caused_by(cause))?;
        if identity.version != VERSION {
            let found = identity.version;
            return Err(Error::invalid(format!(
                "{} has version {found}; this program reads {VERSION}",
                path.display()
            )));
        }
        Ok(Some(identity))
    }

    /// Writes it; the topic exists from then on.
    ///
    /// # Errors
    /// The file cannot be written, or there is one already.
    pub(crate) fn write(&self, paths: &Paths) -> Result<()> {
        let text =
            serde_json::to_vec(self).map_err(|cause| Error::bug("cannot write a topic's identity").caused_by(cause))?;
        match names::create(&paths.identity(), &text)? {
            true => Ok(()),
            false => Err(Error::bug(format!("{} was written under our lock", paths.identity().display()))),
        }
    }
}

/// The error for a topic that is not there, which names the ones that are.
pub(crate) fn missing(paths: &Paths) -> Error {
    let known = names(&paths.root).unwrap_or_default();
    let error = Error::invalid(format!("there is no topic '{}' in {}", paths.topic, paths.root.display()));
    match nearest(&paths.topic, known.iter().map(String::as_str)) {
        Some(near) => error.help(format!("did you mean '{near}'?")),
        None if known.is_empty() => error.help("start what writes the topic first"),
        None => error.help(format!("start what writes it first; topics there: {}", known.join(", "))),
    }
}

/// Names of the topics in the log at `root`.
///
/// # Errors
/// The directory cannot be read.
pub fn topics(root: &Path) -> Result<Vec<String>> {
    names(root).map_err(|cause| {
        Error::io(format!("cannot list the log in {}", root.display()), cause)
            .help("a log is a directory of topics: see option 'path' of the connector 'log'")
    })
}

pub(crate) fn names(root: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.path().join("topic.json").is_file() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}
