//! The generator as a source: splits, plans, chunks and waiting. What a row holds is in `rows.rs`, when
//! it is due in `pace.rs`.

use super::broken::Breaker;
use super::pace::Pace;
use super::random::Random;
use super::rows::{Filling, Recipe, Row};
use crate::format::json::encode::JsonEncoder;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use tidemill_core::format::{Encoder, Payloads};
use tidemill_core::source::{Ask, Body, Chunk, Records, Source};
use tidemill_core::{Clock, Error, Kind, Offsets, Result, ResultExt, Split, SplitRange};

/// Rows of one chunk.
const CHUNK_ROWS: u64 = 32_768;

/// Purpose of the random numbers that break payloads.
const BREAK: u64 = 4;

/// A source of made-up rows.
pub(super) struct GeneratorSource {
    pub clock: Arc<dyn Clock>,
    pub pace: Pace,
    pub maker: Arc<Maker>,
    /// The first row is part of the splits' names, since a bounded source must know its end again.
    pub names_first_row: bool,
    /// About how many bytes a row has.
    pub row_bytes: u64,
    /// Position of each partition after the newest plan.
    pub planned: BTreeMap<u64, u64>,
}

/// Makes the rows of a range, and payloads of them where a format is to read them.
pub(super) struct Maker {
    pub pace: Pace,
    pub recipe: Recipe,
    pub filling: Filling,
    pub payloads: Option<PayloadMaker>,
}

/// Makes JSON payloads, some of them broken.
pub(super) struct PayloadMaker {
    pub encoder: JsonEncoder,
    pub breaker: Breaker,
    /// Share of broken payloads, 0 to 1.
    pub malformed: f64,
}

impl GeneratorSource {
    /// `generator-2`, or `generator@1500-2` when rows begin at row 1500.
    fn split(&self, partition: u64) -> Split {
        let first = if self.names_first_row { format!("@{}", self.pace.first) } else { String::new() };
        format!("generator{first}-{partition}").into()
    }

    /// Takes over the first row that the names of known splits hold.
    pub fn adopt(&mut self, known: &Offsets) {
        let first = known.0.keys().find_map(|split| split.strip_prefix("generator@")?.split('-').next()?.parse().ok());
        if let (true, Some(first)) = (self.names_first_row, first) {
            self.pace.first = first;
        }
    }
}

impl Maker {
    fn chunk(&self, split: &Split, partition: u64, positions: Range<u64>) -> Result<Chunk> {
        let at = positions.start;
        let rows: Vec<Row> = positions
            .map(|position| {
                let index = self.pace.index(partition, position);
                self.recipe.row(index, self.pace.due(index))
            })
            .collect();
        let batch = self.filling.batch(self.recipe.seed, &rows)?;
        let body = match &self.payloads {
            Some(maker) => Body::Records(maker.records(&batch, &rows, at, self.recipe.seed)?),
            None => Body::Rows { rows: batch, at },
        };
        Ok(Chunk { split: split.clone(), body })
    }
}

impl PayloadMaker {
    fn records(&self, batch: &RecordBatch, rows: &[Row], at: u64, seed: u64) -> Result<Records> {
        let mut good = Payloads::default();
        self.encoder.encode(batch, &mut good)?;
        let mut data = Vec::with_capacity(good.data.len());
        let mut values = Vec::with_capacity(rows.len());
        for (row, payload) in rows.iter().zip(good.iter()) {
            let start = data.len();
            let mut random = Random::new(seed, row.index, BREAK);
            if random.unit() < self.malformed {
                data.extend_from_slice(&self.breaker.broken(payload, &mut random));
            } else {
                data.extend_from_slice(payload);
            }
            values.push(Some(start..data.len()));
        }
        Ok(Records {
            data: data.into(),
            values,
            keys: vec![None; rows.len()],
            offsets: (at..at + rows.len() as u64).collect(),
            timestamps: rows.iter().map(|row| row.due).collect(),
            ..Records::default()
        })
    }
}

#[async_trait]
impl Source for GeneratorSource {
    async fn latest(&mut self) -> Result<Offsets> {
        let now = self.clock.now_micros();
        let newest = (0..self.pace.partitions)
            .filter_map(|partition| Some((self.split(partition), self.pace.newest(partition, now)?)));
        Ok(newest.collect())
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        self.adopt(from);
        let now = self.clock.now_micros();
        // No bound means as much as one epoch takes.
        let bytes_max = if ask.bytes_max == 0 { u64::MAX } else { ask.bytes_max };
        let rows_max = bytes_max / self.row_bytes / self.pace.partitions;
        let mut ranges = Vec::new();
        for partition in 0..self.pace.partitions {
            let split = self.split(partition);
            let start = from.get(&split).unwrap_or_else(|| self.pace.position(partition, self.pace.first));
            let mut end = self.pace.reach(partition, start, now, rows_max);
            if let Some(until) = &ask.until {
                end = end.min(until.get(&split).unwrap_or(0)).max(start);
            }
            self.planned.insert(partition, end);
            if end > start {
                ranges.push(SplitRange::new(split, start, end));
            }
        }
        Ok(ranges)
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        let partition = range.split.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
        let partition = partition.filter(|partition| *partition < self.pace.partitions).ok_or_else(|| {
            let count = self.pace.partitions;
            Error::invalid(format!("the generator has {count} partitions, and '{}' is none of them", range.split))
                .help("set option 'partitions' as it was when the query started, or start with a new checkpoint")
        })?;
        let (maker, range) = (self.maker.clone(), range.clone());
        let made = tokio::task::spawn_blocking(move || {
            let starts = (range.from..range.to).step_by(CHUNK_ROWS as usize);
            starts
                .map(|start| maker.chunk(&range.split, partition, start..(start + CHUNK_ROWS).min(range.to)))
                .collect()
        });
        made.await.context(Kind::Bug, || "the generator broke off".into())?
    }

    async fn wait(&mut self) {
        let now = self.clock.now_micros();
        let delays = (0..self.pace.partitions).filter_map(|partition| {
            let position = self.planned.get(&partition).copied();
            let position = position.unwrap_or_else(|| self.pace.position(partition, self.pace.first));
            self.pace.delay(partition, position, now)
        });
        match delays.min() {
            Some(delay) => tokio::time::sleep(delay).await,
            // Every row has been planned.
            None => std::future::pending().await,
        }
    }
}
