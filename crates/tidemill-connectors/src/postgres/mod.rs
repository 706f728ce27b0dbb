//! PostgreSQL: rows by binary COPY into a staging table, one statement that brings them into the table,
//! and the epoch's number in the same transaction.
//!
//! | file | subject |
//! |---|---|
//! | `options.rs` | options, and where the server is |
//! | `link.rs` | a connection, with TLS |
//! | `errors.rs` | what a refusal means |
//! | `types.rs` | which column type an Arrow type becomes |
//! | `encode.rs`, `numeric.rs` | rows as binary COPY |
//! | `table.rs` | the table: made, checked, and the statements that write it |
//! | `marker.rs` | the table `tidemill_commit`, which is marker and fence |
//! | `commit.rs` | one epoch, tried again until its outcome is known |
//! | `sink.rs` | the sink |

mod commit;
mod encode;
mod errors;
mod link;
mod marker;
mod numeric;
mod options;
mod sink;
mod table;
mod types;

pub use sink::PostgresSinkConnector;
