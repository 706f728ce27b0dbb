//! Rows of one file of a table: only the wanted columns are fetched and decoded, those of the partition come from
//! the log.

use crate::delta::errors::store_failed;
use crate::delta::read::constant;
use crate::format::parquet::conform::conform;
use crate::format::whole::column_of;
use arrow::array::{ArrayRef, new_null_array};
use arrow::datatypes::{Field, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use deltalake::kernel::Add;
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use std::collections::HashMap;
use std::error::Error as StdError;
use std::ops::Range;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, types};

const BATCH_ROWS: usize = 32_768;

/// How much of a file's end is fetched at once in search of its metadata, in bytes.
const FOOTER_BYTES: usize = 64 << 10;

/// A file of rows, as the log names it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DataFile {
    /// Below the table.
    pub path: String,
    pub bytes: u64,
    pub partition: HashMap<String, Option<String>>,
    /// Some of its rows are deleted, by a file beside it.
    pub has_vector: bool,
}

impl DataFile {
    pub fn of(add: &Add) -> Self {
        DataFile {
            path: add.path.clone(),
            bytes: u64::try_from(add.size).unwrap_or(0),
            partition: add.partition_values.clone(),
            has_vector: add.deletion_vector.is_some(),
        }
    }
}

/// Reads files of one table in the columns that a pipeline asks for.
pub(super) struct Scan {
    /// The table, for messages.
    pub place: String,
    pub store: Arc<dyn ObjectStore>,
    /// The columns that are asked for.
    pub wanted: SchemaRef,
    /// The table's columns that choose the directory, with their types.
    pub partition_by: Vec<Field>,
}

impl Scan {
    /// The rows of `file`; `None` when it is not there.
    ///
    /// # Errors
    /// A file that is damaged, does not fit, or has deleted rows in it; a store that does not answer.
    pub async fn rows(&self, file: &DataFile) -> Result<Option<Vec<RecordBatch>>> {
        let (path, place) = (&file.path, &self.place);
        if file.has_vector {
            return Err(Error::invalid(format!("'{path}' of the delta table at {place} has a deletion vector"))
                .help("run REORG TABLE .. APPLY (PURGE) in Spark and set delta.enableDeletionVectors to false"));
        }
        if path.contains("://") || path.starts_with('/') {
            return Err(Error::invalid(format!("'{path}' is a file outside of the delta table at {place}"))
                .help("shallow clones cannot be read: clone the table with its files"));
        }
        let location = Path::parse(path).map_err(|cause| {
            Error::invalid(format!("'{path}' is no file of the delta table at {place}")).caused_by(cause)
        })?;
        let reader = Reader { store: self.store.clone(), location, bytes: file.bytes };
        let builder = match ParquetRecordBatchStreamBuilder::new(reader).await {
            Err(error) if is_missing(&error) => return Ok(None),
            builder => builder.map_err(|error| self.failed(file, error))?,
        };
        let of_file = builder.schema().clone();
        let is_stored = |field: &Field| self.partition_field(field.name()).is_none();
        let stored = self.wanted.fields().iter().filter(|field| is_stored(field));
        let mask = ProjectionMask::roots(
            builder.parquet_schema(),
            stored.filter_map(|field| column_of(&of_file, field.name())),
        );
        let stream = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build();
        let stream = stream.map_err(|error| self.failed(file, error))?;
        let read: Vec<RecordBatch> = match stream.try_collect().await {
            Err(error) if is_missing(&error) => return Ok(None),
            read => read.map_err(|error| self.failed(file, error))?,
        };
        read.iter().map(|batch| self.fitted(file, batch)).collect::<Result<_>>().map(Some)
    }

    fn partition_field(&self, name: &str) -> Option<&Field> {
        self.partition_by.iter().find(|field| field.name().eq_ignore_ascii_case(name))
    }

    /// The wanted columns of rows that were read.
    fn fitted(&self, file: &DataFile, rows: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.wanted.fields().iter().map(|field| self.column(file, rows, field));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.wanted.clone(), columns, &options)?)
    }

    fn column(&self, file: &DataFile, rows: &RecordBatch, field: &Field) -> Result<ArrayRef> {
        let (name, path, place) = (field.name(), &file.path, &self.place);
        let column = match self.partition_field(name) {
            Some(of) => self.constant(file, of, rows.num_rows())?,
            None => match column_of(&rows.schema(), name) {
                Some(index) => rows.column(index).clone(),
                // the file is older than the column
                None => new_null_array(field.data_type(), rows.num_rows()),
            },
        };
        let column = conform(&column, field.data_type()).map_err(|why| {
            let (is, wanted) = (types::name(column.data_type()), types::name(field.data_type()));
            Error::new(
                Kind::Data,
                format!("column '{name}' of '{path}' in the delta table at {place} is {is}, not {wanted}: {why}"),
            )
        })?;
        if !field.is_nullable() && column.logical_null_count() > 0 {
            return Err(Error::new(
                Kind::Data,
                format!("column '{name}' of '{path}' in the delta table at {place} is null and must not be"),
            )
            .help(format!("declare '{name}' without NOT NULL")));
        }
        Ok(column)
    }

    fn constant(&self, file: &DataFile, of: &Field, rows: usize) -> Result<ArrayRef> {
        let found = file.partition.iter().find(|(name, _)| name.eq_ignore_ascii_case(of.name()));
        let value = found.and_then(|(_, value)| value.as_deref());
        constant(value, of.data_type(), rows).map_err(|cause| {
            let (name, path, place) = (of.name(), &file.path, &self.place);
            Error::new(
                Kind::Data,
                format!("partition value '{name}' of '{path}' in the delta table at {place} cannot be read"),
            )
            .caused_by(cause)
        })
    }

    fn failed(&self, file: &DataFile, error: ParquetError) -> Error {
        let (path, place) = (&file.path, &self.place);
        match error {
            ParquetError::External(cause) => match cause.downcast::<object_store::Error>() {
                Ok(store) => store_failed(&format!("read '{path}' of"), place, *store),
                Err(cause) => Error::new(
                    Kind::Io,
                    format!(
                        "cannot read '{path}' of the delta table at \
                                                  {place}"
                    ),
                )
                .caused_by(cause),
            },
            damaged => Error::new(Kind::Data, format!("'{path}' of the delta table at {place} is damaged"))
                .help("put the file back as it was written; the log names it")
                .caused_by(damaged),
        }
    }
}

/// True when an object is not there.
fn is_missing(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(object_store::Error::NotFound { .. }) = error.downcast_ref() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A file in an object store, of which ranges are fetched.
struct Reader {
    store: Arc<dyn ObjectStore>,
    location: Path,
    bytes: u64,
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.store.get_range(&self.location, range).map_err(external).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.location, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let bytes = self.bytes;
            let reader =
                ParquetMetaDataReader::new().with_arrow_reader_options(options).with_prefetch_hint(Some(FOOTER_BYTES));
            Ok(Arc::new(reader.load_and_finish(self, bytes).await?))
        }
        .boxed()
    }
}
