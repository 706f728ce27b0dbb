//! The state of a checkpoint, brought to where it can be read. The checkpoint is not changed and may belong to a
//! query that runs: what it holds is made once and never changed, and a store is read from links to its files.

use super::columns::{Columns, is_key};
use crate::checkpoint::journal::segments;
use crate::checkpoint::metadata::Metadata;
use crate::checkpoint::record::Record;
use crate::checkpoint::snapshot::{self, Manifest};
use crate::checkpoint::{durable, ipc};
use crate::dataflow::{Dataflow, KeyedStep};
use crate::pipeline::plan::inner_schema;
use crate::pipeline::query::Query;
use crate::recover::Checkpoint;
use crate::state::home::{StateBackends, StateHome};
use crate::state::table::StateShape;
use arrow::record_batch::RecordBatch;
use std::path::{Path, PathBuf};
use tidemill_core::{Epoch, Error, Kind, Result};

/// Rows that are handed on at once.
const ROWS_AT_ONCE: usize = 1 << 16;
/// How often a checkpoint is read again whose files go while it is read: its query runs.
const ATTEMPTS: usize = 4;

/// The state of every operator after an epoch.
pub struct SavedState {
    /// Directory of the checkpoint.
    pub directory: PathBuf,
    /// Who the checkpoint is.
    pub metadata: Metadata,
    /// The state is that after this epoch.
    pub epoch: Epoch,
    /// The newest committed epoch: when it is another, the journal knows more.
    pub committed: Epoch,
    /// The store that has the state; `None` for memory.
    pub backend: Option<String>,
    held: Held,
    // after what is in it: a store is closed before its directory goes
    _scratch: Scratch,
}

enum Held {
    Files { path: PathBuf, manifest: Box<Manifest> },
    Store(StateHome),
    Operators { flow: Box<Dataflow>, home: Option<StateHome> },
}

/// A directory for links to a store's files.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // one that stays behind holds links only; `tidemill state compact` removes it
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The beginning of the names of such directories.
pub const SCRATCH: &str = ".reading-";

impl SavedState {
    /// The state in the checkpoint `directory`. With `query`, the pipeline it belongs to, that after the newest
    /// commit; without, that of the newest snapshot, or of the snapshot of `epoch`.
    ///
    /// # Errors
    /// There is no checkpoint, it is damaged, it does not fit the query; there is no snapshot.
    pub fn open(
        directory: &Path,
        query: Option<&Query>,
        epoch: Option<Epoch>,
        backends: &StateBackends,
    ) -> Result<SavedState> {
        let open = || match query {
            Some(query) if epoch.is_none() => SavedState::replayed(directory, query, backends),
            _ => SavedState::of_snapshot(directory, epoch, backends),
        };
        for _ in 1..ATTEMPTS {
            match open() {
                Err(error) if error.kind() == Kind::Io => {}
                done => return done,
            }
        }
        open()
    }

    fn of_snapshot(directory: &Path, epoch: Option<Epoch>, backends: &StateBackends) -> Result<SavedState> {
        let metadata = Metadata::read(directory)?.ok_or_else(|| Metadata::missing(directory))?;
        let committed = committed(directory)?;
        let snapshots = snapshot::all(&directory.join("snapshots"))?;
        let mut whole: Vec<(PathBuf, Manifest)> = vec![];
        for (path, manifest) in snapshots {
            // what a killed process left without a manifest is no snapshot
            if path.join("manifest.json").is_file() {
                whole.push((path, manifest?));
            }
        }
        let known: Vec<String> = whole.iter().map(|(_, manifest)| manifest.epoch.to_string()).collect();
        let wanted = whole.into_iter().rfind(|(_, manifest)| epoch.is_none_or(|epoch| manifest.epoch == epoch));
        let (path, manifest) = wanted.ok_or_else(|| no_snapshot(directory, epoch, &known))?;
        let scratch = Scratch(scratch_name(directory));
        let held = match &manifest.store {
            None => Held::Files { path, manifest: Box::new(manifest.clone()) },
            Some(copy) => {
                let backend = backends.named(&copy.backend)?;
                let of = Some((copy, path.as_path()));
                Held::Store(StateHome::open(backend, directory, &scratch.0, backends.memory_bytes, of)?)
            }
        };
        Ok(SavedState {
            directory: directory.to_owned(),
            metadata,
            epoch: manifest.epoch,
            committed: committed.unwrap_or(manifest.epoch),
            backend: manifest.store.map(|store| store.backend),
            held,
            _scratch: scratch,
        })
    }

    fn replayed(directory: &Path, query: &Query, backends: &StateBackends) -> Result<SavedState> {
        let mut flow = without_tables(query)?;
        let scratch = Scratch(scratch_name(directory));
        let checkpoint = Checkpoint::look(directory, query, &mut flow, scratch.0.clone(), None)?;
        let epoch = checkpoint.committed().ok_or_else(|| nothing_committed(directory))?;
        let saved_in = snapshot::newest_manifest(&directory.join("snapshots"))?;
        let backend = saved_in.and_then(|(_, manifest)| Some(manifest.store?.backend));
        let chosen = backend.as_deref().map(|name| backends.named(name).cloned()).transpose()?;
        let backends = StateBackends { chosen, ..backends.clone() };
        let home = checkpoint.restore(&mut flow, epoch, &backends)?;
        let metadata = checkpoint.metadata.clone();
        Ok(SavedState {
            directory: directory.to_owned(),
            metadata,
            epoch,
            committed: epoch,
            backend,
            held: Held::Operators { flow: Box::new(flow), home },
            _scratch: scratch,
        })
    }

    /// The operators, in the order of their names.
    pub fn operators(&self) -> Vec<&str> {
        self.metadata.operators.keys().map(String::as_str).collect()
    }

    /// The operator of a name, or of a number in the order of names; without either the only one there is.
    ///
    /// # Errors
    /// None or several.
    pub fn operator(&self, name: Option<&str>) -> Result<String> {
        let all = self.operators();
        let numbered = |name: &str| all.get(name.parse::<usize>().ok()?).copied();
        let found = match name {
            Some(name) => all.iter().find(|known| **known == name).copied().or_else(|| numbered(name)),
            None if all.len() == 1 => all.first().copied(),
            None => None,
        };
        found.map(str::to_owned).ok_or_else(|| match (name, all.as_slice()) {
            (_, []) => Error::new(Kind::Usage, format!("no operator of {} keeps state", self.directory.display())),
            (Some(name), _) => Error::new(Kind::Usage, format!("there is no operator '{name}' in the checkpoint"))
                .help(format!("operators: {}", all.join(", "))),
            (None, _) => Error::new(Kind::Usage, "several operators keep state, and none is named")
                .help(format!("operators: {}", all.join(", "))),
        })
    }

    /// The columns of an operator's rows inside, and which of them are its key.
    ///
    /// # Errors
    /// Damage.
    pub fn shape(&mut self, operator: &str) -> Result<StateShape> {
        let none = || Error::invalid(format!("the state has nothing of the operator {operator}"));
        match &mut self.held {
            Held::Operators { flow, .. } => Ok(step(flow, operator).ok_or_else(none)?.partitions[0].shape()),
            Held::Store(home) => home.shape(operator)?.ok_or_else(none),
            Held::Files { path, manifest } => {
                let entry = manifest.files.get(operator).ok_or_else(none)?;
                let schema = ipc::schema(&snapshot::content(path, entry)?, "the saved state")?;
                let fields = schema.fields();
                let first = fields.iter().position(|field| is_key(field.name())).unwrap_or(0);
                let count = fields.iter().filter(|field| is_key(field.name())).count();
                Ok(StateShape { keys: first..first + count, names: vec![], schema })
            }
        }
    }

    /// The names people know the columns by.
    ///
    /// # Errors
    /// Damage.
    pub fn columns(&mut self, operator: &str) -> Result<Columns> {
        let shape = self.shape(operator)?;
        let layout = self.metadata.operators.get(operator).map_or("", String::as_str);
        Ok(Columns::new(shape.schema, self.metadata.identities.get(operator), layout))
    }

    /// Shows the rows of an operator as they are inside, a batch at a time, until the visitor says that it is enough.
    ///
    /// # Errors
    /// Damage; the disk fails; the visitor.
    pub fn rows(&mut self, operator: &str, visit: &mut dyn FnMut(RecordBatch) -> Result<bool>) -> Result<()> {
        let mut goes_on = true;
        let mut hand_on = |rows: RecordBatch| {
            for start in (0..rows.num_rows()).step_by(ROWS_AT_ONCE) {
                goes_on = goes_on && visit(rows.slice(start, ROWS_AT_ONCE.min(rows.num_rows() - start)))?;
            }
            Ok(goes_on)
        };
        match &mut self.held {
            Held::Files { path, manifest } => {
                let Some(entry) = manifest.files.get(operator) else { return Ok(()) };
                let rows = ipc::read(&snapshot::content(path, entry)?, "the saved state")?;
                rows.into_iter().try_for_each(|rows| hand_on(rows).map(|_| ()))
            }
            Held::Store(home) | Held::Operators { home: Some(home), .. } => home.rows_until(operator, &mut hand_on),
            Held::Operators { flow, home: None } => {
                let Some(step) = step(flow, operator) else { return Ok(()) };
                step.partitions.iter_mut().try_for_each(|partition| hand_on(partition.state().whole()?).map(|_| ()))
            }
        }
    }

    /// How many rows an operator has.
    ///
    /// # Errors
    /// Damage; the disk fails.
    pub fn count(&mut self, operator: &str) -> Result<u64> {
        if let Held::Store(home) | Held::Operators { home: Some(home), .. } = &self.held {
            return home.count(operator);
        }
        let mut count = 0;
        self.rows(operator, &mut |rows| {
            count += rows.num_rows() as u64;
            Ok(true)
        })?;
        Ok(count)
    }
}

/// The operators of a query over tables without rows: what those hold does not matter to state that is there.
///
/// # Errors
/// A bug.
pub fn without_tables(query: &Query) -> Result<Dataflow> {
    crate::start::lowered(query, &|_, _, attributes| Ok(RecordBatch::new_empty(inner_schema(attributes))))
}

/// The stateful step of this name.
pub fn step<'a>(flow: &'a mut Dataflow, operator: &str) -> Option<&'a mut KeyedStep> {
    flow.parts.iter_mut().flat_map(|part| part.keyed()).find(|step| step.name == operator)
}

/// The newest committed epoch the journal knows.
///
/// # Errors
/// Damage.
pub fn committed(directory: &Path) -> Result<Option<Epoch>> {
    let records = segments::read(&directory.join("journal"))?;
    Ok(records.iter().filter(|record| matches!(record, Record::Commit(_))).map(Record::epoch).max())
}

fn scratch_name(directory: &Path) -> PathBuf {
    directory.join(format!("{SCRATCH}{}", uuid::Uuid::new_v4().simple()))
}

/// Removes what readers left behind that were killed. Nobody may be reading.
///
/// # Errors
/// The disk fails.
pub fn remove_scratch(directory: &Path) -> Result<()> {
    let listed = std::fs::read_dir(directory)
        .map_err(|error| Error::io(format!("cannot list {}", directory.display()), error))?;
    for path in listed.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(SCRATCH)) {
        let path = path.path();
        std::fs::remove_dir_all(&path)
            .map_err(|error| Error::io(format!("cannot remove {}", path.display()), error))?;
    }
    durable::sync_directory(directory)
}

fn nothing_committed(directory: &Path) -> Error {
    Error::invalid(format!("no epoch is committed in the checkpoint {}", directory.display()))
        .help("run the query until it has committed one")
}

fn no_snapshot(directory: &Path, epoch: Option<Epoch>, known: &[String]) -> Error {
    match epoch {
        Some(epoch) if !known.is_empty() => {
            let message = format!("the checkpoint {} has no snapshot of epoch {epoch}", directory.display());
            Error::new(Kind::Usage, message).help(format!("snapshots: {}", known.join(", ")))
        }
        _ => Error::new(Kind::Usage, format!("the checkpoint {} has no snapshot", directory.display())).help(
            "name the pipeline with --pipeline FILE.sql, or stop the query in order: it makes a snapshot when it stops",
        ),
    }
}
