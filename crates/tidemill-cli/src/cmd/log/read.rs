//! `tidemill log read`: records, one a line.

use super::Topic;
use clap::Args;
use serde_json::{Map, Value, json};
use std::io::Write as _;
use tidemill_connectors::log::LogReader;
use tidemill_core::source::Records;
use tidemill_core::{Error, Result};

/// Records read at a time.
const RECORDS_MAX: u64 = 10_000;

#[derive(Debug, Args)]
pub(super) struct Read {
    #[command(flatten)]
    topic: Topic,

    /// Only this partition.
    #[arg(long)]
    partition: Option<u32>,

    /// First offset of each partition; the oldest there is when not given.
    #[arg(long, value_name = "OFFSET")]
    from: Option<u64>,

    /// Most records.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,

    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Value)]
    format: Format,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// The bytes of the value.
    Value,
    /// An object with partition, offset, timestamp, key and value; what is no text is hexadecimal, under `key_hex` and `value_hex`.
    Json,
}

impl Read {
    pub(super) fn run(self) -> Result<u8> {
        let reader = LogReader::open(&self.topic.log, &self.topic.topic)?;
        let ends = reader.ends().to_vec();
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        for (end, number) in
            ends.iter().zip(0..).filter(|(_, number)| self.partition.is_none_or(|only| only == *number))
        {
            let part = reader.partition(number)?;
            let mut at = self.from.unwrap_or(0).max(part.start()?);
            while at < *end && left > 0 {
                let to = end.min(&(at + RECORDS_MAX.min(left))).to_owned();
                for piece in part.read(&(at..to))? {
                    for index in 0..piece.len() {
                        // a reader that goes away is no error of ours
                        if print(&mut out, self.format, number, &piece, index).is_err() {
                            return Ok(0);
                        }
                    }
                }
                left -= to - at;
                at = to;
            }
        }
        match self.partition.filter(|only| *only as usize >= ends.len()) {
            Some(only) => Err(Error::invalid(format!("topic '{}' has no partition {only}", self.topic.topic))
                .help(format!("it has {} partitions, counted from 0", ends.len()))),
            None => {
                let _ = out.flush();
                Ok(0)
            }
        }
    }
}

fn print(
    out: &mut impl std::io::Write,
    format: Format,
    partition: u32,
    piece: &Records,
    at: usize,
) -> std::io::Result<()> {
    match format {
        Format::Value => {
            out.write_all(piece.value(at).unwrap_or_default())?;
            out.write_all(b"\n")
        }
        Format::Json => {
            let mut record = Map::new();
            record.insert("partition".into(), partition.into());
            record.insert("offset".into(), piece.offsets[at].into());
            record.insert("timestamp_micros".into(), piece.timestamps[at].into());
            for (name, bytes) in [("key", piece.key(at)), ("value", piece.value(at))] {
                let (name, value) = match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
                    None => (name.to_owned(), Value::Null),
                    Some(Ok(text)) => (name.to_owned(), json!(text)),
                    Some(Err(bytes)) => (format!("{name}_hex"), json!(hex(bytes))),
                };
                record.insert(name, value);
            }
            writeln!(out, "{}", Value::Object(record))
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
