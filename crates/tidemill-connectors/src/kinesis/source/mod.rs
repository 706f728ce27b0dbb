//! Amazon Kinesis Data Streams as a source.
//!
//! Read in this order: `position` (how far a shard is read, and how that is written), `shards` (which may be read),
//! `starting` (where a new query begins), `aggregate` and `record` (user records, and what the engine gets of them),
//! `stream` (requests), `pace`, `buffer` and `poll` (a shard read ahead), `again` (a planned range read once more),
//! `follow` (shards and what is read of them), `plan` (what an epoch reads).

mod again;
mod aggregate;
mod buffer;
mod follow;
mod pace;
mod plan;
mod poll;
mod position;
mod record;
mod shards;
mod starting;
mod stream;

use super::client::{
    ACCESS_KEY_ID, CONNECT_TIMEOUT, ENDPOINT, PROFILE, REGION, REQUEST_TIMEOUT, SECRET_ACCESS_KEY, SESSION_TOKEN,
    STREAM, client, duration,
};
use crate::retry::Patience;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use follow::Follower;
use plan::KinesisSource;
use poll::Reading;
use starting::{POSITION, Starting, TIMESTAMP};
use std::sync::Arc;
use std::time::Duration;
use stream::Stream;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::retry::Policy;
use tidemill_core::source::{Source, SourceConnector, SourceRequest};
use tidemill_core::{Clock, Error, Options, Result, SystemClock};
use tokio::sync::Notify;

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// What a stream keeps when it may not be asked.
const RETENTION_MILLIS: i64 = 24 * 3_600_000;

static DESCRIPTION: Description = Description {
    name: "kinesis",
    role: Role::Source,
    summary: "Records of an Amazon Kinesis data stream. Shards that are split or merged are read to their end before their \
              children. Records of the Kinesis Producer Library are taken apart. Without a format the columns are \
              partitionKey, data, stream, shardId, sequenceNumber, subSequenceNumber and approximateArrivalTimestamp.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        STREAM,
        REGION,
        ENDPOINT,
        OptionSpec::new(
            POSITION,
            OptionKind::Text,
            "where a new query begins: latest, trim_horizon (also earliest), at_timestamp, or after a sequence number in each \
             shard, as {\"shardId-000000000000\": \"4957...\"}: shards that are not named begin at trim_horizon, and \
             parents of those that are named are not read",
        )
        .default("latest")
        .aliases(&["initial_position"]),
        OptionSpec::new(
            TIMESTAMP,
            OptionKind::Text,
            "the time of at_timestamp: ISO 8601 such as 2026-11-26T12:00:00Z, or milliseconds since 1970",
        ),
        OptionSpec::new("max_records_per_trigger", OptionKind::Integer, "records an epoch reads at most")
            .aliases(&["max_offsets_per_trigger"]),
        OptionSpec::new(
            "fail_on_data_loss",
            OptionKind::Boolean,
            "stop when records that were not read yet may be gone: the stream keeps them no longer, or was made again; false \
             goes on with a warning",
        )
        .default("true"),
        OptionSpec::new(
            "poll_interval",
            OptionKind::Duration,
            "least time between two reads of a shard, of which Kinesis allows five a second to all readers together; longer \
             while Kinesis refuses some",
        )
        .default("200ms"),
        OptionSpec::new(
            "shard_refresh",
            OptionKind::Duration,
            "how often to look for new shards; at the end of a shard at once",
        )
        .default("30 seconds"),
        OptionSpec::new("buffer_bytes", OptionKind::Bytes, "about the memory for records that are read ahead")
            .default("64MiB"),
        ACCESS_KEY_ID,
        SECRET_ACCESS_KEY,
        SESSION_TOKEN,
        PROFILE,
        CONNECT_TIMEOUT,
        REQUEST_TIMEOUT,
        OptionSpec::new(
            "retry_timeout",
            OptionKind::Duration,
            "how long a stream that does not answer is tried before the query stops",
        )
        .default("2 minutes"),
    ],
    example: "connector = 'kinesis', stream = 'clicks', region = 'eu-central-1', starting_position = 'trim_horizon', \
              format = 'json'",
};

/// Opens Kinesis as a source.
pub struct KinesisSourceConnector {
    clock: Arc<dyn Clock>,
}

impl Default for KinesisSourceConnector {
    fn default() -> Self {
        KinesisSourceConnector { clock: Arc::new(SystemClock::new()) }
    }
}

#[async_trait]
impl SourceConnector for KinesisSourceConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn default_schema(&self, _options: &Options) -> Option<SchemaRef> {
        Some(record::default_schema())
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        let options = &request.options;
        let rows = request.framing.is_none().then(|| request.schema.clone());
        if let Some(schema) = &rows {
            record::check(&request.table, schema)?;
        }
        if options.integer("max_records_per_trigger") == Some(0) {
            return Err(Error::invalid("option 'max_records_per_trigger' is 0, and nothing would ever be read"));
        }
        let starting = Starting::new(options)?;
        let policy = Policy::within(duration(options, "retry_timeout", 120)).pauses(PAUSE_MIN, PAUSE_MAX);
        let patience = Patience::new(policy, "kinesis", self.clock.clone());
        let mut stream = Stream::new(client(&request.table, options).await?, options.required("stream")?, patience);
        let summary = stream.summary().await?;
        stream.is_by_key = summary.as_ref().is_none_or(|summary| summary.is_by_key);
        let reading = Reading {
            stream,
            clock: self.clock.clone(),
            news: Arc::new(Notify::new()),
            poll_interval: options.duration("poll_interval").unwrap_or(Duration::from_millis(200)),
            fail_on_data_loss: options.boolean("fail_on_data_loss"),
            shard_bytes: Arc::default(),
            retention: summary.as_ref().map_or(RETENTION_MILLIS, |summary| summary.retention),
        };
        let buffer_bytes = options.bytes("buffer_bytes").unwrap_or(64 << 20) as usize;
        let mut follower = Follower::new(reading, buffer_bytes, duration(options, "shard_refresh", 30)).await?;
        let created = summary.map_or(0, |summary| summary.created);
        follower.begin(&request.table, &request.resume_from, &starting, created).await?;
        Ok(Box::new(KinesisSource::new(follower, rows, options.integer("max_records_per_trigger"))))
    }
}
