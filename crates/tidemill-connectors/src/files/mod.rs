//! Files in a directory: a source that picks up new ones, and a sink that publishes Parquet files whole.

mod location;
pub mod manifest;
#[cfg(test)]
mod round_trip_tests;
pub mod sink;
pub mod source;
