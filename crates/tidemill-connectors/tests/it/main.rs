//! Integration tests of the connectors, in one binary. Each outside system has a module of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test may fail")]
#![allow(clippy::disallowed_methods, reason = "tests of outside systems bound their waits by the real clock")]

mod delta;
mod delta_upkeep;
mod kafka;
mod log;
mod schema_registry;
mod schema_rules;
mod services;
mod support;
