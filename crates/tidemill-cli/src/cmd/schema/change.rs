//! `tidemill schema register`, `compatibility`: what changes a registry.

use super::draft::{Written, as_json};
use super::{Format, Place, json};
use crate::output;
use clap::Args;
use tidemill_connectors::schema_registry::Compatibility;
use tidemill_core::Result;

#[derive(Debug, Args)]
pub struct Register {
    #[command(flatten)]
    place: Place,
    /// Subject, such as orders-value.
    subject: String,
    #[command(flatten)]
    written: Written,
}

impl Register {
    pub fn run(self) -> Result<u8> {
        let draft = self.written.draft(&self.subject)?;
        let registry = self.place.opened(true)?;
        let registered = Place::ask(registry.register(&self.subject, &draft))?;
        match self.place.format {
            Format::Json => json(&as_json(&registered))?,
            Format::Text => {
                let (subject, version, id) = (&registered.subject, registered.version, registered.id);
                output::line(format!("{subject} version {version}, id {id}, {}", registered.kind));
            }
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
pub struct Level {
    #[command(flatten)]
    place: Place,
    /// Subject.
    subject: String,
    /// The level to set: NONE, BACKWARD, FORWARD, FULL, or one of the last three with _TRANSITIVE.
    level: Option<String>,
}

impl Level {
    pub fn run(self) -> Result<u8> {
        let registry = self.place.opened(self.level.is_some())?;
        let level = Place::ask(async {
            if let Some(level) = &self.level {
                registry.set_compatibility(&self.subject, Compatibility::parse(level)?).await?;
            }
            registry.compatibility(&self.subject).await
        })?;
        match self.place.format {
            Format::Json => json(&serde_json::json!({"subject": self.subject, "compatibility": level.word()}))?,
            Format::Text => output::line(level.word()),
        }
        Ok(0)
    }
}
