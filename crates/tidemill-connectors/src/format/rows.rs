//! The rows of one chunk as they grow, beside the records that could not become one: what the decoders
//! of text formats share. Must not know how a record is written.

use super::column::{CHUNK_BYTES_MAX, Column, finish_all};
use super::reject::reject;
use arrow::array::RecordBatchOptions;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tidemill_core::format::{Decoded, Reject};
use tidemill_core::{Error, Kind, Result};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Growing rows and rejects.
pub(crate) struct Rows {
    schema: SchemaRef,
    /// One a field. Between records each has [`Rows::count`] rows.
    pub columns: Vec<Column>,
    count: usize,
    rejects: Vec<Reject>,
    /// The whole chunk is known to be UTF-8, so that no record has to be looked at again.
    all_text: bool,
}

impl Rows {
    /// No rows yet, with room for about `capacity` that come out of `data`, a piece of `split`.
    ///
    /// # Errors
    /// A piece that is too long, or a type that has no column.
    pub fn new(schema: SchemaRef, split: &str, data: &[u8], capacity: usize) -> Result<Self> {
        if data.len() > CHUNK_BYTES_MAX {
            return Err(Error::new(Kind::Data, format!("a piece of '{split}' has {} bytes", data.len()))
                .help(format!("at most {CHUNK_BYTES_MAX} can be decoded at once: let the source read less an epoch")));
        }
        let fields = schema.fields();
        let columns = fields.iter().map(|field| Column::new(field.data_type(), capacity)).collect::<Result<_>>()?;
        Ok(Rows { schema, columns, count: 0, rejects: Vec::new(), all_text: std::str::from_utf8(data).is_ok() })
    }

    /// Number of rows.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Where `record` stops being UTF-8, if it does.
    #[inline]
    pub fn not_text(&self, record: &[u8]) -> Option<usize> {
        if self.all_text { None } else { std::str::from_utf8(record).err().map(|error| error.valid_up_to()) }
    }

    /// The row just written to all columns is good.
    #[inline]
    pub fn keep(&mut self) {
        self.count += 1;
    }

    /// The record is bad: whatever it wrote is cut off again.
    #[cold]
    pub fn reject(&mut self, offset: u64, record: &[u8], code: &'static str, reason: String) {
        let count = self.count;
        self.columns.iter_mut().for_each(|column| column.truncate(count));
        self.rejects.push(reject(offset, record, code, reason));
    }

    /// All of it.
    ///
    /// # Errors
    /// A bug: columns that do not line up.
    pub fn finish(self) -> Result<Decoded> {
        let arrays = finish_all(self.columns, self.schema.fields())?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        let rows = RecordBatch::try_new_with_options(self.schema, arrays, &options)?;
        Ok(Decoded { rows, rejects: self.rejects })
    }
}

/// About how many lines `bytes` hold, judged by how they begin.
pub(crate) fn lines_about(bytes: &[u8]) -> usize {
    const SAMPLE_BYTES: usize = 16 << 10;
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    let lines = memchr::memchr_iter(b'\n', sample).count() + 1;
    bytes.len() * lines / sample.len().max(1) + 1
}

/// Every line of `bytes` that is not blank, without its end (`\n` or `\r\n`), and where it begins in the
/// split; `at` is where `bytes` begin. A byte order mark at the start of the split is left out.
pub(crate) fn lines(bytes: &[u8], at: u64) -> impl Iterator<Item = (u64, &[u8])> {
    let mut start = if at == 0 && bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    memchr::memchr_iter(b'\n', bytes).chain([bytes.len()]).filter_map(move |end| {
        let (offset, line) = (at + start as u64, &bytes[start..end]);
        start = end + 1;
        let blank = line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        (!blank).then(|| (offset, line.strip_suffix(b"\r").unwrap_or(line)))
    })
}
