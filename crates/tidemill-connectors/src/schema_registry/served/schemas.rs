//! Schemas by their ids.

use super::answer::{Answer, No, found};
use super::request::Asked;
use super::subjects::page;
use crate::schema_registry::client::wire::Body;
use crate::schema_registry::draft::Registered;
use crate::schema_registry::schemas::SchemaKind;
use crate::schema_registry::store::SchemaRegistry;
use serde_json::{Value, json};

/// GET /schemas
pub(super) fn list(registry: &SchemaRegistry, asked: &Asked) -> Result<Answer, No> {
    let mut all = Vec::new();
    let with_deleted = asked.has("deleted");
    for subject in registry.all_subjects(with_deleted)? {
        if asked.parameter("subjectPrefix").is_some_and(|prefix| !subject.starts_with(prefix)) {
            continue;
        }
        let versions = registry.all_versions(&subject, with_deleted)?;
        let first = if asked.has("latestOnly") { versions.len().saturating_sub(1) } else { 0 };
        for version in &versions[first..] {
            all.push(Body::of(registry.any_version(&subject, *version)?));
        }
    }
    Ok(found(&page(all, asked)))
}

/// GET /schemas/ids/{id}
pub(super) fn by_id(registry: &SchemaRegistry, asked: &Asked, id: &str) -> Result<Answer, No> {
    let registered = existing(registry, id)?;
    // a subject in the question must be one that has it
    if let Some(subject) = asked.parameter("subject").filter(|subject| !subject.is_empty())
        && registered.subject != subject
        && !registry.places(registered.id, true)?.iter().any(|(one, _)| one == subject)
    {
        return Err(No::schema());
    }
    let Body { schema_type, references, schema, .. } = Body::of(registered);
    Ok(found(&Body { schema_type, references, schema, ..Body::default() }))
}

/// GET /schemas/ids/{id}/schema
pub(super) fn text(registry: &SchemaRegistry, id: &str) -> Result<Answer, No> {
    plain(&existing(registry, id)?)
}

/// GET /schemas/ids/{id}/subjects
pub(super) fn subjects(registry: &SchemaRegistry, asked: &Asked, id: &str) -> Result<Answer, No> {
    let id = existing(registry, id)?.id;
    let mut subjects: Vec<String> =
        registry.places(id, asked.has("deleted"))?.into_iter().map(|(subject, _)| subject).collect();
    subjects.dedup();
    Ok(found(&page(subjects, asked)))
}

/// GET /schemas/ids/{id}/versions
pub(super) fn versions(registry: &SchemaRegistry, asked: &Asked, id: &str) -> Result<Answer, No> {
    let id = existing(registry, id)?.id;
    let places = registry.places(id, asked.has("deleted"))?;
    let all = places.into_iter().map(|(subject, version)| json!({"subject": subject, "version": version}));
    Ok(found(&page(all.collect(), asked)))
}

/// The schema alone: JSON as JSON, a `.proto` file as a text in JSON, as the API has it.
pub(super) fn plain(registered: &Registered) -> Result<Answer, No> {
    match registered.kind {
        SchemaKind::Protobuf => Ok(found(&registered.schema)),
        SchemaKind::Avro | SchemaKind::Json => {
            let value: Value = serde_json::from_str(&registered.schema)
                .map_err(|cause| No::new(50001, format!("a registered schema is not JSON: {cause}")))?;
            Ok(found(&value))
        }
    }
}

fn existing(registry: &SchemaRegistry, id: &str) -> Result<Registered, No> {
    let id = id.parse().map_err(|_| No::path())?;
    registry.by_id(id)?.ok_or_else(|| No::new(40403, format!("Schema {id} not found")))
}
