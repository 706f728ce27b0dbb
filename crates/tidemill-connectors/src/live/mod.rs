//! A live table: the current results of a query, served to psql, dashboards and drivers over the wire protocol of
//! Postgres. Tables with the same address share one server; a client may join them.
//!
//! | file | subject |
//! |---|---|
//! | `options.rs` | options: what a table keeps, who may read it where |
//! | `sink.rs` | the sink: an epoch is taken in, made durable, and shown, in this order |
//! | `table.rs` | what a table holds, and the snapshots readers see |
//! | `kept.rs` | the table on disk |
//! | `server.rs` | the address, the connections and the tables behind it |
//! | `access.rs` | who may connect: SCRAM-SHA-256, TLS |
//! | `session.rs` | a connection: simple and extended protocol, transactions, settings |
//! | `query.rs` | one statement: text, tree, plan, rows |
//! | `rewrite.rs`, `vacuous.rs` | statements of Postgres as DataFusion plans them |
//! | `parameters.rs` | parameters of prepared statements as literals |
//! | `catalog/` | pg_catalog, information_schema, and the functions that go with them |
//! | `settings.rs` | settings a client may ask for |
//! | `types.rs`, `encode.rs` | results as types and bytes of Postgres |
//!
//! A statement sees each table as it is after one whole epoch: it takes the newest [`table::Snapshot`] of every table
//! when it begins, and commits put a new one beside it.

mod access;
mod catalog;
mod encode;
mod kept;
mod options;
mod parameters;
mod query;
mod rewrite;
mod server;
mod session;
mod settings;
mod sink;
mod table;
mod types;
mod vacuous;

pub use sink::LiveSinkConnector;
