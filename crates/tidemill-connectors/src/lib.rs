//! Connectors: a folder per outside system, and the formats of bytes. Each describes itself and joins
//! in `registry.rs` with one line.
//!
//! Must not contain the engine, and must not know of one another but through `tidemill-core`; only `eventhubs` is `kafka`
//! under another name.

mod answers;
pub mod capture;
pub mod console;
pub mod delta;
pub mod durable;
pub mod eventhubs;
pub mod feast;
pub mod files;
pub mod format;
pub mod generator;
pub mod http;
mod intake;
pub mod kafka;
pub mod kinesis;
pub mod live;
pub mod log;
mod marker;
pub mod memory;
pub mod mqtt;
mod names;
pub mod postgres;
pub mod redis;
mod registry;
mod retry;
pub mod sample;
pub mod schema_registry;
mod topics;
pub mod webhook;

pub use registry::register;
