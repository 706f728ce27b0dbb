//! The schema registry that is a directory, for `tidemill.stream_schemas`.

use crate::errors::OrRaise;
use pyo3::prelude::*;
use tidemill_connectors::schema_registry::{Compatibility, Registered, RegisteredSchemas, SchemaRegistry, SchemaType};
use tidemill_core::schemas::SchemaStore;
use tidemill_core::{Error, Result, types};

/// Id, subject, version, schema as Avro JSON.
type Version = (u32, String, u32, String);

/// A schema registry in a directory.
#[pyclass(frozen, module = "tidemill._tidemill")]
pub struct SchemaFiles {
    url: String,
    registry: SchemaRegistry,
}

fn version(of: Registered) -> Version {
    (of.id, of.subject, of.version, of.schema)
}

fn kind(is_avro: bool) -> SchemaType {
    if is_avro { SchemaType::Avro } else { SchemaType::Ddl }
}

#[pymethods]
impl SchemaFiles {
    /// The registry at a path or `file://` URL; made when it is not there.
    #[new]
    fn new(py: Python<'_>, url: &str) -> PyResult<Self> {
        Ok(SchemaFiles { url: url.to_owned(), registry: SchemaRegistry::open(url).or_raise(py)? })
    }

    /// Adds a version, or gives the one that has this schema already.
    fn register(&self, py: Python<'_>, subject: &str, schema: &str, is_avro: bool) -> PyResult<Version> {
        self.registry.register(subject, schema, kind(is_avro)).map(version).or_raise(py)
    }

    /// One version, the newest when none is named.
    #[pyo3(signature = (subject, number = None))]
    fn get(&self, py: Python<'_>, subject: &str, number: Option<u32>) -> PyResult<Option<Version>> {
        let found = match number {
            Some(number) => self.registry.version(subject, number).map(Some),
            None => self.registry.latest(subject),
        };
        found.map(|found| found.map(version)).or_raise(py)
    }

    /// The schema with an id.
    fn by_id(&self, py: Python<'_>, id: u32) -> PyResult<Option<Version>> {
        self.registry.by_id(id).map(|found| found.map(version)).or_raise(py)
    }

    /// Names of all subjects.
    fn subjects(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.registry.subjects().or_raise(py)
    }

    /// Versions of a subject, ascending.
    fn versions(&self, py: Python<'_>, subject: &str) -> PyResult<Vec<u32>> {
        self.registry.versions(subject).or_raise(py)
    }

    /// Columns of a version as DDL.
    #[pyo3(signature = (subject, number = None))]
    fn columns(&self, py: Python<'_>, subject: &str, number: Option<u32>) -> PyResult<String> {
        let found = RegisteredSchemas.columns(&self.url, subject, number);
        found.map(|schema| types::schema_ddl(&schema)).or_raise(py)
    }

    /// What new versions of a subject must keep: BACKWARD, FORWARD, FULL or NONE.
    fn compatibility(&self, py: Python<'_>, subject: &str) -> PyResult<String> {
        self.registry.compatibility(subject).and_then(word).or_raise(py)
    }

    /// Sets it.
    fn set_compatibility(&self, py: Python<'_>, subject: &str, level: &str) -> PyResult<()> {
        parsed(level).and_then(|level| self.registry.set_compatibility(subject, level)).or_raise(py)
    }

    /// What a schema would break of a subject's newest version, in words; empty when nothing.
    fn check(&self, py: Python<'_>, subject: &str, schema: &str, is_avro: bool) -> PyResult<Vec<String>> {
        self.registry.problems(subject, schema, kind(is_avro)).or_raise(py)
    }
}

fn word(level: Compatibility) -> Result<String> {
    let word = serde_json::to_value(level).ok().and_then(|value| value.as_str().map(str::to_owned));
    word.ok_or_else(|| Error::bug("a level of compatibility has no name"))
}

fn parsed(level: &str) -> Result<Compatibility> {
    serde_json::from_value(level.to_uppercase().into()).map_err(|_| {
        Error::invalid(format!("there is no level of compatibility '{level}'"))
            .help("levels: BACKWARD, FORWARD, FULL, NONE")
    })
}
