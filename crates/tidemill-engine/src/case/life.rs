//! The starts and ends of a case's query: stopped, killed, failed in its sink, started anew from the
//! checkpoint it left.

use super::format::Case;
use super::runner::{Between, unshared};
use crate::operator::window::WindowKind;
use crate::pipeline::plan::{Node, Plan};
use crate::pipeline::query::Query;
use crate::pipeline::settings::Trigger;
use crate::progress::{EpochReport, Listener};
use crate::start::{QueryHandle, StartOptions, start};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tidemill_core::{Error, Result};

/// Catches what the progress reports say.
#[derive(Default)]
pub(super) struct Watcher {
    newest: Mutex<Option<EpochReport>>,
    late: AtomicU64,
}

impl Listener for Watcher {
    fn on_epoch(&self, report: &EpochReport) {
        let operators = report.progress.state_operators.iter();
        let late = operators.map(|operator| operator.num_rows_dropped_by_watermark).sum();
        self.late.fetch_add(late, Ordering::Relaxed);
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
    }
}

impl Watcher {
    /// The newest report.
    pub fn last(&self) -> Option<EpochReport> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Late rows since this was last called.
    pub fn take_late(&self) -> u64 {
        self.late.swap(0, Ordering::Relaxed)
    }
}

/// A query that may be running.
pub(super) struct Life<'l> {
    /// The same query, built for one parallelism after the other.
    pub queries: &'l [Query],
    /// How it is started.
    pub options: StartOptions,
    /// The checkpoint as a kill leaves it, when the query is killed.
    pub killed: Option<PathBuf>,
    /// What it reports.
    pub watcher: Arc<Watcher>,
    /// True when the next start runs the epoch of a kill again.
    pub replays: bool,
    /// How often it was started.
    pub starts: usize,
    /// The query, when it runs.
    pub running: Option<QueryHandle>,
}

impl Life<'_> {
    /// True when the rows do not depend on restarts.
    ///
    /// Of several watermarks under the policy `min` a restart loses what each has seen, as in Spark: the one
    /// of the query does not rise until every stream has rows again, and rows come out later.
    pub fn compared(&self, between: Between) -> bool {
        let Some(query) = self.queries.first().filter(|_| between != Between::Nothing) else { return true };
        let mut watermarks = BTreeSet::new();
        self.each_node(&mut |node| {
            if let Node::Watermark { number, .. } = node {
                watermarks.insert(*number);
            }
        });
        watermarks.len() < 2 || query.session.settings.watermark_is_max()
    }

    /// True when the case itself restarts the query.
    pub fn restarts_itself(&self, case: &Case) -> bool {
        self.is_bounded() || !case.restart_before.is_empty()
    }

    fn is_bounded(&self) -> bool {
        matches!(self.options.trigger, Trigger::AvailableNow | Trigger::Once)
    }

    /// True when windows that overlap are kept as slices: Spark counts others.
    pub fn keeps_slices(&self) -> bool {
        let mut found = false;
        self.each_node(&mut |node| {
            found |= matches!(node, Node::Window { kind, .. } if !matches!(kind, WindowKind::Tumbling(_)));
        });
        found
    }

    fn each_node(&self, see: &mut dyn FnMut(&Node)) {
        let outputs = self.queries.first().into_iter().flat_map(|query| &query.outputs);
        outputs.for_each(|output| each_node(&output.plan, see));
    }

    /// Starts it unless it runs, and waits until everything that is there is worked off.
    pub async fn work_off(&mut self) -> Result<()> {
        let bounded = self.is_bounded();
        if self.replays && self.options.trigger == Trigger::Once {
            // its one epoch is the one it was killed in
            self.running().await?.ended().await.map_err(unshared)?;
            self.running = None;
        }
        self.replays = false;
        let running = self.running().await?;
        if bounded {
            running.ended().await.map_err(unshared)?;
            return self.end().await;
        }
        running.process_all_available().await.map_err(unshared)
    }

    /// Gives it another parallelism, if it runs.
    pub async fn rescale(&mut self, parallelism: usize) -> Result<()> {
        let Some(running) = &self.running else { return Ok(()) };
        running.rescale(parallelism)?;
        running.rescaled().await.map_err(unshared)
    }

    /// Works off what is there; true when it failed over it.
    pub async fn fails(&mut self) -> Result<bool> {
        let failed = self.running().await?.process_all_available().await.is_err();
        if failed {
            self.running = None;
        }
        Ok(failed)
    }

    /// Ends it, if it runs, in the way it is to end.
    pub async fn end(&mut self) -> Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        running.stop();
        running.ended().await.map_err(unshared)?;
        if let Some(killed) = self.killed.as_ref().filter(|killed| killed.exists()) {
            let checkpoint = &self.options.checkpoint.directory;
            let put = std::fs::remove_dir_all(checkpoint).and_then(|()| std::fs::rename(killed, checkpoint));
            put.map_err(|error| Error::io(format!("cannot put back {}", checkpoint.display()), error))?;
            self.replays = true;
        }
        Ok(())
    }

    async fn running(&mut self) -> Result<&QueryHandle> {
        if self.running.is_none() {
            let query = &self.queries[self.starts % self.queries.len()];
            self.starts += 1;
            self.running = Some(start(query.clone(), self.options.clone()).await?);
        }
        self.running.as_ref().ok_or_else(|| Error::bug("the query was just started"))
    }
}

fn each_node(plan: &Plan, see: &mut dyn FnMut(&Node)) {
    see(&plan.node);
    plan.inputs().into_iter().for_each(|input| each_node(input, see));
}
