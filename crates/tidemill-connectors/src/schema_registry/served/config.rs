//! Levels of compatibility, and whether a schema keeps one.

use super::answer::{Answer, No, found};
use super::request::Asked;
use super::subjects::{existing, one};
use crate::schema_registry::client::wire::Body;
use crate::schema_registry::compatibility::Compatibility;
use crate::schema_registry::store::SchemaRegistry;
use serde::Deserialize;
use serde_json::json;

/// A request to set a level.
#[derive(Debug, Deserialize)]
struct Level {
    compatibility: Option<String>,
}

/// POST /compatibility/subjects/{subject}/versions[/{version}]
pub(super) fn check(
    registry: &SchemaRegistry,
    asked: &Asked,
    subject: &str,
    version: Option<&str>,
) -> Result<Answer, No> {
    let draft = asked.json::<Body>()?.draft()?;
    let differences = match version {
        None => registry.problems(subject, &draft)?,
        Some(version) => {
            existing(registry, subject, false)?;
            let version = one(registry, asked, subject, version)?.version;
            registry.problems_with(subject, version, &draft)?
        }
    };
    let mut said = json!({"is_compatible": differences.is_empty()});
    if let (true, Some(said)) = (asked.has("verbose"), said.as_object_mut()) {
        let messages: Vec<String> = differences.iter().map(ToString::to_string).collect();
        said.insert("messages".into(), messages.into());
    }
    Ok(found(&said))
}

/// GET /config[/{subject}]
pub(super) fn level(registry: &SchemaRegistry, asked: &Asked, subject: Option<&str>) -> Result<Answer, No> {
    let level = match (registry.own_compatibility(subject)?, subject) {
        (Some(level), _) => level,
        (None, Some(subject)) if !asked.has("defaultToGlobal") => {
            let what = format!("Subject '{subject}' does not have subject-level compatibility configured");
            return Err(No::new(40408, what));
        }
        (None, Some(subject)) => registry.compatibility(subject)?,
        (None, None) => Compatibility::default(),
    };
    Ok(found(&json!({"compatibilityLevel": level.word()})))
}

/// PUT /config[/{subject}]
pub(super) fn set_level(registry: &SchemaRegistry, asked: &Asked, subject: Option<&str>) -> Result<Answer, No> {
    let word = asked.json::<Level>()?.compatibility.unwrap_or_default();
    let level = Compatibility::parse(&word).map_err(|_| {
        let all = Compatibility::ALL.map(Compatibility::word).join(", ");
        No::new(42203, format!("Invalid compatibility level. Valid values are {all}"))
    })?;
    registry.set_compatibility(subject, level)?;
    Ok(found(&json!({"compatibility": level.word()})))
}

/// DELETE /config[/{subject}]
pub(super) fn unset_level(registry: &SchemaRegistry, subject: Option<&str>) -> Result<Answer, No> {
    match (registry.unset_compatibility(subject)?, subject) {
        (Some(level), _) => Ok(found(&json!({"compatibilityLevel": level.word()}))),
        (None, Some(subject)) => Err(No::subject(subject)),
        (None, None) => Ok(found(&json!({"compatibilityLevel": Compatibility::default().word()}))),
    }
}
