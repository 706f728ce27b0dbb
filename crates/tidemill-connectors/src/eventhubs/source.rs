//! Event Hubs as a source: the archive first, if there is one, then the hub itself through Kafka's source.
//!
//! While a partition has events in the archive that were not read, only the archive is read, so that event times of all
//! partitions rise together.

use super::archive::{Archive, DEFAULT, Files, Layout, Place, Span};
use super::columns;
use super::connection::Connection;
use super::options::{
    CLIENT, CLIENT_SECRET, CONNECTION_STRING, EVENT_HUB, MANAGED_IDENTITY, NAMESPACE, TENANT, TOKEN_ENDPOINT,
    TOKEN_SCOPE,
};
use crate::kafka::preset::{
    BUFFER_BYTES, CONNECT_TIMEOUT, FAIL_ON_DATA_LOSS, GROUP_ID, KafkaSource, MAX_OFFSETS, METADATA_REFRESH, PASSED_ON,
    READ_TIMEOUT, SOURCE, STARTING_BY_TIMESTAMP, STARTING_OFFSETS, STARTING_STRATEGY, STARTING_TIMESTAMP,
};
use crate::topics::{columns::check, limit, split, topic_partition};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::options::GivenOption;
use tidemill_core::source::{Ask, Body, Chunk, Source, SourceConnector, SourceRequest};
use tidemill_core::{Clock, Error, Kind, Offsets, Options, Result, ResultExt, SplitRange, SystemClock};
use tidemill_objects::open::STORAGE;

pub(super) static DESCRIPTION: Description = Description {
    name: "eventhubs",
    role: Role::Source,
    summary: "reads an event hub of Azure Event Hubs over its Kafka endpoint (not in the Basic tier), with the settings that \
              Azure recommends, and before that its Capture archive if one is named. An offset is the sequence number. Without \
              a format: body, partition, offset, sequenceNumber, enqueuedTime, partitionKey, properties",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        CONNECTION_STRING,
        EVENT_HUB,
        NAMESPACE,
        TENANT,
        CLIENT,
        CLIENT_SECRET,
        MANAGED_IDENTITY.default("false"),
        TOKEN_ENDPOINT,
        TOKEN_SCOPE,
        OptionSpec::new(
            "consumer_group",
            OptionKind::Text,
            "a consumer group in which committed progress is shown; the checkpoint does not use it",
        )
        .aliases(&["group_id"]),
        ARCHIVE,
        OptionSpec::new(
            "archive_name_format",
            OptionKind::Text,
            "names of archives below 'archive', without '.avro', as Capture was told to write them",
        )
        .default(DEFAULT),
        OptionSpec::new(
            STARTING_OFFSETS.name,
            OptionKind::Text,
            r#"where a new query begins: earliest, latest (the default, but with an archive), or sequence numbers: {"event hub": {"0": 23, "1": -2}}; -2 is earliest, -1 is latest"#,
        ),
        STARTING_TIMESTAMP,
        STARTING_BY_TIMESTAMP,
        STARTING_STRATEGY.default("error"),
        MAX_OFFSETS,
        FAIL_ON_DATA_LOSS.default("true"),
        BUFFER_BYTES.default("64MiB"),
        METADATA_REFRESH.default("30 seconds"),
        READ_TIMEOUT.default("5 minutes"),
        CONNECT_TIMEOUT,
        PASSED_ON,
        STORAGE[0],
        STORAGE[1],
        STORAGE[2],
        STORAGE[3],
        STORAGE[4],
        STORAGE[5],
    ],
    example: "connector = 'eventhubs', event_hub = 'orders', connection_string = 'Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=read;SharedAccessKey=..', format = 'json'",
};

const ARCHIVE: OptionSpec = OptionSpec::new(
    "archive",
    OptionKind::Location,
    "what Event Hubs Capture (or the sink 'capture') has kept: a directory, or a URL of an object store. A new query reads \
     it from its beginning, and goes on in the event hub where it ends",
);
/// Options that go to Kafka's source as they are.
const HANDED_ON: [OptionSpec; 10] = [
    STARTING_OFFSETS,
    STARTING_TIMESTAMP,
    STARTING_BY_TIMESTAMP,
    STARTING_STRATEGY,
    MAX_OFFSETS,
    FAIL_ON_DATA_LOSS,
    BUFFER_BYTES,
    METADATA_REFRESH,
    READ_TIMEOUT,
    CONNECT_TIMEOUT,
];

/// Opens Event Hubs as a source.
pub struct EventHubsSourceConnector {
    clock: Arc<dyn Clock>,
}

impl EventHubsSourceConnector {
    /// With a clock for looking at the event hub again.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        EventHubsSourceConnector { clock }
    }
}

impl Default for EventHubsSourceConnector {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock::new()))
    }
}

#[async_trait]
impl SourceConnector for EventHubsSourceConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn default_schema(&self, _options: &Options) -> Option<SchemaRef> {
        Some(columns::schema())
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        let (table, options) = (&request.table, &request.options);
        let connection = Connection::of(table, options)?;
        let event_hub = connection.event_hub(table)?.to_owned();
        let of_kafka = of_kafka(table, options, &connection, &event_hub)?;
        let rows = request.framing.is_none().then(|| request.schema.clone());
        if let Some(schema) = &rows {
            check(table, schema, &columns::schema())?;
        }
        let keeps_headers = request.reads_headers || rows.as_ref().is_some_and(|rows| columns::has_properties(rows));
        let archive = match options.text(ARCHIVE.name) {
            Some(location) => {
                let layout = Layout::new(table, options.required("archive_name_format")?, &event_hub)?;
                let cache = options.bytes(BUFFER_BYTES.name).unwrap_or(64 << 20);
                Some(Archive::open(Files::open(location, options)?, layout, cache as usize).await?)
            }
            None => None,
        };
        let (clock, table, resume_from) = (self.clock.clone(), table.clone(), request.resume_from.clone());
        let opened = tokio::task::spawn_blocking(move || {
            KafkaSource::open_records(&table, &of_kafka, &resume_from, None, keeps_headers, clock)
        });
        let live =
            opened.await.context(Kind::Bug, || "the thread that had to open Event Hubs ended early".into())??;
        Ok(Box::new(EventHubsSource {
            live,
            archive,
            event_hub,
            rows,
            records_max: options.integer(MAX_OFFSETS.name),
            fail_on_data_loss: options.boolean(FAIL_ON_DATA_LOSS.name),
            live_ones: BTreeSet::new(),
            asked: BTreeSet::new(),
            has_more: false,
        }))
    }
}

/// The options of Kafka's source.
fn of_kafka(table: &str, options: &Options, connection: &Connection, event_hub: &str) -> Result<Options> {
    let mut given = connection.given(options);
    given.push(GivenOption::new("subscribe", event_hub));
    given.extend(options.text("consumer_group").map(|group| GivenOption::new(GROUP_ID.name, group)));
    for spec in HANDED_ON {
        given.extend(options.text(spec.name).map(|value| GivenOption::new(spec.name, value)));
    }
    if options.text(ARCHIVE.name).is_some() {
        let others = [STARTING_TIMESTAMP.name, STARTING_BY_TIMESTAMP.name];
        let starts = options.text(STARTING_OFFSETS.name).unwrap_or("earliest");
        if !starts.eq_ignore_ascii_case("earliest") || others.iter().any(|other| options.text(other).is_some()) {
            return Err(Error::invalid(format!("table '{table}' reads an archive, and that from its beginning"))
                .help("leave the starting options out, or leave 'archive' out"));
        }
        given.retain(|option| option.key != STARTING_OFFSETS.name);
        given.push(GivenOption::new(STARTING_OFFSETS.name, "earliest"));
    }
    Options::check(&format!("table '{table}'"), &[SOURCE.options], &given)
}

struct EventHubsSource {
    live: KafkaSource,
    archive: Option<Archive>,
    event_hub: String,
    /// The columns of a table without a format.
    rows: Option<SchemaRef>,
    records_max: Option<u64>,
    fail_on_data_loss: bool,
    /// Partitions that are read from the event hub itself from now on, and those for which that was asked.
    live_ones: BTreeSet<u32>,
    asked: BTreeSet<u32>,
    /// The archive may hold more than the last plan took.
    has_more: bool,
}

impl EventHubsSource {
    /// What there is to read in the archive; empty once the event hub itself has all that follows. The oldest files come
    /// first, so that the partitions move on together.
    async fn archived(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        let partitions = self.archive.as_ref().map(Archive::partitions).unwrap_or_default();
        let mut found = Vec::new();
        for partition in partitions {
            let split = split(&self.event_hub, partition);
            let until = match ask.until.as_ref().map(|until| until.get(&split)) {
                Some(None) => continue,
                until => until.flatten().unwrap_or(u64::MAX),
            };
            let Some((mut range, span)) = self.next_archived(partition, from.get(&split)).await? else { continue };
            range.to = range.to.min(until);
            if !range.is_empty() {
                found.push((span.time, span.bytes, range));
            }
        }
        found.sort_by_key(|(time, _, _)| *time);
        let (mut ranges, mut bytes) = (Vec::new(), 0);
        for (_, of_file, range) in found {
            if ask.bytes_max > 0 && bytes >= ask.bytes_max {
                break;
            }
            bytes += of_file;
            ranges.push(range);
        }
        let most = self.records_max.filter(|_| ask.rate_limited).unwrap_or(u64::MAX);
        Ok(limit::share(ranges, most.max(1)))
    }

    /// The next piece of the archive of a partition, and the file it is of; `None` once the event hub has what follows.
    /// `position` is `None` for a partition that was not read yet.
    async fn next_archived(&mut self, partition: u32, position: Option<u64>) -> Result<Option<(SplitRange, Span)>> {
        if self.live_ones.contains(&partition) {
            return Ok(None);
        }
        let mut from = position.unwrap_or(0);
        // after a start: the archive need not be searched for what the event hub has
        if position.is_some() && self.asked.insert(partition) && self.goes_live(partition, from).await? {
            return Ok(None);
        }
        let mut place = self.find(partition, from).await?;
        if !matches!(place, Place::In { .. }) && position.is_some() {
            if self.goes_live(partition, from).await? {
                return Ok(None);
            }
            // it may have grown since it was listed
            if let Some(archive) = &mut self.archive
                && archive.list().await?
            {
                place = archive.find(partition, from).await?;
            }
        }
        if let Place::Before(first) = place {
            // what was before the archive began is no loss
            if position.is_some() {
                self.lost(partition, from, first)?;
            }
            from = first;
            place = self.find(partition, from).await?;
        }
        match place {
            Place::In { name, span } => {
                let range = SplitRange::new(split(&self.event_hub, partition), from, span.end);
                Ok(Some((SplitRange { tag: name, ..range }, span)))
            }
            // the event hub says what it has no more
            Place::Before(_) | Place::Behind => {
                self.live_ones.insert(partition);
                Ok(None)
            }
        }
    }

    /// Whether the event hub has the events from a position on; then it is read from now on.
    async fn goes_live(&mut self, partition: u32, from: u64) -> Result<bool> {
        let oldest = self.live.oldest(&split(&self.event_hub, partition)).await?;
        let is_there = oldest.is_some_and(|oldest| oldest <= from);
        if is_there {
            tracing::info!(
                event_hub = self.event_hub,
                partition,
                from,
                "the archive is left: the event hub has what follows"
            );
            self.live_ones.insert(partition);
        }
        Ok(is_there)
    }

    async fn find(&mut self, partition: u32, position: u64) -> Result<Place> {
        match &mut self.archive {
            Some(archive) => archive.find(partition, position).await,
            None => Ok(Place::Behind),
        }
    }

    /// Events that are neither in the archive nor in the event hub any more.
    fn lost(&self, partition: u32, from: u64, to: u64) -> Result<()> {
        let hub = &self.event_hub;
        let what = format!(
            "event hub '{hub}', partition {partition}: events {from} to {to} are in no archive, and the event hub has \
             them no more"
        );
        if self.fail_on_data_loss {
            return Err(Error::new(Kind::Data, what).help(
                "put the missing archives back, or set fail_on_data_loss = 'false' to go on with what is there",
            ));
        }
        tracing::warn!(hub, partition, from, to, "{what}");
        Ok(())
    }

    fn with_columns(&self, chunk: Chunk) -> Result<Chunk> {
        let (Some(schema), Body::Records(events)) = (&self.rows, &chunk.body) else { return Ok(chunk) };
        let (_, partition) = topic_partition(&chunk.split)?;
        let at = events.offsets.first().copied().unwrap_or(0);
        let rows = columns::rows(schema, events, partition)?;
        Ok(Chunk { split: chunk.split, body: Body::Rows { rows, at } })
    }
}

#[async_trait]
impl Source for EventHubsSource {
    async fn latest(&mut self) -> Result<Offsets> {
        self.live.latest().await
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        let archived = self.archived(from, ask).await?;
        self.has_more = !archived.is_empty();
        if self.has_more { Ok(archived) } else { self.live.plan(from, ask).await }
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        let chunks = match &self.archive {
            _ if range.tag.is_empty() => self.live.read(range).await?,
            Some(archive) => {
                let events = archive.records(&range.tag).await?;
                let place = |position: u64| events.offsets.partition_point(|offset| *offset < position);
                let wanted = events.slice(place(range.from)..place(range.to));
                vec![Chunk { split: range.split.clone(), body: Body::Records(wanted) }]
            }
            None => {
                return Err(Error::invalid(format!("{range} was planned from the archive '{}'", range.tag))
                    .help("set the option 'archive' again; once the epoch is through it may be left out"));
            }
        };
        chunks.into_iter().map(|chunk| self.with_columns(chunk)).collect()
    }

    async fn wait(&mut self) {
        if !self.has_more {
            self.live.wait().await;
        }
    }

    async fn release(&mut self, offsets: &Offsets) -> Result<()> {
        self.live.release(offsets).await
    }
}
