//! Kafka as a source.

use super::client::{failed, gather_troubles};
use super::cluster::{Cluster, Subscription};
use super::fetch::{Fetcher, Part};
use super::open::{consumer, first_positions, subscription};
use super::options::{
    self as given, BOOTSTRAP, CONNECT_TIMEOUT, KEY_PASSWORD, KEY_PEM, OAUTH_SECRET, PASSED_ON, PASSWORD,
};
use crate::topics::starting::Starting;
use crate::topics::{check_subscribed, columns, limit, topic_partition};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::source::{Ask, Body, Chunk, Records, Source, SourceConnector, SourceRequest};
use tidemill_core::{Clock, Error, Kind, Offsets, Options, Result, ResultExt, Split, SplitRange, SystemClock};
use tokio::task::JoinHandle;

/// Size of a record while none has been seen.
const RECORD_BYTES_GUESS: u64 = 1_000;

static DESCRIPTION: Description = Description {
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
            "starting_offsets",
            OptionKind::Text,
            r#"where a new query begins: earliest, latest, or {"topic": {"0": 23, "1": -2}}; -2 is earliest, -1 is latest"#,
        )
        .default("latest"),
        OptionSpec::new("max_offsets_per_trigger", OptionKind::Integer, "records an epoch reads at most"),
        OptionSpec::new(
            "fail_on_data_loss",
            OptionKind::Boolean,
            "stop when records that were not read yet are gone; false goes on with a warning",
        )
        .default("true"),
        OptionSpec::new(
            "group_id",
            OptionKind::Text,
            "a consumer group in which the progress is shown to dashboards; the checkpoint does not use it",
        ),
        OptionSpec::new("buffer_bytes", OptionKind::Bytes, "memory for records that are fetched ahead").default("64MiB"),
        OptionSpec::new(
            "metadata_refresh",
            OptionKind::Duration,
            "how often to look for new partitions and topics; they are read from their beginning",
        )
        .default("30 seconds"),
        OptionSpec::new(
            "read_timeout",
            OptionKind::Duration,
            "how long to wait for records that are known to be there when no broker answers",
        )
        .default("5 minutes"),
        CONNECT_TIMEOUT,
        PASSWORD,
        OAUTH_SECRET,
        KEY_PEM,
        KEY_PASSWORD,
        PASSED_ON,
    ],
    example: "connector = 'kafka', bootstrap_servers = 'localhost:9092', topic = 'events', format = 'json'",
};

/// Opens Kafka as a source.
pub struct KafkaSourceConnector {
    clock: Arc<dyn Clock>,
}

impl KafkaSourceConnector {
    /// With a clock for looking at the topics again.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        KafkaSourceConnector { clock }
    }
}

impl Default for KafkaSourceConnector {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock::new()))
    }
}

#[async_trait]
impl SourceConnector for KafkaSourceConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn default_schema(&self, _options: &Options) -> Option<SchemaRef> {
        Some(columns::default_schema())
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        let clock = self.clock.clone();
        Ok(Box::new(blocking("open Kafka", move || KafkaSource::open(&request, clock)).await?))
    }
}

struct KafkaSource {
    cluster: Cluster,
    subscription: Subscription,
    fetcher: Fetcher,
    /// The partitions that are known, and where each begins when the checkpoint does not say.
    first: Offsets,
    /// Partitions whose beginning must be pinned, since it would be another one after a restart.
    pinned: BTreeSet<Split>,
    records_max: Option<u64>,
    fail_on_data_loss: bool,
    shows_progress: bool,
    read_timeout: Duration,
    /// The columns of a table without a format.
    rows: Option<SchemaRef>,
    clock: Arc<dyn Clock>,
    refresh_interval: Duration,
    refreshed: Duration,
    refreshing: Option<JoinHandle<Result<Found>>>,
    /// Losses that were passed over: position of the checkpoint, and the one to go on from.
    gaps: BTreeMap<Split, (u64, u64)>,
    /// False until a plan has taken all that was fetched.
    drained: bool,
}

impl KafkaSource {
    fn open(request: &SourceRequest, clock: Arc<dyn Clock>) -> Result<KafkaSource> {
        let options = &request.options;
        let subscription = subscription(&request.table, options)?;
        check_subscribed(&request.table, &request.resume_from, |topic| subscription.includes(topic))?;
        let rows = request.framing.is_none().then(|| request.schema.clone());
        if let Some(schema) = &rows {
            columns::check(&request.table, schema)?;
        }
        let starting = Starting::parse(options.required("starting_offsets")?)?;
        let buffer_bytes = options.bytes("buffer_bytes").unwrap_or(64 << 20);
        let consumer = consumer(&request.table, options, buffer_bytes)?;
        let cluster = Cluster {
            consumer: consumer.clone(),
            brokers: given::brokers(options)?,
            timeout: options.duration("connect_timeout").unwrap_or(Duration::from_secs(10)),
        };
        let (first, pinned) = first_positions(&cluster, &subscription, &starting, &request.resume_from)?;
        gather_troubles(&consumer);
        consumer.client().context().0.opened();
        Ok(KafkaSource {
            cluster,
            subscription,
            fetcher: Fetcher::start(consumer, buffer_bytes as usize)?,
            first,
            pinned,
            records_max: options.integer("max_offsets_per_trigger"),
            fail_on_data_loss: options.boolean("fail_on_data_loss"),
            shows_progress: options.text("group_id").is_some(),
            read_timeout: options.duration("read_timeout").unwrap_or(Duration::from_secs(300)),
            rows,
            refreshed: clock.elapsed(),
            clock,
            refresh_interval: options.duration("metadata_refresh").unwrap_or(Duration::from_secs(30)),
            refreshing: None,
            gaps: BTreeMap::new(),
            drained: false,
        })
    }

    /// Takes in what a look at the brokers found, and looks again when it is time.
    async fn refresh(&mut self) -> Result<()> {
        if let Some(task) = self.refreshing.take_if(|task| task.is_finished()) {
            match task.await.context(Kind::Bug, || "the task that looks for new partitions ended early".into())? {
                Ok(found) => self.take_in(found),
                Err(error) => tracing::warn!(%error, "cannot look for new Kafka partitions, trying again later"),
            }
        }
        let now = self.clock.elapsed();
        if self.refreshing.is_none() && now.saturating_sub(self.refreshed) >= self.refresh_interval {
            self.refreshed = now;
            let (cluster, subscription) = (self.cluster.clone(), self.subscription.clone());
            let known: BTreeSet<Split> = self.first.0.keys().cloned().collect();
            let news = self.fetcher.news.clone();
            self.refreshing = Some(tokio::task::spawn_blocking(move || {
                let there = cluster.partitions(&subscription)?;
                let new = cluster.starts(there.difference(&known));
                news.notify_one();
                Ok(Found { new: new?, gone: known.difference(&there).cloned().collect() })
            }));
        }
        Ok(())
    }

    fn take_in(&mut self, found: Found) {
        for (split, start) in found.new.0 {
            self.first.0.entry(split).or_insert(start);
        }
        for split in found.gone {
            if self.fail_on_data_loss {
                self.fetcher.part(&split).set_failure(Some(RDKafkaErrorCode::UnknownPartition));
            } else {
                tracing::warn!(%split, "the partition was deleted and is no longer read");
                self.first.0.remove(&split);
            }
        }
    }

    /// What stands in the way of reading on from `from`, where fetching has stopped: the position to go
    /// on from, or an error.
    async fn settle(&self, part: &Part, from: u64, failure: RDKafkaErrorCode) -> Result<u64> {
        let (topic, partition) = topic_partition(&part.split)?;
        if super::client::is_denied(failure) {
            return Err(Error::new(Kind::Denied, format!("the brokers refuse topic '{topic}': {failure}")));
        }
        let (cluster, split) = (self.cluster.clone(), part.split.clone());
        let bounds = match blocking("ask Kafka for offsets", move || cluster.bounds(&split)).await {
            // as with any other silence of the brokers: the same position is tried again
            Err(error) if error.kind() == Kind::Again => {
                tracing::warn!(split = %part.split, error = error.chain(), "the brokers do not answer, trying again");
                return Ok(from);
            }
            bounds => bounds?,
        };
        let place = format!("topic '{topic}', partition {partition}");
        let (message, onward) = match bounds {
            None => (format!("{place}: it was deleted, and was read up to offset {from}"), from),
            Some((start, _)) if from < start => {
                (format!("{place}: offsets {from} to {start} were deleted before they were read"), start)
            }
            Some((start, end)) if from > end => {
                let why = "the topic was made again or cut";
                (format!("{place}: the position is {from}, and the partition ends at {end}: {why}"), start)
            }
            Some(_) => return Ok(from),
        };
        if self.fail_on_data_loss {
            return Err(Error::new(Kind::Data, message)
                .help("set fail_on_data_loss = 'false' to go on with what is there, or start with a new checkpoint"));
        }
        tracing::warn!(topic, partition, from, onward, "{message}");
        Ok(onward)
    }

    /// What can be read of one partition from `position` on, at most to `until`; has it fetched if it
    /// is not.
    async fn available(&mut self, split: &Split, position: u64, until: Option<u64>) -> Result<SplitRange> {
        let part = self.fetcher.part(split);
        let mut from = match self.gaps.get(split) {
            Some((before, onward)) if *before == position => *onward,
            _ => position,
        };
        let failure = part.failure();
        let next = {
            let buffer = part.buffer();
            let is_there = part.generation() > 0 && buffer.start <= from && from <= buffer.next;
            is_there.then_some(buffer.next)
        };
        if let Some(failure) = failure.filter(|_| next.is_none_or(|next| next == from)) {
            from = self.settle(&part, from, failure).await?;
            if from != position {
                self.gaps.insert(split.clone(), (position, from));
            }
            self.fetcher.position(&part, from);
        } else if next.is_none() {
            self.fetcher.position(&part, from);
        }
        let to = until.unwrap_or_else(|| next.unwrap_or(from)).max(from);
        Ok(SplitRange::new(split.clone(), from, to))
    }

    /// About how many records fit `bytes_max`, by the mean size of those that were fetched.
    fn records_in(&self, ranges: &[SplitRange], bytes_max: u64) -> u64 {
        let (mut bytes, mut records) = (0, 0);
        for range in ranges {
            let part = self.fetcher.part(&range.split);
            let buffer = part.buffer();
            bytes += buffer.bytes() as u64;
            records += buffer.records() as u64;
        }
        let mean = bytes.checked_div(records).unwrap_or(RECORD_BYTES_GUESS).max(1);
        if bytes_max == 0 { u64::MAX } else { (bytes_max / mean).max(1) }
    }

    /// The records of `range`, once they are fetched.
    async fn fetched(&self, range: &SplitRange) -> Result<Vec<Records>> {
        let part = self.fetcher.part(&range.split);
        let (mut out, mut wanted) = (Vec::new(), range.from..range.to);
        let begun = part.generation();
        let mut asked = None;
        loop {
            let changed = part.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let generation = part.generation();
            match look(&part, &mut wanted, generation > begun, &mut out) {
                Look::Done => {
                    self.fetcher.room();
                    return Ok(out);
                }
                Look::Position(position) if asked != Some(generation) => {
                    self.fetcher.position(&part, position);
                    asked = Some(generation);
                }
                Look::Position(_) | Look::Wait => self.fetcher.room(),
            }
            if let Some(failure) = part.failure() {
                wanted.start = self.settle(&part, wanted.start, failure).await?.min(wanted.end);
                if wanted.is_empty() {
                    return Ok(out);
                }
                self.fetcher.position(&part, wanted.start);
            }
            if tokio::time::timeout(self.read_timeout, changed).await.is_err() {
                return Err(self.silent(range));
            }
        }
    }

    fn silent(&self, range: &SplitRange) -> Error {
        let what = format!("no records of {range} came in {} s from Kafka", self.read_timeout.as_secs());
        let error = rdkafka::error::KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
        failed(&what, &self.cluster.brokers, &error, &self.cluster.consumer.client().context().0)
    }
}

/// What a look at the brokers found.
struct Found {
    /// New partitions and where they begin.
    new: Offsets,
    /// Known partitions that are not there any more.
    gone: Vec<Split>,
}

/// What a reader does next.
enum Look {
    /// All of the range that exists was taken.
    Done,
    /// The records are not on their way: fetch from here.
    Position(u64),
    /// They are.
    Wait,
}

/// Takes what there is of `wanted`, and moves its start. `is_repositioned`: the partition was positioned
/// after the range was known, so meeting its end means that nothing is left in the range (its last
/// offsets were compacted away or are a transaction's own); an end that was met before proves nothing.
fn look(part: &Part, wanted: &mut Range<u64>, is_repositioned: bool, out: &mut Vec<Records>) -> Look {
    let mut buffer = part.buffer();
    if part.generation() == 0 || wanted.start < buffer.start || wanted.start > buffer.next {
        return Look::Position(wanted.start);
    }
    if buffer.take(wanted, out) {
        return Look::Done;
    }
    wanted.start = buffer.next;
    match (buffer.at_end, is_repositioned) {
        (true, true) => {
            buffer.skip_to(wanted.end);
            Look::Done
        }
        (true, false) => Look::Position(buffer.next),
        (false, _) => Look::Wait,
    }
}

#[async_trait]
impl Source for KafkaSource {
    async fn latest(&mut self) -> Result<Offsets> {
        let (cluster, splits) = (self.cluster.clone(), self.first.0.keys().cloned().collect::<Vec<_>>());
        blocking("ask Kafka for offsets", move || cluster.ends(&splits)).await
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        self.refresh().await?;
        let mut ranges = Vec::new();
        for (split, first) in self.first.0.clone() {
            let split = &split;
            let until = match ask.until.as_ref().map(|until| until.get(split)) {
                Some(None) => continue,
                until => until.flatten(),
            };
            let range = self.available(split, from.get(split).unwrap_or(first), until).await?;
            let pins = from.get(split).is_none() && self.pinned.contains(split);
            if pins || !range.is_empty() {
                ranges.push(range);
            }
        }
        let fitting = self.records_in(&ranges, ask.bytes_max);
        let most = self.records_max.filter(|_| ask.rate_limited).map_or(fitting, |most| most.min(fitting));
        self.drained = ranges.iter().map(SplitRange::len).sum::<u64>() <= most;
        Ok(limit::share(ranges, most.max(1)))
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        let (topic, partition) = topic_partition(&range.split)?;
        if !self.subscription.includes(topic) {
            return Err(Error::invalid(format!("this source does not read topic '{topic}'")));
        }
        let blocks = if range.is_empty() { Vec::new() } else { self.fetched(range).await? };
        let timestamp_type = self.fetcher.part(&range.split).timestamp_type.load(Ordering::Relaxed);
        let chunk = |records: Records| -> Result<Chunk> {
            let body = match &self.rows {
                None => Body::Records(records),
                Some(schema) => Body::Rows {
                    at: records.offsets.first().copied().unwrap_or(range.from),
                    rows: columns::rows(schema, &records, topic, partition, timestamp_type)?,
                },
            };
            Ok(Chunk { split: range.split.clone(), body })
        };
        blocks.into_iter().map(chunk).collect()
    }

    async fn wait(&mut self) {
        if self.drained {
            let since = self.clock.elapsed().saturating_sub(self.refreshed);
            let left = self.refresh_interval.saturating_sub(since).max(Duration::from_millis(1));
            let _ = tokio::time::timeout(left, self.fetcher.news.notified()).await;
        }
    }

    async fn release(&mut self, offsets: &Offsets) -> Result<()> {
        if self.shows_progress {
            let mut positions = TopicPartitionList::new();
            for (split, offset) in &offsets.0 {
                let (topic, partition) = topic_partition(split)?;
                let _ = positions.add_partition_offset(topic, partition as i32, Offset::Offset(*offset as i64));
            }
            // only for dashboards: a failure is no reason to stop
            if let Err(error) = self.cluster.consumer.commit(&positions, CommitMode::Async) {
                tracing::debug!(%error, "cannot show the progress in the consumer group");
            }
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(what: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.context(Kind::Bug, || format!("the thread that had to {what} ended early"))?
}
