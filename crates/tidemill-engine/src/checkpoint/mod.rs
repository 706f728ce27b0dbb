//! What survives a crash: the plans and commits of epochs, and the state of operators.
//!
//! A checkpoint is a directory, or a folder in an object store ([`remote`]):
//!
//! ```text
//! metadata.json            who: pipeline, incarnation, operators and their layouts
//! lock                     held by the one process that runs the query
//! journal/<number>.log     plans, changes of state and commits, one record after the other
//! snapshots/<epoch>-<id>/  the whole state after an epoch, and a manifest that names every file
//! ```
//!
//! Read [`decide`] first: it says, from facts alone, what to do at a start.

pub mod decide;
pub mod durable;
pub mod ipc;
pub mod journal;
pub mod lock;
pub mod metadata;
pub mod place;
pub mod record;
pub mod remote;
pub mod sealed;
pub mod snapshot;
