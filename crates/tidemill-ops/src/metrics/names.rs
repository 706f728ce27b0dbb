//! Every metric there is: name, kind, labels, meaning. The names follow the Prometheus conventions: base
//! units, `_total` for counters.

use prometheus_client::registry::Unit;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric.
#[derive(Debug)]
pub(super) struct Metric {
    /// Name without the `_total` of counters.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

impl Metric {
    const fn new(kind: Kind, name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Metric { name, kind, labels, help }
    }

    /// The unit, which ends the name.
    pub fn unit(&self) -> Option<Unit> {
        if self.name.ends_with("_seconds") {
            Some(Unit::Seconds)
        } else if self.name.ends_with("_bytes") {
            Some(Unit::Bytes)
        } else {
            None
        }
    }

    /// The name without the unit.
    pub fn stem(&self) -> &'static str {
        let stem = self.name.strip_suffix("_seconds").or_else(|| self.name.strip_suffix("_bytes"));
        stem.unwrap_or(self.name)
    }
}

macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal $labels:expr, $help:literal;)*) => {
        $(pub(super) const $id: Metric = Metric::new(Kind::$kind, $name, &$labels, $help);)*

        /// All of them, in the order in which they are shown.
        pub(super) const ALL: &[&Metric] = &[$(&$id),*];
    };
}

metrics! {
    QUERY_STATUS = Gauge "tidemill_query_status" ["query", "status"],
        "1 for the status the query has, 0 for the others";
    QUERY_STALLED = Gauge "tidemill_query_stalled" ["query", "reason"],
        "1 while the query waits for something to be mended outside, by what it waits for";
    DISK_FREE = Gauge "tidemill_disk_free_bytes" ["query", "path"],
        "What may still be written to the disk of a directory that the query writes into";
    EPOCHS = Counter "tidemill_epochs" ["query"],
        "Epochs committed";
    SOURCE_RECORDS = Counter "tidemill_source_records" ["query", "source"],
        "Good rows read";
    SOURCE_BYTES = Counter "tidemill_source_bytes" ["query", "source"],
        "Bytes read";
    SOURCE_LAG_RECORDS = Gauge "tidemill_source_lag_records" ["query", "source", "partition"],
        "Positions that are there and not yet read, absent when not known";
    SOURCE_BEHIND = Gauge "tidemill_source_behind_seconds" ["query", "source", "partition"],
        "How far what was read last lies behind the newest record, for sources that know it";
    SOURCE_LAG_KNOWN = Gauge "tidemill_source_lag_known" ["query", "source"],
        "1 when the lag is known";
    WATERMARK = Gauge "tidemill_watermark_timestamp_seconds" ["query"],
        "The watermark as seconds since 1970, absent when there is none yet";
    WATERMARK_DELAY = Gauge "tidemill_watermark_delay_seconds" ["query"],
        "How far the watermark is behind the wall clock";
    ROWS_LATE = Counter "tidemill_rows_late" ["query", "operator", "action"],
        "Rows that came after the watermark";
    ROWS_FUTURE = Counter "tidemill_rows_future" ["query"],
        "Rows whose event time was too far in the future to raise the watermark (max_future_skew)";
    STATE_ROWS = Gauge "tidemill_state_rows" ["query", "operator"],
        "Rows held in state";
    STATE_BYTES = Gauge "tidemill_state_bytes" ["query", "operator"],
        "Memory held by state";
    STATE_ROWS_UPDATED = Counter "tidemill_state_rows_updated" ["query", "operator"],
        "State rows changed";
    STATE_ROWS_REMOVED = Counter "tidemill_state_rows_removed" ["query", "operator"],
        "State rows removed";
    CHECKPOINT_AGE = Gauge "tidemill_checkpoint_age_seconds" ["query"],
        "Time since the last epoch was committed";
    CHECKPOINT_BYTES = Counter "tidemill_checkpoint_bytes" ["query"],
        "Changes of state written to the checkpoint";
    BATCH_DURATION = Histogram "tidemill_batch_duration_seconds" ["query", "phase"],
        "Time of an epoch's steps, by Spark's names";
    LATENCY = Histogram "tidemill_end_to_end_latency_seconds" ["query"],
        "Time from a row's entry into its source to its commit in every sink";
    SINK_ROWS = Counter "tidemill_sink_rows" ["query", "sink", "outcome"],
        "Rows written, and bad records written to the dead letters";
    SINK_BYTES = Counter "tidemill_sink_bytes" ["query", "sink"],
        "Size of the rows written as Arrow arrays, before the sink's format and compression";
    SINK_COMMIT = Histogram "tidemill_sink_commit_seconds" ["query", "sink"],
        "Time of a sink's commit";
    SINK_RETRIES = Counter "tidemill_sink_retries" ["query", "sink"],
        "Attempts made again on the sink's system, absent for sinks that do not count them";
    SINK_BREAKER = Gauge "tidemill_sink_breaker" ["query", "sink", "state"],
        "1 for the state the sink's circuit breaker has, 0 for the others";
    COST_USD = Counter "tidemill_cost_usd" ["meter"],
        "What the process has cost by the price book, absent for what is unpriced or in another currency";
    COST_RATE = Gauge "tidemill_cost_rate_usd_per_hour" [],
        "What the process has cost an hour, on average";
    PRICE_BOOK_AGE = Gauge "tidemill_price_book_age_days" [],
        "Age of the oldest price of the price book";
    BUILD_INFO = Gauge "tidemill_build_info" ["version"],
        "Always 1, the version is the label";
    PROCESS_CPU = Counter "process_cpu_seconds" [],
        "Processor time of the process";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" [],
        "Memory resident";
    MEMORY_USED = Gauge "tidemill_memory_used_bytes" [],
        "Memory that the kernel cannot take back, of the process or its control group";
    MEMORY_LIMIT = Gauge "tidemill_memory_limit_bytes" [],
        "What of it may be used before the process is ended";
    PROCESS_OPEN_FILES = Gauge "process_open_fds" [],
        "Open files and sockets";
    PROCESS_START = Gauge "process_start_time_seconds" [],
        "When monitoring began, as seconds since 1970";
}
