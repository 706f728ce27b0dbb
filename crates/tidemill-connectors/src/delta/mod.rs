//! Delta Lake tables as a sink, as the place of a batch write, and as tables beside a stream.
//!
//! The library reads the log and makes checkpoints; files and commits are written here, because it
//! syncs nothing to a local disk and does not make a `txn` action a promise. A commit is one file of the
//! log, created only if it is not there; it holds the rows' files and the writer's epoch (`txn`). After
//! every unclear outcome, and every version that another writer took, the log is read again and the
//! epoch compared before anything is tried again. What the table holds is kept up commit by commit, so
//! that an epoch costs the same at version 10,000 as at version 10.
//!
//! Source of the format: Delta Transaction Log Protocol.
//!
//! Must not know queries: a row set, a mode and a transaction come in.

mod commit;
mod compact;
mod encode;
mod errors;
mod evolve;
mod files;
mod home;
mod keys;
mod live;
mod marks;
mod merge;
mod open;
mod options;
mod ranges;
mod read;
mod schema;
mod sink;
mod source;
mod stats;
mod table;
mod upkeep;
mod write;

pub use sink::DeltaSinkConnector;
pub use source::DeltaSourceConnector;
pub use write::{SaveMode, TableWrite, Written, write_table};
