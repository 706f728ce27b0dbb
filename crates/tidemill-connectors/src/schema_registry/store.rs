//! The registry's files, written durably and never changed.
//!
//! ```text
//! <root>/
//!   subjects/<subject>/<version>.avsc   the schema, as it was registered
//!   subjects/<subject>/config.json      {"compatibility": "FULL"}, where it is not BACKWARD
//!   ids/<id>.json                       {"subject": ..., "version": ...}
//!   lock                                held while a schema is registered
//! ```
//! An id is written before its version. When a crash leaves an id whose version is then registered
//! with another id, both name the same schema, and the larger one is the version's.

use super::arrow::ddl_to_avro;
use super::avro::AvroSchema;
use super::compatibility::{Compatibility, problems};
use crate::durable::Disk;
use crate::names;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Result};
use url::Url;

/// How a schema is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaType {
    /// Avro, as JSON.
    Avro,
    /// Columns in DDL; kept as the Avro record with these columns.
    Ddl,
}

/// A registered schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its number among all schemas; what a message carries.
    pub id: u32,
    /// Its subject.
    pub subject: String,
    /// Its number within the subject, from 1.
    pub version: u32,
    /// The schema, as Avro JSON.
    pub schema: String,
}

/// A registry in a directory.
#[derive(Debug, Clone)]
pub struct SchemaRegistry {
    root: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct IdFile {
    subject: String,
    version: u32,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Config {
    compatibility: Compatibility,
}

impl SchemaRegistry {
    /// The registry at a path or a `file://` URL; made if it is not there.
    ///
    /// # Errors
    /// Another kind of URL, or a directory that cannot be made.
    pub fn open(url: &str) -> Result<SchemaRegistry> {
        let root = root(url)?;
        Disk::default().create_directory(&root.join("subjects"))?;
        Disk::default().create_directory(&root.join("ids"))?;
        Ok(SchemaRegistry { root })
    }

    /// The registry at a path or a `file://` URL, if it is there.
    ///
    /// # Errors
    /// Another kind of URL, or no such registry.
    pub fn find(url: &str) -> Result<SchemaRegistry> {
        let root = root(url)?;
        if !root.join("subjects").is_dir() {
            return Err(Error::invalid(format!("there is no schema registry at {url}"))
                .help("register a schema there first: tidemill.stream_schemas.register_schema(...)"));
        }
        Ok(SchemaRegistry { root })
    }

    /// Adds a version to a subject, if it is compatible with the newest one. A schema that a version of
    /// the subject has already is that version.
    ///
    /// # Errors
    /// A schema that is not valid, or not compatible: says each field and why.
    pub fn register(&self, subject: &str, schema: &str, kind: SchemaType) -> Result<Registered> {
        let directory = self.subject(subject)?;
        let text = as_avro(subject, schema, kind)?;
        let parsed = AvroSchema::parse(&text)?;
        let _lock = self.lock()?;
        let versions = self.versions(subject)?;
        for version in versions.iter().rev() {
            let known = self.version(subject, *version)?;
            if is_same(&known.schema, &text) {
                return Ok(known);
            }
        }
        let newest = versions.last().copied().unwrap_or(0);
        if newest > 0 {
            self.check(subject, newest, &parsed)?;
        }
        let (id, version) = (self.ids()?.last().copied().unwrap_or(0) + 1, newest + 1);
        Disk::default().create_directory(&directory)?;
        let id_file = IdFile { subject: subject.to_owned(), version };
        let id_file =
            serde_json::to_vec(&id_file).map_err(|cause| Error::bug("cannot write an id").caused_by(cause))?;
        self.create(&self.root.join("ids").join(format!("{id}.json")), &id_file)?;
        self.create(&directory.join(format!("{version}.avsc")), text.as_bytes())?;
        Ok(Registered { id, subject: subject.to_owned(), version, schema: text })
    }

    /// What a schema would break of the newest version of a subject, in words; empty when [`SchemaRegistry::register`]
    /// would take it.
    ///
    /// # Errors
    /// A schema that is not valid, or files that cannot be read.
    pub fn problems(&self, subject: &str, schema: &str, kind: SchemaType) -> Result<Vec<String>> {
        let new = AvroSchema::parse(&as_avro(subject, schema, kind)?)?;
        let Some(newest) = self.latest(subject)? else { return Ok(Vec::new()) };
        Ok(problems(self.compatibility(subject)?, &new, &AvroSchema::parse(&newest.schema)?))
    }

    /// The newest version of a subject; `None` when there is none.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn latest(&self, subject: &str) -> Result<Option<Registered>> {
        let newest = self.versions(subject)?.last().copied();
        newest.map(|version| self.version(subject, version)).transpose()
    }

    /// The schema with an id; `None` when there is none.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn by_id(&self, id: u32) -> Result<Option<Registered>> {
        let Some(IdFile { subject, version }) = read_json(&self.root.join("ids").join(format!("{id}.json")))? else {
            return Ok(None);
        };
        let path = self.subject(&subject)?.join(format!("{version}.avsc"));
        Ok(read(&path)?.map(|schema| Registered { id, subject, version, schema }))
    }

    /// Versions of a subject, ascending; empty when there is no such subject.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn versions(&self, subject: &str) -> Result<Vec<u32>> {
        numbers(&self.subject(subject)?, ".avsc")
    }

    /// Names of all subjects.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn subjects(&self) -> Result<Vec<String>> {
        let directory = self.root.join("subjects");
        let listed = fs::read_dir(&directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let listed = listed.map_err(|cause| Error::io(format!("cannot list {}", directory.display()), cause))?;
        let mut names: Vec<String> =
            listed.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// One version of a subject.
    ///
    /// # Errors
    /// There is no such version, or the files cannot be read.
    pub fn version(&self, subject: &str, version: u32) -> Result<Registered> {
        let path = self.subject(subject)?.join(format!("{version}.avsc"));
        let Some(schema) = read(&path)? else { return Err(self.missing(subject, version)) };
        for id in self.ids()?.into_iter().rev() {
            let named: Option<IdFile> = read_json(&self.root.join("ids").join(format!("{id}.json")))?;
            if named.is_some_and(|named| named.subject == subject && named.version == version) {
                return Ok(Registered { id, subject: subject.to_owned(), version, schema });
            }
        }
        Err(Error::invalid(format!("{} has no id: the registry is damaged", path.display())))
    }

    /// What new versions of a subject must keep.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn compatibility(&self, subject: &str) -> Result<Compatibility> {
        let config: Option<Config> = read_json(&self.subject(subject)?.join("config.json"))?;
        Ok(config.unwrap_or_default().compatibility)
    }

    /// Sets what new versions of a subject must keep.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_compatibility(&self, subject: &str, compatibility: Compatibility) -> Result<()> {
        let directory = self.subject(subject)?;
        Disk::default().create_directory(&directory)?;
        let text = serde_json::to_vec(&Config { compatibility });
        let text = text.map_err(|cause| Error::bug("cannot write a configuration").caused_by(cause))?;
        let (path, disk) = (directory.join("config.json"), Disk::default());
        let staged = names::staged(&path);
        disk.write(&staged, &text)?;
        fs::rename(&staged, &path).map_err(|cause| Error::io(format!("cannot write {}", path.display()), cause))?;
        disk.sync_directory(&directory)
    }

    fn check(&self, subject: &str, newest: u32, schema: &AvroSchema) -> Result<()> {
        let level = self.compatibility(subject)?;
        let old = AvroSchema::parse(&self.version(subject, newest)?.schema)?;
        let found = problems(level, schema, &old);
        if found.is_empty() {
            return Ok(());
        }
        let what = format!("the schema is not {level} compatible with version {newest} of subject '{subject}'");
        Err(Error::invalid(format!("{what}: {}", found.join("; ")))
            .help("give new fields a default, or register the schema under another subject"))
    }

    fn missing(&self, subject: &str, version: u32) -> Error {
        let versions = self.versions(subject).unwrap_or_default();
        let known = self.subjects().unwrap_or_default();
        match versions.last() {
            Some(newest) => {
                Error::invalid(format!("subject '{subject}' has no version {version}; the newest is {newest}"))
            }
            None => {
                let error = Error::invalid(format!("there is no subject '{subject}' in {}", self.root.display()));
                match nearest(subject, known.iter().map(String::as_str)) {
                    Some(near) => error.help(format!("did you mean '{near}'?")),
                    None => error.help(format!("subjects: {}", known.join(", "))),
                }
            }
        }
    }

    fn subject(&self, subject: &str) -> Result<PathBuf> {
        if !names::is_plain(subject) {
            return Err(Error::invalid(format!("'{subject}' is not a name for a subject"))
                .help("use up to 200 letters, digits, '.', '_' and '-', with no '.' in front"));
        }
        Ok(self.root.join("subjects").join(subject))
    }

    fn ids(&self) -> Result<Vec<u32>> {
        numbers(&self.root.join("ids"), ".json")
    }

    fn lock(&self) -> Result<File> {
        let path = self.root.join("lock");
        let failed = |cause| Error::io(format!("cannot lock {}", path.display()), cause);
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|cause| failed(cause.into()))?;
        Ok(file)
    }

    fn create(&self, path: &Path, content: &[u8]) -> Result<()> {
        match names::create(path, content)? {
            true => Ok(()),
            false => Err(Error::bug(format!("{} appeared while the registry was locked", path.display()))),
        }
    }
}

/// The directory that a path or a `file://` URL names.
fn root(url: &str) -> Result<PathBuf> {
    match Url::parse(url).ok().filter(|_| url.contains("://")) {
        None => Ok(PathBuf::from(url)),
        Some(file) if file.scheme() == "file" => {
            file.to_file_path().map_err(|()| Error::invalid(format!("'{url}' is no place for a schema registry")))
        }
        Some(other) => {
            let scheme = other.scheme();
            Err(Error::invalid(format!("a schema registry at {scheme}:// cannot be used, only a directory"))
                .help("give a path or a file:// URL"))
        }
    }
}

/// A schema as Avro JSON.
fn as_avro(subject: &str, schema: &str, kind: SchemaType) -> Result<String> {
    match kind {
        SchemaType::Avro => Ok(schema.to_owned()),
        SchemaType::Ddl => ddl_to_avro(schema, &record_name(subject)),
    }
}

/// Equal but for spaces and the order of keys.
fn is_same(left: &str, right: &str) -> bool {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    json(left).is_some_and(|left| Some(left) == json(right))
}

/// A record's name for a subject: `orders-value` gives `orders_value`.
fn record_name(subject: &str) -> String {
    let name: String =
        subject.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Numbers in the names of the files that end in `suffix`, ascending; empty when there is no directory.
fn numbers(directory: &Path, suffix: &str) -> Result<Vec<u32>> {
    let listed = match fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(|cause| Error::io(format!("cannot list {}", directory.display()), cause))?,
    };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(suffix)?.parse().ok();
    let mut numbers: Vec<u32> = listed.into_iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::io(format!("cannot read {}", path.display()), cause)),
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(text) = read(path)? else { return Ok(None) };
    let parsed = serde_json::from_str(&text);
    parsed.map(Some).map_err(|cause| Error::invalid(format!("{} is damaged", path.display())).caused_by(cause))
}
