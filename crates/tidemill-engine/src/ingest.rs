//! Drives a source and its decoder: what is new, read it, turn it into columns. Bad records leave
//! here for the dead letters.

use crate::dataflow::SourceColumns;
use crate::dataflow::execute::Workers;
use crate::dead_letter::origin::{self, Origin};
use crate::dead_letter::screen::{self, Bad};
use crate::dead_letter::{Letter, Payload, Stage, Standing};
use crate::pipeline::plan::{inner_schema, outer_schema};
use crate::pipeline::query::SourceTable;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::format::{Decoder, Framing, Reject};
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
    /// Newest positions seen, for lag; empty until they have been asked for.
    pub newest: Offsets,
    /// When they were last looked for.
    looked: Option<Duration>,
    source: Box<dyn Source>,
    decoder: Option<Box<dyn Decoder>>,
    /// The decoded columns that go on, and what they are called inside the engine.
    kept: Vec<usize>,
    inner: SchemaRef,
    /// The same under the names people know.
    named: SchemaRef,
    framing: Option<Framing>,
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
        let declared = &table.columns;
        // columns that must not be NULL are decoded even if nobody reads them: a record is checked whole
        let unread = (0..declared.fields().len())
            .filter(|position| !columns.columns.contains(position) && !declared.field(*position).is_nullable());
        let by_position = table.format.as_ref().is_some_and(|format| format.by_position());
        let wanted: Vec<usize> = match by_position {
            true => (0..declared.fields().len()).collect(),
            false => columns.columns.iter().copied().chain(unread).collect(),
        };
        let place = |column: &usize| wanted.iter().position(|wanted| wanted == column);
        let kept = columns.columns.iter().filter_map(place).collect();
        let schema: SchemaRef = Arc::new(Schema::new(
            wanted.iter().map(|position| declared.fields()[*position].clone()).collect::<Vec<_>>(),
        ));
        let decoder = match &table.format {
            Some(format) => Some(format.decoder(schema.clone(), &table.options)?),
            None => None,
        };
        let request = SourceRequest {
            table: table.name.clone(),
            schema,
            options: table.options.clone(),
            framing: table.format.as_ref().map(|format| format.framing()),
            resume_from: offsets.clone(),
        };
        Ok(Ingest {
            table: table.name.clone(),
            newest: Offsets::default(),
            looked: None,
            offsets,
            source: table.connector.open(request).await?,
            decoder,
            kept,
            inner: inner_schema(&columns.attributes),
            named: outer_schema(&columns.attributes),
            framing: table.format.as_ref().map(|format| format.framing()),
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

    /// The positions are durable.
    pub async fn release(&mut self, offsets: &Offsets) -> Result<()> {
        self.source.release(offsets).await
    }

    /// Reads planned ranges.
    pub async fn fetch(&self, ranges: &[SplitRange]) -> Result<Vec<Chunk>> {
        let mut chunks = Vec::new();
        for range in ranges {
            chunks.extend(self.source.read(range).await?);
        }
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
        for (split, rows, rejects) in workers.map(chunks, worth, |chunk| self.decode_one(chunk))? {
            read.rows.push(rows);
            read.letters.extend(rejects.into_iter().map(|reject| letter(&split, reject)));
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
        let mut origins = Vec::new();
        for chunk in chunks {
            let body = chunk.body.clone();
            let (_, rows, rejects) = self.decode_one(chunk)?;
            match origin::of_rows(&body, self.framing, rows.num_rows(), &rejects) {
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
            let (standing, payload) = match origin {
                Some((offset, Some(bytes))) => (Standing::At(offset), Payload::Original(bytes)),
                Some((offset, None)) => (Standing::At(offset), Payload::Row(self.json(&read.rows[*batch], *row))),
                None => (Standing::Row(number as u64), Payload::Row(self.json(&read.rows[*batch], *row))),
            };
            read.letters.push(Letter::of_row(split, standing, payload, error, read.replay));
        }
        if !bad.is_empty() {
            read.rows = screen::without(&read.rows, bad)?;
        }
        Ok(())
    }

    /// A row as a JSON object, with the names people know.
    pub fn json(&self, rows: &RecordBatch, row: usize) -> String {
        let named = RecordBatch::try_new(self.named.clone(), rows.slice(row, 1).columns().to_vec());
        let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
        let written = named.and_then(|named| writer.write(&named)).and_then(|()| writer.finish());
        match written {
            Ok(()) => String::from_utf8_lossy(&writer.into_inner()).trim_end().to_owned(),
            Err(_) => String::new(),
        }
    }

    /// Decodes the records of a replay.
    ///
    /// # Errors
    /// As [`Ingest::decode`].
    pub fn replay(&self, number: u64, chunks: Vec<Chunk>, workers: &Workers) -> Result<Read> {
        let mut read = self.decode(chunks.clone(), workers)?;
        read.letters.iter_mut().for_each(|letter| letter.replay = number);
        read.entered.clear();
        Ok(Read { replay: number, replayed: chunks, ..read })
    }

    /// Where a body begins, for errors that concern all of it.
    fn place_of(&self, split: &Split, body: &Body) -> Place {
        let offset = match body {
            Body::Stream { at, .. } | Body::Rows { at, .. } => *at,
            Body::Records(records) => records.offsets.first().copied().unwrap_or(0),
        };
        Place::Record { source: self.table.clone(), partition: split.to_string(), offset }
    }

    fn decode_one(&self, chunk: Chunk) -> Result<(Split, RecordBatch, Vec<Reject>)> {
        let split = chunk.split.clone();
        let (rows, rejects) = match (chunk.body, &self.decoder) {
            (Body::Rows { rows, .. }, _) => (rows, vec![]),
            (body, Some(decoder)) => {
                let place = self.place_of(&split, &body);
                let decoded = decoder.decode(&Chunk { split: chunk.split, body });
                let decoded = decoded.map_err(|error| error.at_if_unplaced(Some(place)))?;
                (decoded.rows, decoded.rejects)
            }
            (_, None) => {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("table '{}' reads bytes but names no format", self.table),
                )
                .help("add format = 'json' to its options"));
            }
        };
        let columns = self.kept.iter().map(|position| rows.column(*position).clone()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let renamed = RecordBatch::try_new_with_options(self.inner.clone(), columns, &options)?;
        Ok((split, renamed, rejects))
    }
}

/// The letter of a record that its decoder refused.
fn letter(split: &Split, reject: Reject) -> Letter {
    Letter {
        split: split.clone(),
        standing: Standing::At(reject.offset),
        stage: Stage::Decode,
        code: reject.code.to_owned(),
        reason: reject.reason,
        place: None,
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
        ingest.offsets.advance(&ranges);
    }
    Ok((arrow::compute::concat_batches(&ingest.inner, &rows)?, seen))
}
