//! Kinesis as a sink.

use super::client::{
    ACCESS_KEY_ID, CONNECT_TIMEOUT, ENDPOINT, PROFILE, REGION, REQUEST_TIMEOUT, SECRET_ACCESS_KEY, SESSION_TOKEN,
    STREAM, client, duration,
};
use super::put::Stream;
use super::record::Records;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::sync::Arc;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::sink::{Marker, Sink, SinkConnector, SinkRequest};
use tidemill_core::{Clock, Epoch, Result, SystemClock};

static DESCRIPTION: Description = Description {
    name: "kinesis",
    role: Role::Sink,
    summary: "A record a row to an Amazon Kinesis data stream, 500 with a request. An epoch is done when the stream has all of \
              its records; those that are refused (throttled shards) are put again. Kinesis has no transactions: a crash in \
              the middle of an epoch puts all of it again.",
    guarantee: Guarantee::AtLeastOnce,
    options: &[
        STREAM,
        REGION,
        ENDPOINT,
        OptionSpec::new(
            "partition_key",
            OptionKind::Text,
            "the column whose value decides the shard, up to 256 characters; without a format a column 'key' does; rows \
             without one are spread over all shards",
        )
        .aliases(&["key"]),
        OptionSpec::new(
            "explicit_hash_key",
            OptionKind::Text,
            "a column with a number from 0 to 2^128 - 1 that decides the shard instead",
        ),
        OptionSpec::new(
            "ordered",
            OptionKind::Boolean,
            "a request holds each key once, so that a record that is refused is not overtaken by a later one of its key; \
             slow when keys repeat",
        )
        .default("false"),
        ACCESS_KEY_ID,
        SECRET_ACCESS_KEY,
        SESSION_TOKEN,
        PROFILE,
        CONNECT_TIMEOUT,
        REQUEST_TIMEOUT,
        OptionSpec::new(
            "retry_timeout",
            OptionKind::Duration,
            "how long a stream that takes no records (throttled, away) is tried before the query stops",
        )
        .default("2 minutes"),
    ],
    example: "connector = 'kinesis', stream = 'clicks', region = 'eu-central-1', partition_key = 'user_id', format = 'json'",
};

/// Opens Kinesis as a sink.
pub struct KinesisSinkConnector {
    clock: Arc<dyn Clock>,
}

impl Default for KinesisSinkConnector {
    fn default() -> Self {
        KinesisSinkConnector { clock: Arc::new(SystemClock::new()) }
    }
}

#[async_trait]
impl SinkConnector for KinesisSinkConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let options = &request.options;
        let records = Records::new(&request)?;
        records.prepare().await?;
        let stream = Stream {
            client: client(&request.table, options).await?,
            name: options.required("stream")?.to_owned(),
            ordered: options.boolean("ordered"),
            retry_timeout: duration(options, "retry_timeout", 120),
            clock: self.clock.clone(),
        };
        stream.check().await?;
        Ok(Box::new(KinesisSink { records, stream }))
    }
}

struct KinesisSink {
    records: Records,
    stream: Stream,
}

#[async_trait]
impl Sink for KinesisSink {
    async fn marker(&mut self) -> Result<Marker> {
        Ok(Marker::Unsupported)
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let (mut records, mut before) = (Vec::new(), 0);
        for batch in rows {
            records.extend(self.records.of(epoch, before, batch)?);
            before += batch.num_rows();
        }
        self.stream.put(records).await
    }
}
