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
//! | `refused.rs` | which rows the table refuses for good |
//! | `sink.rs` | the sink |
//! | `cdc/` | the source `postgres_cdc`: a table's rows, then every change of it |

pub(crate) mod cdc;
mod commit;
pub(crate) mod encode;
mod errors;
mod link;
mod marker;
mod numeric;
mod options;
mod refused;
mod sink;
mod table;
pub(crate) mod types;

pub use cdc::PostgresCdcConnector;
pub use sink::PostgresSinkConnector;
