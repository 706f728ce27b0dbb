//! One Parquet file in memory, and its statistics.

use super::stats::Statistics;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tidemill_core::{Kind, Result, ResultExt};

/// A file that is being encoded.
pub(crate) struct Encoder {
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
    statistics: Statistics,
}

fn failed() -> String {
    "cannot encode rows as parquet".to_owned()
}

impl Encoder {
    /// A file of rows with these columns.
    ///
    /// # Errors
    /// A type that Parquet has not.
    pub(crate) fn new(schema: SchemaRef) -> Result<Encoder> {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).context(Kind::Bug, failed)?;
        Ok(Encoder { schema, writer, statistics: Statistics::default() })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// The library refuses them.
    pub(crate) fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        self.statistics.add(rows);
        self.writer.write(rows).context(Kind::Bug, failed)
    }

    /// About how many bytes the file has.
    pub(crate) fn bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// The file and its statistics as JSON.
    ///
    /// # Errors
    /// The library cannot end the file.
    pub(crate) fn finish(self) -> Result<(Vec<u8>, String)> {
        let content = self.writer.into_inner().context(Kind::Bug, failed)?;
        let is_nested = |name: &str| self.schema.field_with_name(name).is_ok_and(|field| field.data_type().is_nested());
        Ok((content, self.statistics.finish(is_nested)))
    }
}
