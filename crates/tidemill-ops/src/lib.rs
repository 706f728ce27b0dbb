//! Seeing what runs: metrics, the live page, health, what a run costs, the closing summary.
//!
//! One [`Monitor`] a process. It listens to queries ([`Monitor::listener`]), keeps what people ask for
//! (bounded: see `record/`), and answers over HTTP ([`Monitor::serve`]). It never plans, reads or
//! writes data, and a query never waits for it longer than a lock is held to copy numbers.

pub mod cost;
pub mod http;
pub mod metrics;
mod monitor;
pub mod process;
pub mod record;
pub mod summary;

pub use cost::PriceBook;
pub use http::{Listen, Served};
pub use monitor::Monitor;
