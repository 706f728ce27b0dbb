//! Amazon Kinesis Data Streams as a source (`source`) and as a sink.
//!
//! Of the sink read in this order: `record` (rows become records), `batch` (which records a request takes), `put` (requests until
//! the stream has every record), `client` (options to a client of AWS), `sink`.

mod batch;
mod client;
mod errors;
mod put;
mod record;
mod sink;
mod source;

pub use sink::KinesisSinkConnector;
pub use source::KinesisSourceConnector;
