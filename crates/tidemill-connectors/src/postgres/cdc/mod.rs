//! Changes of a table of PostgreSQL: a copy of its rows, then the log decoded by pgoutput.
//!
//! | file | subject |
//! |---|---|
//! | `settings.rs` | options, description |
//! | `source.rs` | the source: plans, reads, what is let go |
//! | `open.rs` | a start: slot, publication, copy |
//! | `beginning.rs` | how a start goes on, decided from facts |
//! | `position.rs` | positions as the checkpoint keeps them |
//! | `catalog.rs` | what the server says of table, publication and slot |
//! | `snapshot.rs` | the copy of the table on disk |
//! | `stream.rs` | the task that keeps changes flowing |
//! | `wire.rs` | a connection in replication mode |
//! | `message.rs` | messages of pgoutput |
//! | `buffer.rs` | changes that have come, and how much of them an epoch takes |
//! | `rows.rs`, `types.rs` | changes as columns |
//!
//! What keeps it exactly once:
//!
//! - A position is the end of a transaction in the log and a number of rows of the next, so several changes at one
//!   position are told apart, and what one change makes (an update of a key: two rows) can be cut anywhere.
//! - What is confirmed to the server was in a durable checkpoint before, so the slot always holds what a planned epoch
//!   reads again. An idle table's position moves by an epoch, too.
//! - The slot is made once. With a checkpoint, a slot that is gone, invalid or ahead stops the query.
//! - The copy is whole on disk before its first row is read, and is as of where the slot begins: no row is left out
//!   between copy and stream, and none is in both.

mod beginning;
mod buffer;
mod catalog;
mod message;
mod open;
mod position;
mod rows;
mod settings;
mod snapshot;
mod source;
mod stream;
mod types;
mod wire;

pub use source::PostgresCdcConnector;

/// 2000-01-01, from which Postgres counts, in microseconds since 1970.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;
