//! The engine: SQL and DataFrame plans, operators, state, checkpoints, and the epoch loop.
//!
//! Must not contain: a connector's name, HTTP, Python.

pub mod checkpoint;
pub mod dataflow;
pub mod errors;
pub mod function;
pub mod operator;
pub mod pipeline;
pub mod state;
pub mod time;
pub mod watermark;
