//! A start: takes the checkpoint, reads what it holds, and puts operators, offsets and watermarks
//! where they were. What to do is decided by `checkpoint::decide`; here it is done.

use crate::checkpoint::decide::{Facts, SinkFacts, decide};
use crate::checkpoint::journal::{self, Journal};
use crate::checkpoint::lock::CheckpointLock;
use crate::checkpoint::metadata::Metadata;
use crate::checkpoint::record::{CommitRecord, PlanRecord, PlannedWatermark, Record};
use crate::checkpoint::snapshot::{Snapshot, Snapshots};
use crate::checkpoint::{durable, ipc};
use crate::dataflow::{Dataflow, KeyedStep};
use crate::deliver::Delivery;
use crate::evolve::calls::Changed;
use crate::evolve::saved::Saved;
use crate::evolve::settle;
use crate::faults::QueryFaults;
use crate::operator::aggregate::accumulator::Scope;
use crate::pipeline::query::Query;
use crate::state::home::{StateBackends, StateHome};
use arrow::record_batch::RecordBatch;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidemill_core::state::StateBackend;
use tidemill_core::{Epoch, Error, Offsets, Result, Step};

/// A checkpoint that is held and has been read.
pub struct Checkpoint {
    /// Where it is.
    pub directory: PathBuf,
    /// Who it is.
    pub metadata: Metadata,
    plans: BTreeMap<Epoch, PlanRecord>,
    commits: BTreeMap<Epoch, CommitRecord>,
    changes: BTreeMap<Epoch, Vec<(String, Vec<u8>)>>,
    last_segment: Option<u64>,
    /// True when the query has changed and the metadata on disk is still that of the one before.
    has_changed: bool,
    /// Aggregates that have other functions than some of their saved state.
    adapted: BTreeMap<String, Changed>,
    _lock: CheckpointLock,
}

/// Where a query goes on.
pub struct Resumed {
    /// The epoch to run next.
    pub next: Epoch,
    /// Plans that are in the log and are run as they are there.
    pub recorded: VecDeque<PlanRecord>,
    /// Newest committed epoch: epochs up to it are in the log already.
    pub committed: Option<Epoch>,
    /// How far each source table has been read.
    pub offsets: BTreeMap<String, Offsets>,
    /// The watermark each part used last, in milliseconds.
    pub used_watermarks: Vec<i64>,
    /// The open end of the journal.
    pub journal: Journal,
    /// The newest file of the replay log that was read.
    pub replayed: u64,
    /// The store of state, unless it is in memory.
    pub home: Option<StateHome>,
}

impl Checkpoint {
    /// Takes and reads the checkpoint in `directory`, or makes a new one there. Names the operators of the query as
    /// the checkpoint does.
    ///
    /// # Errors
    /// Another process holds it, it cannot be read or written, it is damaged, it is that of another pipeline, or
    /// the query has changed so that state would be lost, and nobody has approved that.
    pub fn open(directory: &Path, query: &Query, flow: &mut Dataflow) -> Result<Checkpoint> {
        durable::create_directory(directory)?;
        let lock = CheckpointLock::take(directory)?;
        let known = Metadata::read(directory)?;
        let (records, last_segment) = journal::read(&directory.join("journal"))?;
        let (metadata, adapted, has_changed) = match known {
            Some(known) => {
                let saved = Saved::of(directory, &records)?;
                let change = settle::change(query, flow, &known, &saved, directory)?;
                change.check_approved(query.session.settings.approves_loss(), directory)?;
                let (now, adapted) = settle::settle(query, flow, known.clone(), &change, saved.committed);
                let has_changed = now != known;
                (now, adapted, has_changed)
            }
            None => {
                let now = settle::first(query, flow)?;
                now.write(directory)?;
                (now, BTreeMap::new(), false)
            }
        };
        let mut checkpoint = Checkpoint {
            directory: directory.to_owned(),
            metadata,
            plans: BTreeMap::new(),
            commits: BTreeMap::new(),
            changes: BTreeMap::new(),
            last_segment,
            has_changed,
            adapted,
            _lock: lock,
        };
        for record in records {
            checkpoint.take_in(record);
        }
        checkpoint.check_gaps()?;
        Ok(checkpoint)
    }

    /// A later record of an epoch replaces an earlier one: an epoch that was cut off is written anew.
    fn take_in(&mut self, record: Record) {
        match record {
            Record::Plan(plan) => {
                self.changes.remove(&plan.epoch);
                self.plans.insert(plan.epoch, plan);
            }
            Record::Changes { epoch, operator, rows } => self.changes.entry(epoch).or_default().push((operator, rows)),
            Record::Commit(commit) => {
                self.commits.insert(commit.epoch, commit);
            }
        }
    }

    fn check_gaps(&self) -> Result<()> {
        let gap = |what: &str, before: Epoch, after: Epoch| {
            Error::invalid(format!(
                "the journal of the checkpoint {} has a gap: after the {what} of epoch {before} comes that of epoch {after}",
                self.directory.display()
            ))
            .help("restore the journal from a copy, or start over with a new checkpoint directory")
        };
        for (what, epochs) in
            [("plan", self.plans.keys().collect::<Vec<_>>()), ("commit", self.commits.keys().collect())]
        {
            if let Some(pair) = epochs.windows(2).find(|pair| pair[0].next() != *pair[1]) {
                return Err(gap(what, *pair[0], *pair[1]));
            }
        }
        Ok(())
    }

    /// True when no epoch has been planned.
    pub fn is_new(&self) -> bool {
        self.plans.is_empty() && self.commits.is_empty()
    }

    fn committed(&self) -> Option<Epoch> {
        self.commits.keys().next_back().copied()
    }

    /// Rebuilds the state before the epoch that runs next.
    ///
    /// # Errors
    /// The decision to stop; damage.
    pub async fn resume(
        &self,
        flow: &mut Dataflow,
        sinks: &mut [Delivery],
        accept_foreign: bool,
        backends: &StateBackends,
        faults: &QueryFaults,
    ) -> Result<Resumed> {
        let committed = self.committed();
        let snapshots = Snapshots::list(&self.directory.join("snapshots"))?;
        let newest = committed.and_then(|committed| snapshots.newest(committed));
        let known_sinks = self.sinks_written(newest);
        let mut facts = Facts {
            committed,
            planned: self.plans.keys().next_back().copied(),
            oldest_replayable: self.oldest_replayable(&snapshots),
            sinks: vec![],
            accept_foreign,
        };
        for sink in sinks.iter_mut() {
            sink.last = known_sinks.get(&sink.table).copied();
            facts.sinks.push(SinkFacts { name: sink.table.clone(), expected: sink.last, marker: sink.marker().await? });
        }
        let (next, holds) = decide(&facts).into_result()?;
        faults.at(Step::Recovering)?;
        for (sink, held) in sinks.iter_mut().zip(holds) {
            sink.held = held;
        }
        let base = next.0.checked_sub(1).map(Epoch);
        let start = base.and_then(|base| snapshots.newest(base));
        let home = self.restore_snapshot(flow, start, backends)?;
        faults.at(Step::Recovering)?;
        self.replay_changes(flow, start, base)?;
        let used_watermarks = self.resume_watermarks(flow, start, base);
        if self.has_changed {
            self.metadata.replace(&self.directory)?;
        }
        let journal = Journal::start(&self.directory.join("journal"), self.last_segment, self.bytes_since(newest))?;
        faults.at(Step::Recovering)?;
        Ok(Resumed {
            next,
            recorded: self.plans.range(next..).map(|(_, plan)| self.for_parts(plan, flow.parts.len())).collect(),
            committed,
            offsets: self.offsets(start, next),
            used_watermarks,
            replayed: self.replayed(start, next),
            journal: journal.breaking(faults.clone()),
            home,
        })
    }

    /// A plan that has a watermark for every part; parts that are newer than the plan have seen nothing.
    fn for_parts(&self, plan: &PlanRecord, parts: usize) -> PlanRecord {
        let mut plan = plan.clone();
        plan.watermarks.resize(parts, PlannedWatermark { late: 0, current: 0 });
        plan
    }

    /// Bytes of the changes after a snapshot.
    fn bytes_since(&self, snapshot: Option<&Snapshot>) -> u64 {
        let first = snapshot.map_or(Epoch(0), |snapshot| snapshot.manifest.epoch.next());
        self.changes.range(first..).flat_map(|(_, changes)| changes).map(|(_, rows)| rows.len() as u64).sum()
    }

    fn sinks_written(&self, snapshot: Option<&Snapshot>) -> BTreeMap<String, Epoch> {
        match (self.commits.values().next_back(), snapshot) {
            (Some(commit), _) => commit.sinks.clone(),
            (None, Some(snapshot)) => snapshot.manifest.sinks.clone(),
            (None, None) => BTreeMap::new(),
        }
    }

    /// The oldest epoch whose plan is kept and before which the state can be rebuilt.
    fn oldest_replayable(&self, snapshots: &Snapshots) -> Option<Epoch> {
        let first_plan = self.plans.keys().next().copied()?;
        if first_plan == Epoch(0) {
            return Some(Epoch(0));
        }
        let reaches = |plan: &&Epoch| {
            let snapshot = snapshots.newest(Epoch(plan.0 - 1));
            snapshot.is_some_and(|snapshot| snapshot.manifest.epoch.next() >= first_plan)
        };
        self.plans.keys().find(reaches).copied()
    }

    /// Puts state where the query keeps it, as a snapshot has it; gives the store, if it is not memory.
    fn restore_snapshot(
        &self,
        flow: &mut Dataflow,
        start: Option<&Snapshot>,
        backends: &StateBackends,
    ) -> Result<Option<StateHome>> {
        let copy = start.and_then(|snapshot| Some((snapshot.manifest.store.as_ref()?, snapshot.path.as_path())));
        let open = |backend: &Arc<dyn StateBackend>, copy| {
            StateHome::open(backend, &self.directory, backends.memory_bytes, copy)
        };
        let epoch = start.map_or(Epoch(0), |snapshot| snapshot.manifest.epoch);
        let put_back = |step: &mut KeyedStep, rows: RecordBatch| self.put_back(step, rows, epoch, Scope::Whole);
        if let (None, Some((of, path))) = (&backends.chosen, copy) {
            let home = open(backends.named(&of.backend)?, Some((of, path)))?;
            flow.parts.iter_mut().flat_map(|part| part.keyed()).try_for_each(|step| {
                let name = step.name.clone();
                home.rows(&name, &mut |rows| put_back(step, rows))
            })?;
            home.remove()?;
            return Ok(None);
        }
        let home = backends.chosen.as_ref().map(|backend| open(backend, copy)).transpose()?;
        if let Some(home) = &home {
            home.take(flow, &put_back)?;
        }
        for step in flow.parts.iter_mut().flat_map(|part| part.keyed()) {
            let content = start.and_then(|snapshot| Some((snapshot.manifest.epoch, snapshot.state.get(&step.name)?)));
            if let Some((epoch, content)) = content {
                self.load(step, content, epoch, Scope::Whole)?;
            }
        }
        Ok(home)
    }

    /// Does again what the epochs after the snapshot changed, up to `base`.
    fn replay_changes(&self, flow: &mut Dataflow, start: Option<&Snapshot>, base: Option<Epoch>) -> Result<()> {
        let Some(base) = base else { return Ok(()) };
        let first = start.map_or(Epoch(0), |snapshot| snapshot.manifest.epoch.next());
        // empty when the snapshot is of the base itself
        let replayed = first..base.next();
        if self.commits.range(replayed.clone()).count() as u64 != replayed.end.0 - replayed.start.0 {
            return Err(Error::invalid(format!(
                "the state after epoch {base} cannot be rebuilt from the checkpoint {}: neither a snapshot nor every epoch before it is there",
                self.directory.display()
            ))
            .help("restore the checkpoint from a copy, or start over with a new one"));
        }
        for (number, part) in flow.parts.iter_mut().enumerate() {
            let replayed = self.plans.range(replayed.clone());
            let epochs = replayed.map(|(epoch, plan)| {
                let watermark = plan.watermarks.get(number).map(|watermark| watermark.current.saturating_mul(1000));
                (epoch, watermark.map(|watermark| part.keyed_marks(watermark)))
            });
            let epochs: Vec<_> = epochs.collect();
            for (number, step) in part.keyed().enumerate() {
                let name = step.name.clone();
                for (epoch, marks) in &epochs {
                    for (_, rows) in self.changes.get(epoch).into_iter().flatten().filter(|(known, _)| *known == name) {
                        self.load(step, rows, **epoch, Scope::Changes)?;
                    }
                    if let Some(marks) = marks {
                        let mut partitions = step.partitions.iter_mut();
                        partitions.try_for_each(|partition| partition.state().evict(marks[number]))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sets every part's watermark; gives the one each used last.
    fn resume_watermarks(&self, flow: &mut Dataflow, start: Option<&Snapshot>, base: Option<Epoch>) -> Vec<i64> {
        let mut used = vec![0; flow.parts.len()];
        let Some(base) = base else { return used };
        let next = match self.commits.get(&base) {
            Some(commit) => commit.next_watermarks.clone(),
            None => start.map(|snapshot| snapshot.manifest.next_watermarks.clone()).unwrap_or_default(),
        };
        match self.plans.get(&base) {
            Some(plan) => used = plan.watermarks.iter().map(|watermark| watermark.current).collect(),
            None => used = start.map_or(used, |snapshot| snapshot.manifest.watermarks.clone()),
        }
        used.resize(flow.parts.len(), 0);
        for ((part, next), used) in flow.parts.iter_mut().zip(next).zip(&used) {
            part.watermark.resume(next.max(*used));
        }
        used
    }

    fn replayed(&self, start: Option<&Snapshot>, next: Epoch) -> u64 {
        let before = start.map_or(0, |snapshot| snapshot.manifest.replayed);
        self.plans.range(..next).filter_map(|(_, plan)| plan.replay).fold(before, u64::max)
    }

    fn offsets(&self, start: Option<&Snapshot>, next: Epoch) -> BTreeMap<String, Offsets> {
        let mut offsets = start.map(|snapshot| snapshot.manifest.offsets.clone()).unwrap_or_default();
        let first = start.map_or(Epoch(0), |snapshot| snapshot.manifest.epoch.next());
        for plan in self.plans.range(first..next).map(|(_, plan)| plan) {
            for (table, ranges) in &plan.ranges {
                offsets.entry(table.clone()).or_default().advance(ranges);
            }
        }
        offsets
    }

    /// Puts back rows of an operator that were saved after an epoch.
    fn load(&self, step: &mut KeyedStep, content: &[u8], epoch: Epoch, scope: Scope) -> Result<()> {
        let saved = ipc::read(content, &format!("the saved state of operator {}", step.name))?;
        saved.into_iter().try_for_each(|rows| self.put_back(step, rows, epoch, scope))
    }

    fn put_back(&self, step: &mut KeyedStep, rows: RecordBatch, epoch: Epoch, scope: Scope) -> Result<()> {
        let rows = match self.adapted.get(&step.name) {
            Some(changed) => changed.adapt(rows, epoch, &step.partitions[0].shape().schema, scope)?,
            None => rows,
        };
        step.put_back(rows, scope)
    }
}
