//! Batches as bytes: Arrow IPC streams, compressed.

use arrow::datatypes::SchemaRef;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::record_batch::RecordBatch;
use tidemill_core::{Kind, Result, ResultExt};

/// Batches smaller than this are not compressed, in bytes.
const COMPRESS_BYTES_MIN: usize = 16 << 10;

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
        writer.write(batch)?;
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

/// The batches of a stream.
///
/// # Errors
/// Bytes that are no stream.
pub fn read(bytes: &[u8], what: &str) -> Result<Vec<RecordBatch>> {
    let damaged = || format!("{what} cannot be read");
    let reader = StreamReader::try_new(bytes, None).context(Kind::Invalid, damaged)?;
    reader.map(|batch| batch.context(Kind::Invalid, damaged)).collect()
}
