//! The options that sources over the embedded log have in common.

use crate::log::TopicOptions;
use std::path::PathBuf;
use std::time::Duration;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::{Error, Options, Result};

pub(crate) const LOG: OptionSpec = OptionSpec::new(
    "log",
    OptionKind::Location,
    "the directory of the embedded log that keeps what comes in; made when it is not there",
)
.required();
pub(crate) const TOPIC: OptionSpec =
    OptionSpec::new("log_topic", OptionKind::Text, "the topic in it, of this table alone; default: the table's name");
pub(crate) const PARTITIONS: OptionSpec =
    OptionSpec::new("partitions", OptionKind::Integer, "partitions of that topic, fixed when it is made").default("1");
pub(crate) const RETENTION: OptionSpec = OptionSpec::new(
    "retention",
    OptionKind::Duration,
    "how long records stay in the log, and longer as long as they are not committed",
)
.default("24 hours");
pub(crate) const RETENTION_BYTES: OptionSpec = OptionSpec::new(
    "retention_bytes",
    OptionKind::Bytes,
    "bytes a partition keeps, the newest ones, and more as long as they are not committed; all when not given",
);
pub(crate) const SEGMENT_BYTES: OptionSpec =
    OptionSpec::new("segment_bytes", OptionKind::Bytes, "size at which the log begins the next file").default("64MiB");
pub(crate) const BACKLOG_BYTES: OptionSpec = OptionSpec::new(
    "backlog_bytes_max",
    OptionKind::Bytes,
    "with more in the log than the query has committed, nothing more is taken in for a while",
)
.default("1GiB");
pub(crate) const QUEUE_BYTES: OptionSpec =
    OptionSpec::new("queue_bytes_max", OptionKind::Bytes, "memory for what is being received and waits for the disk")
        .default("64MiB");
pub(crate) const WINDOW: OptionSpec =
    OptionSpec::new("idempotency_window", OptionKind::Duration, "how long a key is remembered, restarts included")
        .default("72 hours");
pub(crate) const KEYS_MAX: OptionSpec = OptionSpec::new(
    "idempotency_keys_max",
    OptionKind::Integer,
    "most keys that are remembered, about 80 bytes of memory each; the oldest are forgotten first",
)
.default("1000000");
pub(crate) const OFFSETS_MAX: OptionSpec =
    OptionSpec::new("max_offsets_per_trigger", OptionKind::Integer, "records an epoch reads at most");

/// Permits of the room are KiB, whose number fits a `u32`.
const QUEUE_BYTES_MAX: u64 = 1 << 40;

/// Where what comes in is kept, and how much of it.
pub(crate) struct Keeping {
    pub(crate) root: PathBuf,
    pub(crate) topic: String,
    pub(crate) topic_options: TopicOptions,
    pub(crate) backlog_bytes_max: u64,
    pub(crate) queue_bytes_max: u64,
    /// How long keys are remembered, and how many.
    pub(crate) window: Duration,
    pub(crate) keys_max: usize,
}

impl Keeping {
    /// From the options of a table.
    ///
    /// # Errors
    /// A number that is out of bounds.
    pub(crate) fn new(table: &str, options: &Options) -> Result<Keeping> {
        let partitions = options.integer("partitions").map(u32::try_from).transpose();
        let usual = TopicOptions::default();
        let window = options.duration("idempotency_window").unwrap_or(Duration::from_secs(72 * 3600));
        let topic_options = TopicOptions {
            partitions: partitions
                .map_err(|_| Error::invalid(format!("option 'partitions' of table '{table}' is too large")))?,
            segment_bytes_max: options.bytes("segment_bytes").unwrap_or(usual.segment_bytes_max),
            retention: options.duration("retention"),
            retention_bytes: options.bytes("retention_bytes"),
            internal: vec![window],
            ..usual
        };
        Ok(Keeping {
            root: PathBuf::from(options.required("log")?),
            topic: options.text("log_topic").unwrap_or(table).to_owned(),
            topic_options,
            backlog_bytes_max: options.bytes("backlog_bytes_max").unwrap_or(1 << 30),
            queue_bytes_max: options.bytes("queue_bytes_max").unwrap_or(64 << 20).min(QUEUE_BYTES_MAX),
            window,
            keys_max: options.integer("idempotency_keys_max").map_or(1_000_000, |most| most as usize),
        })
    }
}
