//! The `tidemill` program as people use it: commands, what they print, exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test may fail")]
#![allow(clippy::disallowed_methods, reason = "tests of a process bound their waits by the real clock")]

mod bad_input;
mod crash;
mod dlq;
mod page;
mod plan;
mod signals;
mod state;
mod support;
mod unplaced;
mod verbs;
