//! `tidemill schema check`, `diff`, `evolve-plan`: schemas beside each other. Nothing is changed.

use super::draft::{Written, pretty};
use super::lines::diff;
use super::{Format, Place, json};
use crate::output;
use clap::Args;
use serde_json::json as object;
use tidemill_connectors::schema_registry::{Compatibility, Difference, Draft, Parsed, Registry, columns, problems};
use tidemill_core::types::name;
use tidemill_core::{Error, Kind, Result};

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    place: Place,
    /// Subject.
    subject: String,
    #[command(flatten)]
    written: Written,
}

impl Check {
    pub fn run(self) -> Result<u8> {
        let draft = self.written.draft(&self.subject)?;
        let registry = self.place.opened(false)?;
        let (level, found) = Place::ask(async {
            let found = registry.problems(&self.subject, &draft).await?;
            Ok((registry.compatibility(&self.subject).await?, found))
        })?;
        let subject = &self.subject;
        match (self.place.format, found.is_empty()) {
            (Format::Json, is_compatible) => json(&object!({
                "subject": subject, "compatibility": level.word(), "isCompatible": is_compatible, "differences": found,
            }))?,
            (Format::Text, true) => output::line(format!("'{subject}' would take it ({})", level.word())),
            (Format::Text, false) => {
                output::line(format!("'{subject}' would not take it ({}):", level.word()));
                found.iter().for_each(|one| output::line(format!("  {one}")));
            }
        }
        Ok(if found.is_empty() { 0 } else { Kind::Invalid.exit_code() })
    }
}

#[derive(Debug, Args)]
pub struct Diff {
    #[command(flatten)]
    place: Place,
    /// Subject.
    subject: String,
    /// The earlier version; the one before the newest when not given, or the newest beside a file.
    #[arg(long)]
    from: Option<u32>,
    /// The later version; the newest when not given.
    #[arg(long, conflicts_with = "file")]
    to: Option<u32>,
    /// A file in the place of the later version.
    #[arg(long, value_name = "FILE")]
    file: Option<std::path::PathBuf>,
}

/// Two schemas, and what each keeps from reading data of the other.
struct Beside {
    old: Draft,
    new: Draft,
    /// What readers with the new schema cannot read of the old data.
    backward: Vec<Difference>,
    /// What readers with the old schema cannot read of new data.
    forward: Vec<Difference>,
}

impl Beside {
    async fn of(registry: &Registry, old: Draft, new: Draft) -> Result<Beside> {
        let (before, after) = (registry.text(&old).await?, registry.text(&new).await?);
        let (before, after) = (Parsed::of(&before)?, Parsed::of(&after)?);
        let backward = problems(Compatibility::Backward, &after, &before);
        let forward = problems(Compatibility::Forward, &after, &before);
        Ok(Beside { old, new, backward, forward })
    }

    fn lines(&self) -> Vec<String> {
        diff(&pretty(self.old.kind, &self.old.text), &pretty(self.new.kind, &self.new.text))
    }
}

impl Diff {
    pub fn run(self) -> Result<u8> {
        let registry = self.place.opened(false)?;
        let beside = Place::ask(async {
            let versions = registry.versions(&self.subject).await?;
            let newest = registry.existing(&self.subject, self.to).await?;
            let before = versions.iter().copied().filter(|version| *version < newest.version).max();
            let (old, new) = match &self.file {
                Some(file) => {
                    let old = registry.existing(&self.subject, self.from).await?;
                    (old, Written::of(file).draft(&self.subject)?)
                }
                None => {
                    let Some(from) = self.from.or(before) else {
                        return Err(Error::new(
                            Kind::Usage,
                            format!("subject '{}' has no earlier version", self.subject),
                        )
                        .help("compare it with a file: --file FILE"));
                    };
                    (registry.existing(&self.subject, Some(from)).await?, newest.draft())
                }
            };
            Beside::of(&registry, old.draft(), new).await
        })?;
        if self.place.format == Format::Json {
            json(&object!({
                "subject": self.subject, "backward": beside.backward, "forward": beside.forward, "lines": beside.lines(),
            }))?;
            return Ok(0);
        }
        beside.lines().iter().for_each(output::line);
        direction("readers with the new schema, data of the old", &beside.backward);
        direction("readers with the old schema, new data", &beside.forward);
        Ok(0)
    }
}

fn direction(what: &str, found: &[Difference]) {
    match found {
        [] => output::line(format!("{what}: all is read")),
        found => {
            output::line(format!("{what}:"));
            found.iter().for_each(|one| output::line(format!("  {one}")));
        }
    }
}

#[derive(Debug, Args)]
pub struct EvolvePlan {
    #[command(flatten)]
    place: Place,
    /// Subject.
    subject: String,
    #[command(flatten)]
    written: Written,
}

impl EvolvePlan {
    pub fn run(self) -> Result<u8> {
        let draft = self.written.draft(&self.subject)?;
        let registry = self.place.opened(false)?;
        let (beside, level, refused, changes) = Place::ask(async {
            let newest = registry.existing(&self.subject, None).await?;
            let level = registry.compatibility(&self.subject).await?;
            let refused = registry.problems(&self.subject, &draft).await?;
            let changes = changes(&registry, &newest.draft(), &draft).await?;
            let beside = Beside::of(&registry, newest.draft(), draft.clone()).await?;
            Ok(((beside, newest.version), level, refused, changes))
        })?;
        let (beside, version) = beside;
        let order = match (beside.backward.is_empty(), beside.forward.is_empty()) {
            (true, true) => ("any", "writers and readers may change in any order"),
            (true, false) => ("readers", "readers change first: they read old and new data; then writers"),
            (false, true) => ("writers", "writers change first, and old data must be gone before readers change"),
            (false, false) => ("none", "no order works: write to another topic or subject, and move readers over"),
        };
        if self.place.format == Format::Json {
            json(&object!({
                "subject": self.subject, "version": version, "compatibility": level.word(), "isCompatible": refused.is_empty(),
                "differences": refused, "backward": beside.backward, "forward": beside.forward, "first": order.0,
                "columns": changes,
            }))?;
        } else {
            let takes = if refused.is_empty() { "would be taken" } else { "would not be taken" };
            output::line(format!("after version {version} of '{}' ({}): {takes}", self.subject, level.word()));
            refused.iter().for_each(|one| output::line(format!("  {one}")));
            output::line(order.1);
            direction("readers with the new schema, data of the old", &beside.backward);
            direction("readers with the old schema, new data", &beside.forward);
            if !changes.is_empty() {
                output::line("columns:");
                changes.iter().for_each(|one| output::line(format!("  {one}")));
            }
        }
        Ok(if refused.is_empty() { 0 } else { Kind::Invalid.exit_code() })
    }
}

/// What becomes of the columns of a table; empty for schemas without columns.
async fn changes(registry: &Registry, old: &Draft, new: &Draft) -> Result<Vec<String>> {
    let (Ok(old), Ok(new)) = (columns(&registry.text(old).await?), columns(&registry.text(new).await?)) else {
        return Ok(Vec::new());
    };
    let mut changes = Vec::new();
    for field in new.fields() {
        match old.field_with_name(field.name()) {
            Err(_) => {
                changes.push(format!("+ {} {}: NULL in rows that are there", field.name(), name(field.data_type())))
            }
            Ok(before) if before.data_type() != field.data_type() => {
                let (from, to) = (name(before.data_type()), name(field.data_type()));
                changes.push(format!("~ {} {from} becomes {to}", field.name()));
            }
            Ok(before) if before.is_nullable() != field.is_nullable() => {
                let word = if field.is_nullable() { "may be NULL" } else { "must not be NULL" };
                changes.push(format!("~ {} {word}", field.name()));
            }
            Ok(_) => {}
        }
    }
    for field in old.fields() {
        if new.field_with_name(field.name()).is_err() {
            changes.push(format!(
                "- {} {}: NULL in new rows of tables that keep it",
                field.name(),
                name(field.data_type())
            ));
        }
    }
    Ok(changes)
}
