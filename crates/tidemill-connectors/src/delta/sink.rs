//! A Delta table as a sink.

use super::commit::{Change, Commit};
use super::compact::Compaction;
use super::files::Shape;
use super::home::Home;
use super::keys::Keys;
use super::marks;
use super::merge::Merger;
use super::open::{Asked, open};
use super::options::{DESCRIPTION, Settings};
use super::table::{Layout, Table};
use super::upkeep::Upkeep;
use crate::marker;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::describe::Description;
use tidemill_core::sink::{Marker, OutputMode, Sink, SinkConnector, SinkRequest, Writer};
use tidemill_core::{Clock, Epoch, Options, Result, SystemClock};

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

    fn commit_interval(&self, _options: &Options) -> Duration {
        Duration::from_secs(1)
    }

    fn local_directory(&self, options: &Options) -> Option<PathBuf> {
        Home::local(options.text("path")?)
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let settings = Settings::of(&request.options, request.mode)?;
        let home = Home::new(&settings.path, settings.storage.clone())?;
        let asked = Asked {
            schema: &request.schema,
            partition_by: &settings.partition_by,
            merge_schema: settings.merge_schema,
            properties: &settings.properties,
        };
        let (table, layout) = open(home, &asked).await?;
        let change = match request.mode {
            OutputMode::Complete => Change::Replace,
            _ if settings.primary_key.is_empty() => Change::Append,
            _ => Change::Merge(Merger::new(Keys::new(&settings.primary_key, &layout)?)),
        };
        // what is replaced as a whole has no old files
        let files_min = if matches!(change, Change::Replace) { 0 } else { settings.compact_files_min };
        Ok(Box::new(DeltaSink {
            held: table.transaction(&request.writer.id()).await?,
            upkeep: Upkeep::new(settings.vacuum, &table)?,
            compaction: Compaction::new(files_min),
            table,
            layout,
            change,
            schema: request.schema,
            target_bytes: settings.target_bytes,
            who: request.writer,
            clock: self.clock.clone(),
        }))
    }
}

struct DeltaSink {
    table: Table,
    layout: Layout,
    change: Change,
    compaction: Compaction,
    upkeep: Upkeep,
    /// Columns of the rows.
    schema: SchemaRef,
    target_bytes: u64,
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
        let (schema, target_bytes) = (&self.schema, self.target_bytes);
        let commit = Commit { rows, schema, transaction: Some((id.as_str(), epoch.0)), target_bytes };
        commit.run(&mut self.table, &mut self.layout, &mut self.change, self.clock.as_ref()).await?;
        self.held = Some(epoch.0);
        let (keys, now_millis) = (self.change.keys(), self.clock.now_micros() / 1_000);
        let shape = Shape { layout: &self.layout, target_bytes, keys: keys.as_deref(), now_millis };
        self.compaction.tend(&mut self.table, &shape, self.change.merger_mut()).await;
        self.upkeep.tend(&mut self.table, self.clock.as_ref()).await;
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        let (keys, now_millis) = (self.change.keys(), self.clock.now_micros() / 1_000);
        let (layout, target_bytes) = (&self.layout, self.target_bytes);
        let shape = Shape { layout, target_bytes, keys: keys.as_deref(), now_millis };
        self.compaction.finish(&mut self.table, &shape, self.change.merger_mut()).await;
        Ok(())
    }
}
