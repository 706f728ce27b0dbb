//! `tidemill state`: the state in a checkpoint, to look at, to take out, to change, to copy and to check.

mod change;
mod copy;
mod files;
mod look;

use crate::wiring;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Kind, Registry, Result};
use tidemill_engine::pipeline::query::Query;
use tidemill_engine::state::home::StateBackends;
use tidemill_engine::state::offline::saved::SavedState;

/// Memory for reading a store, in bytes.
const READ_BYTES: u64 = 256 << 20;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct State {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the operators that keep state: their keys, rows, bytes and last epoch; or what was changed by hand.
    Ls(look::Ls),
    /// Show rows of an operator's state.
    Show(look::Show),
    /// Say how large the state is: by operator, by key group, and which keys hold most.
    Size(look::Size),
    /// Write an operator's state to a Parquet file or to lines of JSON.
    Export(look::Export),
    /// Change an operator's state by a file of such rows. The query must not run.
    Import(change::Import),
    /// Make one new snapshot and let go of what it makes unneeded: older snapshots, the journal, state of operators
    /// that are no more. The query must not run.
    Compact(change::Compact),
    /// Copy a checkpoint, with checksums of every file. The query may run.
    Backup(copy::Backup),
    /// Make a checkpoint of a backup.
    Restore(copy::Restore),
    /// Check every file of a checkpoint or of a backup; ends with 78 when one is damaged, and names it.
    Verify(copy::Verify),
}

/// Which state.
#[derive(Debug, Args)]
struct Place {
    /// Directory of the checkpoint.
    #[arg(value_parser = crate::cmd::directory_of)]
    checkpoint: PathBuf,

    /// The pipeline of the checkpoint. With it the state is that after the newest commit; without, that of the newest
    /// snapshot.
    #[arg(long, value_name = "FILE.sql")]
    pipeline: Option<PathBuf>,

    /// A setting of the pipeline, key=value; overrules the file's.
    #[arg(long, value_name = "KEY=VALUE", requires = "pipeline")]
    set: Vec<String>,
}

/// What the engine needs to know.
struct Opened {
    registry: Registry,
    query: Option<Query>,
    backends: StateBackends,
}

impl State {
    /// Runs the verb.
    pub fn run(self) -> Result<u8> {
        match self.verb {
            Verb::Ls(verb) => verb.run(),
            Verb::Show(verb) => verb.run(),
            Verb::Size(verb) => verb.run(),
            Verb::Export(verb) => verb.run(),
            Verb::Import(verb) => verb.run(),
            Verb::Compact(verb) => verb.run(),
            Verb::Backup(verb) => verb.run(),
            Verb::Restore(verb) => verb.run(),
            Verb::Verify(verb) => verb.run(),
        }
    }
}

impl Place {
    fn opened(&self) -> Result<Opened> {
        let registry = wiring::registry();
        let query = self.pipeline.as_deref().map(|file| self.query(file, &registry)).transpose()?;
        let memory_bytes = query.as_ref().map_or(READ_BYTES, |query| query.session.settings.state_memory());
        let backends = StateBackends { chosen: None, known: registry.state_backends().to_vec(), memory_bytes };
        Ok(Opened { registry, query, backends })
    }

    /// The query of the pipeline that the checkpoint belongs to.
    fn query(&self, file: &Path, registry: &Registry) -> Result<Query> {
        let mut queries = wiring::read_pipeline(file, &self.set)?.check(registry)?;
        if queries.len() == 1 {
            return queries.pop().ok_or_else(|| Error::bug("a pipeline lost its query"));
        }
        // of several each has a directory of its name
        let name = self.checkpoint.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let names: Vec<String> = queries.iter().map(|query| query.name.clone()).collect();
        queries.into_iter().find(|query| query.name == name).ok_or_else(|| {
            Error::new(
                Kind::Usage,
                format!("{} is the checkpoint of no query of the pipeline", self.checkpoint.display()),
            )
            .help(format!("queries, each with a directory of its name: {}", names.join(", ")))
        })
    }

    fn state(&self, opened: &Opened, epoch: Option<u64>) -> Result<SavedState> {
        let epoch = epoch.map(tidemill_core::Epoch);
        let state = SavedState::open(&self.checkpoint, opened.query.as_ref(), epoch, &opened.backends)?;
        if epoch.is_none() && state.epoch < state.committed {
            crate::output::note(format!(
                "the state after epoch {}, of which the newest snapshot is; the journal goes on to epoch {}: --pipeline FILE.sql shows that",
                state.epoch, state.committed
            ));
        }
        Ok(state)
    }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

fn json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::bug("it has no JSON").caused_by(error))?;
    crate::output::line(text);
    Ok(())
}
