//! Connectors to outside systems, and the formats of what they carry.
//!
//! Must not know the engine. A component joins by a folder of its own and a line in [`register`].

pub mod delta;
mod durable;
pub mod kafka;
pub mod log;
mod marker;
pub mod schema_registry;
mod topics;

use tidemill_core::Registry;

/// Adds every component of this crate.
pub fn register(registry: &mut Registry) {
    registry.add_sink(delta::DeltaSinkConnector::default());
    registry.add_source(kafka::KafkaSourceConnector::default());
    registry.add_sink(kafka::KafkaSinkConnector::default());
    registry.add_source(log::LogSourceConnector);
    registry.add_sink(log::LogSinkConnector::default());
}
