//! Every component of this crate, one line each.

use tidemill_core::Registry;

/// Adds every source, sink and format of this crate to `registry`.
pub fn register(registry: &mut Registry) {
    registry.add_source(crate::kafka::KafkaSourceConnector::default());
    registry.add_source(crate::log::LogSourceConnector);

    registry.add_sink(crate::delta::DeltaSinkConnector::default());
    registry.add_sink(crate::kafka::KafkaSinkConnector::default());
    registry.add_sink(crate::log::LogSinkConnector::default());
}
