//! The commit of a row set: try, and when the version is taken or the outcome unclear, look and decide.

use super::files::{self, Shape, Written};
use super::keys::Keys;
use super::live::removal;
use super::merge::Merger;
use super::schema::check;
use super::table::{Layout, Outcome, Table};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use deltalake::kernel::{Action, Add, Transaction};
use deltalake::protocol::{DeltaOperation, MergePredicate, SaveMode};
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::{Clock, Error, Kind, Result};

/// Versions that other writers may take from under us before we give up.
const ATTEMPTS_MAX: u32 = 50;
/// Unclear outcomes in a row before we give up.
const UNCLEAR_MAX: u32 = 5;
/// Wait after the first unclear outcome; it doubles.
const UNCLEAR_WAIT: Duration = Duration::from_millis(50);

/// What rows do to a table.
pub(crate) enum Change {
    /// They come to what is there.
    Append,
    /// They are all there is.
    Replace,
    /// Each replaces the row with its key.
    Merge(Merger),
}

impl Change {
    pub(crate) fn keys(&self) -> Option<Arc<Keys>> {
        self.merger().map(|merger| merger.keys.clone())
    }

    fn merger(&self) -> Option<&Merger> {
        match self {
            Change::Merge(merger) => Some(merger),
            _ => None,
        }
    }

    pub(crate) fn merger_mut(&mut self) -> Option<&mut Merger> {
        match self {
            Change::Merge(merger) => Some(merger),
            _ => None,
        }
    }
}

/// What to commit.
pub(crate) struct Commit<'a> {
    pub(crate) rows: &'a [RecordBatch],
    pub(crate) schema: &'a SchemaRef,
    /// Application id and epoch.
    pub(crate) transaction: Option<(&'a str, u64)>,
    /// A file is closed when it has about this many bytes.
    pub(crate) target_bytes: u64,
}

/// Files that were written for a commit that is not there yet.
struct Pending {
    removed: Vec<Add>,
    written: Vec<Written>,
}

impl Commit<'_> {
    /// Writes the rows and commits them, unless the table holds the epoch already. True when it was this
    /// call that committed. `layout` is what the rows were checked against, and follows the table.
    ///
    /// # Errors
    /// [`Kind::Fenced`] when another process has written later epochs; [`Kind::Again`] when others were
    /// always faster or the outcome stays unclear; rows that do not fit; the table was changed.
    pub(crate) async fn run(
        &self,
        table: &mut Table,
        layout: &mut Layout,
        change: &mut Change,
        clock: &dyn Clock,
    ) -> Result<bool> {
        if self.is_there(table).await? {
            // another process may have gone on since: then this one is fenced
            table.look().await?;
            return self.is_there(table).await.map(|_| false);
        }
        let now_millis = clock.now_micros() / 1_000;
        let token = uuid::Uuid::new_v4().to_string();
        let mut pending: Option<Pending> = None;
        let mut unclear = 0;
        for _ in 0..ATTEMPTS_MAX {
            let ready = match pending.take() {
                Some(ready) => ready,
                None => self.write(table, layout, change, now_millis).await?,
            };
            let actions = self.actions(table, change, &ready, now_millis);
            match table.commit(actions, self.operation(layout, change), &token).await? {
                Outcome::Committed => {
                    if let Some(merger) = change.merger_mut() {
                        merger.done(&ready.removed, &ready.written);
                    }
                    return Ok(true);
                }
                Outcome::Unclear(error) if unclear + 1 >= UNCLEAR_MAX => return Err(error),
                Outcome::Unclear(error) => {
                    tracing::warn!(table = table.home.place, error = error.chain(), "the end of a commit is unclear");
                    tokio::time::sleep(UNCLEAR_WAIT * (1 << unclear)).await;
                    unclear += 1;
                    pending = Some(ready);
                    continue;
                }
                Outcome::Overtaken => unclear = 0,
            }
            if self.is_there(table).await? {
                files::discard(&table.home, &table.log(), &ready.written).await;
                return Ok(false);
            }
            let is_same = self.follow(table, layout, change)?;
            match is_same && ready.removed.iter().all(|add| table.live.holds(add)) && change.merger().is_none() {
                true => pending = Some(ready),
                false => files::discard(&table.home, &table.log(), &ready.written).await,
            }
        }
        Err(Error::new(
            Kind::Again,
            format!("other writers of the delta table at {} were always faster", table.home.place),
        ))
    }

    async fn write(&self, table: &Table, layout: &Layout, change: &mut Change, now_millis: i64) -> Result<Pending> {
        let keys = change.keys();
        let shape = Shape { layout, target_bytes: self.target_bytes, keys: keys.as_deref(), now_millis };
        if let Some(merger) = change.merger_mut() {
            let merge = merger.plan(table, &shape, self.rows).await?;
            return Ok(Pending { removed: merge.removed, written: merge.written });
        }
        let written = files::write(&table.home, &table.log(), &shape, self.rows).await?;
        Ok(Pending { removed: Vec::new(), written })
    }

    fn actions(&self, table: &Table, change: &Change, ready: &Pending, now_millis: i64) -> Vec<Action> {
        let mut actions: Vec<Action> = match change {
            Change::Append => Vec::new(),
            Change::Replace => table.live.files().map(|add| removal(add, now_millis, true)).collect(),
            Change::Merge(_) => ready.removed.iter().map(|add| removal(add, now_millis, true)).collect(),
        };
        actions.extend(ready.written.iter().map(|file| Action::Add(file.add.clone())));
        if let Some((id, epoch)) = self.transaction {
            actions.push(Action::Txn(Transaction::new_with_last_update(id, epoch as i64, Some(now_millis))));
        }
        actions
    }

    /// Takes over the table's columns when others changed them; true when they did not.
    fn follow(&self, table: &Table, layout: &mut Layout, change: &mut Change) -> Result<bool> {
        let now = table.layout()?;
        if now == *layout {
            return Ok(true);
        }
        let place = &table.home.place;
        if now.partition_by != layout.partition_by {
            return Err(Error::new(Kind::Again, format!("the partitions of the delta table at {place} were changed")));
        }
        check(&now, self.schema, place)?;
        *layout = now;
        change.merger_mut().map_or(Ok(()), |merger| merger.relearn(layout))?;
        Ok(false)
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

    fn operation(&self, layout: &Layout, change: &Change) -> DeltaOperation {
        let partition_by = Some(layout.partition_by.clone()).filter(|columns| !columns.is_empty());
        let mode = match change {
            Change::Append => SaveMode::Append,
            Change::Replace => SaveMode::Overwrite,
            Change::Merge(merger) => {
                let equal = |column: &String| format!("target.`{column}` <=> source.`{column}`");
                let predicate = merger.keys.columns.iter().map(equal).collect::<Vec<_>>().join(" AND ");
                let action = |word: &str| vec![MergePredicate { action_type: word.to_owned(), predicate: None }];
                return DeltaOperation::Merge {
                    predicate: Some(predicate.clone()),
                    merge_predicate: Some(predicate),
                    matched_predicates: action("update"),
                    not_matched_predicates: action("insert"),
                    not_matched_by_source_predicates: Vec::new(),
                };
            }
        };
        DeltaOperation::Write { mode, partition_by, predicate: None }
    }
}

#[cfg(test)]
mod tests;
