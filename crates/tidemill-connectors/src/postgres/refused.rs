//! Which rows of an epoch Postgres refuses for good: the epoch is written once more in a transaction that is
//! rolled back, in halves behind savepoints, until single rows are known. Rows that were taken stay in it, so
//! that of two rows which cannot both be there the later one is refused.

use super::commit::EpochWriter;
use super::errors::{Failure, failure};
use super::link::Link;
use super::table::STAGE;
use arrow::record_batch::RecordBatch;
use std::ops::Range;
use tidemill_core::sink::{REFUSED_ROWS_MAX, Refused};
use tidemill_core::{Kind, Result};
use tokio_postgres::Transaction;

impl EpochWriter {
    /// The refused rows, by their number over all batches.
    ///
    /// # Errors
    /// A server that is away; more than [`REFUSED_ROWS_MAX`].
    pub(super) async fn refused(&mut self, rows: &[RecordBatch]) -> Result<Vec<Refused>> {
        let searched = async {
            let mut link = self.link().await?;
            let refused = self.search(&mut link, rows).await?;
            Ok::<_, Failure>((link, refused))
        };
        let (link, refused) = searched.await.map_err(|failed| failed.error)?;
        self.put_back(link);
        Ok(refused)
    }

    async fn search(&self, link: &mut Link, rows: &[RecordBatch]) -> Result<Vec<Refused>, Failure> {
        let failed = |cause| failure("looking for refused rows", cause);
        let transaction = link.client.transaction().await.map_err(failed)?;
        // a constraint that is checked at the end would tell of no row in particular
        transaction.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await.map_err(failed)?;
        if let Some(clear) = &self.statements.clear {
            transaction.execute(clear.as_str(), &[]).await.map_err(failed)?;
        }
        let count = rows.iter().map(RecordBatch::num_rows).sum();
        let (mut pending, mut refused) = (Vec::new(), Vec::new());
        pending.push(0..count);
        while let Some(range) = pending.pop().filter(|range| !range.is_empty()) {
            let Some(told) = self.taken(&transaction, rows, &range).await? else { continue };
            let middle = range.start + range.len() / 2;
            if range.len() > 1 {
                pending.extend([middle..range.end, range.start..middle]);
                continue;
            }
            if refused.len() == REFUSED_ROWS_MAX {
                return Err(told);
            }
            let code = told.code.unwrap_or_else(|| "NOT_ENCODABLE".into());
            refused.push(Refused { row: range.start, code, reason: told.error.to_string() });
        }
        transaction.rollback().await.map_err(failed)?;
        refused.sort_by_key(|refused| refused.row);
        Ok(refused)
    }

    /// Writes some rows behind a savepoint; gives what Postgres says against them, if it does.
    async fn taken(
        &self,
        transaction: &Transaction<'_>,
        rows: &[RecordBatch],
        range: &Range<usize>,
    ) -> Result<Option<Failure>, Failure> {
        let failed = |cause| failure("looking for refused rows", cause);
        transaction.batch_execute("SAVEPOINT half").await.map_err(failed)?;
        let written = async {
            self.copy(transaction, &sliced(rows, range)).await?;
            let merged = transaction.execute(self.statements.merge.as_str(), &[]).await;
            merged.map_err(|cause| failure(&format!("writing to '{}'", self.wanted.table), cause))
        };
        match written.await {
            Ok(_) => {
                let next = format!("DELETE FROM {STAGE}; RELEASE SAVEPOINT half");
                transaction.batch_execute(&next).await.map_err(failed)?;
                Ok(None)
            }
            Err(told) if told.error.kind() == Kind::Data => {
                let back = "ROLLBACK TO SAVEPOINT half; RELEASE SAVEPOINT half";
                transaction.batch_execute(back).await.map_err(failed)?;
                Ok(Some(told))
            }
            Err(told) => Err(told),
        }
    }
}

/// Rows by their number over all batches.
fn sliced(rows: &[RecordBatch], range: &Range<usize>) -> Vec<RecordBatch> {
    let (mut first, mut cut) = (0, Vec::new());
    for batch in rows {
        let end = first + batch.num_rows();
        let (from, to) = (range.start.max(first), range.end.min(end));
        cut.extend((from < to).then(|| batch.slice(from - first, to - from)));
        first = end;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use std::sync::Arc;

    #[test]
    fn a_range_is_cut_over_batches() {
        let batch = |numbers: Vec<i64>| {
            let column: ArrayRef = Arc::new(Int64Array::from(numbers));
            RecordBatch::try_from_iter([("n", column)]).unwrap()
        };
        let rows = [batch(vec![0, 1, 2]), batch(vec![]), batch(vec![3, 4])];
        let numbers = |range| -> Vec<i64> {
            let cut = sliced(&rows, &range);
            cut.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
        };
        assert_eq!(numbers(2..4), [2, 3]);
        assert_eq!(numbers(0..5), [0, 1, 2, 3, 4]);
        assert_eq!(numbers(4..5), [4]);
    }
}
