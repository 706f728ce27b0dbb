//! Formats: bytes to columns and back. One folder each; `text`, `column`, `rows`, `whole` and `reject` are
//! what they share.

pub mod avro;
pub(crate) mod column;
pub mod csv;
pub mod json;
pub mod parquet;
pub mod raw;
mod reject;
mod rows;
pub(crate) mod text;
mod whole;
