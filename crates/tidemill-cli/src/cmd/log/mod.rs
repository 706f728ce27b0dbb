//! `tidemill log`: topics of the embedded log, from outside of a pipeline.

mod append;
mod read;
mod stats;

use crate::output;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
use tidemill_connectors::log::{Durability, LogReader, LogWriter, TopicOptions, topics};
use tidemill_core::options::{parse_bytes, parse_duration};
use tidemill_core::{Error, Result};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Log {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a topic.
    Create(Create),
    /// List the topics of a log.
    List(List),
    /// Append records from standard input, one a line.
    Append(append::Append),
    /// Print records.
    Read(read::Read),
    /// Show what a topic holds, who has written it, and what its readers have committed.
    Stats(stats::Stats),
    /// Forget a reader that runs no more: what it has not committed is kept for it no longer.
    Forget(Forget),
}

/// A topic.
#[derive(Debug, Args)]
struct Topic {
    /// Directory of the log.
    #[arg(value_name = "LOG")]
    log: PathBuf,

    /// Name of the topic.
    topic: String,
}

/// How a topic is kept, by whoever writes it.
#[derive(Debug, Args)]
struct Keeping {
    /// Size at which the next file is begun, such as 64MiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    segment_bytes: Option<u64>,

    /// How long records are kept, and longer while a reader has not committed them; for ever when not given.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    retention: Option<Duration>,

    /// Bytes a partition keeps, the newest ones, and more while a reader has not committed them.
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    retention_bytes: Option<u64>,

    /// What an append survives.
    #[arg(long, value_enum, default_value_t = Survives::Synced)]
    durability: Survives,
}

/// What an append survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Survives {
    /// A power cut.
    Synced,
    /// A killed process.
    Cached,
}

impl Keeping {
    fn options(&self, partitions: Option<u32>) -> TopicOptions {
        let usual = TopicOptions::default();
        TopicOptions {
            partitions,
            segment_bytes_max: self.segment_bytes.unwrap_or(usual.segment_bytes_max),
            retention: self.retention,
            retention_bytes: self.retention_bytes,
            durability: match self.durability {
                Survives::Synced => Durability::Synced,
                Survives::Cached => Durability::Cached,
            },
            ..usual
        }
    }
}

#[derive(Debug, Args)]
struct Create {
    #[command(flatten)]
    topic: Topic,

    /// Number of partitions; it never changes.
    #[arg(long, default_value_t = 1)]
    partitions: u32,
}

#[derive(Debug, Args)]
struct List {
    /// Directory of the log.
    #[arg(value_name = "LOG")]
    log: PathBuf,
}

#[derive(Debug, Args)]
struct Forget {
    #[command(flatten)]
    topic: Topic,

    /// Name of the reader, as `stats` shows it.
    reader: String,
}

impl Log {
    /// Runs the verb.
    pub fn run(self) -> Result<u8> {
        match self.verb {
            Verb::Create(create) => create.run(),
            Verb::List(list) => list.run(),
            Verb::Append(append) => append.run(),
            Verb::Read(read) => read.run(),
            Verb::Stats(stats) => stats.run(),
            Verb::Forget(forget) => forget.run(),
        }
    }
}

impl Create {
    fn run(self) -> Result<u8> {
        let Topic { log, topic } = self.topic;
        if topics(&log).is_ok_and(|there| there.contains(&topic)) {
            return Err(Error::invalid(format!("there is a topic '{topic}' in {} already", log.display()))
                .help("`tidemill log stats` shows what it holds"));
        }
        LogWriter::open(&log, &topic, TopicOptions { partitions: Some(self.partitions), ..TopicOptions::default() })?;
        Ok(0)
    }
}

impl List {
    fn run(self) -> Result<u8> {
        topics(&self.log)?.iter().for_each(output::line);
        Ok(0)
    }
}

impl Forget {
    fn run(self) -> Result<u8> {
        let topic = LogReader::open(&self.topic.log, &self.topic.topic)?;
        if topic.forget_reader(&self.reader)? {
            return Ok(0);
        }
        let known = topic.readers()?.into_iter().map(|reader| reader.name).collect::<Vec<_>>().join(", ");
        Err(Error::invalid(format!("topic '{}' knows no reader '{}'", self.topic.topic, self.reader))
            .help(format!("it knows: {known}")))
    }
}
