//! A Delta table beside a stream: read whole, as it is at one version.

use crate::delta::errors::failed;
use crate::delta::home::Home;
use crate::format::parquet::conform::conform;
use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use deltalake::DeltaTable;
use futures::TryStreamExt;
use std::time::Duration;
use tidemill_core::source::{Ask, Body, Chunk, Source};
use tidemill_core::{Error, Kind, Offsets, Result, SplitRange, types};

/// The one split: its position is the version after the newest one known.
const SPLIT: &str = "version";

/// How often an idle reader looks for a new version.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// An open table.
pub(super) struct DeltaTableSource {
    home: Home,
    table: DeltaTable,
    schema: SchemaRef,
}

impl DeltaTableSource {
    /// Opens the table at `home` in the columns of `schema`.
    ///
    /// # Errors
    /// There is none.
    pub async fn open(home: Home, schema: SchemaRef) -> Result<Self> {
        let mut table = home.table()?;
        table.load().await.map_err(|error| failed("open", &home.place, error))?;
        Ok(DeltaTableSource { home, table, schema })
    }

    /// The declared columns of a batch of the table.
    fn fitted(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            let place = &self.home.place;
            let found = rows.schema().fields().iter().position(|known| known.name().eq_ignore_ascii_case(field.name()));
            let column = found.ok_or_else(|| {
                Error::invalid(format!("the delta table at {place} has no column '{}'", field.name()))
            })?;
            let column = rows.column(column);
            columns.push(conform(column, field.data_type()).map_err(|why| {
                let (is, wanted) = (types::name(column.data_type()), types::name(field.data_type()));
                let name = field.name();
                Error::invalid(format!(
                    "column '{name}' of the delta table at {place} is of type {is}, not {wanted}: {why}"
                ))
            })?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

#[async_trait]
impl Source for DeltaTableSource {
    async fn latest(&mut self) -> Result<Offsets> {
        let updated = self.table.update_incremental(None).await;
        updated.map_err(|error| failed("read the log of", &self.home.place, error))?;
        let mut offsets = Offsets::default();
        offsets.advance(&[SplitRange::new(SPLIT, 0, self.table.version().map_or(0, |version| version + 1))]);
        Ok(offsets)
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        let until = match &ask.until {
            Some(until) => until.clone(),
            None => self.latest().await?,
        };
        let (read, to) = (from.get(SPLIT).unwrap_or(0), until.get(SPLIT).unwrap_or(0));
        Ok(if to > read { vec![SplitRange::new(SPLIT, read, to)] } else { vec![] })
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        let version = range.to - 1;
        let failure = |error| {
            failed(&format!("read version {version} of"), &self.home.place, error).help(
                "an epoch is run again with the version it saw: keep old versions for as long as a stop may \
                       last",
            )
        };
        let mut table = self.home.table()?;
        table.load_version(version).await.map_err(failure)?;
        let (_, stream) = table.scan_table().await.map_err(failure)?;
        let batches: Vec<RecordBatch> = stream.try_collect().await.map_err(|error| {
            Error::new(Kind::Io, format!("cannot read the delta table at {}", self.home.place)).caused_by(error)
        })?;
        let mut chunks = Vec::with_capacity(batches.len());
        for rows in &batches {
            let body = Body::Rows { rows: self.fitted(rows)?, at: 0 };
            chunks.push(Chunk { split: range.split.clone(), body });
        }
        Ok(chunks)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
