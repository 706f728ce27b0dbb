//! Subjects and their versions.

use super::answer::{Answer, No, found};
use super::request::Asked;
use crate::schema_registry::client::wire::Body;
use crate::schema_registry::draft::Registered;
use crate::schema_registry::store::SchemaRegistry;
use serde_json::json;

/// GET /subjects
pub(super) fn list(registry: &SchemaRegistry, asked: &Asked) -> Result<Answer, No> {
    let mut subjects = registry.all_subjects(asked.has("deleted") || asked.has("deletedOnly"))?;
    if asked.has("deletedOnly") {
        let live = registry.subjects()?;
        subjects.retain(|subject| !live.contains(subject));
    }
    if let Some(prefix) = asked.parameter("subjectPrefix") {
        // the context that everything is in
        let prefix = prefix.strip_prefix(":.:").or(prefix.strip_prefix(":*:")).unwrap_or(prefix);
        subjects.retain(|subject| subject.starts_with(prefix));
    }
    Ok(found(&page(subjects, asked)))
}

/// POST /subjects/{subject}
pub(super) fn lookup(registry: &SchemaRegistry, asked: &Asked, subject: &str) -> Result<Answer, No> {
    existing(registry, subject, asked.has("deleted"))?;
    let draft = asked.json::<Body>()?.draft()?;
    match registry.lookup(subject, &draft, asked.has("deleted"))? {
        Some(registered) => Ok(found(&Body::of(registered))),
        None => Err(No::schema()),
    }
}

/// DELETE /subjects/{subject}
pub(super) fn delete(registry: &SchemaRegistry, asked: &Asked, subject: &str) -> Result<Answer, No> {
    Ok(found(&registry.delete_subject(subject, asked.has("permanent"))?))
}

/// GET /subjects/{subject}/versions
pub(super) fn versions(registry: &SchemaRegistry, asked: &Asked, subject: &str) -> Result<Answer, No> {
    Ok(found(&page(existing(registry, subject, asked.has("deleted"))?, asked)))
}

/// POST /subjects/{subject}/versions
pub(super) fn register(registry: &SchemaRegistry, asked: &Asked, subject: &str) -> Result<Answer, No> {
    let draft = asked.json::<Body>()?.draft()?;
    let registered = registry.register(subject, &draft)?;
    Ok(found(&Body::of(registered)))
}

/// GET /subjects/{subject}/versions/{version}
pub(super) fn version(registry: &SchemaRegistry, asked: &Asked, subject: &str, version: &str) -> Result<Answer, No> {
    Ok(found(&Body::of(one(registry, asked, subject, version)?)))
}

/// GET /subjects/{subject}/versions/{version}/schema
pub(super) fn schema(registry: &SchemaRegistry, asked: &Asked, subject: &str, version: &str) -> Result<Answer, No> {
    super::schemas::plain(&one(registry, asked, subject, version)?)
}

/// GET /subjects/{subject}/versions/{version}/referencedby
pub(super) fn referenced_by(
    registry: &SchemaRegistry,
    asked: &Asked,
    subject: &str,
    version: &str,
) -> Result<Answer, No> {
    let version = one(registry, asked, subject, version)?.version;
    Ok(found(&registry.referenced_by(subject, version)?))
}

/// DELETE /subjects/{subject}/versions/{version}
pub(super) fn delete_version(
    registry: &SchemaRegistry,
    asked: &Asked,
    subject: &str,
    version: &str,
) -> Result<Answer, No> {
    let for_good = asked.has("permanent");
    let versions = existing(registry, subject, true)?;
    let version = number(version, &versions)?;
    registry.delete_version(subject, version, for_good)?;
    Ok(found(&json!(version)))
}

/// The versions of a subject.
///
/// # Errors
/// There is no such subject.
pub(super) fn existing(registry: &SchemaRegistry, subject: &str, with_deleted: bool) -> Result<Vec<u32>, No> {
    let versions = registry.all_versions(subject, with_deleted)?;
    if versions.is_empty() { Err(No::subject(subject)) } else { Ok(versions) }
}

/// The version that a request names.
pub(super) fn one(registry: &SchemaRegistry, asked: &Asked, subject: &str, version: &str) -> Result<Registered, No> {
    let versions = existing(registry, subject, asked.has("deleted"))?;
    Ok(registry.any_version(subject, number(version, &versions)?)?)
}

/// A version by its number, or the newest by `latest` or -1.
fn number(version: &str, versions: &[u32]) -> Result<u32, No> {
    if let (true, Some(newest)) = (matches!(version, "latest" | "-1"), versions.last()) {
        return Ok(*newest);
    }
    match version.parse::<u32>() {
        Ok(number) if number > 0 && i32::try_from(number).is_ok() => match versions.contains(&number) {
            true => Ok(number),
            false => Err(No::version(version)),
        },
        _ => Err(No::new(
            42202,
            format!(
                "The specified version '{version}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""
            ),
        )),
    }
}

/// What `offset` and `limit` leave.
pub(super) fn page<T>(all: Vec<T>, asked: &Asked) -> Vec<T> {
    let of = |name: &str| asked.parameter(name).and_then(|value| value.parse::<usize>().ok());
    let limit = of("limit").filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    all.into_iter().skip(of("offset").unwrap_or(0)).take(limit).collect()
}
