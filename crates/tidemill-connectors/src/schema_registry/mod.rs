//! A schema registry in a directory: the embedded stand-in for a registry server. Schemas are Avro
//! (JSON), have versions within a subject and an id of their own, and a new version must be compatible
//! with the newest one.
//!
//! Source of the compatibility rules: Avro specification, "Schema Resolution"; the names of the levels
//! are those of Confluent's registry.
//!
//! Must not encode or decode data.

mod arrow;
mod avro;
mod compatibility;
mod registered;
mod store;

pub use arrow::{arrow_to_avro, avro_to_arrow, ddl_to_avro};
pub use avro::AvroSchema;
pub use compatibility::{Compatibility, problems};
pub use registered::RegisteredSchemas;
pub use store::{Registered, SchemaRegistry, SchemaType};
