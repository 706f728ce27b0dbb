//! Integration tests of the connectors, in one binary. Each outside system has a module of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test may fail")]

mod kafka;
mod log;
mod services;
mod support;
