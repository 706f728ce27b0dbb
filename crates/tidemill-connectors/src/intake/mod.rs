//! What is pushed at a source: kept in a topic of the embedded log before its sender is told so, and read from there
//! by epochs like any other topic.
//!
//! Read in this order: `queue` (deliveries wait for room and for the disk), `writer` (those that wait become one append,
//! synced once for all of them), `seen` (a delivery that comes again is not written again), `source` (the topic as a
//! source), `options` (what the connectors share).
//!
//! Must not know how deliveries come in: that is `webhook` and `mqtt`.

pub(crate) mod options;
pub(crate) mod queue;
mod seen;
pub(crate) mod source;
mod writer;
