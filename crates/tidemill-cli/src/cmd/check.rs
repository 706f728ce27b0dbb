//! `tidemill check FILE.sql`: everything that can be checked without connecting.

use crate::{output, wiring};
use clap::Args;
use std::path::PathBuf;
use tidemill_core::Result;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Check {
    /// The pipeline.
    file: PathBuf,

    /// A setting, key=value; overrules the file's.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Check {
    /// Checks the pipeline.
    pub fn run(self) -> Result<u8> {
        let spec = wiring::read_pipeline(&self.file, &self.set)?;
        let queries = spec.check(&wiring::registry())?;
        for query in &queries {
            for output in &query.outputs {
                let sources: Vec<String> = output.plan.sources().into_iter().collect();
                output::line(format!(
                    "ok: {} -> {} ({}, {})",
                    if sources.is_empty() { "values".to_owned() } else { sources.join(", ") },
                    output.sink.name,
                    output.mode.word(),
                    query.guarantee(output).words()
                ));
            }
        }
        Ok(0)
    }
}
