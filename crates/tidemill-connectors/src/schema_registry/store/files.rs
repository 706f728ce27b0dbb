//! The files of a registry: how they are called and what is in them.

use crate::durable::Disk;
use crate::names;
use crate::schema_registry::draft::{Draft, Reference};
use crate::schema_registry::schemas::SchemaKind;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use tidemill_core::{Error, Result};

const SUBJECT_BYTES_MAX: usize = 200;

/// What is under an id.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IdFile {
    /// Where it was registered first.
    pub(super) subject: String,
    pub(super) version: u32,
    /// Absent in files from before there were other kinds than Avro: the schema is in the version's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<String>,
    #[serde(default = "avro", rename = "schemaType")]
    pub(super) kind: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) references: Vec<Reference>,
}

/// What is under a version, or under the digest of a schema: its id.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct IdOf {
    pub(super) id: u32,
}

fn avro() -> String {
    SchemaKind::Avro.word().to_owned()
}

/// The versions in the directory of a subject.
#[derive(Debug, Default)]
pub(super) struct Versions {
    /// Those that can be used.
    pub(super) live: BTreeSet<u32>,
    /// Those that are deleted and not gone.
    pub(super) deleted: BTreeSet<u32>,
    /// The largest number that a file has.
    pub(super) newest: u32,
}

impl Versions {
    /// Lists a directory; empty when there is none.
    pub(super) fn of(directory: &Path) -> Result<Versions> {
        let (mut all, mut marked) = (BTreeSet::new(), BTreeSet::new());
        for name in listed(directory)? {
            let Some((number, kind)) = name.split_once('.') else { continue };
            let Ok(number) = number.parse::<u32>() else { continue };
            match kind {
                "json" | "avsc" => _ = all.insert(number),
                "deleted" => _ = marked.insert(number),
                _ => {}
            }
        }
        let newest = all.iter().chain(&marked).max().copied().unwrap_or(0);
        let (deleted, live) = all.into_iter().partition(|number| marked.contains(number));
        Ok(Versions { live, deleted, newest })
    }

    /// True when there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.deleted.is_empty()
    }

    /// All of them, ascending, or those that can be used.
    pub(super) fn list(&self, with_deleted: bool) -> Vec<u32> {
        let all: BTreeSet<u32> = match with_deleted {
            true => self.live.union(&self.deleted).copied().collect(),
            false => self.live.clone(),
        };
        all.into_iter().collect()
    }
}

/// The name of a subject's directory: letters that a file's name should not have are written as `%2F`.
///
/// # Errors
/// A name that is none: empty, too long, with control characters.
pub(super) fn directory_name(subject: &str) -> Result<String> {
    let mut name = String::with_capacity(subject.len());
    for (at, byte) in subject.bytes().enumerate() {
        match byte {
            b'.' if at == 0 => name.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => name.push(char::from(byte)),
            other => _ = write!(name, "%{other:02X}"),
        }
    }
    if subject.is_empty() || name.len() > SUBJECT_BYTES_MAX || subject.chars().any(char::is_control) {
        return Err(Error::invalid(format!("'{}' is not a name for a subject", subject.escape_debug())).help(format!(
            "use up to {SUBJECT_BYTES_MAX} letters, digits, '.', '_' and '-'; others count three times"
        )));
    }
    Ok(name)
}

/// The subject of a directory; none of one that no subject has.
pub(super) fn subject_name(directory: &str) -> Option<String> {
    let subject = percent_decode_str(directory).decode_utf8().ok()?;
    directory_name(&subject).is_ok_and(|name| name == directory).then(|| subject.into_owned())
}

/// The name of what equal schemas have in common.
pub(super) fn digest(draft: &Draft, canonical: &str) -> String {
    let mut hash = Sha256::new();
    let mut references = draft.references.clone();
    references.sort();
    let parts = references.iter().flat_map(|one| [one.name.clone(), one.subject.clone(), one.version.to_string()]);
    for part in [draft.kind.word().to_owned(), canonical.to_owned()].into_iter().chain(parts) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut name = String::with_capacity(64);
    for byte in hash.finalize() {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// Names of the files in a directory; empty when there is none.
pub(super) fn listed(directory: &Path) -> Result<Vec<String>> {
    match fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => Err(Error::io(format!("cannot list {}", directory.display()), cause)),
        Ok(entries) => Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect()),
    }
}

/// A file's text, if there is one.
pub(super) fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::io(format!("cannot read {}", path.display()), cause)),
    }
}

/// The JSON in a file, if there is one.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(text) = read(path)? else { return Ok(None) };
    let parsed = serde_json::from_str(&text);
    parsed.map(Some).map_err(|cause| Error::invalid(format!("{} is damaged", path.display())).caused_by(cause))
}

/// Makes a file with JSON in it, once.
pub(super) fn create(path: &Path, content: &impl Serialize) -> Result<()> {
    match names::create(path, &json(content)?)? {
        true => Ok(()),
        false => Err(Error::bug(format!("{} appeared while the registry was locked", path.display()))),
    }
}

/// Makes a file with JSON in it, or replaces it.
pub(super) fn replace(path: &Path, content: &impl Serialize) -> Result<()> {
    let (staged, disk) = (names::staged(path), Disk::default());
    disk.write(&staged, &json(content)?)?;
    fs::rename(&staged, path).map_err(|cause| Error::io(format!("cannot write {}", path.display()), cause))?;
    sync_above(path)
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(Error::io(format!("cannot remove {}", path.display()), cause)),
        Ok(()) => sync_above(path),
    }
}

fn sync_above(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), |directory| Disk::default().sync_directory(directory))
}

fn json(content: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(content).map_err(|cause| Error::bug("cannot write a file of the registry").caused_by(cause))
}
