//! Registered schemas as the columns of tables.

use super::arrow::avro_to_arrow;
use super::avro::AvroSchema;
use super::store::{Registered, SchemaRegistry};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;
use tidemill_core::schemas::SchemaStore;
use tidemill_core::{Error, Result};

/// Finds schemas in registries that are directories.
#[derive(Debug, Clone, Copy)]
pub struct RegisteredSchemas;

impl SchemaStore for RegisteredSchemas {
    fn columns(&self, location: &str, subject: &str, version: Option<u32>) -> Result<SchemaRef> {
        let found = find(location, subject, version)?;
        let columns = AvroSchema::parse(&found.schema).and_then(|schema| avro_to_arrow(&schema));
        columns.map(Arc::new).map_err(|error| {
            let version = found.version;
            Error::invalid(format!("version {version} of subject '{subject}' has no columns")).caused_by(error)
        })
    }
}

fn find(location: &str, subject: &str, version: Option<u32>) -> Result<Registered> {
    let registry = SchemaRegistry::find(location)?;
    let version = match version {
        Some(version) => version,
        None => registry.latest(subject)?.map_or(1, |newest| newest.version),
    };
    registry.version(subject, version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema_registry::SchemaType;
    use tempfile::tempdir;

    #[test]
    fn the_newest_version_is_taken_when_none_is_named() {
        let directory = tempdir().unwrap();
        let root = directory.path().to_str().unwrap();
        let registry = SchemaRegistry::open(root).unwrap();
        registry.register("clicks", "user STRING", SchemaType::Ddl).unwrap();
        registry.register("clicks", "user STRING, pages BIGINT", SchemaType::Ddl).unwrap();

        let columns = |version| RegisteredSchemas.columns(root, "clicks", version).unwrap().fields().len();
        assert_eq!((columns(None), columns(Some(1)), columns(Some(2))), (2, 1, 2));
    }

    #[test]
    fn what_is_missing_is_named() {
        let directory = tempdir().unwrap();
        let root = directory.path().to_str().unwrap();
        SchemaRegistry::open(root).unwrap().register("clicks", "user STRING", SchemaType::Ddl).unwrap();

        let message = |subject, version| RegisteredSchemas.columns(root, subject, version).unwrap_err().to_string();
        assert_eq!(message("clicks", Some(3)), "subject 'clicks' has no version 3; the newest is 1");
        assert!(message("click", None).starts_with("there is no subject 'click' in "));
        let absent = RegisteredSchemas.columns("absent/registry", "clicks", None).unwrap_err();
        assert_eq!(absent.to_string(), "there is no schema registry at absent/registry");
    }
}
