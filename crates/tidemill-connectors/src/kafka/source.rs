//! Kafka as a source: what an epoch reads, and when to look again.

use super::backlog::{Backlog, is_heard};
use super::cluster::{Cluster, Subscription};
use super::discovery::{Discovery, Found};
use super::fetch::Fetcher;
use super::identity::{self, TopicId};
use super::loss::made_again;
use super::open::{connection, first_positions, subscription};
use super::options::{self as given, CONNECT_TIMEOUT};
use super::progress::GroupProgress;
use super::source_options::{
    BUFFER_BYTES, DESCRIPTION, ENDING_OFFSETS, FAIL_ON_DATA_LOSS, GROUP_ID, INCLUDE_HEADERS, MAX_OFFSETS,
    METADATA_REFRESH, READ_TIMEOUT,
};
use super::starting::Beginning;
use crate::topics::{check_subscribed, columns, limit, topic_partition};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use rdkafka::error::RDKafkaErrorCode;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidemill_core::describe::Description;
use tidemill_core::source::{Ask, Body, Chunk, Records, Source, SourceConnector, SourceRequest};
use tidemill_core::{Clock, Error, Kind, Offsets, Options, Result, ResultExt, Split, SplitRange, SystemClock};

/// Size of a record while none has been seen.
const RECORD_BYTES_GUESS: u64 = 1_000;

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

    fn default_schema(&self, options: &Options) -> Option<SchemaRef> {
        Some(match options.boolean(INCLUDE_HEADERS.name) {
            true => columns::schema_with_headers(),
            false => columns::default_schema(),
        })
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        let clock = self.clock.clone();
        Ok(Box::new(blocking("open Kafka", move || KafkaSource::open(&request, clock)).await?))
    }
}

/// A source that is open.
pub(crate) struct KafkaSource {
    pub(super) cluster: Cluster,
    subscription: Subscription,
    pub(super) fetcher: Fetcher,
    /// The partitions that are known, and where each begins when the checkpoint does not say.
    pub(super) first: Offsets,
    /// The topics' ids, where the brokers know any.
    pub(super) ids: BTreeMap<String, TopicId>,
    /// Partitions whose beginning must be pinned, since it would be another one after a restart.
    pinned: BTreeSet<Split>,
    /// What there was at the start and has not come yet.
    backlog: Backlog,
    records_max: Option<u64>,
    pub(super) fail_on_data_loss: bool,
    /// The consumer group that shows the progress, if one does.
    group: Option<GroupProgress>,
    pub(super) read_timeout: Duration,
    /// The columns of a table without a format.
    rows: Option<SchemaRef>,
    clock: Arc<dyn Clock>,
    discovery: Discovery,
    /// Losses that were passed over: position of the checkpoint, and the one to go on from.
    pub(super) gaps: BTreeMap<Split, (u64, u64)>,
    /// False until a plan has taken all that was fetched.
    drained: bool,
}

impl KafkaSource {
    /// Opens the source of a table that has Kafka's columns.
    ///
    /// # Errors
    /// What is wrong with the options, or the brokers do not answer.
    fn open(request: &SourceRequest, clock: Arc<dyn Clock>) -> Result<KafkaSource> {
        let rows = request.framing.is_none().then(|| request.schema.clone());
        if let Some(schema) = &rows {
            columns::check(&request.table, schema, &columns::schema_with_headers())?;
        }
        let keeps_headers = request.reads_headers || rows.as_ref().is_some_and(|rows| columns::has_headers(rows));
        KafkaSource::open_records(&request.table, &request.options, &request.resume_from, rows, keeps_headers, clock)
    }

    /// Opens the source; it gives records where `rows` names no columns.
    ///
    /// # Errors
    /// What is wrong with the options, or the brokers do not answer.
    pub(crate) fn open_records(
        table: &str,
        options: &Options,
        resume_from: &Offsets,
        rows: Option<SchemaRef>,
        keeps_headers: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<KafkaSource> {
        if options.text(ENDING_OFFSETS.name).is_some() {
            let help = "leave it out; to end with what is there, use the trigger available-now";
            return Err(Error::invalid(format!("table '{table}': a stream has no ending offsets")).help(help));
        }
        let subscription = subscription(table, options)?;
        check_subscribed(table, &identity::partitions(resume_from), |topic, partition| {
            subscription.includes(topic, partition)
        })?;
        let beginning = Beginning::of(options)?;
        let buffer_bytes = options.bytes(BUFFER_BYTES.name).unwrap_or(64 << 20);
        let connection = connection(table, options, buffer_bytes)?;
        let cluster = Cluster {
            connection: connection.clone(),
            brokers: given::brokers(options)?,
            timeout: options.duration(CONNECT_TIMEOUT.name).unwrap_or(Duration::from_secs(10)),
        };
        let (first, pinned) = first_positions(&cluster, &subscription, &beginning, resume_from)?;
        let fail_on_data_loss = options.boolean(FAIL_ON_DATA_LOSS.name);
        let ids = cluster.topic_ids(first.0.keys())?;
        // before a planned range is read again: it would be one of another topic
        if let Some((topic, _)) = identity::made_again(&ids, resume_from).first().filter(|_| fail_on_data_loss) {
            return Err(made_again(topic));
        }
        let ends = cluster.ends(first.0.keys())?;
        let position = |(split, first): (&Split, &u64)| (split.clone(), resume_from.get(split).unwrap_or(*first));
        let backlog = Backlog::new(first.0.iter().map(position), &ends, clock.elapsed() + cluster.timeout);
        connection.opened();
        let refresh = options.duration(METADATA_REFRESH.name).unwrap_or(Duration::from_secs(30));
        Ok(KafkaSource {
            cluster,
            subscription,
            fetcher: Fetcher::start(connection, buffer_bytes as usize, keeps_headers, clock.clone())?,
            first,
            ids,
            pinned,
            backlog,
            records_max: options.integer(MAX_OFFSETS.name),
            fail_on_data_loss,
            group: options.text(GROUP_ID.name).map(|_| GroupProgress::default()),
            read_timeout: options.duration(READ_TIMEOUT.name).unwrap_or(Duration::from_secs(300)),
            rows,
            discovery: Discovery::new(refresh, clock.elapsed()),
            clock,
            gaps: BTreeMap::new(),
            drained: false,
        })
    }

    /// Takes in what a look at the brokers found, and looks again when it is time.
    async fn refresh(&mut self) -> Result<()> {
        if let Some(found) = self.discovery.found().await? {
            self.take_in(found);
        }
        let now = self.clock.elapsed();
        self.discovery.look(now, &self.cluster, &self.subscription, &self.first, &self.fetcher.news);
        Ok(())
    }

    fn take_in(&mut self, found: Found) {
        self.ids.extend(found.ids);
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

    /// The oldest offset that a partition still has; `None` when it is gone.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub(crate) async fn oldest(&self, split: &Split) -> Result<Option<u64>> {
        let (cluster, asked) = (self.cluster.clone(), split.clone());
        Ok(blocking("ask Kafka for offsets", move || cluster.bounds(&asked)).await?.map(|(oldest, _)| oldest))
    }

    /// True while a partition that held records at the start has given none.
    fn awaits_backlog(&mut self) -> bool {
        let now = self.clock.elapsed();
        if self.backlog.awaited(now).is_none() {
            return false;
        }
        let fetcher = &self.fetcher;
        self.backlog.forget(|split, end| {
            let part = fetcher.part(split);
            part.failure().is_some() || (part.generation() > 0 && is_heard(&part.buffer(), end))
        });
        self.backlog.awaited(now).is_some()
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
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        if let Some(group) = &mut self.group {
            group.finish(&self.cluster.connection.consumer());
        }
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
        if let Some(group) = &mut self.group {
            group.tell(&self.cluster.connection.consumer(), self.clock.elapsed());
        }
        let remade = self.remade(from);
        if !remade.is_empty() {
            return self.start_over(&remade, from).await;
        }
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
        if ask.until.is_none() && self.awaits_backlog() {
            self.drained = true;
            return Ok(Vec::new());
        }
        let fitting = self.records_in(&ranges, ask.bytes_max);
        let most = self.records_max.filter(|_| ask.rate_limited).map_or(fitting, |most| most.min(fitting));
        self.drained = ranges.iter().map(SplitRange::len).sum::<u64>() <= most;
        let mut ranges = limit::share(ranges, most.max(1));
        if !ranges.is_empty() {
            ranges.extend(identity::unknown(&self.ids, from).into_iter().map(|(topic, id)| id.pin(topic)));
        }
        Ok(ranges)
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        // a pinned position, or the id of a topic
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let (topic, partition) = topic_partition(&range.split)?;
        if !self.subscription.includes(topic, partition) {
            return Err(Error::invalid(format!("this source does not read partition {partition} of topic '{topic}'")));
        }
        let blocks = self.fetched(range).await?;
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
        let now = self.clock.elapsed();
        let to_tell = self.group.as_ref().and_then(|group| group.due_in(now));
        if self.drained {
            let left = self.discovery.left(now);
            let patience = self.backlog.awaited(now).map_or(left, |ends| ends.saturating_sub(now));
            let left = left.min(patience).min(to_tell.unwrap_or(left)).max(Duration::from_millis(1));
            let _ = tokio::time::timeout(left, self.fetcher.news.notified()).await;
        }
    }

    async fn release(&mut self, offsets: &Offsets) -> Result<()> {
        if let Some(group) = &mut self.group {
            group.note(offsets);
            group.tell(&self.cluster.connection.consumer(), self.clock.elapsed());
        }
        Ok(())
    }
}

/// Does work that may block on a thread for it.
pub(super) async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.context(Kind::Bug, || format!("the thread that had to {what} ended early"))?
}
