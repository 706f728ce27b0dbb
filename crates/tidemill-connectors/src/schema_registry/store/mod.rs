//! The registry in a directory: files, written durably.
//!
//! ```text
//! <root>/
//!   ids/<id>.json                       {"subject", "version", "schemaType", "schema", "references"}: never changed
//!   ids/<id>.gone                       no version has it any more; it is never given again
//!   contents/<sha256>.json              {"id"} of the schema with this digest
//!   subjects/<subject>/<version>.json   {"id"}
//!   subjects/<subject>/<version>.deleted  the version is deleted, and not yet for good
//!   subjects/<subject>/config.json      {"compatibility": "FULL"}, where the subject has a level of its own
//!   config.json                         the level of all others; BACKWARD when there is none
//!   lock                                held while something is changed
//! ```
//! A registry of an earlier version has `subjects/<subject>/<version>.avsc` with the schema, and its place alone in
//! `ids/<id>.json`; both are read. What is registered is written in the order ids, contents, subjects: a crash leaves at
//! most an id that nobody has heard of.

mod files;
mod refused;
mod write;

pub use refused::{Refused, Why};

use super::compatibility::{Compatibility, Difference, problems};
use super::draft::{Draft, Reference, Registered};
use super::parsed::Parsed;
use super::schemas::{SchemaKind, SchemaText, Schemas};
use crate::durable::Disk;
use async_trait::async_trait;
use files::{IdFile, IdOf, Versions, directory_name, listed, read, read_json, subject_name};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Result};
use url::Url;

/// How deep schemas may name each other.
const REFERENCES_DEEP_MAX: usize = 32;

/// A registry in a directory.
#[derive(Debug, Clone)]
pub struct SchemaRegistry {
    root: PathBuf,
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
        for part in ["subjects", "ids", "contents"] {
            Disk::default().create_directory(&root.join(part))?;
        }
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
                .help("register a schema there first: tidemill schema register"));
        }
        Ok(SchemaRegistry { root })
    }

    /// What a schema would break of the versions of a subject that its level asks for; empty when
    /// [`SchemaRegistry::register`] would take it. The version is the first that is broken.
    ///
    /// # Errors
    /// A schema that is not valid, or files that cannot be read.
    pub fn problems(&self, subject: &str, draft: &Draft) -> Result<Vec<Difference>> {
        let new = Parsed::of(&self.text(draft)?)?;
        Ok(self.broken(subject, &new)?.map(|(_, found)| found).unwrap_or_default())
    }

    /// What a schema would break of one version, by the subject's level.
    ///
    /// # Errors
    /// As [`SchemaRegistry::problems`], and when there is no such version.
    pub fn problems_with(&self, subject: &str, version: u32, draft: &Draft) -> Result<Vec<Difference>> {
        let new = Parsed::of(&self.text(draft)?)?;
        let old = Parsed::of(&self.text(&self.version(subject, version)?.draft())?)?;
        Ok(problems(self.compatibility(subject)?, &new, &old))
    }

    /// The first version that a schema breaks, from the newest, and all that it breaks of it.
    fn broken(&self, subject: &str, new: &Parsed) -> Result<Option<(u32, Vec<Difference>)>> {
        let level = self.compatibility(subject)?;
        let versions = self.versions(subject)?;
        let count = if level.is_transitive() { versions.len() } else { 1 };
        if level == Compatibility::None {
            return Ok(None);
        }
        for version in versions.into_iter().rev().take(count) {
            let old = Parsed::of(&self.text(&self.version(subject, version)?.draft())?)?;
            let found = problems(level, new, &old);
            if !found.is_empty() {
                return Ok(Some((version, found)));
            }
        }
        Ok(None)
    }

    /// The newest version of a subject; `None` when there is none.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn latest(&self, subject: &str) -> Result<Option<Registered>> {
        let newest = self.versions(subject)?.last().copied();
        newest.map(|version| self.version(subject, version)).transpose()
    }

    /// The schema with an id, where it was registered first; `None` when there is none.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn by_id(&self, id: u32) -> Result<Option<Registered>> {
        if self.root.join("ids").join(format!("{id}.gone")).exists() {
            return Ok(None);
        }
        let Some(file) = read_json::<IdFile>(&self.id_path(id))? else { return Ok(None) };
        let schema = match file.schema {
            Some(schema) => schema,
            None => match read(&self.subject(&file.subject)?.join(format!("{}.avsc", file.version)))? {
                Some(schema) => schema,
                None => return Ok(None),
            },
        };
        let kind = SchemaKind::parse(&file.kind)?;
        Ok(Some(Registered {
            id,
            subject: file.subject,
            version: file.version,
            kind,
            schema,
            references: file.references,
        }))
    }

    /// Versions of a subject that can be used, ascending; empty when there is no such subject.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn versions(&self, subject: &str) -> Result<Vec<u32>> {
        self.all_versions(subject, false)
    }

    /// The same, with those that are deleted and not gone.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn all_versions(&self, subject: &str, with_deleted: bool) -> Result<Vec<u32>> {
        Ok(Versions::of(&self.subject(subject)?)?.list(with_deleted))
    }

    /// Names of all subjects with a version that can be used.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn subjects(&self) -> Result<Vec<String>> {
        self.all_subjects(false)
    }

    /// The same, with those that are deleted and not gone.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn all_subjects(&self, with_deleted: bool) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for directory in listed(&self.root.join("subjects"))? {
            let Some(subject) = subject_name(&directory) else { continue };
            if !self.all_versions(&subject, with_deleted)?.is_empty() {
                names.push(subject);
            }
        }
        names.sort();
        Ok(names)
    }

    /// One version of a subject.
    ///
    /// # Errors
    /// There is no such version, or the files cannot be read.
    pub fn version(&self, subject: &str, version: u32) -> Result<Registered> {
        match Versions::of(&self.subject(subject)?)?.live.contains(&version) {
            true => self.any_version(subject, version),
            false => Err(self.missing(subject, version)),
        }
    }

    /// One version of a subject, also a deleted one.
    ///
    /// # Errors
    /// As [`SchemaRegistry::version`].
    pub fn any_version(&self, subject: &str, version: u32) -> Result<Registered> {
        let directory = self.subject(subject)?;
        let place = |id| Registered {
            id,
            subject: subject.to_owned(),
            version,
            kind: SchemaKind::Avro,
            schema: String::new(),
            references: Vec::new(),
        };
        if let Some(IdOf { id }) = read_json(&directory.join(format!("{version}.json")))? {
            let Some(found) = self.by_id(id)? else {
                let path = directory.join(format!("{version}.json"));
                return Err(Error::invalid(format!("{} names id {id}, which is not there", path.display()))
                    .help("the registry is damaged: restore its files"));
            };
            return Ok(Registered {
                kind: found.kind,
                schema: found.schema,
                references: found.references,
                ..place(id)
            });
        }
        let path = directory.join(format!("{version}.avsc"));
        let Some(schema) = read(&path)? else { return Err(self.missing(subject, version)) };
        for id in self.ids()?.into_iter().rev() {
            let named: Option<IdFile> = read_json(&self.id_path(id))?;
            if named.is_some_and(|named| named.schema.is_none() && named.subject == subject && named.version == version)
            {
                return Ok(Registered { schema, ..place(id) });
            }
        }
        Err(Error::invalid(format!("{} has no id: the registry is damaged", path.display())))
    }

    /// Subjects and versions that have an id, deleted ones too.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn places(&self, id: u32, with_deleted: bool) -> Result<Vec<(String, u32)>> {
        let mut places = Vec::new();
        for subject in self.all_subjects(with_deleted)? {
            for version in self.all_versions(&subject, with_deleted)? {
                if self.any_version(&subject, version)?.id == id {
                    places.push((subject.clone(), version));
                }
            }
        }
        Ok(places)
    }

    /// Ids of the schemas that name a version.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn referenced_by(&self, subject: &str, version: u32) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for other in self.subjects()? {
            for number in self.versions(&other)? {
                let found = self.version(&other, number)?;
                let names = |one: &Reference| one.subject == subject && one.version == version;
                if found.references.iter().any(names) && !ids.contains(&found.id) {
                    ids.push(found.id);
                }
            }
        }
        Ok(ids)
    }

    /// What new versions of a subject must keep.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn compatibility(&self, subject: &str) -> Result<Compatibility> {
        match self.own_compatibility(Some(subject))? {
            Some(level) => Ok(level),
            None => Ok(self.own_compatibility(None)?.unwrap_or_default()),
        }
    }

    /// The level that was set for a subject, or for all that have none of their own; `None` when none was set.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn own_compatibility(&self, subject: Option<&str>) -> Result<Option<Compatibility>> {
        Ok(read_json::<Config>(&self.config_path(subject)?)?.map(|config| config.compatibility))
    }

    /// A schema with the text of those that it names.
    ///
    /// # Errors
    /// It names a version that is not there.
    pub fn text(&self, draft: &Draft) -> Result<SchemaText> {
        self.text_within(draft, 0)
    }

    fn text_within(&self, draft: &Draft, depth: usize) -> Result<SchemaText> {
        if depth > REFERENCES_DEEP_MAX {
            return Err(Error::invalid(format!("schemas name each other deeper than {REFERENCES_DEEP_MAX}")));
        }
        let references = draft.references.iter().map(|one| -> Result<(String, Arc<SchemaText>)> {
            // a deleted version still serves those that name it
            let named = self.any_version(&one.subject, one.version).map_err(|error| {
                let Reference { name, subject, version } = one;
                Error::invalid(format!(
                    "the reference '{name}' names version {version} of '{subject}', which is not there"
                ))
                .caused_by(error)
            })?;
            Ok((one.name.clone(), Arc::new(self.text_within(&named.draft(), depth + 1)?)))
        });
        let references = references.collect::<Result<Vec<_>>>()?;
        Ok(SchemaText { kind: draft.kind, text: draft.text.clone(), references })
    }

    fn missing(&self, subject: &str, version: u32) -> Error {
        let versions = self.versions(subject).unwrap_or_default();
        match versions.last() {
            Some(newest) => {
                Error::invalid(format!("subject '{subject}' has no version {version}; the newest is {newest}"))
            }
            None => self.no_subject(subject),
        }
    }

    fn no_subject(&self, subject: &str) -> Error {
        let known = self.subjects().unwrap_or_default();
        let error = Error::invalid(format!("there is no subject '{subject}' in {}", self.root.display()));
        match nearest(subject, known.iter().map(String::as_str)) {
            Some(near) => error.help(format!("did you mean '{near}'?")),
            None => error.help(format!("subjects: {}", known.join(", "))),
        }
    }

    fn subject(&self, subject: &str) -> Result<PathBuf> {
        Ok(self.root.join("subjects").join(directory_name(subject)?))
    }

    fn config_path(&self, subject: Option<&str>) -> Result<PathBuf> {
        Ok(match subject {
            Some(subject) => self.subject(subject)?.join("config.json"),
            None => self.root.join("config.json"),
        })
    }

    fn id_path(&self, id: u32) -> PathBuf {
        self.root.join("ids").join(format!("{id}.json"))
    }

    fn ids(&self) -> Result<Vec<u32>> {
        let names = listed(&self.root.join("ids"))?;
        let mut ids: Vec<u32> = names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

#[async_trait]
impl Schemas for SchemaRegistry {
    async fn by_id(&self, id: u32) -> Result<Option<Arc<SchemaText>>> {
        self.aside(move |registry| {
            let found = SchemaRegistry::by_id(registry, id)?;
            found.map(|found| registry.text(&found.draft()).map(Arc::new)).transpose()
        })
        .await
    }

    async fn newest(&self, subject: &str) -> Result<Option<(u32, Arc<SchemaText>)>> {
        let subject = subject.to_owned();
        self.aside(move |registry| {
            let found = registry.latest(&subject)?;
            found.map(|found| Ok((found.id, Arc::new(registry.text(&found.draft())?)))).transpose()
        })
        .await
    }

    async fn register(&self, subject: &str, schema: &SchemaText) -> Result<u32> {
        let (subject, schema) = (subject.to_owned(), schema.clone());
        self.aside(move |registry| Ok(registry.register_text(&subject, &schema)?.id)).await
    }
}

impl SchemaRegistry {
    /// Work on files, on a thread that may wait.
    pub(in crate::schema_registry) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SchemaRegistry) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let registry = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&registry)).await;
        done.map_err(|cause| Error::bug("reading the schema registry broke off").caused_by(cause))?
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
            Err(Error::invalid(format!("a schema registry at {scheme}:// cannot be used")).help(
                "give a directory, a file:// URL, or the http:// or https:// URL of a registry with Confluent's API",
            ))
        }
    }
}
