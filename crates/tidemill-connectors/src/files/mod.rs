//! Files in a directory: a source that picks up new ones, and a sink that publishes Parquet files whole.

mod location;
pub mod manifest;
pub mod sink;
pub mod source;
