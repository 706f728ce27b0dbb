//! Files of a table, read back to be written anew: their rows in all columns of the table.

use super::errors::store_failed;
use super::home::Home;
use super::schema::fit;
use super::table::Layout;
use arrow::array::{ArrayRef, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use deltalake::kernel::Add;
use deltalake::logstore::LogStoreRef;
use object_store::ObjectStoreExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, ResultExt};

const BATCH_ROWS: usize = 8_192;

/// Whole content of a file.
///
/// # Errors
/// The file cannot be read; one with a deletion vector, whose rows are not all alive.
pub(crate) async fn content(home: &Home, log: &LogStoreRef, add: &Add) -> Result<Bytes> {
    if add.deletion_vector.is_some() {
        let (path, place) = (&add.path, &home.place);
        return Err(Error::invalid(format!("{path} of the delta table at {place} has a deletion vector"))
            .help("run REORG TABLE .. APPLY (PURGE) in Spark and set delta.enableDeletionVectors to false"));
    }
    let failure = |error| store_failed("read a file of", &home.place, error);
    let found = log.object_store(None).get(&home.location(&add.path)?).await.map_err(failure)?;
    found.bytes().await.map_err(failure)
}

/// The rows of a file in the table's columns; only those of `wanted` hold values, when it is given.
///
/// # Errors
/// A damaged file, or one that does not fit the table.
pub(crate) fn rows(
    content: Bytes,
    add: &Add,
    layout: &Layout,
    wanted: Option<&[String]>,
    place: &str,
) -> Result<Vec<RecordBatch>> {
    let damaged = || format!("{} of the delta table at {place} is damaged", add.path);
    let builder = ParquetRecordBatchReaderBuilder::try_new(content).context(Kind::Invalid, damaged)?;
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| wanted.iter().any(|column| column == name));
    let of_file = builder.schema().clone();
    let columns = of_file.fields().iter().enumerate().filter(|(_, field)| is_wanted(field.name()));
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns.map(|(at, _)| at));
    let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build();
    let mut all = Vec::new();
    for batch in reader.context(Kind::Invalid, damaged)? {
        let batch = with_partition(&batch.context(Kind::Invalid, damaged)?, add, layout, place)?;
        all.push(match wanted {
            None => fit(layout, &batch, place)?,
            Some(wanted) => fit(&layout.only(wanted), &batch, place)?,
        });
    }
    Ok(all)
}

/// The rows with a column for each of the partition's values.
fn with_partition(rows: &RecordBatch, add: &Add, layout: &Layout, place: &str) -> Result<RecordBatch> {
    let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().cloned().collect();
    let mut columns = rows.columns().to_vec();
    for name in &layout.partition_by {
        let field = layout.schema.field_with_name(name)?;
        let value = add.partition_values.get(name).cloned().flatten();
        columns.push(constant(value.as_deref(), field.data_type(), rows.num_rows()).map_err(|cause| {
            let path = &add.path;
            Error::invalid(format!("partition value '{name}' of {path} of the delta table at {place} cannot be read"))
                .caused_by(cause)
        })?);
        fields.push(Arc::new(field.clone()));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

/// A column of one value, given as the protocol writes it; an empty text is null.
pub(crate) fn constant(value: Option<&str>, of: &DataType, rows: usize) -> Result<ArrayRef> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(new_null_array(of, rows)) };
    let texts: ArrayRef = Arc::new(StringArray::from(vec![value; rows]));
    Ok(cast_with_options(&texts, of, &CastOptions { safe: false, ..CastOptions::default() })?)
}
