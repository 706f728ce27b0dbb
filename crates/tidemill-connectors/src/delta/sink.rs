//! A Delta table as a sink.

use super::commit::{Commit, open};
use super::home::Home;
use super::marks;
use super::table::{Layout, Table};
use crate::marker;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::sink::{Marker, OutputMode, Sink, SinkConnector, SinkRequest, Writer};
use tidemill_core::{Clock, Epoch, Options, Result, SystemClock};

static DESCRIPTION: Description = Description {
    name: "delta",
    role: Role::Sink,
    summary: "writes a Delta Lake table, on a local disk or in an object store",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new(
            "path",
            OptionKind::Location,
            "directory or URL of the table (s3://, abfss://, az://); made when it is not there",
        )
        .required(),
        OptionSpec::new(
            "partition_by",
            OptionKind::Text,
            "columns that choose the directory, with commas between; fixed when the table is made",
        ),
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
    example: "connector = 'delta', path = 'data/daily_totals', partition_by = 'day'",
};

/// Opens a Delta table as a sink.
pub struct DeltaSinkConnector {
    clock: Arc<dyn Clock>,
}

impl DeltaSinkConnector {
    /// With a clock for the times that files carry.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        DeltaSinkConnector { clock }
    }
}

impl Default for DeltaSinkConnector {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock::new()))
    }
}

#[async_trait]
impl SinkConnector for DeltaSinkConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn modes(&self) -> &'static [OutputMode] {
        &[OutputMode::Append, OutputMode::Complete]
    }

    fn commit_interval(&self, _options: &Options) -> Duration {
        Duration::from_secs(1)
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let options = &request.options;
        let storage: HashMap<String, String> =
            options.with_prefix("storage.").map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let home = Home::new(options.required("path")?, storage)?;
        let partition_by: Vec<String> = options.text("partition_by").map(in_order).unwrap_or_default();
        let (table, layout) = open(home, &request.schema, &partition_by).await?;
        let replaces = request.mode == OutputMode::Complete;
        let held = table.transaction(&request.writer.id()).await?;
        Ok(Box::new(DeltaSink { table, layout, replaces, who: request.writer, held, clock: self.clock.clone() }))
    }
}

struct DeltaSink {
    table: Table,
    layout: Layout,
    replaces: bool,
    who: Writer,
    /// Our newest epoch in the table, as of the newest version we know; a later one takes our version.
    held: Option<u64>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Sink for DeltaSink {
    async fn marker(&mut self) -> Result<Marker> {
        self.table.reload().await?;
        if let Some(epoch) = self.table.transaction(&self.who.id()).await? {
            return Ok(Marker::At(Epoch(epoch)));
        }
        let all = marks::scan(&self.table.home, &self.table.log()).await?;
        Ok(marker::find(&self.who, all.iter().map(|(id, epoch)| (id.as_str(), *epoch))))
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        if self.held.is_some_and(|held| held >= epoch.0) {
            return Ok(());
        }
        let id = self.who.id();
        let commit =
            Commit { layout: &self.layout, replaces: self.replaces, transaction: Some((id.as_str(), epoch.0)) };
        commit.run(&mut self.table, rows, self.clock.as_ref()).await?;
        self.held = Some(epoch.0);
        Ok(())
    }
}

fn in_order(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
