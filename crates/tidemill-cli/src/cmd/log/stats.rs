//! `tidemill log stats`: what a topic holds, and who uses it.

use super::Topic;
use crate::output;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;
use tidemill_connectors::log::LogReader;
use tidemill_core::{Kind, Result, ResultExt as _};

#[derive(Debug, Args)]
pub(super) struct Stats {
    #[command(flatten)]
    topic: Topic,

    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Serialize)]
struct Report {
    topic: String,
    commits: u64,
    partitions: Vec<Partition>,
    /// Newest epoch of each writer.
    writers: BTreeMap<String, u64>,
    readers: Vec<Reader>,
}

#[derive(Debug, Serialize)]
struct Partition {
    number: u32,
    start: u64,
    end: u64,
    segments: usize,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Reader {
    name: String,
    is_running: bool,
    seen_micros: i64,
    committed: Vec<u64>,
    /// Records that it has not committed.
    lag: u64,
}

impl Stats {
    pub(super) fn run(self) -> Result<u8> {
        let reader = LogReader::open(&self.topic.log, &self.topic.topic)?;
        let report = report(self.topic.topic, &reader)?;
        match self.format {
            Format::Json => {
                output::line(
                    serde_json::to_string_pretty(&report).context(Kind::Bug, || "a report has no JSON".into())?,
                );
            }
            Format::Text => print(&report),
        }
        Ok(0)
    }
}

fn report(topic: String, reader: &LogReader) -> Result<Report> {
    let ends = reader.ends();
    let partitions = ends.iter().zip(0..).map(|(end, number)| {
        let part = reader.partition(number)?;
        Ok(Partition { number, start: part.start()?, end: *end, segments: part.segments()?, bytes: part.bytes()? })
    });
    let partitions = partitions.collect::<Result<Vec<_>>>()?;
    let readers = reader.readers()?.into_iter().map(|reader| {
        let committed = |at: usize| reader.positions.get(at).copied().unwrap_or(0);
        let lag =
            partitions.iter().enumerate().map(|(at, part)| part.end.saturating_sub(committed(at).max(part.start)));
        Reader {
            lag: lag.sum(),
            name: reader.name,
            is_running: reader.is_running,
            seen_micros: reader.seen_micros,
            committed: reader.positions.clone(),
        }
    });
    Ok(Report {
        topic,
        commits: reader.commits(),
        readers: readers.collect(),
        writers: reader.writers().map(|(id, epoch)| (id.to_owned(), epoch)).collect(),
        partitions,
    })
}

fn print(report: &Report) {
    output::line(format!("{}: {} commits", report.topic, report.commits));
    output::line("  partition        start          end   segments        bytes");
    for Partition { number, start, end, segments, bytes } in &report.partitions {
        output::line(format!("  {number:<9} {start:>12} {end:>12} {segments:>10} {bytes:>12}"));
    }
    for (writer, epoch) in &report.writers {
        output::line(format!("  writer {writer}: epoch {epoch}"));
    }
    for reader in &report.readers {
        let state = if reader.is_running { "runs" } else { "does not run" };
        output::line(format!("  reader {}: {state}, {} records behind", reader.name, reader.lag));
    }
}
