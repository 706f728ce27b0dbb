//! What formats ask of a schema registry: the schemas of writers, by the ids that payloads carry.

use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use tidemill_core::Result;

/// A schema as a registry holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaText {
    /// The language it is written in.
    pub kind: SchemaKind,
    /// The schema.
    pub text: String,
    /// The schemas it refers to, by the names it has for them.
    pub references: Vec<(String, Arc<SchemaText>)>,
}

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    /// Avro, as JSON.
    Avro,
    /// JSON Schema.
    Json,
    /// Protobuf, as a `.proto` file.
    Protobuf,
}

/// Where the schemas of writers are found. Answers may be kept for ever: an id never changes its meaning.
#[async_trait]
pub trait Schemas: Send + Sync + fmt::Debug {
    /// The schema with that id; `None` when the registry has none.
    ///
    /// # Errors
    /// The registry does not answer (`Kind::Again`), or refuses access (`Kind::Denied`).
    async fn by_id(&self, id: u32) -> Result<Option<Arc<SchemaText>>>;

    /// The newest schema of the subject and its id.
    ///
    /// # Errors
    /// As [`Schemas::by_id`].
    async fn newest(&self, subject: &str) -> Result<Option<(u32, Arc<SchemaText>)>>;

    /// Registers the schema, or finds it: its id.
    ///
    /// # Errors
    /// As [`Schemas::by_id`]; a schema that is not valid or not compatible.
    async fn register(&self, subject: &str, schema: &SchemaText) -> Result<u32>;
}
