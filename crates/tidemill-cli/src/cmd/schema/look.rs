//! `tidemill schema get`, `list`: nothing is changed.

use super::draft::{as_json, pretty};
use super::{Format, Place, json};
use crate::output;
use clap::Args;
use serde_json::json as object;
use tidemill_core::{Error, Kind, Result};

#[derive(Debug, Args)]
pub struct Get {
    #[command(flatten)]
    place: Place,
    /// Subject.
    #[arg(required_unless_present = "id")]
    subject: Option<String>,
    /// Version; the newest when not given.
    #[arg(long)]
    version: Option<u32>,
    /// The schema with this id, instead of a subject's.
    #[arg(long, conflicts_with_all = ["subject", "version"])]
    id: Option<u32>,
}

impl Get {
    pub fn run(self) -> Result<u8> {
        let registry = self.place.opened(false)?;
        let found = Place::ask(async {
            match (self.id, &self.subject) {
                (Some(id), _) => registry
                    .registered(id)
                    .await?
                    .ok_or_else(|| Error::invalid(format!("there is no schema with id {id} in the registry"))),
                (None, Some(subject)) => registry.existing(subject, self.version).await,
                (None, None) => Err(Error::new(Kind::Usage, "name a subject, or an id with --id")),
            }
        })?;
        match self.place.format {
            Format::Json => json(&as_json(&found))?,
            Format::Text => {
                let (subject, version, id) = (&found.subject, found.version, found.id);
                output::note(format!("{subject} version {version}, id {id}, {}", found.kind));
                for one in &found.references {
                    output::note(format!("  names {} = {} version {}", one.name, one.subject, one.version));
                }
                output::line(pretty(found.kind, &found.schema));
            }
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    place: Place,
    /// Only the versions of this subject.
    subject: Option<String>,
}

impl List {
    pub fn run(self) -> Result<u8> {
        let registry = self.place.opened(false)?;
        let rows = Place::ask(async {
            let mut rows = Vec::new();
            match &self.subject {
                Some(subject) => {
                    registry.existing(subject, None).await?;
                    for version in registry.versions(subject).await? {
                        rows.push(registry.existing(subject, Some(version)).await?);
                    }
                }
                None => {
                    for subject in registry.subjects().await? {
                        rows.extend(registry.version(&subject, None).await?);
                    }
                }
            }
            Ok(rows)
        })?;
        if self.place.format == Format::Json {
            let all: Vec<_> = rows
                .iter()
                .map(|one| object!({"subject": one.subject, "version": one.version, "id": one.id, "schemaType": one.kind.word()}))
                .collect();
            json(&all)?;
            return Ok(0);
        }
        let width = rows.iter().map(|one| one.subject.len()).max().unwrap_or(0).max("SUBJECT".len());
        output::line(format!("{:<width$}  {:>7}  {:>6}  TYPE", "SUBJECT", "VERSION", "ID"));
        for one in &rows {
            output::line(format!("{:<width$}  {:>7}  {:>6}  {}", one.subject, one.version, one.id, one.kind.word()));
        }
        Ok(0)
    }
}
