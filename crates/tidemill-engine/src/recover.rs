//! A start: takes the checkpoint, reads what it holds, and puts operators, offsets and watermarks
//! where they were. What to do is decided by `checkpoint::decide`; here it is done.

use crate::checkpoint::decide::{Facts, SinkFacts, decide};
use crate::checkpoint::journal::{Journal, segments};
use crate::checkpoint::lock::CheckpointLock;
use crate::checkpoint::metadata::Metadata;
use crate::checkpoint::place::Place;
use crate::checkpoint::record::{CommitRecord, PlanRecord, PlannedWatermark, Record};
use crate::checkpoint::remote::Remote;
use crate::checkpoint::remote::owned::Owned;
use crate::checkpoint::snapshot::{Manifest, Snapshot, Snapshots};
use crate::checkpoint::{durable, ipc};
use crate::dataflow::{Dataflow, KeyedStep};
use crate::deliver::Delivery;
use crate::evolve::calls::Changed;
use crate::evolve::saved::Saved;
use crate::evolve::settle;
use crate::faults::QueryFaults;
use crate::operator::aggregate::accumulator::Scope;
use crate::pipeline::query::Query;
use crate::state::home::{self, StateBackends, StateHome};
use arrow::record_batch::RecordBatch;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidemill_core::state::StateBackend;
use tidemill_core::{Clock, Epoch, Error, Offsets, Result, Step};

/// A checkpoint that is held and has been read.
pub struct Checkpoint {
    /// Where it is.
    pub directory: PathBuf,
    /// Who it is.
    pub metadata: Metadata,
    plans: BTreeMap<Epoch, PlanRecord>,
    commits: BTreeMap<Epoch, CommitRecord>,
    changes: BTreeMap<Epoch, Vec<(String, Vec<u8>)>>,
    /// The open end of the journal, until the query goes on with it.
    journal: Option<Journal>,
    /// True when the query has changed and the metadata on disk is still that of the one before.
    has_changed: bool,
    /// Aggregates that have other functions than some of their saved state.
    adapted: BTreeMap<String, Changed>,
    /// Where a store's working copy is.
    working: PathBuf,
    /// What is in a store of it.
    pub(crate) remote: Option<Owned>,
    _lock: Option<CheckpointLock>,
}

/// What a checkpoint holds, read by the process that has it.
struct Taken {
    metadata: Option<Metadata>,
    records: Vec<Record>,
    journal: Journal,
    remote: Option<Owned>,
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
    /// The instant of the newest planned epoch, in microseconds: no later one is before it.
    pub instant: i64,
    /// The store of state, unless it is in memory.
    pub home: Option<StateHome>,
    /// True when epochs have changed the state since the newest snapshot.
    pub unsaved: bool,
}

impl Checkpoint {
    /// Takes and reads the checkpoint at `place`, or makes a new one there. Names the operators of the query as the
    /// checkpoint does.
    ///
    /// # Errors
    /// Another process holds it, it cannot be read or written, it is damaged, it is that of another pipeline, or
    /// the query has changed so that state would be lost, and nobody has approved that.
    pub async fn open(place: &Place, query: &Query, flow: &mut Dataflow, clock: &Arc<dyn Clock>) -> Result<Checkpoint> {
        let directory = &place.directory;
        durable::create_directory(directory)?;
        let lock = Some(CheckpointLock::take(directory)?);
        let taken = match place.remote(clock, directory) {
            Some(remote) => Checkpoint::take_remote(remote, query, flow, directory).await?,
            None => {
                let metadata = Metadata::read(directory)?;
                let journal = directory.join("journal");
                // the fence first: what another process writes to its segment from now on it does not act upon
                let (open, records) = (Journal::start(&journal)?, segments::read(&journal)?);
                Taken { metadata, records, journal: open, remote: None }
            }
        };
        let Taken { metadata, records, journal, mut remote } = taken;
        let working = home::working(directory);
        let checkpoint = match metadata {
            Some(known) => Checkpoint::read(directory, known, records, query, flow, working, lock)?,
            None => {
                let first = settle::first(query, flow)?;
                match &mut remote {
                    Some(owned) => owned.add_metadata(&first).await?,
                    None => first.write(directory)?,
                }
                Checkpoint::of(directory, first, (false, BTreeMap::new()), working, lock)
            }
        };
        Ok(Checkpoint { journal: Some(journal), remote, ..checkpoint })
    }

    /// Reads a checkpoint in a store, and takes it over once the query is known to fit: whoever runs on it goes on
    /// when this start is refused.
    async fn take_remote(remote: Remote, query: &Query, flow: &mut Dataflow, directory: &Path) -> Result<Taken> {
        remote.probe().await?;
        let mut held = remote.read().await?;
        if let Some(known) = &held.metadata {
            Checkpoint::change(query, flow, known, &held.records, directory)?;
        }
        let writer = uuid::Uuid::new_v4().simple().to_string();
        let log = match remote.take(&mut held, &writer).await? {
            Some(log) => log,
            None => {
                held = remote.read().await?;
                remote.taken(&held, &writer)?
            }
        };
        let (metadata, records) = (held.metadata.take(), std::mem::take(&mut held.records));
        let remote = Some(Owned::new(remote, held, writer).await?);
        Ok(Taken { metadata, records, journal: Journal::of_objects(log), remote })
    }

    fn change(
        query: &Query,
        flow: &mut Dataflow,
        known: &Metadata,
        records: &[Record],
        directory: &Path,
    ) -> Result<(settle::Change, Option<Epoch>)> {
        let saved = Saved::of(directory, records)?;
        let change = settle::change(query, flow, known, &saved, directory)?;
        change.check_approved(query.session.settings.approves_loss(), directory)?;
        Ok((change, saved.committed))
    }

    /// Reads a checkpoint that is there, and changes nothing in it; a store is worked on in the directory `working`.
    ///
    /// # Errors
    /// As [`Checkpoint::open`]; there is none.
    pub fn look(
        directory: &Path,
        query: &Query,
        flow: &mut Dataflow,
        working: PathBuf,
        lock: Option<CheckpointLock>,
    ) -> Result<Checkpoint> {
        let known = Metadata::read(directory)?.ok_or_else(|| Metadata::missing(directory))?;
        let records = segments::read(&directory.join("journal"))?;
        Checkpoint::read(directory, known, records, query, flow, working, lock)
    }

    fn read(
        directory: &Path,
        known: Metadata,
        records: Vec<Record>,
        query: &Query,
        flow: &mut Dataflow,
        working: PathBuf,
        lock: Option<CheckpointLock>,
    ) -> Result<Checkpoint> {
        let (change, committed) = Checkpoint::change(query, flow, &known, &records, directory)?;
        let (now, adapted) = settle::settle(query, flow, known.clone(), &change, committed);
        let has_changed = now != known;
        let mut checkpoint = Checkpoint::of(directory, now, (has_changed, adapted), working, lock);
        for record in records {
            checkpoint.take_in(record);
        }
        checkpoint.check_gaps()?;
        Ok(checkpoint)
    }

    fn of(
        directory: &Path,
        metadata: Metadata,
        (has_changed, adapted): (bool, BTreeMap<String, Changed>),
        working: PathBuf,
        lock: Option<CheckpointLock>,
    ) -> Checkpoint {
        Checkpoint {
            directory: directory.to_owned(),
            metadata,
            plans: BTreeMap::new(),
            commits: BTreeMap::new(),
            changes: BTreeMap::new(),
            journal: None,
            has_changed,
            adapted,
            working,
            remote: None,
            _lock: lock,
        }
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

    /// The newest committed epoch.
    pub fn committed(&self) -> Option<Epoch> {
        self.commits.keys().next_back().copied()
    }

    /// Rebuilds the state before the epoch that runs next.
    ///
    /// # Errors
    /// The decision to stop; damage.
    pub async fn resume(
        &mut self,
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
        remind(flow, &used_watermarks)?;
        let since_snapshot = self.bytes_since(snapshots.newest_due());
        let mut journal = self.journal.take().ok_or_else(|| Error::bug("a checkpoint is resumed twice"))?;
        journal.go_on(since_snapshot, faults.clone());
        if self.has_changed {
            match &mut self.remote {
                Some(owned) => owned.add_metadata(&self.metadata).await?,
                None => self.metadata.replace(&self.directory)?,
            }
        }
        faults.at(Step::Recovering)?;
        Ok(Resumed {
            next,
            recorded: self.plans.range(next..).map(|(_, plan)| self.for_parts(plan, flow.parts.len())).collect(),
            committed,
            offsets: self.offsets(start, next),
            used_watermarks,
            replayed: self.replayed(start, next),
            instant: self.plans.values().map(|plan| plan.timestamp).max().unwrap_or(i64::MIN),
            journal,
            home,
            unsaved: base.is_some_and(|base| start.is_none_or(|start| start.manifest.epoch < base)),
        })
    }

    /// Rebuilds the state after the committed epoch `base`, for tools; gives the store, if it is not memory.
    ///
    /// # Errors
    /// The state cannot be rebuilt; damage.
    pub fn restore(&self, flow: &mut Dataflow, base: Epoch, backends: &StateBackends) -> Result<Option<StateHome>> {
        let snapshots = Snapshots::list(&self.directory.join("snapshots"))?;
        let start = snapshots.newest(base);
        let home = self.restore_snapshot(flow, start, backends)?;
        self.replay_changes(flow, start, Some(base))?;
        Ok(home)
    }

    /// True when the query is not the one the checkpoint is of.
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// What a snapshot of the state after the newest committed epoch says beside the state, for tools. The state has
    /// been restored.
    ///
    /// # Errors
    /// The snapshots cannot be listed.
    pub fn manifest(&self, flow: &mut Dataflow, epoch: Epoch) -> Result<Manifest> {
        let snapshots = Snapshots::list(&self.directory.join("snapshots"))?;
        let start = snapshots.newest(epoch);
        let watermarks = self.resume_watermarks(flow, start, Some(epoch));
        Ok(Manifest {
            epoch,
            offsets: self.offsets(start, epoch.next()),
            watermarks,
            next_watermarks: flow.parts.iter().map(|part| part.watermark.millis()).collect(),
            sinks: self.sinks_written(start),
            files: BTreeMap::new(),
            store: None,
            replayed: self.replayed(start, epoch.next()),
            journal_from: None,
        })
    }

    /// A plan that has a watermark for every part; parts that are newer than the plan have seen nothing.
    fn for_parts(&self, plan: &PlanRecord, parts: usize) -> PlanRecord {
        let mut plan = plan.clone();
        plan.watermarks.resize(parts, PlannedWatermark { late: 0, current: 0 });
        plan
    }

    /// Bytes of the changes after the snapshot of an epoch.
    fn bytes_since(&self, snapshot: Option<Epoch>) -> u64 {
        let first = snapshot.map_or(Epoch(0), Epoch::next);
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
            StateHome::open(backend, &self.directory, &self.working, backends.memory_bytes, copy)
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
        let what = format!("the saved state of operator {}", step.name);
        ipc::each(content, &what, |rows| self.put_back(step, rows, epoch, scope))
    }

    fn put_back(&self, step: &mut KeyedStep, rows: RecordBatch, epoch: Epoch, scope: Scope) -> Result<()> {
        let rows = match self.adapted.get(&step.name) {
            Some(changed) => changed.adapt(rows, epoch, &step.partitions[0].shape().schema, scope)?,
            None => rows,
        };
        step.put_back(rows, scope)
    }
}

/// Tells operators which watermark was used last. Rows that were put into a store without knowing it have reminders
/// for windows that are over, which would stand in the way of those for windows that are not.
///
/// # Errors
/// A store that fails.
pub fn remind(flow: &mut Dataflow, used_watermarks: &[i64]) -> Result<()> {
    for (part, used) in flow.parts.iter_mut().zip(used_watermarks) {
        let marks = part.keyed_marks(used.saturating_mul(1000));
        for (step, mark) in part.keyed().zip(marks) {
            step.partitions.iter_mut().try_for_each(|partition| partition.state().evict(mark))?;
        }
    }
    Ok(())
}
