//! The embedded durable log: topics with partitions in a directory, what Kafka is to production.
//!
//! One process at a time writes a topic; any number read it. An append covers all partitions in one
//! atomic step and carries its writer's epoch, which makes the sink exactly once.
//!
//! # On disk
//!
//! ```text
//! <path>/<topic>/
//!   topic.json                     format version, identity and number of partitions; never changes
//!   lock                           held by the writer (flock), with its process id
//!   <partition>/<base offset>.log  segments: batches one after the other (batch.rs)
//!   commits/<sequence>.log         what is committed: one frame an append (commits.rs)
//!   published                      sequence of the newest durable commit (published.rs)
//!   readers/<name>                 what a reader has committed, which retention keeps its hands off (readers.rs)
//! ```
//! Numbers in names have 20 digits. An append goes in this order, each step durable before the next:
//! batches into the segments; one commit frame with the end offset of every partition and the writer's
//! marker; the commit's sequence into `published`, which wakes the readers. So:
//!
//! - A reader reads up to the ends of the published commit: it never sees half an append, nor one that
//!   a power cut could take back.
//! - A writer that opens a topic takes the newest whole commit frame as the truth, cuts off everything
//!   behind it, and publishes it. What it cuts was never acknowledged.
//! - Anything else that does not fit is damage: it is named and never repaired.
//!
//! Must not know formats or queries: records are bytes, and a marker is a text and a number.

mod batch;
mod commits;
pub(crate) mod frame;
mod partition;
mod published;
mod reader;
pub(crate) mod readers;
mod segment;
mod sink;
pub(crate) mod source;
mod topic;
mod watch;
mod writer;

pub use batch::LogRecord;
pub use reader::{LogReader, PartitionReader};
pub use readers::KnownReader;
pub use sink::LogSinkConnector;
pub use source::LogSourceConnector;
pub use topic::topics;
pub use writer::{Append, Durability, LogWriter, TopicOptions};
