//! Runs pipeline cases in their DataFrame form, for `python -m tidemill test`.

use crate::errors::OrRaise;
use crate::parts;
use pyo3::prelude::*;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Registry, Result};
use tidemill_engine::case::format::Case;
use tidemill_engine::case::runner::{Between, Outcome, RunOptions, run_relation};
use tidemill_engine::pipeline::relation::Relation;

/// How a case is run.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CaseOptions {
    /// State partitions and threads; of several, every start takes the next.
    parallelism: Vec<usize>,
    /// Where state is kept; of several, every start takes the next.
    state_backend: Vec<String>,
    /// Stop and start the query before every batch.
    restart: bool,
    /// Kill it after every batch, and start it.
    kill: bool,
}

impl Default for CaseOptions {
    fn default() -> Self {
        CaseOptions { parallelism: vec![2], state_backend: vec!["memory".into()], restart: false, kill: false }
    }
}

/// Runs one case with a query built by the DataFrame API.
///
/// `case` is the JSON text of a case or the path of its file, `relation` the plan as JSON, `options` a JSON
/// object with `parallelism` (default `[2]`), `state_backend` (default `["memory"]`), `restart` (stop and start before every batch; default false) and
/// `kill` (kill after every batch, and start; default false).
/// Gives `(outcome, text)`: `passed`, `failed`, `unsupported` or `skipped`, and why.
#[pyfunction]
#[pyo3(signature = (case, relation, options = "{}"))]
pub fn run_case(py: Python<'_>, case: &str, relation: &str, options: &str) -> PyResult<(&'static str, String)> {
    py.detach(|| run(case, relation, options)).or_raise(py)
}

fn run(case: &str, relation: &str, options: &str) -> Result<(&'static str, String)> {
    let case = match case.trim_start().starts_with('{') {
        true => parts::json::<Case>("the case", case)?,
        false => Case::read(Path::new(case))?,
    };
    let relation: Relation = parts::json("the plan", relation)?;
    let options: CaseOptions = parts::json("the options", options)?;
    let mut registry = Registry::default();
    parts::register(&mut registry);
    let run = RunOptions {
        registry,
        clock: parts::clock(),
        parallelism: options.parallelism,
        state_backend: options.state_backend,
        between: match (options.restart, options.kill) {
            (_, true) => Between::Kill,
            (true, false) => Between::Stop,
            (false, false) => Between::Nothing,
        },
        rescale: vec![],
    };
    let scratch = Scratch::new()?;
    Ok(match parts::runtime()?.block_on(run_relation(&case, &relation, &run, &scratch.0)) {
        Outcome::Passed => ("passed", String::new()),
        Outcome::Failed(why) => ("failed", why),
        Outcome::Unsupported(why) => ("unsupported", why),
        Outcome::Skipped(why) => ("skipped", why),
    })
}

/// A directory for one case's checkpoint, removed afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tidemill-case-{}", uuid::Uuid::new_v4().simple()));
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
