//! Postgres as a sink.

use super::commit::EpochWriter;
use super::link::Dialer;
use super::options::{OPTIONS, Target};
use super::table::Wanted;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::describe::{Description, Guarantee, Role};
use tidemill_core::retry::Vitals;
use tidemill_core::sink::{Marker, Refused, Sink, SinkConnector, SinkRequest};
use tidemill_core::{Epoch, Result};

static DESCRIPTION: Description = Description {
    name: "postgres",
    role: Role::Sink,
    summary: "A table of PostgreSQL: append inserts, update replaces by key, complete replaces the table's content; \
              rows and the epoch's number in one transaction.",
    guarantee: Guarantee::ExactlyOnce,
    options: OPTIONS,
    example: "connector = 'postgres', url = 'postgresql://localhost:5432/shop', table = 'totals', user = 'shop', \
              primary_key = 'user_id'",
};

/// Opens Postgres as a sink.
pub struct PostgresSinkConnector;

#[async_trait]
impl SinkConnector for PostgresSinkConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let options = &request.options;
        let target = Target::new(&request.table, options)?;
        let wanted = Wanted::new(options, &request.schema, request.mode)?;
        let owner = uuid::Uuid::new_v4().to_string();
        let dialer = Dialer::new(&target, &owner)?;
        let retry_timeout = options.duration("retry_timeout").unwrap_or(Duration::from_secs(60));
        Ok(Box::new(PostgresSink(EpochWriter::open(dialer, wanted, request.writer, owner, retry_timeout).await?)))
    }
}

struct PostgresSink(EpochWriter);

#[async_trait]
impl Sink for PostgresSink {
    fn vitals(&self) -> Option<Arc<Vitals>> {
        Some(self.0.vitals())
    }

    async fn marker(&mut self) -> Result<Marker> {
        self.0.marker().await
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        self.0.commit(epoch, rows).await
    }

    async fn refused(&mut self, _epoch: Epoch, rows: &[RecordBatch]) -> Result<Vec<Refused>> {
        self.0.refused(rows).await
    }
}
