//! The contract of a format: bytes to columns, and columns to bytes.
//!
//! A bad record is a result, not a failure: it comes back as a [`Reject`] beside the good rows.
//! Decoders and encoders are plain functions over data; many threads may use one at a time.

use crate::describe::Description;
use crate::error::Result;
use crate::options::Options;
use crate::source::Chunk;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;

/// How a format finds records in a file or byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A record a line: a file may be cut at any line end and read in pieces.
    Lines,
    /// Only a whole file can be read.
    Whole,
    /// Only single payloads; not for files.
    Payloads,
}

/// What a decoder gives for one chunk.
#[derive(Debug)]
pub struct Decoded {
    /// The good rows, in order, in the requested schema.
    pub rows: RecordBatch,
    /// The bad ones, in order.
    pub rejects: Vec<Reject>,
}

/// A record that could not become a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Position in the split: the record's offset, or that of its first byte.
    pub offset: u64,
    /// The payload as it came.
    pub bytes: Vec<u8>,
    /// A short code for grouping: `MALFORMED`, `WRONG_TYPE`, `MISSING_FIELD`, `NULL_FIELD`, `UNKNOWN_SCHEMA`.
    pub code: &'static str,
    /// What is wrong with it, for people; at most [`REASON_BYTES_MAX`].
    pub reason: String,
}

/// Longest reason a reject carries, in bytes.
pub const REASON_BYTES_MAX: usize = 1024;

/// Names a format, describes it and builds its two halves.
pub trait Format: Send + Sync {
    /// What it says of itself.
    fn describe(&self) -> &'static Description;

    /// How it finds records in a file.
    fn framing(&self) -> Framing;

    /// True when it finds columns by their position in a record, as CSV does: its decoder must be given
    /// every declared column, in order, and not only those that the pipeline reads.
    fn by_position(&self) -> bool {
        false
    }

    /// True when it finds the schemas of payloads in the table's registry by what they carry, so that the table may name a
    /// registry without a subject.
    fn reads_registry(&self) -> bool {
        false
    }

    /// True when it reads the headers of records.
    fn reads_headers(&self) -> bool {
        false
    }

    /// A decoder that gives the columns of `schema`. A field that is not nullable must be present and
    /// not null in every record.
    ///
    /// # Errors
    /// A column type the format cannot give.
    fn decoder(&self, schema: SchemaRef, options: &Options) -> Result<Box<dyn Decoder>>;

    /// An encoder for rows of `schema`; `None` when the format only reads.
    ///
    /// # Errors
    /// A column type the format cannot write.
    fn encoder(&self, _schema: SchemaRef, _options: &Options) -> Result<Option<Box<dyn Encoder>>> {
        Ok(None)
    }
}

/// Bytes to columns.
#[async_trait]
pub trait Decoder: Send + Sync {
    /// Looks up outside what the records of `chunks` need to be read, such as the schemas they name. Called before they
    /// are decoded; the only call that may wait.
    ///
    /// # Errors
    /// What is asked does not answer, or refuses.
    async fn prepare(&self, _chunks: &[Chunk]) -> Result<()> {
        Ok(())
    }

    /// Decodes one chunk. Fails only for our own mistakes or unreadable files, never for a bad record.
    fn decode(&self, chunk: &Chunk) -> Result<Decoded>;
}

/// Columns to payloads.
#[async_trait]
pub trait Encoder: Send + Sync {
    /// Makes known outside what readers of the payloads need, such as their schema. Called once, before the first rows.
    ///
    /// # Errors
    /// What is told does not answer, or refuses.
    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    /// One payload a row, appended to `out`.
    fn encode(&self, rows: &RecordBatch, out: &mut Payloads) -> Result<()>;

    /// What stands before the first payload of a file, such as the names of CSV columns.
    fn header(&self) -> Option<Vec<u8>> {
        None
    }
}

/// Payloads in one buffer.
#[derive(Debug, Default)]
pub struct Payloads {
    /// The bytes of all payloads, one after the other.
    pub data: Vec<u8>,
    /// End of each payload in `data`.
    pub ends: Vec<usize>,
}

impl Payloads {
    /// Each payload in turn.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.ends.iter().scan(0, |start, &end| {
            let payload = &self.data[*start..end];
            *start = end;
            Some(payload)
        })
    }
}
