//! Files in a directory or an object store: a source that picks up new ones, and a sink that publishes files
//! whole.

mod location;
pub mod manifest;
mod place;
#[cfg(test)]
mod round_trip_tests;
pub mod sink;
pub mod source;
