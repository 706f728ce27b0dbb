//! Drives a source and its decoder: what is new, read it, turn it into columns. Bad records leave
//! here for the dead letters.

use crate::checkpoint::record::CrashedRecord;
use crate::dataflow::SourceColumns;
use crate::dataflow::execute::Workers;
use crate::dead_letter::crash::pieces;
use crate::dead_letter::origin::{self, Origin};
use crate::dead_letter::screen::{self, Bad};
use crate::dead_letter::{Letter, Payload, Stage, Standing};
use crate::decode::TableDecoder;
use crate::pipeline::query::SourceTable;
use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;
use std::time::Duration;
use tidemill_core::format::Reject;
use tidemill_core::source::{Ask, Body, Chunk, Source, SourceRequest};
use tidemill_core::{Error, Kind, Offsets, Place, Result, Split, SplitRange};

/// A chunk larger than this is worth a thread of its own, in bytes.
const PARALLEL_BYTES_MIN: usize = 256 << 10;

/// Least time between two looks at the newest positions.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Longest that an epoch waits for such a look.
const LOOK_TIME_MAX: Duration = Duration::from_millis(500);

/// A source table while its query runs.
pub struct Ingest {
    /// The table.
    pub table: String,
    /// How far it has been planned.
    pub offsets: Offsets,
    /// The same before the epoch that is not committed yet, if there is one and it reads of this table.
    begun_with: Option<Offsets>,
    /// Newest positions seen, for lag; empty until they have been asked for.
    pub newest: Offsets,
    /// When they were last looked for.
    looked: Option<Duration>,
    source: Box<dyn Source>,
    /// What makes rows of what it brings.
    pub decoder: TableDecoder,
}

/// What an epoch has read from one table.
#[derive(Debug, Default)]
pub struct Read {
    /// Rows, in order.
    pub rows: Vec<RecordBatch>,
    /// The split of each batch.
    pub splits: Vec<Split>,
    /// Records set aside.
    pub letters: Vec<Letter>,
    /// Those among them that were not even decoded, because they end the process.
    crashed: Vec<CrashedRecord>,
    /// The replay these records come from; 0 when they come from the source.
    pub replay: u64,
    /// What that replay holds of the table.
    pub replayed: Vec<Chunk>,
    /// When each good or bad record entered the source, in microseconds, where the source knows.
    pub entered: Vec<i64>,
    /// Bytes read.
    pub bytes: u64,
}

impl Read {
    /// Rows read.
    pub fn row_count(&self) -> u64 {
        self.rows.iter().map(|rows| rows.num_rows() as u64).sum()
    }
}

impl Ingest {
    /// Opens a table's source at `offsets`.
    ///
    /// # Errors
    /// The source cannot be reached, a column the format cannot give.
    pub async fn open(table: &SourceTable, columns: &SourceColumns, offsets: Offsets) -> Result<Self> {
        let decoder = TableDecoder::new(table, columns)?;
        let request = SourceRequest {
            table: table.name.clone(),
            schema: decoder.requested().clone(),
            options: table.options.clone(),
            framing: decoder.framing,
            reads_headers: decoder.reads_headers,
            resume_from: offsets.clone(),
        };
        Ok(Ingest {
            table: table.name.clone(),
            newest: Offsets::default(),
            looked: None,
            offsets,
            begun_with: None,
            source: table.connector.open(request).await?,
            decoder,
        })
    }

    /// All columns of a table that is read whole, from its start.
    ///
    /// # Errors
    /// As [`Ingest::open`].
    pub async fn of_whole(table: &SourceTable) -> Result<Self> {
        let all: Vec<usize> = (0..table.columns.fields().len()).collect();
        let attributes =
            table.columns.fields().iter().zip(0u32..).map(|(field, id)| crate::pipeline::plan::Attribute {
                id,
                name: field.name().clone(),
                data_type: field.data_type().clone(),
                watermark: None,
                window_part: None,
            });
        let columns = SourceColumns { table: table.name.clone(), columns: all, attributes: attributes.collect() };
        Ingest::open(table, &columns, Offsets::default()).await
    }

    /// What is new, within bounds.
    pub async fn plan(&mut self, ask: &Ask) -> Result<Vec<SplitRange>> {
        self.source.plan(&self.offsets, ask).await
    }

    /// Newest positions now.
    pub async fn latest(&mut self) -> Result<Offsets> {
        self.newest = self.source.latest().await?;
        Ok(self.newest.clone())
    }

    /// Where a query ends that reads only what is there now.
    pub async fn bound(&mut self) -> Result<Offsets> {
        self.source.bound().await
    }

    /// How far behind the newest record the splits are, in milliseconds: table, split, time.
    pub fn behind(&self) -> Vec<(String, String, u64)> {
        let own = |(split, millis): (Split, u64)| (self.table.clone(), split.to_string(), millis);
        self.source.behind().into_iter().map(own).collect()
    }

    /// Notes the newest positions for the lag, at most once a second; `now` is [`tidemill_core::Clock::elapsed`].
    /// Not to learn them is no error: the lag is then not known.
    pub async fn look(&mut self, now: Duration) {
        if self.looked.is_some_and(|looked| now.saturating_sub(looked) < LOOK_INTERVAL) {
            return;
        }
        self.looked = Some(now);
        let found = tokio::time::timeout(LOOK_TIME_MAX, self.source.latest()).await;
        self.newest = found.ok().and_then(Result::ok).unwrap_or_default();
    }

    /// Returns when there may be something new.
    pub async fn wait(&mut self) {
        self.source.wait().await;
    }

    /// Moves on over what an epoch reads. It is not committed yet.
    pub fn advance(&mut self, ranges: &[SplitRange]) {
        if !ranges.is_empty() {
            self.begun_with.get_or_insert_with(|| self.offsets.clone());
            self.offsets.advance(ranges);
        }
    }

    /// The epoch is committed.
    pub fn commit(&mut self) {
        self.begun_with = None;
    }

    /// What is committed is durable.
    pub async fn release(&mut self) -> Result<()> {
        self.source.release(self.begun_with.as_ref().unwrap_or(&self.offsets)).await
    }

    /// Reads planned ranges, and looks up what their records need to be decoded.
    pub async fn fetch(&self, ranges: &[SplitRange]) -> Result<Vec<Chunk>> {
        let mut chunks = Vec::new();
        for range in ranges {
            chunks.extend(self.source.read(range).await?);
        }
        self.decoder.prepare(&chunks).await?;
        Ok(chunks)
    }

    /// Decodes chunks, large ones in parallel.
    ///
    /// # Errors
    /// A file that cannot be read at all.
    pub fn decode(&self, chunks: Vec<Chunk>, workers: &Workers) -> Result<Read> {
        let bytes: usize = chunks.iter().map(chunk_bytes).sum();
        let worth = if bytes >= PARALLEL_BYTES_MIN { usize::MAX } else { 0 };
        let mut read = Read { bytes: bytes as u64, ..Read::default() };
        for chunk in &chunks {
            if let Body::Records(records) = &chunk.body {
                read.entered.extend_from_slice(&records.timestamps);
            }
        }
        for (split, rows, rejects) in workers.map(chunks, worth, |chunk| self.decoder.decode(chunk))? {
            read.rows.push(rows);
            read.letters.extend(rejects.into_iter().map(|reject| {
                let place = self.source.place_of(&split, reject.offset);
                letter(&split, reject, place)
            }));
            read.splits.push(split);
        }
        Ok(read)
    }

    /// Where the rows of a split came from, read again from the ranges of their epoch or from the replay;
    /// `None` for those whose records cannot be told apart. In the order of the rows.
    ///
    /// # Errors
    /// The ranges cannot be read any more.
    async fn origins(&self, read: &Read, ranges: &[SplitRange], split: &Split) -> Result<Vec<Option<Origin>>> {
        let chunks = match read.replay {
            0 => self.fetch(&ranges.iter().filter(|range| range.split == *split).cloned().collect::<Vec<_>>()).await?,
            _ => read.replayed.iter().filter(|chunk| chunk.split == *split).cloned().collect(),
        };
        let (chunks, _) = pieces::without(&read.crashed, &self.table, read.replay, self.decoder.framing, chunks);
        let mut origins = Vec::new();
        for chunk in chunks {
            let body = chunk.body.clone();
            let (_, rows, rejects) = self.decoder.decode(chunk)?;
            match origin::of_rows(&body, self.decoder.framing, rows.num_rows(), &rejects) {
                Some(known) => origins.extend(known.into_iter().map(Some)),
                None => origins.resize(origins.len() + rows.num_rows(), None),
            }
        }
        Ok(origins)
    }

    /// Takes bad rows out of what an epoch has read, and makes letters of them.
    ///
    /// # Errors
    /// As [`Ingest::origins`].
    pub async fn set_aside(&self, read: &mut Read, bad: &Bad, ranges: &[SplitRange]) -> Result<()> {
        let mut origins: BTreeMap<Split, Vec<Option<Origin>>> = BTreeMap::new();
        for ((batch, row), error) in bad {
            let split = read.splits[*batch].clone();
            if !origins.contains_key(&split) {
                origins.insert(split.clone(), self.origins(read, ranges, &split).await?);
            }
            let before = read.rows.iter().zip(&read.splits).take(*batch).filter(|(_, of)| **of == split);
            let number = row + before.map(|(rows, _)| rows.num_rows()).sum::<usize>();
            let origin = origins.get(&split).and_then(|origins| origins.get(number)).cloned().flatten();
            let place = origin.as_ref().filter(|_| read.replay == 0);
            let place = place.and_then(|(offset, _)| self.source.place_of(&split, *offset));
            let (standing, payload) = match origin {
                Some((offset, Some(bytes))) => (Standing::At(offset), Payload::Original(bytes)),
                Some((offset, None)) => {
                    (Standing::At(offset), Payload::Row(self.decoder.json(&read.rows[*batch], *row)))
                }
                None => (Standing::Row(number as u64), Payload::Row(self.decoder.json(&read.rows[*batch], *row))),
            };
            let letter = Letter::of_row(split, standing, payload, error, read.replay);
            read.letters.push(Letter { place: letter.place.clone().or(place), ..letter });
        }
        if !bad.is_empty() {
            read.rows = screen::without(&read.rows, bad)?;
        }
        Ok(())
    }

    /// Decodes an epoch's chunks without the records that are known to end the process.
    ///
    /// # Errors
    /// As [`Ingest::decode`].
    pub fn decode_but(&self, crashed: &[CrashedRecord], chunks: Vec<Chunk>, workers: &Workers) -> Result<Read> {
        let (chunks, letters) = pieces::without(crashed, &self.table, 0, self.decoder.framing, chunks);
        let mut read = self.decode(chunks, workers)?;
        read.letters.extend(letters);
        Ok(Read { crashed: crashed.to_vec(), ..read })
    }

    /// Decodes the records of a replay, without those that are known to end the process.
    ///
    /// # Errors
    /// As [`Ingest::decode`].
    pub fn replay(
        &self,
        number: u64,
        crashed: &[CrashedRecord],
        chunks: Vec<Chunk>,
        workers: &Workers,
    ) -> Result<Read> {
        let (left, letters) = pieces::without(crashed, &self.table, number, self.decoder.framing, chunks.clone());
        let mut read = self.decode(left, workers)?;
        read.letters.extend(letters);
        read.letters.iter_mut().for_each(|letter| letter.replay = number);
        read.entered.clear();
        Ok(Read { replay: number, replayed: chunks, crashed: crashed.to_vec(), ..read })
    }
}

/// The letter of a record that its decoder refused.
fn letter(split: &Split, reject: Reject, place: Option<String>) -> Letter {
    Letter {
        split: split.clone(),
        standing: Standing::At(reject.offset),
        stage: Stage::Decode,
        code: reject.code.to_owned(),
        reason: reject.reason,
        place,
        payload: Payload::Original(reject.bytes),
        replay: 0,
    }
}

fn chunk_bytes(chunk: &Chunk) -> usize {
    match &chunk.body {
        Body::Stream { bytes, .. } => bytes.len(),
        Body::Records(records) => records.data.len(),
        Body::Rows { rows, .. } => rows.get_array_memory_size(),
    }
}

/// Reads a whole table that does not stream.
///
/// # Errors
/// The source cannot be reached, or a record of it is bad.
pub async fn read_whole(table: &SourceTable, until: Option<Offsets>) -> Result<(RecordBatch, Offsets)> {
    let mut ingest = Ingest::of_whole(table).await?;
    let until = match until {
        Some(until) => until,
        None => ingest.latest().await?,
    };
    let seen = until.clone();
    let workers = Workers::new(1)?;
    let ask = Ask { until: Some(until), rate_limited: false, bytes_max: u64::MAX };
    let mut rows = Vec::new();
    loop {
        let ranges = ingest.plan(&ask).await?;
        if ranges.is_empty() {
            break;
        }
        let chunks = ingest.fetch(&ranges).await?;
        let read = ingest.decode(chunks, &workers)?;
        if let Some(bad) = read.letters.first() {
            let message = format!("the table '{}' has a bad record: {}", table.name, bad.reason);
            let offset = match bad.standing {
                Standing::At(offset) | Standing::Row(offset) => offset,
            };
            let place = Place::Record { source: table.name.clone(), partition: bad.split.to_string(), offset };
            return Err(Error::new(Kind::Data, message).at(place));
        }
        rows.extend(read.rows);
        ingest.advance(&ranges);
    }
    Ok((arrow::compute::concat_batches(&ingest.decoder.inner, &rows)?, seen))
}
