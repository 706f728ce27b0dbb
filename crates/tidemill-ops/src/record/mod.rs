//! What is remembered of queries: totals since the start, the last minutes, the newest reports. All of
//! it in memory and bounded.

pub mod history;
pub mod latency;
pub mod query;
pub mod status;
#[cfg(test)]
pub(crate) mod tests;

pub use history::{History, Slot};
pub use latency::{Buckets, LatencyHistogram, Percentiles};
pub use query::QueryRecord;
pub use status::Status;
