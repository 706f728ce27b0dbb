//! The options of the source.

use super::options::{
    BOOTSTRAP, CONNECT_TIMEOUT, KEY_PASSWORD, KEY_PEM, OAUTH_ASSERTION_KEY, OAUTH_ASSERTION_PASSPHRASE, OAUTH_SECRET,
    PASSED_ON, PASSWORD,
};
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};

pub(crate) static DESCRIPTION: Description = Description {
    name: "kafka",
    role: Role::Source,
    summary: "reads topics of Apache Kafka and of systems that speak its protocol",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        BOOTSTRAP,
        OptionSpec::new("subscribe", OptionKind::Text, "the topic to read, or several with commas between")
            .aliases(&["topic", "topics"]),
        OptionSpec::new(
            "subscribe_pattern",
            OptionKind::Text,
            "a regular expression; every topic whose whole name it matches is read, later ones too",
        ),
        OptionSpec::new(
            "assign",
            OptionKind::Text,
            r#"these partitions and no others: {"topic": [0, 1], "other": [2]}"#,
        ),
        STARTING_OFFSETS.default("latest"),
        STARTING_TIMESTAMP,
        STARTING_BY_TIMESTAMP,
        STARTING_STRATEGY.default("error"),
        ENDING_OFFSETS,
        MAX_OFFSETS,
        FAIL_ON_DATA_LOSS.default("true"),
        GROUP_ID,
        INCLUDE_HEADERS,
        BUFFER_BYTES.default("64MiB"),
        METADATA_REFRESH.default("30 seconds"),
        READ_TIMEOUT.default("5 minutes"),
        CONNECT_TIMEOUT,
        PASSWORD,
        OAUTH_SECRET,
        OAUTH_ASSERTION_KEY,
        OAUTH_ASSERTION_PASSPHRASE,
        KEY_PEM,
        KEY_PASSWORD,
        PASSED_ON,
    ],
    example: "connector = 'kafka', bootstrap_servers = 'localhost:9092', topic = 'events', format = 'json'",
};

pub(crate) const STARTING_OFFSETS: OptionSpec = OptionSpec::new(
    "starting_offsets",
    OptionKind::Text,
    r#"where a new query begins: earliest, latest, or {"topic": {"0": 23, "1": -2}}; -2 is earliest, -1 is latest"#,
);
pub(crate) const STARTING_TIMESTAMP: OptionSpec = OptionSpec::new(
    "starting_timestamp",
    OptionKind::Integer,
    "a new query begins with the first records of this time or later, in milliseconds since 1970; goes before the \
     other two",
);
pub(crate) const STARTING_BY_TIMESTAMP: OptionSpec = OptionSpec::new(
    "starting_offsets_by_timestamp",
    OptionKind::Text,
    r#"the same by partition: {"topic": {"0": 1767225600000, "1": 1767225600000}}; goes before starting_offsets"#,
);
pub(crate) const STARTING_STRATEGY: OptionSpec = OptionSpec::new(
    "starting_offsets_by_timestamp_strategy",
    OptionKind::Choice(&["error", "latest"]),
    "when a partition has no record of the time or later: stop, or begin at its end",
);
pub(crate) const ENDING_OFFSETS: OptionSpec = OptionSpec::new(
    "ending_offsets",
    OptionKind::Text,
    "refused, as in Spark: a stream has no end. The trigger available-now ends with what is there",
)
.aliases(&["ending_timestamp", "ending_offsets_by_timestamp"]);
pub(crate) const MAX_OFFSETS: OptionSpec =
    OptionSpec::new("max_offsets_per_trigger", OptionKind::Integer, "records an epoch reads at most");
pub(crate) const FAIL_ON_DATA_LOSS: OptionSpec = OptionSpec::new(
    "fail_on_data_loss",
    OptionKind::Boolean,
    "stop when records that were not read yet are gone, or the topic was made again; false goes on with what is there, \
     with a warning that names what was lost",
);
pub(crate) const GROUP_ID: OptionSpec = OptionSpec::new(
    "group_id",
    OptionKind::Text,
    "a consumer group in which committed progress is shown to dashboards; the checkpoint does not use it",
)
.aliases(&["kafka.group.id"]);
pub(crate) const INCLUDE_HEADERS: OptionSpec = OptionSpec::new(
    "include_headers",
    OptionKind::Boolean,
    "give the column headers, ARRAY<STRUCT<key STRING, value BINARY>>, after the others (without a format; a table that \
     declares its columns may name it among them)",
)
.default("false");
pub(crate) const BUFFER_BYTES: OptionSpec =
    OptionSpec::new("buffer_bytes", OptionKind::Bytes, "memory for records that are fetched ahead");
pub(crate) const METADATA_REFRESH: OptionSpec = OptionSpec::new(
    "metadata_refresh",
    OptionKind::Duration,
    "how often to look for new partitions and topics, which are read from their beginning, and for topics that were made \
     again",
);
pub(crate) const READ_TIMEOUT: OptionSpec = OptionSpec::new(
    "read_timeout",
    OptionKind::Duration,
    "how long to wait for records that are known to be there when no broker answers",
);
