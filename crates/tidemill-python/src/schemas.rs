//! Schema registries, for `tidemill.stream_schemas`.

use crate::errors::OrRaise;
use crate::parts;
use bytes::Bytes;
use pyo3::prelude::*;
use std::path::PathBuf;
use tidemill_connectors::schema_registry::schemas::SchemaKind;
use tidemill_connectors::schema_registry::{
    Access, Compatibility, Draft, Reference, Registered, Registry, columns, ddl_to_avro,
};
use tidemill_core::secret::Secret;
use tidemill_core::source::{Body, Chunk};
use tidemill_core::{Error, Kind, Options, Result, ResultExt as _, types};

/// Id, subject, version, kind, schema, references.
type Version = (u32, String, u32, &'static str, String, Vec<(String, String, u32)>);

/// A schema registry: a directory, or a server with Confluent's API.
#[pyclass(frozen, module = "tidemill._tidemill")]
pub struct SchemaFiles {
    registry: Registry,
    runtime: tokio::runtime::Runtime,
}

fn version(of: Registered) -> Version {
    let references = of.references.into_iter().map(|one| (one.name, one.subject, one.version)).collect();
    (of.id, of.subject, of.version, of.kind.word(), of.schema, references)
}

/// A schema as it is given: kind (None for DDL), text, references.
type Given = (Option<String>, String, Vec<(String, String, u32)>);

fn draft(subject: &str, (kind, text, references): Given) -> Result<Draft> {
    let Some(kind) = kind else { return Draft::ddl(subject, &text) };
    let references =
        references.into_iter().map(|(name, subject, version)| Reference { name, subject, version }).collect();
    Ok(Draft { kind: SchemaKind::parse(&kind)?, text, references })
}

fn opened(url: &str, user_info: Option<&str>, token: Option<String>, ca: Option<PathBuf>) -> Result<Registry> {
    if !Registry::is_url(url) {
        return Registry::open(url, parts::clock());
    }
    let mut access = Access::at(url);
    if let Some(user_info) = user_info {
        access = access.user_info(user_info)?;
    }
    access.bearer = token.map(Secret::new);
    access.ca = ca;
    Registry::with(access, parts::clock())
}

impl SchemaFiles {
    /// Asks the registry while other threads of Python go on.
    fn ask<T: Send>(&self, py: Python<'_>, work: impl Future<Output = Result<T>> + Send) -> PyResult<T> {
        py.detach(|| self.runtime.block_on(work)).or_raise(py)
    }

    async fn columns_of(&self, subject: &str, number: Option<u32>) -> Result<arrow::datatypes::SchemaRef> {
        let found = self.registry.existing(subject, number).await?;
        columns(&self.registry.text(&found.draft()).await?).map_err(|error| {
            Error::invalid(format!("version {} of subject '{subject}' has no columns", found.version)).caused_by(error)
        })
    }
}

#[pymethods]
impl SchemaFiles {
    /// The registry at a path or `file://` URL, made when it is not there; or at an http:// or https:// URL.
    #[new]
    #[pyo3(signature = (url, user_info = None, token = None, ca = None))]
    fn new(
        py: Python<'_>,
        url: &str,
        user_info: Option<&str>,
        token: Option<String>,
        ca: Option<PathBuf>,
    ) -> PyResult<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.context(Kind::Io, || "cannot start a thread".into()).or_raise(py)?;
        Ok(SchemaFiles { registry: opened(url, user_info, token, ca).or_raise(py)?, runtime })
    }

    /// Adds a version, or gives the one that has this schema already.
    fn register(&self, py: Python<'_>, subject: &str, given: Given) -> PyResult<Version> {
        self.ask(py, async { self.registry.register(subject, &draft(subject, given)?).await.map(version) })
    }

    /// One version, the newest when none is named.
    #[pyo3(signature = (subject, number = None))]
    fn get(&self, py: Python<'_>, subject: &str, number: Option<u32>) -> PyResult<Option<Version>> {
        self.ask(py, async {
            match (self.registry.version(subject, number).await?, number) {
                // a version that is named must be there
                (None, Some(_)) => self.registry.existing(subject, number).await.map(version).map(Some),
                (found, _) => Ok(found.map(version)),
            }
        })
    }

    /// The schema with an id.
    fn by_id(&self, py: Python<'_>, id: u32) -> PyResult<Option<Version>> {
        self.ask(py, async { Ok(self.registry.registered(id).await?.map(version)) })
    }

    /// Names of all subjects.
    fn subjects(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.ask(py, self.registry.subjects())
    }

    /// Versions of a subject, ascending.
    fn versions(&self, py: Python<'_>, subject: &str) -> PyResult<Vec<u32>> {
        self.ask(py, self.registry.versions(subject))
    }

    /// Columns of a version as DDL.
    #[pyo3(signature = (subject, number = None))]
    fn columns(&self, py: Python<'_>, subject: &str, number: Option<u32>) -> PyResult<String> {
        self.ask(py, async { Ok(types::schema_ddl(self.columns_of(subject, number).await?.as_ref())) })
    }

    /// What new versions of a subject must keep.
    fn compatibility(&self, py: Python<'_>, subject: &str) -> PyResult<&'static str> {
        self.ask(py, async { Ok(self.registry.compatibility(subject).await?.word()) })
    }

    /// Sets it.
    fn set_compatibility(&self, py: Python<'_>, subject: &str, level: &str) -> PyResult<()> {
        self.ask(py, async { self.registry.set_compatibility(subject, Compatibility::parse(level)?).await })
    }

    /// What a schema would break of a subject's versions, in words; empty when nothing.
    fn check(&self, py: Python<'_>, subject: &str, given: Given) -> PyResult<Vec<String>> {
        self.ask(py, async { self.registry.problems(subject, &draft(subject, given)?).await })
    }

    /// The rows, each a JSON object, that do not fit a version: their numbers, a code, and why.
    #[pyo3(signature = (subject, number, rows))]
    fn validate(
        &self,
        py: Python<'_>,
        subject: &str,
        number: Option<u32>,
        rows: Vec<String>,
    ) -> PyResult<Vec<(u64, &'static str, String)>> {
        self.ask(py, async {
            let schema = self.columns_of(subject, number).await?;
            let mut registry = tidemill_core::Registry::default();
            tidemill_connectors::register(&mut registry);
            let format = registry.format("json")?;
            let options = Options::check("format 'json'", &[format.describe().options], &[])?;
            let decoder = format.decoder(schema, &options)?;
            let mut rejected = Vec::new();
            for (number, row) in rows.into_iter().enumerate() {
                let body = Body::Stream { bytes: Bytes::from(row + "\n"), at: 0 };
                let decoded = decoder.decode(&Chunk { split: "rows".into(), body })?;
                rejected.extend(decoded.rejects.into_iter().map(|one| (number as u64, one.code, one.reason)));
            }
            Ok(rejected)
        })
    }
}

/// The fields of an Avro record with the columns that DDL names, as JSON.
#[pyfunction]
pub fn schema_from_ddl(py: Python<'_>, ddl: &str, record: &str) -> PyResult<String> {
    ddl_to_avro(ddl, record).or_raise(py)
}
