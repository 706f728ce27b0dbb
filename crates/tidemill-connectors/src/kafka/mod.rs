//! Apache Kafka and what speaks its protocol, through librdkafka.
//!
//! Source: partitions are assigned by hand and their positions live in the checkpoint; librdkafka
//! fetches in the background, a thread of ours ([`fetch`]) copies what came into buffers, `plan` pins
//! what is buffered or known to be there, `read` ([`reading`]) gives exactly those offsets. [`discovery`] finds new
//! partitions, [`identity`] knows a topic that was made again, [`loss`] says what is gone, [`progress`] shows the rest.
//!
//! Sink: one transaction an epoch, which also commits the epoch as the *metadata* of an offset of our
//! own group ([`transaction`], [`note`]). There is no second place where an epoch is kept. A producer whose
//! transaction ends unclearly is replaced, and the group asked ([`lives`]).
//!
//! Must not know formats, and must not decide what a query does after an error.

mod backlog;
mod buffer;
mod client;
mod cluster;
mod connection;
mod describe_topics;
mod discovery;
mod fetch;
mod identity;
mod lives;
mod loss;
mod note;
mod open;
mod options;
mod progress;
mod reading;
mod refused;
mod rescue;
mod sink;
mod source;
mod source_options;
mod starting;
mod transaction;

/// For connectors that are Kafka under another name.
pub(crate) mod preset {
    pub(crate) use super::options::{CONNECT_TIMEOUT, PASSED_ON};
    pub(crate) use super::sink::{DESCRIPTION as SINK, TRANSACTION_TIMEOUT, WRITE_TIMEOUT};
    pub(crate) use super::source::KafkaSource;
    pub(crate) use super::source_options::{
        BUFFER_BYTES, DESCRIPTION as SOURCE, FAIL_ON_DATA_LOSS, GROUP_ID, MAX_OFFSETS, METADATA_REFRESH, READ_TIMEOUT,
        STARTING_BY_TIMESTAMP, STARTING_OFFSETS, STARTING_STRATEGY, STARTING_TIMESTAMP,
    };
}

pub use sink::KafkaSinkConnector;
pub use source::KafkaSourceConnector;
