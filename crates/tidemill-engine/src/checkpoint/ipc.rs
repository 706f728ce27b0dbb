//! Batches as bytes: Arrow IPC streams, compressed. Large batches are cut, so that a reader needs little memory at a time.

use arrow::datatypes::SchemaRef;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::record_batch::RecordBatch;
use tidemill_core::{Kind, Result, ResultExt};

/// Batches smaller than this are not compressed, in bytes.
const COMPRESS_BYTES_MIN: usize = 16 << 10;
/// Rows of one batch of a stream.
const ROWS_MAX: usize = 64 << 10;

/// Batches of one schema as a stream.
///
/// # Errors
/// A type the format cannot write, which is a bug.
pub fn write(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let large = batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>() >= COMPRESS_BYTES_MIN;
    let compression = large.then_some(CompressionType::LZ4_FRAME);
    let options = IpcWriteOptions::default().try_with_compression(compression)?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), schema, options)?;
    for batch in batches {
        for start in (0..batch.num_rows().max(1)).step_by(ROWS_MAX) {
            writer.write(&batch.slice(start, ROWS_MAX.min(batch.num_rows() - start)))?;
        }
    }
    writer.finish()?;
    Ok(writer.into_inner()?)
}

/// The columns of a stream.
///
/// # Errors
/// Bytes that are no stream.
pub fn schema(bytes: &[u8], what: &str) -> Result<SchemaRef> {
    let reader = StreamReader::try_new(bytes, None).context(Kind::Invalid, || format!("{what} cannot be read"))?;
    Ok(reader.schema())
}

/// The batches of a stream, one after another.
///
/// # Errors
/// Bytes that are no stream.
pub fn batches(bytes: &[u8], what: &str) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
    let damaged = move || format!("{what} cannot be read");
    let reader = StreamReader::try_new(bytes, None).context(Kind::Invalid, damaged)?;
    Ok(reader.map(move |batch| batch.context(Kind::Invalid, damaged)))
}

/// All batches of a stream.
///
/// # Errors
/// Bytes that are no stream.
pub fn read(bytes: &[u8], what: &str) -> Result<Vec<RecordBatch>> {
    batches(bytes, what)?.collect()
}
