//! The commit of a row set: try, and when the version is taken or the outcome unclear, look and decide.

use super::files;
use super::home::Put;
use super::schema::check;
use super::table::{Layout, Table};
use arrow::record_batch::RecordBatch;
use deltalake::kernel::{Action, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use tidemill_core::{Clock, Error, Kind, Result};

/// Versions that other writers may take from under us before we give up.
const ATTEMPTS_MAX: u32 = 50;
/// Unclear outcomes in a row before we give up.
const UNCLEAR_MAX: u32 = 5;

/// What to commit.
pub(crate) struct Commit<'a> {
    /// The columns that the rows were checked against.
    pub(crate) layout: &'a Layout,
    /// True: the rows replace what is in the table.
    pub(crate) replaces: bool,
    /// Application id and epoch.
    pub(crate) transaction: Option<(&'a str, u64)>,
}

impl Commit<'_> {
    /// Writes the rows and commits them, unless the table holds the epoch already. True when it was this
    /// call that committed.
    ///
    /// # Errors
    /// [`Kind::Fenced`] when another process has written later epochs; [`Kind::Again`] when others were
    /// always faster or the outcome stays unclear; rows that do not fit; the table was changed.
    pub(crate) async fn run(&self, table: &mut Table, rows: &[RecordBatch], clock: &dyn Clock) -> Result<bool> {
        let now_millis = clock.now_micros() / 1_000;
        let adds = files::write(&table.home, &table.log(), self.layout, rows, now_millis).await?;
        let mut unclear = 0;
        for _ in 0..ATTEMPTS_MAX {
            let mut actions = if self.replaces { table.remove_all(now_millis).await? } else { Vec::new() };
            actions.extend(adds.iter().cloned().map(Action::Add));
            if let Some((id, epoch)) = self.transaction {
                let transaction = Transaction::new_with_last_update(id, epoch as i64, Some(now_millis));
                actions.push(Action::Txn(transaction));
            }
            match table.commit(actions, self.operation()).await? {
                Put::Done => {
                    table.tend().await;
                    return Ok(true);
                }
                Put::Taken => unclear = 0,
                Put::Unclear(error) if unclear + 1 >= UNCLEAR_MAX => return Err(error),
                Put::Unclear(error) => {
                    unclear += 1;
                    tracing::warn!(table = table.home.place, error = error.chain(), "the end of a commit is unclear");
                }
            }
            table.reload().await?;
            if self.is_there(table).await? {
                return Ok(false);
            }
            if &table.layout()? != self.layout {
                return Err(Error::new(
                    Kind::Again,
                    format!("the columns of the delta table at {} were changed", table.home.place),
                ));
            }
        }
        Err(Error::new(
            Kind::Again,
            format!("other writers of the delta table at {} were always faster", table.home.place),
        ))
    }

    /// True when the table holds the epoch, as of the last look.
    pub(crate) async fn is_there(&self, table: &Table) -> Result<bool> {
        let Some((id, epoch)) = self.transaction else { return Ok(false) };
        match table.transaction(id).await? {
            Some(newest) if newest > epoch => Err(Error::new(
                Kind::Fenced,
                format!("the delta table at {} holds epoch {newest} of '{id}', later than {epoch}", table.home.place),
            )
            .help("another process runs the same query: stop one of them")),
            newest => Ok(newest == Some(epoch)),
        }
    }

    fn operation(&self) -> DeltaOperation {
        let partition_by = Some(self.layout.partition_by.clone()).filter(|columns| !columns.is_empty());
        let mode = if self.replaces { SaveMode::Overwrite } else { SaveMode::Append };
        DeltaOperation::Write { mode, partition_by, predicate: None }
    }
}

/// Opens the table, or makes it for rows of this schema; checks that the rows fit.
///
/// # Errors
/// As [`Table::open`], [`Table::create`] and [`check`]; other partition columns than the table has.
pub(crate) async fn open(
    home: super::home::Home,
    schema: &arrow::datatypes::SchemaRef,
    partition_by: &[String],
) -> Result<(Table, Layout)> {
    let table = match Table::open(home.clone()).await? {
        Some(table) => table,
        None => Table::create(home, schema, partition_by).await?,
    };
    let layout = table.layout()?;
    let same = |left: &String, right: &String| left.eq_ignore_ascii_case(right);
    let is_same = layout.partition_by.len() == partition_by.len()
        && layout.partition_by.iter().zip(partition_by).all(|(left, right)| same(left, right));
    if !partition_by.is_empty() && !is_same {
        let (place, has) = (&table.home.place, layout.partition_by.join(", "));
        let asked = partition_by.join(", ");
        return Err(Error::invalid(format!("the delta table at {place} is partitioned by [{has}], not by [{asked}]")));
    }
    check(&layout, schema, &table.home.place)?;
    Ok((table, layout))
}

#[cfg(test)]
mod tests {
    use super::super::home::Home;
    use super::super::marks;
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;
    use tidemill_core::clock::ManualClock;

    fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
        let kinds: StringArray = ids.clone().map(|id| Some(if id % 2 == 0 { "a/b" } else { "c" })).collect();
        RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from_iter_values(ids)) as _),
            ("kind", Arc::new(kinds) as _),
        ])
        .unwrap()
    }

    /// The way of an object store: two writers of one query and one of another, on one table.
    #[tokio::test(flavor = "multi_thread")]
    async fn conditional_puts_decide_who_commits() {
        let folder = tempfile::tempdir().unwrap();
        let (clock, partition_by) = (ManualClock::at(1_000_000), ["kind".to_owned()]);
        let home = Home::as_store(folder.path());
        let (mut first, layout) = open(home.clone(), &rows(0..1).schema(), &partition_by).await.unwrap();
        let (mut second, _) = open(home, &rows(0..1).schema(), &[]).await.unwrap();
        let commit = |epoch, id, replaces| Commit { layout: &layout, replaces, transaction: Some((id, epoch)) };
        let (q, r) = ("tidemill/q/s/i", "tidemill/r/s/i");
        assert!(commit(0, q, false).run(&mut first, &[rows(0..4)], &clock).await.unwrap());
        assert!(!commit(0, q, false).run(&mut second, &[rows(0..4)], &clock).await.unwrap(), "it is there already");
        assert!(commit(7, r, false).run(&mut second, &[rows(4..5)], &clock).await.unwrap());
        assert!(commit(1, q, true).run(&mut first, &[rows(5..8)], &clock).await.unwrap());
        let error = commit(0, q, false).run(&mut second, &[rows(0..4)], &clock).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Fenced);
        let found = marks::scan(&first.home, &first.log()).await.unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [(q.to_owned(), 1), (r.to_owned(), 7)]);
        second.reload().await.unwrap();
        assert_eq!((second.version(), second.remove_all(0).await.unwrap().len()), (3, 2), "a file for each kind");
        assert!(folder.path().join("kind=a%2Fb").is_dir());
    }
}
