//! Redis as a sink: hashes, JSON, plain values and streams under keys made of columns.
//!
//! Read in this order: `sink` (rows become changes), `epoch` (an epoch's changes and its marker become
//! scripts), `epoch.lua` (what the server does in one step), `link` (one server, a cluster, sentinels).
//!
//! Every change is absolute (a value, never an increment) and every script checks who writes and which
//! epoch is held, so that writing an epoch twice, or by a process that was replaced, changes nothing.

mod changes;
pub(crate) mod epoch;
mod errors;
pub(crate) mod key;
pub(crate) mod link;
pub(crate) mod options;
mod refused;
mod sink;
mod slot;
mod text;

pub use sink::RedisSinkConnector;
