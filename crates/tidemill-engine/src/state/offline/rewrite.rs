//! Changes the state of a checkpoint whose query does not run. What comes out is a new snapshot after the newest
//! committed epoch, and it is the only one: older ones, and the journal up to there, would give the state back as it
//! was. A sink that has gone back behind that epoch can therefore not be filled again.
//!
//! State in a store is copied from one store to another, a batch at a time, so that it need not fit in memory.

use super::audit::{self, Author, Entry, RowsDigest};
use super::saved::{SavedState, remove_scratch, step, without_tables};
use crate::checkpoint::ipc;
use crate::checkpoint::journal::{Journal, segments};
use crate::checkpoint::lock::CheckpointLock;
use crate::checkpoint::metadata::Metadata;
use crate::checkpoint::record::Record;
use crate::checkpoint::snapshot::{self, Manifest, Occasion};
use crate::dataflow::Dataflow;
use crate::faults::QueryFaults;
use crate::operator::aggregate::accumulator::Scope;
use crate::operator::take_rows;
use crate::pipeline::query::Query;
use crate::progress::iso;
use crate::recover::{Checkpoint, remind};
use crate::state::codec::Codec;
use crate::state::home::{self, StateBackends, StateHome};
use arrow::array::UInt32Array;
use arrow::record_batch::RecordBatch;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use tidemill_core::{Epoch, Error, Kind, Result};

/// What rows of a file do to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// They take the place of those with the same key; others stay.
    Upsert,
    /// They are all there is.
    Replace,
    /// Those with the same key go.
    Delete,
}

impl Edit {
    fn word(self) -> &'static str {
        match self {
            Edit::Upsert => "upsert",
            Edit::Replace => "replace",
            Edit::Delete => "delete",
        }
    }
}

/// What was changed.
#[derive(Debug, Clone, Serialize)]
pub struct Rewritten {
    /// The epoch whose state it is.
    pub epoch: u64,
    /// Rows of the operator before; of all of them when nothing was edited.
    pub rows_before: u64,
    /// And after.
    pub rows_after: u64,
    /// What they were.
    pub digest_before: String,
    /// What they are.
    pub digest_after: String,
    /// Operators whose state was let go and has now left the store.
    pub gone: Vec<String>,
}

/// Rows for an operator.
pub struct Import<'a> {
    /// The operator.
    pub operator: &'a str,
    /// The rows, under the names people see.
    pub rows: &'a [RecordBatch],
    /// What becomes of others.
    pub edit: Edit,
    /// The file they are from, for the record.
    pub file: &'a str,
}

/// Edits the state of an operator of a query that does not run.
///
/// # Errors
/// A process holds the checkpoint, an epoch is not finished, the rows do not fit the state; the disk fails.
pub fn import(
    directory: &Path,
    query: &Query,
    import: &Import<'_>,
    backends: &StateBackends,
    author: &Author,
) -> Result<Rewritten> {
    let lock = held(directory)?;
    let mut before = SavedState::open(directory, Some(query), None, backends)?;
    let operator = before.operator(Some(import.operator))?;
    let columns = before.columns(&operator)?;
    let rows = import.rows.iter().map(|rows| columns.inward(rows)).collect::<Result<Vec<_>>>()?;
    let codec = Codec::new(&before.shape(&operator)?)?;
    let named = named(&codec, &rows, &operator)?;
    let mut flow = without_tables(query)?;
    let checkpoint = Checkpoint::look(directory, query, &mut flow, home::working(directory), Some(lock))?;
    let plans = unchanged(&checkpoint, before.epoch)?;
    if plans.iter().any(|record| record.epoch() > before.epoch) {
        return Err(Error::invalid("an epoch was begun and is not finished: it would be done again with other state")
            .help("run the query until it has nothing to do, stop it, then import"));
    }
    let mut home = fresh_store(&before, &mut flow, backends)?;
    let (mut was, mut is) = (Counted::default(), Counted::default());
    for name in before.operators().into_iter().map(str::to_owned).collect::<Vec<_>>() {
        let step = step(&mut flow, &name).ok_or_else(|| Error::bug(format!("the operator {name} is lost")))?;
        before.rows(&name, &mut |rows| {
            let rows = if name == operator {
                was.count(&codec, &rows)?;
                let rows = if import.edit == Edit::Replace { rows.slice(0, 0) } else { others(&codec, rows, &named)? };
                is.count(&codec, &rows)?;
                rows
            } else {
                rows
            };
            step.put_back(rows, Scope::Whole).map(|()| true)
        })?;
        if name == operator && import.edit != Edit::Delete {
            for rows in &rows {
                is.count(&codec, rows)?;
                step.put_back(rows.clone(), Scope::Whole)?;
            }
        }
    }
    let epoch = before.epoch;
    drop(before);
    let done = Rewritten {
        epoch: epoch.0,
        rows_before: was.rows,
        rows_after: is.rows,
        digest_before: was.digest.to_string(),
        digest_after: is.digest.to_string(),
        gone: vec![],
    };
    audit::append(directory, edited(import, operator, author, &done))?;
    let manifest = checkpoint.manifest(&mut flow, epoch)?;
    remind(&mut flow, &manifest.watermarks)?;
    let state = if home.is_none() { in_memory(&mut flow)? } else { BTreeMap::new() };
    publish(directory, manifest, &state, home.as_mut(), &plans)?;
    home.map_or(Ok(()), StateHome::remove)?;
    Ok(done)
}

/// What the record says of an edit.
fn edited(import: &Import<'_>, operator: String, author: &Author, done: &Rewritten) -> Entry {
    Entry {
        at: iso(author.at),
        user: author.user.clone(),
        action: "import".into(),
        operator: Some(operator),
        mode: Some(import.edit.word().into()),
        file: Some(import.file.into()),
        epoch: done.epoch,
        rows_before: done.rows_before,
        rows_after: done.rows_after,
        digest_before: done.digest_before.clone(),
        digest_after: done.digest_after.clone(),
    }
}

/// Makes one new snapshot and lets older ones, the journal before it and the state of operators go that are no
/// more. Without the query the newest snapshot has to be that of the newest committed epoch.
///
/// # Errors
/// A process holds the checkpoint; the journal knows more than the snapshot; the disk fails.
pub fn compact(
    directory: &Path,
    query: Option<&Query>,
    backends: &StateBackends,
    author: &Author,
) -> Result<Rewritten> {
    let lock = held(directory)?;
    remove_scratch(directory)?;
    let (manifest, state, mut home, plans, operators, _held) = match query {
        Some(query) => {
            let mut flow = without_tables(query)?;
            let checkpoint = Checkpoint::look(directory, query, &mut flow, home::working(directory), Some(lock))?;
            let epoch = checkpoint.committed().ok_or_else(|| nothing_to_do(directory))?;
            let plans = unchanged(&checkpoint, epoch)?;
            let backends = StateBackends { chosen: saved_in(directory, backends)?, ..backends.clone() };
            let home = checkpoint.restore(&mut flow, epoch, &backends)?;
            let manifest = checkpoint.manifest(&mut flow, epoch)?;
            let state = if home.is_none() { in_memory(&mut flow)? } else { BTreeMap::new() };
            (
                manifest,
                state,
                home,
                plans,
                checkpoint.metadata.operators.clone(),
                Held::Checkpoint(Box::new(checkpoint)),
            )
        }
        None => {
            let metadata = Metadata::read(directory)?.ok_or_else(|| Metadata::missing(directory))?;
            let (manifest, state, home, plans) = from_snapshot(directory, &metadata, backends)?;
            (manifest, state, home, plans, metadata.operators, Held::Lock(lock))
        }
    };
    let operators: BTreeSet<String> = operators.into_keys().collect();
    let gone = home.as_ref().map(|home| home.keep_only(&operators)).transpose()?.unwrap_or_default();
    let epoch = manifest.epoch;
    let nothing = RowsDigest::default().to_string();
    audit::append(
        directory,
        Entry {
            at: iso(author.at),
            user: author.user.clone(),
            action: "compact".into(),
            operator: None,
            mode: None,
            file: None,
            epoch: epoch.0,
            rows_before: 0,
            rows_after: 0,
            digest_before: nothing.clone(),
            digest_after: nothing.clone(),
        },
    )?;
    publish(directory, manifest, &state, home.as_mut(), &plans)?;
    home.map_or(Ok(()), StateHome::remove)?;
    Ok(Rewritten {
        epoch: epoch.0,
        rows_before: 0,
        rows_after: 0,
        digest_before: nothing.clone(),
        digest_after: nothing,
        gone,
    })
}

/// What keeps others away while a checkpoint is changed.
enum Held {
    Checkpoint(#[expect(dead_code, reason = "it is held, not looked at")] Box<Checkpoint>),
    Lock(#[expect(dead_code, reason = "it is held, not looked at")] CheckpointLock),
}

type Restored = (Manifest, BTreeMap<String, Vec<u8>>, Option<StateHome>, Vec<Record>);

/// The newest snapshot as it is, without operators that are no more.
fn from_snapshot(directory: &Path, metadata: &Metadata, backends: &StateBackends) -> Result<Restored> {
    let records = segments::read(&directory.join("journal"))?;
    let found = snapshot::newest_manifest(&directory.join("snapshots"))?;
    let (path, manifest) = found.ok_or_else(|| nothing_to_do(directory))?;
    let committed = records.iter().filter(|record| matches!(record, Record::Commit(_))).map(Record::epoch).max();
    if committed.is_some_and(|committed| committed > manifest.epoch) {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "the newest snapshot is of epoch {}, the journal goes on to epoch {}",
                manifest.epoch,
                committed.unwrap_or(manifest.epoch)
            ),
        )
        .help("name the pipeline with --pipeline FILE.sql, or start and stop the query once"));
    }
    let backend = saved_in(directory, backends)?;
    let copy = manifest.store.as_ref().map(|copy| (copy, path.as_path()));
    let working = home::working(directory);
    let open = |backend| StateHome::open(&backend, directory, &working, backends.memory_bytes, copy);
    let home = backend.map(open).transpose()?;
    let kept = manifest.files.iter().filter(|(operator, _)| metadata.operators.contains_key(*operator));
    let state = kept.map(|(operator, entry)| Ok((operator.clone(), snapshot::content(&path, entry)?)));
    let state = state.collect::<Result<_>>()?;
    let plans = last_records(&records, manifest.epoch);
    let manifest = Manifest { files: BTreeMap::new(), store: None, ..manifest };
    Ok((manifest, state, home, plans))
}

/// The checkpoint's lock; there must be a checkpoint.
fn held(directory: &Path) -> Result<CheckpointLock> {
    if !directory.join("metadata.json").is_file() {
        return Err(Metadata::missing(directory));
    }
    CheckpointLock::take(directory)
}

fn nothing_to_do(directory: &Path) -> Error {
    Error::new(Kind::Usage, format!("the checkpoint {} has no state yet", directory.display()))
        .help("run the query until it has committed an epoch, and stop it")
}

/// The records from the newest committed epoch on, if the query is the one the checkpoint is of.
fn unchanged(checkpoint: &Checkpoint, epoch: Epoch) -> Result<Vec<Record>> {
    if checkpoint.has_changed() {
        return Err(Error::invalid("the pipeline is not the one that the checkpoint's state is of")
            .help("run it once, so that the state is brought into its form, and stop it"));
    }
    let records = segments::read(&checkpoint.directory.join("journal"))?;
    Ok(last_records(&records, epoch))
}

/// The plan and the commit of an epoch, and the plan of the one after it.
fn last_records(records: &[Record], epoch: Epoch) -> Vec<Record> {
    let newest = |wanted: &dyn Fn(&Record) -> bool| records.iter().rfind(|record| wanted(record)).cloned();
    let plan = newest(&|record| matches!(record, Record::Plan(plan) if plan.epoch == epoch));
    let commit = newest(&|record| matches!(record, Record::Commit(commit) if commit.epoch == epoch));
    let begun = newest(&|record| matches!(record, Record::Plan(plan) if plan.epoch == epoch.next()));
    // the epoch itself counts as one, whatever of it is there
    plan.into_iter().chain(commit).chain(begun).collect()
}

fn saved_in(directory: &Path, backends: &StateBackends) -> Result<Option<Arc<dyn tidemill_core::state::StateBackend>>> {
    let saved = snapshot::newest_manifest(&directory.join("snapshots"))?;
    let name = saved.and_then(|(_, manifest)| Some(manifest.store?.backend));
    name.map(|name| backends.named(&name).cloned()).transpose()
}

/// An empty store for the operators of `flow`, if the state is in one.
fn fresh_store(before: &SavedState, flow: &mut Dataflow, backends: &StateBackends) -> Result<Option<StateHome>> {
    let Some(name) = &before.backend else { return Ok(None) };
    let directory = &before.directory;
    let working = home::working(directory);
    let home = StateHome::open(backends.named(name)?, directory, &working, backends.memory_bytes, None)?;
    home.take(flow, &|_, _| Err(Error::bug("an empty store has rows")))?;
    Ok(Some(home))
}

fn in_memory(flow: &mut Dataflow) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut state = BTreeMap::new();
    for step in flow.parts.iter_mut().flat_map(|part| part.keyed()) {
        let rows = step.partitions.iter_mut().map(|partition| partition.state().whole()).collect::<Result<Vec<_>>>()?;
        state.insert(step.name.clone(), ipc::write(&step.partitions[0].shape().schema, &rows)?);
    }
    Ok(state)
}

/// The snapshot first: from then on the new state is the one that counts.
fn publish(
    directory: &Path,
    manifest: Manifest,
    state: &BTreeMap<String, Vec<u8>>,
    home: Option<&mut StateHome>,
    records: &[Record],
) -> Result<()> {
    let epoch = manifest.epoch;
    snapshot::write(&directory.join("snapshots"), Occasion::Rewrite, manifest, state, home, &QueryFaults::none())?;
    let mut journal = Journal::start(&directory.join("journal"))?;
    records.iter().try_for_each(|record| journal.add(record))?;
    journal.flush_to_disk()?;
    journal.forget(epoch)
}

/// What the rows of a file are called. A name that comes twice is a mistake, but for the values of a list.
fn named(codec: &Codec, rows: &[RecordBatch], operator: &str) -> Result<HashSet<Vec<u8>>> {
    let mut named = HashSet::new();
    for rows in rows {
        let (names, has_lists) = (codec.names(rows)?, rows.column_by_name("variable").is_some());
        for row in 0..rows.num_rows() {
            if !named.insert(names.row(row).to_vec()) && !has_lists {
                return Err(Error::invalid(format!("two rows are for one key of the operator {operator}"))
                    .help("leave one row a key, and a window"));
            }
        }
    }
    Ok(named)
}

/// The rows that are not called like any of these.
fn others(codec: &Codec, rows: RecordBatch, named: &HashSet<Vec<u8>>) -> Result<RecordBatch> {
    let names = codec.names(&rows)?;
    let others = (0..rows.num_rows()).filter(|row| !named.contains(names.row(*row)));
    take_rows(&rows, &UInt32Array::from_iter_values(others.map(|row| row as u32)))
}

/// How many rows, and which.
#[derive(Default)]
struct Counted {
    rows: u64,
    digest: RowsDigest,
}

impl Counted {
    fn count(&mut self, codec: &Codec, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows() as u64;
        let (names, values) = (codec.names(rows)?, codec.values(rows)?);
        (0..rows.num_rows()).for_each(|row| self.digest.add([names.row(row), values.row(row)]));
        Ok(())
    }
}
