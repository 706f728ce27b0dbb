//! Small files of old epochs made one, beside the stream: rewritten in a task of its own, and committed
//! between two epochs as an OPTIMIZE, which changes no row.
//!
//! A group grows like the tiers of a log-structured store: files join when the largest of them is not
//! larger than all smaller ones together. So a row is rewritten a logarithmic number of times, and the
//! number of small files of a partition stays near the least number that is worth it.

use super::files::{self, Shape, Written};
use super::home::Home;
use super::live::removal;
use super::merge::Merger;
use super::table::{Outcome, Table};
use deltalake::kernel::{Action, Add};
use deltalake::logstore::LogStoreRef;
use deltalake::protocol::DeltaOperation;
use std::collections::BTreeMap;
use std::time::Duration;
use tidemill_core::{Error, Kind, Result, ResultExt};
use tokio::task::JoinHandle;

/// A file of more than this part of the target size is left alone.
const SMALL: f64 = 0.75;
/// How long the end of a query waits for a rewrite. One that is cut off leaves files that no commit names.
const FINISH_MAX: Duration = Duration::from_secs(10);
/// Times that other writers may be faster before a compaction is given up.
const ATTEMPTS_MAX: u32 = 5;

/// Compacts a table while it is written.
pub(crate) struct Compaction {
    /// Files that make a rewrite worth it; 0: never.
    files_min: usize,
    task: Option<JoinHandle<Result<Vec<Rewrite>>>>,
    /// [`Live::added`](super::live::Live::added) at the last look.
    looked_at: u64,
}

struct Rewrite {
    inputs: Vec<Add>,
    outputs: Vec<Written>,
}

impl Compaction {
    /// Rewrites groups of at least `files_min` files; never, when that is 0.
    pub(crate) fn new(files_min: usize) -> Compaction {
        Compaction { files_min, task: None, looked_at: 0 }
    }

    /// Commits what was rewritten, and starts the next rewrite when it is time. A failure is only
    /// reported: the table is whole without.
    pub(crate) async fn tend(&mut self, table: &mut Table, shape: &Shape<'_>, mut merger: Option<&mut Merger>) {
        if self.files_min == 0 {
            return;
        }
        let new = table.live.added().saturating_sub(self.looked_at);
        // when rewriting is slower than the stream, the stream waits
        self.commit(table, shape, merger.as_deref_mut(), new >= 4 * self.files_min as u64).await;
        if self.task.is_none() && new >= self.files_min as u64 {
            self.start(table, shape, merger.as_deref());
            // a merge would take the files away from under the rewrite
            let is_awaited = merger.is_some();
            self.commit(table, shape, merger, is_awaited).await;
        }
    }

    /// The query ends: a rewrite that runs or is due is finished, if that does not take long. A query that is run every
    /// hour for a few epochs would else never come to it.
    pub(crate) async fn finish(&mut self, table: &mut Table, shape: &Shape<'_>, merger: Option<&mut Merger>) {
        let new = table.live.added().saturating_sub(self.looked_at);
        if self.files_min > 0 && self.task.is_none() && new >= self.files_min as u64 {
            self.start(table, shape, merger.as_deref());
        }
        let place = table.home.place.clone();
        if tokio::time::timeout(FINISH_MAX, self.commit(table, shape, merger, true)).await.is_err() {
            tracing::info!(table = place, "the rewrite of small files takes long, and is left to the next run");
        }
    }

    fn start(&mut self, table: &Table, shape: &Shape<'_>, merger: Option<&Merger>) {
        self.looked_at = table.live.added();
        let groups = pick(table.live.files(), self.files_min, shape.target_bytes);
        if groups.is_empty() {
            return;
        }
        let (home, log, layout) = (table.home.clone(), table.log(), shape.layout.clone());
        let keys = merger.map(|merger| merger.keys.clone());
        let (target_bytes, now_millis) = (shape.target_bytes, shape.now_millis);
        self.task = Some(tokio::spawn(async move {
            let shape = Shape { layout: &layout, target_bytes, keys: keys.as_deref(), now_millis };
            rewrite_all(&home, &log, &shape, groups).await
        }));
    }

    /// Commits what is rewritten by now, or waits for it.
    async fn commit(
        &mut self,
        table: &mut Table,
        shape: &Shape<'_>,
        mut merger: Option<&mut Merger>,
        is_awaited: bool,
    ) {
        let Some(task) = self.task.take_if(|task| is_awaited || task.is_finished()) else { return };
        let ended = task.await.context(Kind::Bug, || "the task that compacts files ended early".into());
        match ended.and_then(|rewrites| rewrites) {
            Ok(rewrites) => {
                for rewrite in rewrites {
                    let result = rewrite.commit(table, shape, merger.as_deref_mut()).await;
                    report(&table.home, result);
                }
            }
            Err(error) => report(&table.home, Err(error)),
        }
    }
}

impl Drop for Compaction {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn report(home: &Home, result: Result<()>) {
    if let Err(error) = result {
        tracing::warn!(table = home.place, error = error.chain(), "cannot compact the delta table");
    }
}

async fn rewrite_all(home: &Home, log: &LogStoreRef, shape: &Shape<'_>, groups: Vec<Vec<Add>>) -> Result<Vec<Rewrite>> {
    let mut rewrites = Vec::with_capacity(groups.len());
    for inputs in groups {
        let mut outputs = files::rewrite(home, log, shape, &inputs).await?;
        outputs.iter_mut().for_each(|file| file.add.data_change = false);
        rewrites.push(Rewrite { inputs, outputs });
    }
    Ok(rewrites)
}

impl Rewrite {
    /// Commits it if all its inputs are still in the table.
    async fn commit(self, table: &mut Table, shape: &Shape<'_>, merger: Option<&mut Merger>) -> Result<()> {
        let token = uuid::Uuid::new_v4().to_string();
        let target_size = i64::try_from(shape.target_bytes).unwrap_or(i64::MAX);
        for _ in 0..ATTEMPTS_MAX {
            if !self.inputs.iter().all(|add| table.live.holds(add)) || &table.layout()? != shape.layout {
                files::discard(&table.home, &table.log(), &self.outputs).await;
                return Ok(());
            }
            let mut actions: Vec<Action> =
                self.inputs.iter().map(|add| removal(add, shape.now_millis, false)).collect();
            actions.extend(self.outputs.iter().map(|file| Action::Add(file.add.clone())));
            match table.commit(actions, DeltaOperation::Optimize { predicate: None, target_size }, &token).await? {
                Outcome::Committed => {
                    if let Some(merger) = merger {
                        merger.done(&self.inputs, &self.outputs);
                    }
                    return Ok(());
                }
                Outcome::Overtaken => {}
                // it may be there or not: the next commit will see, and the files stay
                Outcome::Unclear(error) => return Err(error),
            }
        }
        files::discard(&table.home, &table.log(), &self.outputs).await;
        Err(Error::new(Kind::Again, "other writers were always faster"))
    }
}

/// The groups of files that are worth a rewrite: of one partition each, smallest files first.
fn pick<'a>(files: impl Iterator<Item = &'a Add>, files_min: usize, target_bytes: u64) -> Vec<Vec<Add>> {
    let small = (target_bytes as f64 * SMALL) as i64;
    let mut partitions: BTreeMap<BTreeMap<&String, &Option<String>>, Vec<&Add>> = BTreeMap::new();
    for add in files.filter(|add| add.size < small && add.deletion_vector.is_none()) {
        partitions.entry(add.partition_values.iter().collect()).or_default().push(add);
    }
    let groups = partitions.into_values().map(|mut files| {
        files.sort_by(|left, right| (left.size, &left.path).cmp(&(right.size, &right.path)));
        let (mut bytes, mut taken) = (0, 0);
        for (at, add) in files.iter().enumerate() {
            if bytes + add.size > target_bytes as i64 {
                break;
            }
            if add.size <= bytes || at == 0 {
                taken = at + 1;
            }
            bytes += add.size;
        }
        files.truncate(taken);
        files.into_iter().cloned().collect::<Vec<_>>()
    });
    groups.filter(|group| group.len() >= files_min.max(2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_grow_in_tiers_and_the_number_of_files_stays_bounded() {
        let (mut sizes, mut written, mut most) = (Vec::new(), 0_i64, 0);
        for epoch in 0..10_000 {
            sizes.push(1_000);
            if epoch % 50 == 49 {
                let adds: Vec<Add> = sizes
                    .iter()
                    .enumerate()
                    .map(|(at, size)| Add { path: at.to_string(), size: *size, ..Add::default() })
                    .collect();
                for group in pick(adds.iter(), 50, 1 << 30) {
                    let sum = group.iter().map(|add| add.size).sum();
                    for add in &group {
                        let at = sizes.iter().position(|size| *size == add.size).unwrap();
                        sizes.remove(at);
                    }
                    sizes.push(sum);
                    written += sum;
                }
            }
            most = most.max(sizes.len());
        }
        assert!(most < 70, "{most} files");
        assert!(written < 10_000 * 1_000 * 10, "{written} bytes written for ten million");
    }

    #[test]
    fn large_files_and_other_partitions_are_left_alone() {
        let add = |path: &str, size, kind: &str| Add {
            path: path.into(),
            size,
            partition_values: [("kind".to_owned(), Some(kind.to_owned()))].into(),
            ..Add::default()
        };
        let files = [add("1", 10, "a"), add("2", 10, "a"), add("3", 10, "b"), add("4", 90, "a"), add("5", 15, "a")];
        let picked = pick(files.iter(), 2, 100);
        let paths: Vec<Vec<&str>> =
            picked.iter().map(|group| group.iter().map(|add| add.path.as_str()).collect()).collect();
        assert_eq!(paths, [["1", "2", "5"]]);
    }
}
