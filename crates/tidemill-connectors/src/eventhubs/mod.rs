//! Azure Event Hubs, over the endpoint of a namespace that speaks Kafka's protocol: a preset of the connector `kafka`,
//! with names and columns of Event Hubs.
//!
//! [`connection`] says how a namespace is reached, [`source`] and [`sink`] hand on to Kafka's, [`columns`] are those of
//! Azure's own connector for Spark. [`archive`] reads what Event Hubs Capture has kept, before the source goes on live:
//! an offset of this endpoint is the event's sequence number, which stands in the archive too.
//!
//! Sources: Azure, "Recommended configurations for Apache Kafka clients" and "Azure Event Hubs for Apache Kafka"; for the
//! offset: github.com/Azure/azure-event-hubs-for-kafka, issue 130.

mod archive;
mod columns;
mod connection;
mod options;
mod sink;
mod source;

pub use sink::EventHubsSinkConnector;
pub use source::EventHubsSourceConnector;
