//! The table `tidemill_commit`: the newest epoch of every writer, and who may write. One row a checkpoint;
//! its lock orders the transactions of two processes, and `owner` tells which of them came last.

use super::errors::{Failure, failure};
use super::table::quote;
use crate::marker;
use tidemill_core::sink::{Marker, Writer};
use tidemill_core::{Epoch, Error, Kind};
use tokio_postgres::{Client, Transaction};

/// Serialises the making of the table: two at a time would fail. The number is only ours.
const MAKING: i64 = 0x7469_6465_6d69_6c6c;

/// The row of one writer.
pub(super) struct Row {
    /// The table, quoted.
    table: String,
    writer: Writer,
    owner: String,
}

impl Row {
    /// In schema `schema`.
    pub(super) fn new(schema: &str, writer: Writer, owner: String) -> Self {
        Row { table: format!("{}.tidemill_commit", quote(schema)), writer, owner }
    }

    /// Makes the table and the row that are missing, and takes over all rows of the sink: whoever wrote
    /// there before writes no more.
    pub(super) async fn claim(&self, client: &mut Client) -> Result<(), Failure> {
        let what = format!("claiming {}", self.table);
        let failed = |cause| failure(&what, cause);
        let transaction = client.transaction().await.map_err(failed)?;
        transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MAKING]).await.map_err(failed)?;
        let there = transaction.query_one("SELECT to_regclass($1) IS NOT NULL", &[&self.table]).await;
        if !there.map_err(failed)?.get::<_, bool>(0) {
            let make = format!(
                "CREATE TABLE {} (query text, sink text, incarnation text, epoch bigint, owner text NOT NULL, \
                 committed_at timestamp with time zone, PRIMARY KEY (query, sink, incarnation))",
                self.table
            );
            transaction.batch_execute(&make).await.map_err(failed)?;
        }
        let Writer { query, sink, incarnation } = &self.writer;
        let add = format!(
            "INSERT INTO {} (query, sink, incarnation, owner) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            self.table
        );
        transaction.execute(&add, &[query, sink, &incarnation.0, &self.owner]).await.map_err(failed)?;
        let take = format!("UPDATE {} SET owner = $3 WHERE query = $1 AND sink = $2", self.table);
        transaction.execute(&take, &[query, sink, &self.owner]).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }

    /// What the table says of the writer.
    pub(super) async fn read(&self, client: &Client) -> Result<Marker, Failure> {
        let Writer { query, sink, .. } = &self.writer;
        let select = format!(
            "SELECT incarnation, epoch FROM {} WHERE query = $1 AND sink = $2 AND epoch IS NOT NULL",
            self.table
        );
        let rows = client.query(&select, &[query, sink]).await;
        let rows = rows.map_err(|cause| failure(&format!("reading {}", self.table), cause))?;
        let entries: Vec<(String, u64)> = rows
            .iter()
            .map(|row| {
                let incarnation: String = row.get(0);
                (format!("{}{incarnation}", self.writer.prefix()), row.get::<_, i64>(1).unsigned_abs())
            })
            .collect();
        Ok(marker::find(&self.writer, entries.iter().map(|(id, epoch)| (id.as_str(), *epoch))))
    }

    /// Moves the row to `epoch` as part of `transaction`. It waits for a transaction that has the row, such
    /// as an earlier attempt of ours. False when the epoch is there already.
    pub(super) async fn advance(&self, transaction: &Transaction<'_>, epoch: Epoch) -> Result<bool, Failure> {
        let what = format!("writing {}", self.table);
        let failed = |cause| failure(&what, cause);
        let Writer { query, sink, incarnation } = &self.writer;
        let number = i64::try_from(epoch.0).map_err(|_| Error::bug(format!("epoch {} is too large", epoch.0)))?;
        let update = format!(
            "UPDATE {} SET epoch = $1, committed_at = now() WHERE query = $2 AND sink = $3 AND incarnation = $4 \
             AND owner = $5 AND (epoch IS NULL OR epoch < $1)",
            self.table
        );
        let changed = transaction.execute(&update, &[&number, query, sink, &incarnation.0, &self.owner]).await;
        if changed.map_err(failed)? == 1 {
            return Ok(true);
        }
        let select =
            format!("SELECT owner = $4, epoch FROM {} WHERE query = $1 AND sink = $2 AND incarnation = $3", self.table);
        let row = transaction.query_opt(&select, &[query, sink, &incarnation.0, &self.owner]).await.map_err(failed)?;
        match row.map(|row| (row.get::<_, bool>(0), row.get::<_, Option<i64>>(1))) {
            Some((true, Some(held))) if held == number => Ok(false),
            Some((true, held)) => Err(Error::new(
                Kind::Invalid,
                format!("{} holds epoch {held:?} of sink '{sink}', which is not before {number}", self.table),
            )
            .into()),
            Some((false, _)) => Err(Error::new(
                Kind::Fenced,
                format!("another process has taken over sink '{sink}' of query '{query}' in {}", self.table),
            )
            .help("let that one run; this one must not be started again beside it")
            .into()),
            None => Err(Error::new(
                Kind::Invalid,
                format!("the row of sink '{sink}' of query '{query}' is gone from {}", self.table),
            )
            .help("who removed it? Without it the sink cannot tell what it holds")
            .into()),
        }
    }
}
