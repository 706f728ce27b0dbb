//! Formats: bytes to columns and back. One folder each; `text`, `column`, `rows`, `whole` and `reject` are
//! what they share.

pub mod avro;
pub mod cloudevents;
pub(crate) mod column;
pub mod csv;
pub mod debezium;
pub(crate) mod fault;
pub(crate) mod framing;
pub mod json;
pub mod parquet;
pub mod protobuf;
pub mod raw;
pub(crate) mod registered;
mod reject;
mod rows;
#[cfg(test)]
mod seen;
pub(crate) mod text;
pub(crate) mod whole;
