//! What changes a registry in a directory: one process at a time, under its lock.

use super::files::{IdFile, IdOf, Versions, create, digest, read_json, remove, replace};
use super::{Config, Refused, SchemaRegistry, Why};
use crate::durable::Disk;
use crate::schema_registry::compatibility::Compatibility;
use crate::schema_registry::draft::{Draft, Reference, Registered};
use crate::schema_registry::parsed::Parsed;
use crate::schema_registry::schemas::{SchemaKind, SchemaText};
use crate::schema_registry::text::canonical_json;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use tidemill_core::{Error, Result};

impl SchemaRegistry {
    /// Adds a version to a subject, if it is compatible with the versions that the subject's level asks for. A schema
    /// that a version of the subject has already is that version; one that another subject has keeps its id.
    ///
    /// # Errors
    /// A schema that is not valid, or not compatible: says each difference and where it is.
    pub fn register(&self, subject: &str, draft: &Draft) -> Result<Registered, Refused> {
        let directory = self.subject(subject).map_err(Refused::invalid)?;
        let _lock = self.lock()?;
        let (parsed, digest) = self.understood(draft)?;
        let known: Option<IdOf> = read_json(&self.content_path(&digest))?;
        let known = known.map(|known| known.id);
        let versions = Versions::of(&directory)?;
        if let Some(found) = self.same(subject, &versions.list(false), draft, known)? {
            return Ok(found);
        }
        if let Some((version, found)) = self.broken(subject, &parsed)? {
            let level = self.compatibility(subject)?;
            let what = format!("the schema is not {level} compatible with version {version} of subject '{subject}'");
            let list = found.iter().map(|one| format!("{one}")).collect::<Vec<_>>().join("; ");
            let error = Error::invalid(format!("{what}: {list}"))
                .help("give new fields a default, or register the schema under another subject");
            return Err(Refused::new(Why::Incompatible(found), error));
        }
        let version = versions.newest + 1;
        Disk::default().create_directory(&directory)?;
        let id = match known {
            Some(id) => id,
            None => {
                let id = self.ids()?.last().copied().unwrap_or(0) + 1;
                let file = IdFile {
                    subject: subject.to_owned(),
                    version,
                    schema: Some(parsed.text(&draft.text)),
                    kind: draft.kind.word().to_owned(),
                    references: draft.references.clone(),
                };
                create(&self.id_path(id), &file)?;
                Disk::default().create_directory(&self.root.join("contents"))?;
                replace(&self.content_path(&digest), &IdOf { id })?;
                id
            }
        };
        create(&directory.join(format!("{version}.json")), &IdOf { id })?;
        Ok(self.version(subject, version)?)
    }

    /// Registers a schema, and before it those that it names, each under its name as the subject.
    ///
    /// # Errors
    /// As [`SchemaRegistry::register`].
    pub fn register_text(&self, subject: &str, schema: &SchemaText) -> Result<Registered, Refused> {
        let mut references = Vec::with_capacity(schema.references.len());
        for (name, named) in &schema.references {
            let Registered { subject, version, .. } = self.register_text(name, named)?;
            references.push(Reference { name: name.clone(), subject, version });
        }
        self.register(subject, &Draft { kind: schema.kind, text: schema.text.clone(), references })
    }

    /// The version of a subject that has a schema; `None` when none has.
    ///
    /// # Errors
    /// A schema that is not valid, or files that cannot be read.
    pub fn lookup(&self, subject: &str, draft: &Draft, with_deleted: bool) -> Result<Option<Registered>, Refused> {
        let (_, digest) = self.understood(draft)?;
        let known: Option<IdOf> = read_json(&self.content_path(&digest))?;
        Ok(self.same(subject, &self.all_versions(subject, with_deleted)?, draft, known.map(|known| known.id))?)
    }

    /// Deletes a version: it is no longer listed and nothing is compared with it, but its id can be read. With
    /// `for_good` a deleted version is removed.
    ///
    /// # Errors
    /// There is none, it is deleted already or not yet, or another schema names it.
    pub fn delete_version(&self, subject: &str, version: u32, for_good: bool) -> Result<(), Refused> {
        let _lock = self.lock()?;
        let versions = self.existing(subject)?;
        let named = |what| format!("version {version} of subject '{subject}' {what}");
        match (versions.live.contains(&version), versions.deleted.contains(&version), for_good) {
            (false, false, _) => Err(Refused::new(Why::NoVersion, self.missing(subject, version))),
            (_, true, false) => Err(Refused::new(Why::VersionDeleted, Error::invalid(named("is deleted already")))),
            (true, _, true) => {
                let error = Error::invalid(named("must be deleted before it can be deleted for good"));
                Err(Refused::new(Why::VersionNotDeleted, error))
            }
            (true, _, false) => self.mark(subject, version),
            (false, true, true) => self.erase(subject, version),
        }
    }

    /// Deletes all versions of a subject, or removes them for good; gives their numbers.
    ///
    /// # Errors
    /// As [`SchemaRegistry::delete_version`].
    pub fn delete_subject(&self, subject: &str, for_good: bool) -> Result<Vec<u32>, Refused> {
        let _lock = self.lock()?;
        let versions = self.existing(subject)?;
        match (versions.live.is_empty(), for_good) {
            (true, false) => {
                let error = Error::invalid(format!("subject '{subject}' is deleted already"));
                Err(Refused::new(Why::SubjectDeleted, error))
            }
            (false, true) => {
                let error =
                    Error::invalid(format!("subject '{subject}' must be deleted before it can be deleted for good"));
                Err(Refused::new(Why::SubjectNotDeleted, error))
            }
            (false, false) => {
                versions.live.iter().try_for_each(|version| self.unnamed(subject, *version))?;
                versions.live.iter().try_for_each(|version| self.mark(subject, *version))?;
                Ok(versions.list(false))
            }
            (true, true) => {
                versions.deleted.iter().try_for_each(|version| self.erase(subject, *version))?;
                remove(&self.config_path(Some(subject))?)?;
                Ok(versions.list(true))
            }
        }
    }

    /// Sets what new versions of a subject must keep; of all that have no level of their own without a subject.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_compatibility(&self, subject: Option<&str>, compatibility: Compatibility) -> Result<()> {
        let path = self.config_path(subject)?;
        if let Some(directory) = path.parent() {
            Disk::default().create_directory(directory)?;
        }
        replace(&path, &Config { compatibility })
    }

    /// Takes a level away; gives what it was.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn unset_compatibility(&self, subject: Option<&str>) -> Result<Option<Compatibility>> {
        let level = self.own_compatibility(subject)?;
        remove(&self.config_path(subject)?)?;
        Ok(level)
    }

    fn understood(&self, draft: &Draft) -> Result<(Parsed, String), Refused> {
        let text = self.text(draft).map_err(Refused::invalid)?;
        let parsed = Parsed::of(&text).map_err(Refused::invalid)?;
        let digest = digest(draft, &parsed.canonical(&draft.text));
        Ok((parsed, digest))
    }

    /// The newest of these versions that has the schema, which has the id `known` if it has one.
    fn same(&self, subject: &str, versions: &[u32], draft: &Draft, known: Option<u32>) -> Result<Option<Registered>> {
        for version in versions.iter().rev() {
            let found = self.any_version(subject, *version)?;
            // a version from before schemas had digests
            let is_old = || {
                (found.kind, draft.kind) == (SchemaKind::Avro, SchemaKind::Avro)
                    && found.references == draft.references
                    && canonical_json(&found.schema) == canonical_json(&draft.text)
            };
            if Some(found.id) == known || is_old() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn existing(&self, subject: &str) -> Result<Versions, Refused> {
        let versions = Versions::of(&self.subject(subject).map_err(Refused::invalid)?)?;
        match versions.is_empty() {
            true => Err(Refused::new(Why::NoSubject, self.no_subject(subject))),
            false => Ok(versions),
        }
    }

    /// # Errors
    /// Another schema names it.
    fn unnamed(&self, subject: &str, version: u32) -> Result<(), Refused> {
        let by = self.referenced_by(subject, version)?;
        if by.is_empty() {
            return Ok(());
        }
        let by = by.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let error =
            Error::invalid(format!("version {version} of subject '{subject}' is named by other schemas: id {by}"));
        Err(Refused::new(Why::Referenced, error.help("delete those before")))
    }

    fn mark(&self, subject: &str, version: u32) -> Result<(), Refused> {
        self.unnamed(subject, version)?;
        Ok(replace(&self.subject(subject)?.join(format!("{version}.deleted")), &())?)
    }

    fn erase(&self, subject: &str, version: u32) -> Result<(), Refused> {
        let found = self.any_version(subject, version)?;
        let directory = self.subject(subject)?;
        let is_last = self.places(found.id, true)?.len() <= 1;
        if is_last {
            // first what would bring the id back
            let (_, digest) = self.understood(&found.draft())?;
            remove(&self.content_path(&digest))?;
        }
        remove(&directory.join(format!("{version}.json")))?;
        remove(&directory.join(format!("{version}.avsc")))?;
        remove(&directory.join(format!("{version}.deleted")))?;
        if is_last {
            replace(&self.root.join("ids").join(format!("{}.gone", found.id)), &())?;
        }
        Ok(())
    }

    fn content_path(&self, digest: &str) -> PathBuf {
        self.root.join("contents").join(format!("{digest}.json"))
    }

    fn lock(&self) -> Result<File> {
        let path = self.root.join("lock");
        let failed = |cause| Error::io(format!("cannot lock {}", path.display()), cause);
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|cause| failed(cause.into()))?;
        Ok(file)
    }
}
