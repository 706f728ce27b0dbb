//! Rows of a file that is read whole and has columns of its own, Parquet or Avro: the wanted columns by name,
//! NULL where the file has none, and rejects where NULL must not be.

use super::json::encode::JsonEncoder;
use super::parquet::conform::conform;
use super::reject::{NULL_FIELD, reject};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatchOptions, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use tidemill_core::format::{Decoded, Encoder, Payloads, Reject};
use tidemill_core::{Error, Kind, Result, types};

/// Gives the columns of `schema`.
pub(crate) struct Wanted {
    pub schema: SchemaRef,
}

impl Wanted {
    /// The wanted columns of `read`, which is all that was read of `file`.
    ///
    /// # Errors
    /// A column that does not fit, or one that is missing and must not be NULL; the file is named.
    pub fn of(&self, file: &str, read: &RecordBatch) -> Result<Decoded> {
        let read_schema = read.schema();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            let column = column_of(&read_schema, field.name()).map(|index| read.column(index));
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
pub(crate) fn column_of(schema: &Schema, name: &str) -> Option<usize> {
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
