//! Connectors: a folder per outside system, and the formats of bytes. Each describes itself and joins
//! in `registry.rs` with one line.
//!
//! Must not contain the engine, and must not know of one another but through `tidemill-core`.

pub mod console;
pub mod delta;
pub mod durable;
pub mod feast;
pub mod files;
pub mod format;
pub mod generator;
pub mod kafka;
pub mod log;
mod marker;
pub mod memory;
mod names;
pub mod postgres;
pub mod redis;
mod registry;
pub mod schema_registry;
mod topics;

pub use registry::register;
