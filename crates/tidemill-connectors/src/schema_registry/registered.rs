//! Registered schemas as the columns of tables.

use super::arrow::avro_to_arrow;
use super::avro::AvroSchema;
use super::draft::Registered;
use super::place::Registry;
use super::schemas::{SchemaKind, SchemaText};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;
use tidemill_core::schemas::SchemaStore;
use tidemill_core::{Error, Kind, Result, ResultExt as _, SystemClock};

/// Finds schemas in registries: directories and servers. A server is asked when columns are looked for, which is when a
/// pipeline is checked.
#[derive(Debug, Clone, Copy)]
pub struct RegisteredSchemas;

impl SchemaStore for RegisteredSchemas {
    fn columns(&self, location: &str, subject: &str, version: Option<u32>) -> Result<SchemaRef> {
        let (found, text) = find(location, subject, version)?;
        columns(&text).map_err(|error| {
            let version = found.version;
            Error::invalid(format!("version {version} of subject '{subject}' has no columns")).caused_by(error)
        })
    }
}

/// The columns of a schema.
///
/// # Errors
/// One that has none, or of a kind whose columns are not known here.
pub fn columns(text: &SchemaText) -> Result<SchemaRef> {
    match text.kind {
        SchemaKind::Avro => Ok(Arc::new(avro_to_arrow(&AvroSchema::of(text)?)?)),
        kind => Err(Error::invalid(format!("it is {kind}, and only Avro gives a table its columns"))
            .help("write the columns in CREATE TABLE")),
    }
}

fn find(location: &str, subject: &str, version: Option<u32>) -> Result<(Registered, SchemaText)> {
    let registry = Registry::find(location, Arc::new(SystemClock::new()))?;
    let asked = async {
        let found = registry.existing(subject, version).await?;
        let text = registry.text(&found.draft()).await?;
        Ok((found, text))
    };
    // whoever checks a pipeline may be within a runtime, where nothing may block: a thread of its own may
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.context(Kind::Io, || "cannot start a thread that asks the schema registry".into())?.block_on(asked)
        });
        waiting.join().map_err(|_| Error::bug("asking the schema registry broke off"))?
    })
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema_registry::{Draft, SchemaRegistry};
    use tempfile::tempdir;

    #[test]
    fn the_newest_version_is_taken_when_none_is_named() {
        let directory = tempdir().unwrap();
        let root = directory.path().to_str().unwrap();
        let registry = SchemaRegistry::open(root).unwrap();
        registry.register("clicks", &Draft::ddl("clicks", "user STRING").unwrap()).unwrap();
        registry.register("clicks", &Draft::ddl("clicks", "user STRING, pages BIGINT").unwrap()).unwrap();

        let columns = |version| RegisteredSchemas.columns(root, "clicks", version).unwrap().fields().len();
        assert_eq!((columns(None), columns(Some(1)), columns(Some(2))), (2, 1, 2));
    }

    #[test]
    fn what_is_missing_is_named() {
        let directory = tempdir().unwrap();
        let root = directory.path().to_str().unwrap();
        SchemaRegistry::open(root).unwrap().register("clicks", &Draft::ddl("clicks", "user STRING").unwrap()).unwrap();

        let message = |subject, version| RegisteredSchemas.columns(root, subject, version).unwrap_err().to_string();
        assert_eq!(message("clicks", Some(3)), "subject 'clicks' has no version 3; the newest is 1");
        assert!(message("click", None).starts_with("there is no subject 'click' in "));
        let absent = RegisteredSchemas.columns("absent/registry", "clicks", None).unwrap_err();
        assert_eq!(absent.to_string(), "there is no schema registry at absent/registry");
    }
}
