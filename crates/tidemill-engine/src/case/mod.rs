//! Pipeline cases: one JSON file is one test. Input batches go in one after the other; what comes out
//! of each is compared with what is expected. The format is described in docs/testing.md.

pub mod compare;
pub mod connect;
pub mod format;
mod life;
pub mod runner;
pub mod values;
