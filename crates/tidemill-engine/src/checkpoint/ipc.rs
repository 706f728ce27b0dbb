//! Batches as bytes: Arrow IPC streams, compressed. Large batches are cut, so that a reader needs little memory at a time.

use arrow::datatypes::SchemaRef;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::record_batch::RecordBatch;
use tidemill_core::{Error, Kind, Result, ResultExt};

/// Batches smaller than this are not compressed, in bytes.
const COMPRESS_BYTES_MIN: usize = 16 << 10;
/// Rows of one batch of a stream.
const ROWS_MAX: usize = 64 << 10;
/// Streams shorter than this are decoded by the thread that wants them, in bytes.
const AHEAD_BYTES_MIN: usize = 4 << 20;
/// How many batches wait for the thread that wants them.
const AHEAD_BATCHES: usize = 1;

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

/// Hands each batch of a stream to `take`, in order; long streams are decoded ahead, on a thread of their own.
///
/// # Errors
/// Bytes that are no stream; the first error of `take`.
pub fn each(bytes: &[u8], what: &str, mut take: impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
    if bytes.len() < AHEAD_BYTES_MIN {
        return batches(bytes, what)?.try_for_each(|batch| take(batch?));
    }
    std::thread::scope(|threads| {
        let (decoded, next) = std::sync::mpsc::sync_channel(AHEAD_BATCHES);
        let decoder = threads.spawn(move || -> Result<()> {
            for batch in batches(bytes, what)? {
                // nobody takes more after an error
                if decoded.send(batch?).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let taken = next.into_iter().try_for_each(&mut take);
        let decoded = decoder.join().unwrap_or_else(|_| Err(Error::bug("decoding a stream of batches panicked")));
        taken.and(decoded)
    })
}

/// All batches of a stream.
///
/// # Errors
/// Bytes that are no stream.
pub fn read(bytes: &[u8], what: &str) -> Result<Vec<RecordBatch>> {
    batches(bytes, what)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, UInt64Array};
    use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
    use std::sync::Arc;

    /// A stream long enough to be decoded ahead: numbers that do not compress.
    fn long(rows: u64) -> Vec<u8> {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::UInt64, false)]));
        let numbers = UInt64Array::from_iter_values((0..rows).map(|row| row.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        write(&schema, &[RecordBatch::try_new(schema.clone(), vec![Arc::new(numbers)]).unwrap()]).unwrap()
    }

    #[test]
    fn batches_that_are_decoded_ahead_come_in_order() {
        let bytes = long(1_000_000);
        assert!(bytes.len() > AHEAD_BYTES_MIN);
        let mut next = 0u64;
        each(&bytes, "it", |batch| {
            for number in batch.column(0).as_primitive::<UInt64Type>().values() {
                assert_eq!(*number, next.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                next += 1;
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(next, 1_000_000);
    }

    #[test]
    fn the_taker_and_the_decoder_may_both_fail() {
        let mut bytes = long(1_000_000);
        let error = each(&bytes, "it", |_| Err(Error::invalid("enough"))).unwrap_err();
        assert!(error.to_string().contains("enough"), "{error}");
        bytes.truncate(bytes.len() / 2);
        let error = each(&bytes, "the saved state", |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("the saved state cannot be read"), "{error}");
    }
}
