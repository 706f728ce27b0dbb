//! The contract of a source: where records come from.
//!
//! Order of calls: [`SourceConnector::open`]; then for every epoch [`Source::plan`], a durable write
//! of the plan by the engine, [`Source::read`] of each planned range; and once the epoch is
//! committed, [`Source::release`]. After a crash the engine reads the planned ranges again with no
//! `plan` before: the same range must give the same records.

use crate::describe::{Description, Guarantee};
use crate::error::Result;
use crate::format::Framing;
use crate::offsets::{Offsets, Split, SplitRange};
use crate::options::Options;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;

/// What a source needs to open.
#[derive(Debug, Clone)]
pub struct SourceRequest {
    /// The table's name, for messages.
    pub table: String,
    /// The declared columns that the pipeline reads, in order. Sources that make rows themselves
    /// give exactly these; the others leave it to the format.
    pub schema: SchemaRef,
    /// Checked options.
    pub options: Options,
    /// How the table's format finds records in bytes; `None` when the source makes rows itself.
    pub framing: Option<Framing>,
    /// The table's format reads the headers of records.
    pub reads_headers: bool,
    /// Positions the checkpoint holds; empty for a new query.
    pub resume_from: Offsets,
}

/// Names a source, describes it and opens it.
#[async_trait]
pub trait SourceConnector: Send + Sync {
    /// What it says of itself.
    fn describe(&self) -> &'static Description;

    /// What it promises with these options: less than its description says where an option that is left out weakens it.
    fn guarantee(&self, _options: &Options) -> Guarantee {
        self.describe().guarantee
    }

    /// Columns the source gives when the user declares none; `None` when the user must declare them.
    fn default_schema(&self, _options: &Options) -> Option<SchemaRef> {
        None
    }

    /// The same for a source that has to look for them.
    ///
    /// # Errors
    /// It cannot be looked at.
    fn schema(&self, options: &Options) -> Result<Option<SchemaRef>> {
        Ok(self.default_schema(options))
    }

    /// True for a source whose static tables are read whole, each time as they are at one moment. Their positions
    /// name that moment: [`Source::latest`] the newest one, and a range to it is all rows.
    fn reads_whole(&self) -> bool {
        false
    }

    /// Connects. A source that cannot be reached says so here, not at the first read.
    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>>;
}

/// Bounds of one epoch's read.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Read nothing beyond these positions, and no split that is absent; `None` for no such bound.
    pub until: Option<Offsets>,
    /// False to pass over the user's rate limit (trigger `once`).
    pub rate_limited: bool,
    /// About how many bytes one epoch may hold; a single record or file may exceed it.
    pub bytes_max: u64,
}

/// A source of records.
#[async_trait]
pub trait Source: Send + Sync {
    /// Newest position of every split, read or not. A split whose newest position is unknown is absent.
    async fn latest(&mut self) -> Result<Offsets>;

    /// What is new since `from`, within the bounds of `ask`. Empty when there is nothing. A split that
    /// `from` does not hold is new and is read from its start, or from where the options say.
    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>>;

    /// Reads one planned range, in order.
    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>>;

    /// Where a query ends that reads only what is there now: what [`Ask::until`] will hold. A source that does not
    /// know its newest positions gives others that it understands itself.
    async fn bound(&mut self) -> Result<Offsets> {
        self.latest().await
    }

    /// How far what was read last lies behind the newest record, in milliseconds, of splits where that is known.
    fn behind(&self) -> Vec<(Split, u64)> {
        Vec::new()
    }

    /// What the source calls the record at a position of the range read last, where a number does not say it.
    fn place_of(&self, _split: &str, _position: u64) -> Option<String> {
        None
    }

    /// Returns when there may be something new to plan. May return early; dropping the future is safe.
    async fn wait(&mut self);

    /// The positions are durable: what is behind them may be forgotten or acknowledged.
    async fn release(&mut self, _offsets: &Offsets) -> Result<()> {
        Ok(())
    }
}

/// A piece of a split, as it came from outside.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The split it belongs to.
    pub split: Split,
    /// What came.
    pub body: Body,
}

/// The content of a [`Chunk`].
#[derive(Debug, Clone)]
pub enum Body {
    /// Bytes in which the format finds the records itself: whole lines, or a whole file. `at` is the
    /// position of the first byte in the split.
    Stream { bytes: Bytes, at: u64 },
    /// One payload a record.
    Records(Records),
    /// Rows already, in the requested schema. `at` is the position of the first row in the split.
    Rows { rows: RecordBatch, at: u64 },
}

/// Payloads in one buffer, with what the source knows of each. All vectors have one entry a record.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// The buffer the ranges point into.
    pub data: Bytes,
    /// Payload of each record; `None` is a null payload (a tombstone).
    pub values: Vec<Option<Range<usize>>>,
    /// Key of each record.
    pub keys: Vec<Option<Range<usize>>>,
    /// Position of each record.
    pub offsets: Vec<u64>,
    /// When the record entered the source, in microseconds since 1970-01-01T00:00:00Z.
    pub timestamps: Vec<i64>,
    /// Headers of each record, in a form that only its source reads. Empty, and not an entry a record, when the
    /// source keeps none.
    pub headers: Vec<Option<Range<usize>>>,
}

impl Records {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Some of the records, over the same buffer.
    #[must_use]
    pub fn slice(&self, records: Range<usize>) -> Records {
        Records {
            data: self.data.clone(),
            values: self.values[records.clone()].to_vec(),
            keys: self.keys[records.clone()].to_vec(),
            offsets: self.offsets[records.clone()].to_vec(),
            timestamps: self.timestamps[records.clone()].to_vec(),
            headers: self.headers.get(records).unwrap_or_default().to_vec(),
        }
    }

    /// Payload of record `index`.
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        self.values[index].clone().map(|range| &self.data[range])
    }

    /// Key of record `index`.
    pub fn key(&self, index: usize) -> Option<&[u8]> {
        self.keys[index].clone().map(|range| &self.data[range])
    }

    /// Headers of record `index`, as its source packed them.
    pub fn headers(&self, index: usize) -> Option<&[u8]> {
        self.headers.get(index)?.clone().map(|range| &self.data[range])
    }
}
