//! Drives the sinks: every sink gets an epoch's rows once, together with the epoch's number.

use crate::checkpoint::record::{PlanRecord, RefusedRow};
use crate::dead_letter::{self, no_place_for, refuse};
use crate::faults::QueryFaults;
use crate::pipeline::query::SinkTable;
use crate::report::Measured;
use crate::run::{Computed, Running};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::retry::Vitals;
use tidemill_core::sink::{Marker, OutputMode, Sink, SinkRequest, Writer};
use tidemill_core::{Clock, Epoch, Result, Step};

/// A sink while its query runs.
pub struct Delivery {
    /// The table.
    pub table: String,
    /// What the rows mean.
    pub mode: OutputMode,
    /// The newest epoch in which it got rows, as our log says.
    pub last: Option<Epoch>,
    /// The newest epoch it has itself, as it said at the start: what it has is not written again.
    pub held: Option<Epoch>,
    sink: Box<dyn Sink>,
    schema: SchemaRef,
    every_epoch: bool,
    /// What the connector calls itself.
    pub connector: &'static str,
}

/// What one sink did in an epoch.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The table.
    pub table: String,
    /// The connector.
    pub connector: &'static str,
    /// Rows written.
    pub rows: u64,
    /// Size of the rows as Arrow arrays, in bytes.
    pub bytes: u64,
    /// Time of the commit.
    pub took: Duration,
}

impl Delivery {
    /// Opens a table's sink.
    ///
    /// # Errors
    /// The sink cannot be reached or written.
    pub async fn open(table: &SinkTable, schema: SchemaRef, mode: OutputMode, writer: Writer) -> Result<Self> {
        let request = SinkRequest {
            table: table.name.clone(),
            schema: schema.clone(),
            mode,
            options: table.options.clone(),
            format: table.format.clone(),
            writer,
        };
        Ok(Delivery {
            table: table.name.clone(),
            mode,
            last: None,
            held: None,
            sink: table.connector.open(request).await?,
            schema,
            every_epoch: table.connector.every_epoch(),
            connector: table.connector.describe().name,
        })
    }

    /// How the outside system does, if the sink counts it.
    pub fn vitals(&self) -> Option<Arc<Vitals>> {
        self.sink.vitals()
    }

    /// What the sink itself says.
    pub async fn marker(&mut self) -> Result<Marker> {
        self.sink.marker().await
    }

    /// Gives the sink an epoch's rows, unless it has them already or there is nothing to say.
    ///
    /// # Errors
    /// The commit failed or its outcome is not known; the query stops and asks the sink at the next start.
    pub async fn deliver(
        &mut self,
        epoch: Epoch,
        rows: Vec<RecordBatch>,
        has_data: bool,
        clock: &dyn Clock,
        faults: &QueryFaults,
    ) -> Result<Delivered> {
        let count: u64 = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        let mut delivered = Delivered {
            table: self.table.clone(),
            connector: self.connector,
            rows: count,
            bytes: rows.iter().map(logical_bytes).sum(),
            took: Duration::ZERO,
        };
        let speaks = count > 0 || self.every_epoch || (self.mode == OutputMode::Complete && has_data);
        if !speaks {
            return Ok(delivered);
        }
        if self.held.is_none_or(|held| held < epoch) {
            let rows = rows.into_iter().map(|batch| self.renamed(batch)).collect::<Result<Vec<_>>>()?;
            let before = clock.elapsed();
            faults.at(Step::SinkStaging)?;
            self.sink.commit(epoch, &rows).await?;
            faults.at(Step::SinkCommitted)?;
            delivered.took = clock.elapsed().saturating_sub(before);
        }
        self.last = Some(epoch);
        Ok(delivered)
    }

    /// Tells the sink that the query has ended in good order.
    ///
    /// # Errors
    /// What the sink held back could not be published; it is at the next start.
    pub async fn finish(&mut self) -> Result<()> {
        self.sink.finish().await
    }

    /// Which of the rows the sink refuses for good, after it has failed to take them.
    ///
    /// # Errors
    /// It cannot be found out.
    pub async fn refused(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<Vec<RefusedRow>> {
        let rows = rows.iter().map(|batch| self.renamed(batch.clone())).collect::<Result<Vec<_>>>()?;
        let refused = self.sink.refused(epoch, &rows).await?;
        Ok(refuse::named(&self.table, &rows, refused))
    }

    /// The columns under the names people see.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Columns under the names people see.
    fn renamed(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), batch.columns().to_vec(), &options)?)
    }
}

impl Running {
    /// Step 5. Rows and marker go to every sink in one atomic write each: to all at once, or to the dead
    /// letters last when the others may refuse rows.
    pub(crate) async fn deliver(
        &mut self,
        plan: &mut PlanRecord,
        computed: &mut Computed,
        measured: &mut Measured,
    ) -> Result<Vec<Delivered>> {
        let outputs = self.flow.outputs;
        let mut rows: Vec<Vec<RecordBatch>> = vec![vec![]; self.sinks.len()];
        for (number, output) in
            computed.parts.iter().flat_map(|part| &part.outputs).filter(|(number, _)| *number < outputs)
        {
            rows[*number].clone_from(output);
        }
        let mut delivered = Vec::with_capacity(rows.len());
        if self.session.settings.sets_aside() && self.sinks.len() > outputs {
            let (written, letters) = self.write_outputs(plan, rows.drain(..outputs).collect()).await?;
            let letters = letters.iter().map(|(table, letter)| (table.as_str(), letter));
            computed.letters.extend(dead_letter::rows(&self.name, plan.epoch, plan.timestamp, letters)?);
            delivered = written;
        }
        for letters in &computed.letters {
            match self.sinks.len() > outputs {
                true => rows.last_mut().into_iter().for_each(|dead| dead.push(letters.clone())),
                false => return Err(no_place_for(letters)),
            }
        }
        let (epoch, has_data, clock, faults) = (plan.epoch, plan.has_data, &*self.clock, &self.faults);
        let work = self.sinks.iter_mut().skip(delivered.len()).zip(rows);
        let work = work.map(|(sink, rows)| sink.deliver(epoch, rows, has_data, clock, faults));
        delivered.extend(futures::future::join_all(work).await.into_iter().collect::<Result<Vec<_>>>()?);
        measured.delivered(&*self.clock);
        Ok(delivered)
    }
}

/// What the rows of a batch take, not the buffers they may share with others.
fn logical_bytes(batch: &RecordBatch) -> u64 {
    let size = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default() as u64;
    batch.columns().iter().map(size).sum()
}
