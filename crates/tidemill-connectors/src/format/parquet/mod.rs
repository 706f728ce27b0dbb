//! Parquet files, read whole: the wanted columns by name, NULL where a file has no such column.

pub(crate) mod conform;
#[cfg(test)]
mod tests;

use crate::format::whole::{Wanted, column_of};
use arrow::array::RecordBatchReader;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidemill_core::describe::{Description, Guarantee, Role};
use tidemill_core::format::{Decoded, Decoder, Format, Framing};
use tidemill_core::source::{Body, Chunk};
use tidemill_core::{Error, Kind, Options, Result, ResultExt};

static DESCRIPTION: Description = Description {
    name: "parquet",
    role: Role::Format,
    summary: "Apache Parquet files.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[],
    example: "connector = 'files', path = 'in', format = 'parquet'",
};

/// The format `parquet`. It has no encoder: a Parquet file is not made of payloads.
pub struct Parquet;

impl Format for Parquet {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn framing(&self) -> Framing {
        Framing::Whole
    }

    fn decoder(&self, schema: SchemaRef, _options: &Options) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(ParquetDecoder { wanted: Wanted { schema } }))
    }
}

struct ParquetDecoder {
    wanted: Wanted,
}

impl Decoder for ParquetDecoder {
    /// # Errors
    /// A file that is not Parquet, or whose columns do not fit; the file is named.
    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        match &chunk.body {
            Body::Stream { bytes, at: 0 } => self.decode_file(&chunk.split, bytes.clone()),
            Body::Stream { at, .. } => {
                Err(Error::bug(format!("'{}' is Parquet and was cut into pieces (at byte {at})", chunk.split)))
            }
            Body::Records(_) | Body::Rows { .. } => {
                Err(Error::invalid(format!("format 'parquet' reads files, and '{}' is none", chunk.split)))
            }
        }
    }
}

impl ParquetDecoder {
    fn decode_file(&self, file: &str, bytes: Bytes) -> Result<Decoded> {
        let unreadable = || format!("'{file}' cannot be read as Parquet");
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).context(Kind::Data, unreadable)?;
        let file_schema = builder.schema().clone();
        let wanted: Vec<Option<usize>> =
            self.wanted.schema.fields().iter().map(|field| column_of(&file_schema, field.name())).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.iter().flatten().copied());
        let count = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let reader =
            builder.with_projection(mask).with_batch_size(count.max(1)).build().context(Kind::Data, unreadable)?;
        let read_schema = reader.schema();
        let batches = reader.collect::<Result<Vec<_>, _>>().context(Kind::Data, unreadable)?;
        let read = concat_batches(&read_schema, &batches).context(Kind::Data, unreadable)?;

        self.wanted.of(file, &read)
    }
}
