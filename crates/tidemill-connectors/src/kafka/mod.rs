//! Apache Kafka and what speaks its protocol, through librdkafka.
//!
//! Source: partitions are assigned by hand and their positions live in the checkpoint; librdkafka
//! fetches in the background, a thread of ours ([`fetch`]) copies what came into buffers, `plan` pins
//! what is buffered or known to be there, `read` gives exactly those offsets.
//!
//! Sink: one transaction an epoch, which also commits the epoch as the *metadata* of an offset of our
//! own group ([`transaction`]). There is no second place where an epoch is kept.
//!
//! Must not know formats, and must not decide what a query does after an error.

mod buffer;
mod client;
mod cluster;
mod fetch;
mod open;
mod options;
mod sink;
mod source;
mod transaction;

pub use sink::KafkaSinkConnector;
pub use source::KafkaSourceConnector;
