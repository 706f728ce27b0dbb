//! `tidemill test PATH...`: runs pipeline cases in their SQL form.

use crate::{output, wiring};
use clap::Args;
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Kind, Result, ResultExt};
use tidemill_engine::case::format::Case;
use tidemill_engine::case::runner::{Between, Outcome, RunOptions, run_sql};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Test {
    /// Case files, or directories that hold them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,

    /// Only cases of this group.
    #[arg(long)]
    group: Option<String>,

    /// State partitions and threads. Of several, as in `1,4`, every start of the query takes the next.
    #[arg(long, value_delimiter = ',', default_values_t = [2])]
    parallelism: Vec<usize>,

    /// Where state is kept: memory, rocksdb. Of several, every start of the query takes the next.
    #[arg(long, value_delimiter = ',', default_values = ["memory"])]
    state_backend: Vec<String>,

    /// Stop and start the query before every batch.
    #[arg(long, conflicts_with = "kill")]
    restart: bool,

    /// Kill the query after every batch, while the sink has an epoch that is not committed yet, and start it.
    #[arg(long)]
    kill: bool,

    /// Give the running query another parallelism after every batch: the next of these, as in `1,4,2`.
    #[arg(long, value_delimiter = ',')]
    rescale: Vec<usize>,

    /// How a case counts that uses what this version does not have yet.
    #[arg(long, value_enum, default_value_t = Unsupported::Fail)]
    unsupported: Unsupported,

    /// Print failures in full.
    #[arg(long)]
    details: bool,
}

/// How a case counts that uses what this version does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Unsupported {
    /// As failed.
    Fail,
    /// As skipped; its name is printed.
    Skip,
}

impl Test {
    /// Runs the cases; the exit code is 0 when none has failed, 1 otherwise.
    pub fn run(self) -> Result<u8> {
        let mut files = Vec::new();
        for path in &self.paths {
            collect(path, &mut files)?;
        }
        files.sort();
        let runtime = wiring::runtime()?;
        let options = RunOptions {
            registry: wiring::registry(),
            clock: wiring::clock(),
            parallelism: self.parallelism,
            state_backend: self.state_backend,
            between: match (self.restart, self.kill) {
                (false, false) => Between::Nothing,
                (true, _) => Between::Stop,
                (false, true) => Between::Kill,
            },
            rescale: self.rescale,
        };
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        let mut unsupported = Vec::new();
        for file in &files {
            let case = Case::read(file)?;
            if self.group.as_ref().is_some_and(|group| *group != case.group) {
                continue;
            }
            let scratch = Scratch::new()?;
            match runtime.block_on(run_sql(&case, &options, &scratch.0)) {
                Outcome::Passed => passed += 1,
                Outcome::Skipped(_) => skipped += 1,
                Outcome::Unsupported(_) if self.unsupported == Unsupported::Skip => unsupported.push(case.name),
                Outcome::Failed(why) | Outcome::Unsupported(why) => {
                    failed += 1;
                    let why = if self.details { why } else { why.lines().take(3).collect::<Vec<_>>().join("\n") };
                    output::line(format!("FAILED {} ({})\n{why}\n", case.name, case.group));
                }
            }
        }
        if !unsupported.is_empty() {
            output::line(format!("refused as not supported yet: {}\n", unsupported.join(", ")));
            skipped += unsupported.len();
        }
        output::line(format!("{passed} passed, {failed} failed, {skipped} skipped"));
        Ok(u8::from(failed > 0))
    }
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).context(Kind::Io, || format!("cannot list {}", path.display()))?;
        for entry in entries {
            let entry = entry.context(Kind::Io, || format!("cannot list {}", path.display()))?.path();
            if entry.is_dir() || entry.extension().is_some_and(|extension| extension == "json") {
                collect(&entry, files)?;
            }
        }
        return Ok(());
    }
    if !path.exists() {
        return Err(Error::new(Kind::Usage, format!("there is no case {}", path.display())));
    }
    files.push(path.to_owned());
    Ok(())
}

/// A directory for one case's checkpoint, removed afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!(
            "tidemill-case-{}-{}",
            std::process::id(),
            uuid::Uuid::new_v4().simple()
        ));
        std::fs::create_dir_all(&path).map_err(|error| Error::io(format!("cannot make {}", path.display()), error))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // what stays behind is in the temporary directory
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
