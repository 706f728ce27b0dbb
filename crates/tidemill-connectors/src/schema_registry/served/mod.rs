//! Confluent's REST API over the registry in a directory: what `tidemill schema serve` serves.
//!
//! | file | subject |
//! |---|---|
//! | `server.rs` | connections, within bounds |
//! | `request.rs` | one request: who may ask, how much, its path in parts |
//! | `routes.rs` | which path is which question |
//! | `subjects.rs`, `schemas.rs`, `config.rs` | the answers |
//! | `answer.rs` | status, error codes, JSON |
//!
//! Source: Confluent's "Schema Registry API Reference". Left out: contexts, exporters, data contracts, setting the mode.

mod answer;
mod config;
mod request;
mod routes;
mod schemas;
mod server;
mod subjects;

pub use server::{ServeOptions, Served};
