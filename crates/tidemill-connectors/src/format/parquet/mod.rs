//! Parquet files, read whole: the wanted columns by name, NULL where a file has no such column.

pub(crate) mod conform;
#[cfg(test)]
mod tests;

use crate::format::json::encode::JsonEncoder;
use crate::format::reject::{NULL_FIELD, reject};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatchOptions, RecordBatchReader, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use conform::conform;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::sync::Arc;
use tidemill_core::describe::{Description, Guarantee, Role};
use tidemill_core::format::{Decoded, Decoder, Encoder, Format, Framing, Payloads, Reject};
use tidemill_core::source::{Body, Chunk};
use tidemill_core::{Error, Kind, Options, Result, ResultExt, types};

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
        Ok(Box::new(ParquetDecoder { schema }))
    }
}

struct ParquetDecoder {
    schema: SchemaRef,
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
            self.schema.fields().iter().map(|field| column_of(&file_schema, field.name())).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.iter().flatten().copied());
        let count = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let reader =
            builder.with_projection(mask).with_batch_size(count.max(1)).build().context(Kind::Data, unreadable)?;
        let read_schema = reader.schema();
        let batches = reader.collect::<Result<Vec<_>, _>>().context(Kind::Data, unreadable)?;
        let read = concat_batches(&read_schema, &batches).context(Kind::Data, unreadable)?;

        let mut columns: Vec<ArrayRef> = Vec::with_capacity(wanted.len());
        for (field, index) in self.schema.fields().iter().zip(&wanted) {
            let column = index.and_then(|index| read.column_by_name(file_schema.field(index).name()));
            columns.push(fit(file, field, column, read.num_rows())?);
        }
        self.rows(columns, read.num_rows())
    }

    /// The rows, without those that are NULL where they must not be.
    fn rows(&self, columns: Vec<ArrayRef>, count: usize) -> Result<Decoded> {
        let loose: Vec<Field> =
            self.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let rows = RecordBatch::try_new_with_options(Arc::new(Schema::new(loose)), columns, &options)?;
        let mut valid: Option<NullBuffer> = None;
        for (field, column) in self.schema.fields().iter().zip(rows.columns()) {
            if !field.is_nullable() {
                valid = NullBuffer::union(valid.as_ref(), column.logical_nulls().as_ref());
            }
        }
        let (rows, rejects) = match valid {
            Some(valid) if valid.null_count() > 0 => {
                let rejects = self.rejects(&rows, &valid)?;
                (filter_record_batch(&rows, &BooleanArray::new(valid.into_inner(), None))?, rejects)
            }
            _ => (rows, Vec::new()),
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), rows.columns().to_vec(), &options)?;
        Ok(Decoded { rows, rejects })
    }

    /// Rows with a NULL too many, as JSON: a row of a Parquet file has no bytes of its own. Their
    /// position is the number of the row.
    fn rejects(&self, rows: &RecordBatch, valid: &NullBuffer) -> Result<Vec<Reject>> {
        let bad = BooleanArray::new(BooleanBuffer::collect_bool(valid.len(), |row| valid.is_null(row)), None);
        let bad_rows = filter_record_batch(rows, &bad)?;
        let mut payloads = Payloads::default();
        JsonEncoder::new(bad_rows.schema(), true)?.encode(&bad_rows, &mut payloads)?;
        let numbers = (0..valid.len()).filter(|row| valid.is_null(*row));
        Ok(numbers
            .zip(payloads.iter())
            .map(|(row, bytes)| {
                let mut fields = self.schema.fields().iter().zip(rows.columns());
                let name = fields.find(|(field, column)| !field.is_nullable() && column.is_null(row));
                let name = name.map_or("", |(field, _)| field.name());
                reject(row as u64, bytes, NULL_FIELD, format!("column '{name}' is null and must not be (row {row})"))
            })
            .collect())
    }
}

/// The column of a file that is called `name`: in the same case first.
fn column_of(schema: &Schema, name: &str) -> Option<usize> {
    let fields = schema.fields();
    fields
        .iter()
        .position(|field| field.name() == name)
        .or_else(|| fields.iter().position(|field| field.name().to_lowercase() == name.to_lowercase()))
}

/// A file's column as the schema wants it.
fn fit(file: &str, field: &Field, column: Option<&ArrayRef>, rows: usize) -> Result<ArrayRef> {
    let Some(column) = column else {
        if field.is_nullable() {
            return Ok(new_null_array(field.data_type(), rows));
        }
        let name = field.name();
        return Err(Error::new(Kind::Data, format!("'{file}' has no column '{name}', which must not be null"))
            .help(format!("declare '{name}' without NOT NULL, or remove the file")));
    };
    conform(column, field.data_type()).map_err(|why| {
        let (name, of, wanted) = (field.name(), types::name(column.data_type()), types::name(field.data_type()));
        Error::new(Kind::Data, format!("column '{name}' of '{file}' is {of} and cannot be read as {wanted}: {why}"))
            .help(format!("declare '{name}' as {of}, and cast it in the query"))
    })
}
