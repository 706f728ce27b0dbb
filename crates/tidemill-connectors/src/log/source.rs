//! The log as a source: topics of records with offsets.

use super::reader::LogReader;
use super::topic::names as topic_names;
use super::watch::Watch;
use crate::topics::starting::{Start, Starting};
use crate::topics::{check_subscribed, columns, limit, names, split, topic_partition};
use arrow::datatypes::SchemaRef;
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
        Ok(Box::new(LogSource::open(request)?))
    }
}

struct LogSource {
    root: PathBuf,
    topics: BTreeMap<String, LogReader>,
    starting: Starting,
    records_max: Option<u64>,
    fail_on_data_loss: bool,
    /// The columns of a table without a format.
    rows: Option<SchemaRef>,
    watch: Watch,
    /// False until a plan has taken all there is.
    drained: bool,
}

impl LogSource {
    fn open(request: SourceRequest) -> Result<LogSource> {
        let options = &request.options;
        let root = PathBuf::from(options.required("path")?);
        let mut watch = Watch::new();
        let mut topics = BTreeMap::new();
        for topic in names(options.required("topic")?) {
            let reader = LogReader::open(&root, &topic)?;
            watch.add(&root.join(&topic));
            topics.insert(topic, reader);
        }
        if topics.is_empty() {
            let there = topic_names(&root).unwrap_or_default().join(", ");
            return Err(Error::invalid(format!("table '{}' names no topic", request.table))
                .help(format!("topics in {}: {there}", root.display())));
        }
        check_subscribed(&request.table, &request.resume_from, |topic| topics.contains_key(topic))?;
        let rows = request.framing.is_none().then_some(request.schema);
        if let Some(schema) = &rows {
            columns::check(&request.table, schema)?;
        }
        Ok(LogSource {
            root,
            topics,
            starting: Starting::parse(options.required("starting_offsets")?)?,
            records_max: options.integer("max_offsets_per_trigger"),
            fail_on_data_loss: options.boolean("fail_on_data_loss"),
            rows,
            watch,
            drained: false,
        })
    }

    fn reader(&self, split: &str) -> Result<(&LogReader, u32)> {
        let (topic, partition) = topic_partition(split)?;
        let reader = self.topics.get(topic);
        let reader = reader.ok_or_else(|| Error::invalid(format!("this source does not read topic '{topic}'")))?;
        Ok((reader, partition))
    }

    /// Where a partition that the checkpoint does not know begins.
    fn first(&self, topic: &str, partition: u32, start: u64, end: u64) -> Result<u64> {
        match self.starting.of(topic, partition)? {
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
        let place = format!("topic '{topic}' in {}, partition {partition}", self.root.display());
        let message = if from < start {
            format!("{place}: offsets {from} to {start} were deleted before they were read")
        } else {
            format!("{place}: the position is {from}, and the log ends at {end}: it was made again or cut")
        };
        if self.fail_on_data_loss {
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
            let pins = from.get(split).is_none() && self.starting.of(topic, partition)? != Start::Earliest;
            if to > position || pins {
                let tag = reader.id().to_owned();
                ranges.push(SplitRange { split: split.clone(), from: position, to, tag });
            }
        }
        let wanted: u64 = ranges.iter().map(SplitRange::len).sum();
        let fitting = self.records_in(&ranges, ask.bytes_max)?;
        let most = self.records_max.filter(|_| ask.rate_limited).map_or(fitting, |most| most.min(fitting));
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
        if !self.fail_on_data_loss {
            wanted.start = wanted.start.max(part.start()?).min(wanted.end);
        }
        let pieces = tokio::task::spawn_blocking(move || part.read(&wanted)).await;
        let pieces = pieces.context(Kind::Bug, || format!("the thread that reads {range} ended early"))??;
        let (topic, partition) = topic_partition(&range.split)?;
        let chunk = |records: Records| -> Result<Chunk> {
            let body = match &self.rows {
                None => Body::Records(records),
                Some(schema) => Body::Rows {
                    at: records.offsets.first().copied().unwrap_or(range.from),
                    rows: columns::rows(schema, &records, topic, partition, 1)?,
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
}
