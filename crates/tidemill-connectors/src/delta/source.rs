//! A Delta table beside a stream: read whole, as it is at one version.

use super::errors::failed;
use super::home::Home;
use crate::format::parquet::conform::conform;
use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use deltalake::DeltaTable;
use futures::TryStreamExt;
use std::collections::HashMap;
use std::time::Duration;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::source::{Ask, Body, Chunk, Source, SourceConnector, SourceRequest};
use tidemill_core::{Error, Kind, Offsets, Result, SplitRange, types};

static DESCRIPTION: Description = Description {
    name: "delta",
    role: Role::Source,
    summary: "reads a Delta Lake table beside a stream (static = 'true'), and again when it has a new version",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new("path", OptionKind::Location, "directory or URL of the table (s3://, abfss://, az://)")
            .required(),
        OptionSpec::new("storage.aws_secret_access_key", OptionKind::Secret, "secret key for s3://"),
        OptionSpec::new("storage.azure_storage_account_key", OptionKind::Secret, "account key for abfss:// and az://"),
        OptionSpec::new(
            "storage.azure_storage_client_secret",
            OptionKind::Secret,
            "client secret for abfss:// and az://",
        ),
        OptionSpec::new(
            "storage.azure_storage_sas_token",
            OptionKind::Secret,
            "access signature for abfss:// and az://",
        ),
        OptionSpec::new("storage.*", OptionKind::Text, "an option of the object store, such as storage.aws_region"),
    ],
    example: "connector = 'delta', path = 'data/customers', static = 'true'",
};

/// The one split: its position is the version after the newest one known.
const SPLIT: &str = "version";

/// How often an idle reader looks for a new version.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Opens a Delta table to read it.
pub struct DeltaSourceConnector;

#[async_trait]
impl SourceConnector for DeltaSourceConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn reads_whole(&self) -> bool {
        true
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        let options = &request.options;
        let storage: HashMap<String, String> =
            options.with_prefix("storage.").map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let home = Home::existing(options.required("path")?, storage)?;
        let mut table = home.table()?;
        table.load().await.map_err(|error| failed("open", &home.place, error))?;
        Ok(Box::new(DeltaSource { home, table, schema: request.schema }))
    }
}

struct DeltaSource {
    home: Home,
    table: DeltaTable,
    schema: SchemaRef,
}

impl DeltaSource {
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
impl Source for DeltaSource {
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
            failed(&format!("read version {version} of"), &self.home.place, error)
                .help("an epoch is run again with the version it saw: keep old versions for as long as a stop may last")
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
