//! The `tidemill` program as people use it: commands, what they print, exit codes.

mod bad_input;
mod page;
mod signals;
mod support;
mod verbs;
