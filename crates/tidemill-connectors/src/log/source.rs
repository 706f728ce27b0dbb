//! The log as a source: topics of records with offsets.

use super::reader::LogReader;
use super::readers::Registration;
use super::topic::names as topic_names;
use super::watch::Watch;
use crate::topics::starting::{Start, Starting};
use crate::topics::{check_subscribed, columns, limit, names, split, topic_partition};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::source::{Ask, Body, Chunk, Records, Source, SourceConnector, SourceRequest};
use tidemill_core::{Error, Kind, Offsets, Options, Result, ResultExt, SplitRange};

/// Fewer records than these are read without a look at their size.
const RECORDS_UNWEIGHED: u64 = 1_000;

static DESCRIPTION: Description = Description {
    name: "log",
    role: Role::Source,
    summary: "reads topics of the embedded durable log",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new("path", OptionKind::Location, "the directory of the log").required(),
        OptionSpec::new("topic", OptionKind::Text, "the topic to read, or several with commas between")
            .aliases(&["subscribe"])
            .required(),
        OptionSpec::new(
            "starting_offsets",
            OptionKind::Text,
            r#"where a new query begins: earliest, latest, or {"topic": {"0": 23, "1": -2}}; -2 is earliest, -1 is latest"#,
        )
        .default("earliest"),
        OptionSpec::new("max_offsets_per_trigger", OptionKind::Integer, "records an epoch reads at most"),
        OptionSpec::new(
            "fail_on_data_loss",
            OptionKind::Boolean,
            "stop when records that were not read yet are gone; false goes on with a warning",
        )
        .default("true"),
        OptionSpec::new(
            "reader",
            OptionKind::Text,
            "the name under which the topic notes what this query has committed, so that retention does not delete what it \
             has not read; default: the table's name",
        ),
    ],
    example: "connector = 'log', path = 'data/log', topic = 'events', format = 'json'",
};

/// Opens the log as a source.
#[derive(Debug, Default)]
pub struct LogSourceConnector;

#[async_trait]
impl SourceConnector for LogSourceConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn default_schema(&self, _options: &Options) -> Option<SchemaRef> {
        Some(columns::default_schema())
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        let options = &request.options;
        let rows = match &request.framing {
            None => Some(plain_rows(&request.table, &request.schema)?),
            Some(_) => None,
        };
        let reading = Reading {
            root: PathBuf::from(options.required("path")?),
            topics: names(options.required("topic")?),
            starting: Starting::parse(options.required("starting_offsets")?)?,
            records_max: options.integer("max_offsets_per_trigger"),
            fail_on_data_loss: options.boolean("fail_on_data_loss"),
            reader: options.text("reader").unwrap_or(&request.table).to_owned(),
            rows,
            table: request.table,
        };
        Ok(Box::new(LogSource::open(reading, &request.resume_from)?))
    }
}

/// Makes rows of the records of one partition, for a table without a format.
pub(crate) type Rows = Box<dyn Fn(&Records, &str, u32) -> Result<RecordBatch> + Send + Sync>;

/// Rows of Spark's columns, and `headers`.
///
/// # Errors
/// A column that is none of these.
pub(crate) fn plain_rows(table: &str, schema: &SchemaRef) -> Result<Rows> {
    columns::check(table, schema, &columns::schema_with_headers())?;
    let schema = schema.clone();
    Ok(Box::new(move |records, topic, partition| columns::rows(&schema, records, topic, partition, 1)))
}

/// What is read, and how.
pub(crate) struct Reading {
    /// The table's name, for messages.
    pub(crate) table: String,
    pub(crate) root: PathBuf,
    pub(crate) topics: Vec<String>,
    pub(crate) starting: Starting,
    pub(crate) records_max: Option<u64>,
    pub(crate) fail_on_data_loss: bool,
    /// Under which name the topic notes what is committed.
    pub(crate) reader: String,
    /// For a table without a format.
    pub(crate) rows: Option<Rows>,
}

/// Topics of the log, read.
pub(crate) struct LogSource {
    reading: Reading,
    topics: BTreeMap<String, LogReader>,
    /// Where what is committed is noted, by topic, except where the directory may only be read. `None` as long as
    /// nothing was: a table that is read once keeps nothing from being deleted.
    registrations: Option<BTreeMap<String, Registration>>,
    watch: Watch,
    /// False until a plan has taken all there is.
    drained: bool,
}

impl LogSource {
    /// Opens the topics, at the positions of a checkpoint.
    ///
    /// # Errors
    /// A topic that is not there, or a position of one that is not read.
    pub(crate) fn open(reading: Reading, resume_from: &Offsets) -> Result<LogSource> {
        let mut watch = Watch::new();
        let mut topics = BTreeMap::new();
        for topic in &reading.topics {
            let reader = LogReader::open(&reading.root, topic)?;
            watch.add(&reading.root.join(topic));
            topics.insert(topic.clone(), reader);
        }
        if topics.is_empty() {
            let there = topic_names(&reading.root).unwrap_or_default().join(", ");
            return Err(Error::invalid(format!("table '{}' names no topic", reading.table))
                .help(format!("topics in {}: {there}", reading.root.display())));
        }
        check_subscribed(&reading.table, resume_from, |topic, _| topics.contains_key(topic))?;
        let mut source = LogSource { reading, topics, registrations: None, watch, drained: false };
        if !resume_from.0.is_empty() {
            source.note(resume_from)?;
        }
        Ok(source)
    }

    /// Makes the topics know this reader.
    fn register(&self) -> Result<BTreeMap<String, Registration>> {
        let mut registrations = BTreeMap::new();
        for (topic, reader) in &self.topics {
            match Registration::open(reader.paths(), &self.reading.reader) {
                Ok(registration) => {
                    registrations.insert(topic.clone(), registration);
                }
                Err(error) if matches!(error.kind(), Kind::Denied | Kind::Io) => {
                    let error = error.chain();
                    tracing::warn!(topic, error, "retention cannot be told what this reader has committed");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(registrations)
    }

    /// Tells the topics what is committed.
    fn note(&mut self, offsets: &Offsets) -> Result<()> {
        let registrations = match self.registrations.take() {
            Some(registrations) => registrations,
            None => self.register()?,
        };
        for (topic, registration) in &registrations {
            let partitions = self.topics.get(topic).map_or(0, |reader| reader.ends().len() as u32);
            let positions: Vec<u64> =
                (0..partitions).map(|partition| offsets.get(&split(topic, partition)).unwrap_or(0)).collect();
            registration.note(&positions)?;
        }
        self.registrations = Some(registrations);
        Ok(())
    }

    /// Positions between `from` and the newest, and the bytes of them, estimated by the mean size of the records that
    /// are kept.
    ///
    /// # Errors
    /// A topic cannot be looked at.
    pub(crate) fn backlog_bytes(&self, from: &Offsets) -> Result<u64> {
        let mut bytes = 0;
        for (topic, reader) in &self.topics {
            for (end, partition) in reader.ends().iter().zip(0..) {
                let part = reader.partition(partition)?;
                let (start, size) = (part.start()?, part.bytes()?);
                let open = end.saturating_sub(from.get(&split(topic, partition)).unwrap_or(0).max(start));
                bytes += (u128::from(size) * u128::from(open) / u128::from((end - start.min(*end)).max(1))) as u64;
            }
        }
        Ok(bytes)
    }

    fn reader(&self, split: &str) -> Result<(&LogReader, u32)> {
        let (topic, partition) = topic_partition(split)?;
        let reader = self.topics.get(topic);
        let reader = reader.ok_or_else(|| Error::invalid(format!("this source does not read topic '{topic}'")))?;
        Ok((reader, partition))
    }

    /// Where a partition that the checkpoint does not know begins.
    fn first(&self, topic: &str, partition: u32, start: u64, end: u64) -> Result<u64> {
        match self.reading.starting.of(topic, partition)? {
            Start::Earliest => Ok(start),
            Start::Latest => Ok(end),
            Start::At(offset) if (start..=end).contains(&offset) => Ok(offset),
            Start::At(offset) => Err(Error::invalid(format!(
                "'starting_offsets' is {offset} for topic '{topic}', partition {partition}, which holds {start} to {end}"
            ))),
        }
    }

    /// Checks that `from` is a position the partition has; the position to go on from.
    fn check_position(&self, topic: &str, partition: u32, from: u64, start: u64, end: u64) -> Result<u64> {
        if (start..=end).contains(&from) {
            return Ok(from);
        }
        let place = format!("topic '{topic}' in {}, partition {partition}", self.reading.root.display());
        let message = if from < start {
            format!("{place}: offsets {from} to {start} were deleted before they were read")
        } else {
            format!("{place}: the position is {from}, and the log ends at {end}: it was made again or cut")
        };
        if self.reading.fail_on_data_loss {
            return Err(Error::new(Kind::Data, message)
                .help("set fail_on_data_loss = 'false' to go on with what is there, or start with a new checkpoint"));
        }
        tracing::warn!(topic, partition, from, start, end, "{message}");
        Ok(start)
    }

    /// About how many records of `ranges` fit `bytes_max`, by the mean size of those there are.
    fn records_in(&self, ranges: &[SplitRange], bytes_max: u64) -> Result<u64> {
        let (mut records, mut bytes) = (0, 0);
        if bytes_max == 0 || ranges.iter().map(SplitRange::len).sum::<u64>() < RECORDS_UNWEIGHED {
            return Ok(u64::MAX);
        }
        for range in ranges {
            let (reader, partition) = self.reader(&range.split)?;
            let part = reader.partition(partition)?;
            bytes += part.bytes()?;
            records += range.to - part.start()?.min(range.to);
        }
        Ok((u128::from(bytes_max) * u128::from(records.max(1)) / u128::from(bytes.max(1))).max(1) as u64)
    }
}

#[async_trait]
impl Source for LogSource {
    async fn latest(&mut self) -> Result<Offsets> {
        let mut latest = Offsets::default();
        for (topic, reader) in &mut self.topics {
            let ends = reader.refresh()?;
            latest.0.extend(ends.iter().zip(0..).map(|(end, partition)| (split(topic, partition), *end)));
        }
        Ok(latest)
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        let latest = self.latest().await?;
        if self.registrations.is_none() && (ask.rate_limited || ask.until.is_none()) {
            self.note(from)?;
        }
        let mut ranges = Vec::new();
        for (split, end) in &latest.0 {
            let (reader, partition) = self.reader(split)?;
            let (topic, _) = topic_partition(split)?;
            let position = from.get(split);
            if position == Some(*end) {
                continue;
            }
            let start = reader.partition(partition)?.start()?;
            let position = match position {
                None => self.first(topic, partition, start, *end)?,
                Some(position) => self.check_position(topic, partition, position, start, *end)?,
            };
            let to = match ask.until.as_ref().map(|until| until.get(split)) {
                None => *end,
                Some(Some(until)) => until.clamp(position, (*end).max(position)),
                Some(None) => continue,
            };
            // a beginning that would be another one after a restart is pinned by an empty range
            let pins = from.get(split).is_none() && self.reading.starting.of(topic, partition)? != Start::Earliest;
            if to > position || pins {
                let tag = reader.id().to_owned();
                ranges.push(SplitRange { tag, ..SplitRange::new(split.clone(), position, to) });
            }
        }
        let wanted: u64 = ranges.iter().map(SplitRange::len).sum();
        let fitting = self.records_in(&ranges, ask.bytes_max)?;
        let most = self.reading.records_max.filter(|_| ask.rate_limited).map_or(fitting, |most| most.min(fitting));
        self.drained = wanted <= most;
        Ok(limit::share(ranges, most.max(1)))
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        let (reader, partition) = self.reader(&range.split)?;
        if !range.tag.is_empty() && range.tag != reader.id() {
            return Err(Error::new(
                Kind::Data,
                format!("{range}: the topic was deleted and made again since it was planned"),
            )
            .help("start with a new checkpoint"));
        }
        let part = reader.partition(partition)?.clone();
        let mut wanted = range.from..range.to;
        if !self.reading.fail_on_data_loss {
            wanted.start = wanted.start.max(part.start()?).min(wanted.end);
        }
        let pieces = tokio::task::spawn_blocking(move || part.read(&wanted)).await;
        let pieces = pieces.context(Kind::Bug, || format!("the thread that reads {range} ended early"))??;
        let (topic, partition) = topic_partition(&range.split)?;
        let chunk = |records: Records| -> Result<Chunk> {
            let body = match &self.reading.rows {
                None => Body::Records(records),
                Some(rows) => Body::Rows {
                    at: records.offsets.first().copied().unwrap_or(range.from),
                    rows: rows(&records, topic, partition)?,
                },
            };
            Ok(Chunk { split: range.split.clone(), body })
        };
        pieces.into_iter().map(chunk).collect()
    }

    async fn wait(&mut self) {
        if self.drained {
            self.watch.until(|| self.topics.values().any(LogReader::has_news)).await;
        }
    }

    async fn release(&mut self, offsets: &Offsets) -> Result<()> {
        self.note(offsets)
    }
}
