//! `tidemill explain FILE.sql`: the plan as data flows, and the guarantee end to end.

use crate::{output, wiring};
use clap::Args;
use std::path::PathBuf;
use tidemill_core::Result;
use tidemill_engine::pipeline::explain;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Explain {
    /// The pipeline.
    file: PathBuf,

    /// A setting, key=value; overrules the file's.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Explain {
    /// Explains the pipeline.
    pub fn run(self) -> Result<u8> {
        let spec = wiring::read_pipeline(&self.file, &self.set)?;
        let queries = spec.check(&wiring::registry())?;
        let texts: Vec<String> = queries.iter().map(explain::query).collect();
        output::line(texts.join("\n"));
        Ok(0)
    }
}
