//! Schema registries: schemas with versions within a subject, an id of their own, and a level of compatibility that new
//! versions must keep. One in a directory, one that serves it over HTTP, and a client of such servers.
//!
//! | file | subject |
//! |---|---|
//! | `schemas.rs` | what readers and writers of payloads ask a registry for |
//! | `draft.rs` | schemas before and after they are registered |
//! | `avro.rs`, `json.rs`, `protobuf/` | schemas of each language as data |
//! | `parsed.rs` | one of them, whatever its language |
//! | `compatibility/` | what a new version breaks; pure |
//! | `store/` | the registry in a directory |
//! | `served/` | Confluent's REST API over it |
//! | `client/` | a client of that API, which Confluent, Karapace, Apicurio and Redpanda have |
//! | `place.rs` | a registry by its location: a directory or a URL |
//! | `arrow.rs`, `registered.rs` | schemas as columns, columns as schemas |
//!
//! Must not encode or decode data.

mod arrow;
pub(crate) mod avro;
mod client;
mod compatibility;
mod draft;
mod json;
pub(crate) mod of_table;
mod parsed;
mod place;
mod protobuf;
mod registered;
pub mod schemas;
mod served;
mod store;
mod text;

pub use arrow::{arrow_to_avro, avro_to_arrow, ddl_to_avro};
pub use avro::AvroSchema;
pub use client::{Access, HttpRegistry};
pub use compatibility::{Compatibility, Difference, problems};
pub use draft::{Draft, Reference, Registered};
pub use parsed::Parsed;
pub use place::Registry;
pub use registered::{RegisteredSchemas, columns};
pub use served::{ServeOptions, Served};
pub use store::{Refused, SchemaRegistry, Why};
