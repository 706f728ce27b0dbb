//! The engine: SQL and DataFrame plans, operators, state, checkpoints, and the epoch loop.
//!
//! Must not contain: a connector's name, HTTP, Python.

pub mod bad_records;
pub mod case;
pub mod checkpoint;
pub mod dataflow;
pub mod dead_letter;
pub mod decode;
pub mod deliver;
pub mod errors;
pub mod evolve;
pub mod faults;
pub mod function;
pub mod ingest;
pub mod operator;
pub mod pipeline;
pub mod progress;
pub mod recover;
pub mod report;
pub mod rescale;
pub mod resilience;
pub mod run;
pub mod settle;
pub mod start;
pub mod state;
pub mod tables;
pub mod time;
pub mod turn;
pub mod watermark;
