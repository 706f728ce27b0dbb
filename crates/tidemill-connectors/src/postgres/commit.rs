//! One epoch in one transaction, tried again until its outcome is known. The marker's row is written
//! first: whoever else writes waits there, and an attempt whose answer was lost is recognised by it.

use super::encode::{self, Encoder, TRAILER};
use super::errors::{Failure, failure};
use super::link::{Dialer, Link};
use super::marker::Row;
use super::table::{Statements, Wanted};
use crate::retry::Patience;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::SinkExt as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::retry::{Policy, Vitals};
use tidemill_core::sink::{Marker, Writer};
use tidemill_core::{Epoch, Result, SystemClock};
use tokio_postgres::{CopyInSink, Transaction};

/// What the log calls the other side.
const SYSTEM: &str = "postgres";
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Writes epochs to one table.
pub(super) struct EpochWriter {
    dialer: Dialer,
    pub(super) wanted: Wanted,
    owner: String,
    patience: Patience,
    pub(super) statements: Statements,
    row: Row,
    /// None after a failure.
    link: Option<Link>,
}

impl EpochWriter {
    /// Connects, finds or makes the table, and takes over the sink.
    ///
    /// # Errors
    /// What Postgres refuses; what cannot be reached within `retry_timeout`.
    pub(super) async fn open(
        dialer: Dialer,
        wanted: Wanted,
        writer: Writer,
        owner: String,
        retry_timeout: Duration,
    ) -> Result<Self> {
        // an attempt reads first what became of the one before
        let policy = Policy::within(retry_timeout).pauses(PAUSE_MIN, PAUSE_MAX);
        let patience = Patience::new(policy, SYSTEM, Arc::new(SystemClock::new()));
        let mut retry = patience.begin();
        loop {
            let attempt = async {
                let mut link = dialer.connect(&owner).await?;
                let statements = wanted.resolve(&link.client).await?;
                prepare(&link, &statements).await?;
                let row = Row::new(&statements.schema, writer.clone(), owner.clone());
                row.claim(&mut link.client).await?;
                Ok((link, statements, row))
            };
            match attempt.await {
                Ok((link, statements, row)) => {
                    return Ok(EpochWriter { dialer, wanted, owner, patience, statements, row, link: Some(link) });
                }
                Err(failed) => retry.wait(failed).await?,
            }
        }
    }

    /// Retries.
    pub(super) fn vitals(&self) -> Arc<Vitals> {
        self.patience.vitals().clone()
    }

    /// What the table `tidemill_commit` says.
    ///
    /// # Errors
    /// As [`EpochWriter::commit`].
    pub(super) async fn marker(&mut self) -> Result<Marker> {
        let mut retry = self.patience.begin();
        loop {
            let attempt = async {
                let link = self.link().await?;
                self.row.read(&link.client).await.map(|marker| (link, marker))
            };
            match attempt.await {
                Ok((link, marker)) => {
                    self.link = Some(link);
                    return Ok(marker);
                }
                Err(failed) => retry.wait(failed).await?,
            }
        }
    }

    /// Writes an epoch.
    ///
    /// # Errors
    /// Another process has taken over; rows that the table refuses; a server that is away for longer than
    /// `retry_timeout`, after which the outcome is unknown.
    pub(super) async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let mut retry = self.patience.begin();
        loop {
            let attempt = async {
                let mut link = self.link().await?;
                self.attempt(&mut link, epoch, rows).await.map(|()| link)
            };
            match attempt.await {
                Ok(link) => {
                    self.link = Some(link);
                    return Ok(());
                }
                Err(failed) => retry.wait(failed).await?,
            }
        }
    }

    /// The connection, or a new one; it is given back only after success.
    pub(super) async fn link(&mut self) -> Result<Link, Failure> {
        if let Some(link) = self.link.take().filter(|link| !link.client.is_closed()) {
            return Ok(link);
        }
        let link = self.dialer.connect(&self.owner).await?;
        prepare(&link, &self.statements).await?;
        Ok(link)
    }

    /// Gives the connection back.
    pub(super) fn put_back(&mut self, link: Link) {
        self.link = Some(link);
    }

    async fn attempt(&self, link: &mut Link, epoch: Epoch, rows: &[RecordBatch]) -> Result<(), Failure> {
        let failed = |cause| failure(&format!("writing epoch {} to '{}'", epoch.0, self.wanted.table), cause);
        let transaction = link.client.transaction().await.map_err(failed)?;
        if !self.row.advance(&transaction, epoch).await? {
            // an attempt before this one was committed, and only its answer was lost
            return transaction.rollback().await.map_err(failed);
        }
        if let Some(clear) = &self.statements.clear {
            transaction.execute(clear.as_str(), &[]).await.map_err(failed)?;
        }
        if rows.iter().any(|batch| batch.num_rows() > 0) {
            self.copy(&transaction, rows).await?;
            transaction.execute(self.statements.merge.as_str(), &[]).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    pub(super) async fn copy(&self, transaction: &Transaction<'_>, rows: &[RecordBatch]) -> Result<(), Failure> {
        let failed = |cause| failure(&format!("copying rows for '{}'", self.wanted.table), cause);
        let sink: CopyInSink<Bytes> = transaction.copy_in(self.statements.copy.as_str()).await.map_err(failed)?;
        let mut sink = pin!(sink);
        sink.send(encode::header()).await.map_err(failed)?;
        let mut first = 0;
        for batch in rows {
            let mut encoder = Encoder::new(batch, &self.wanted.columns, first)?;
            while let Some(piece) = encoder.piece()? {
                sink.send(piece).await.map_err(failed)?;
            }
            first += batch.num_rows() as i64;
        }
        sink.send(Bytes::from_static(&TRAILER)).await.map_err(failed)?;
        sink.finish().await.map_err(failed)?;
        Ok(())
    }
}

/// Makes the staging table and has Postgres check the statements.
async fn prepare(link: &Link, statements: &Statements) -> Result<(), Failure> {
    let failed = |cause| failure("preparing the statements of an epoch", cause);
    link.client.batch_execute(&statements.stage).await.map_err(failed)?;
    link.client.prepare(&statements.merge).await.map_err(failed)?;
    Ok(())
}
