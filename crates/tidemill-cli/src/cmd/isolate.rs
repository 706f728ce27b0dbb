//! `tidemill isolate`, for the program itself: tries records of an epoch and says what it got through. When a
//! record ends the process, the one that started it (`isolation.rs`) sees that, and lives.

use crate::{output, wiring};
use clap::Args;
use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;
use tidemill_core::{Error, Kind, Result};
use tidemill_engine::dead_letter::crash::trial::Trial;
use tidemill_engine::tables::Tables;

/// Said when records are about to be tried: a death before is of something else.
pub const READY: &str = "ready";
/// Said after every range that did no harm.
pub const PASSED: &str = "passed";

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Isolate {
    /// The pipeline.
    file: PathBuf,
    /// The query.
    #[arg(long)]
    query: String,
    /// The records.
    #[arg(long)]
    records: PathBuf,
    /// A setting, key=value.
    #[arg(long)]
    set: Vec<String>,
    /// Numbers of records, first..end.
    #[arg(long, value_parser = range)]
    range: Vec<Range<usize>>,
}

impl Isolate {
    /// Tries the ranges.
    pub fn run(self) -> Result<u8> {
        end_with_input();
        // a record may take all memory: the kernel is to choose this process, not the one that waits for it
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        let spec = wiring::read_pipeline(&self.file, &self.set)?;
        let queries = spec.check(&wiring::registry())?;
        let query = queries.iter().find(|query| query.name == self.query);
        let query = query.ok_or_else(|| Error::invalid(format!("the pipeline has no query {}", self.query)))?;
        let runtime = wiring::runtime()?;
        runtime.block_on(async {
            let tables = Tables::read(query).await?;
            let trial = Trial::of_parcel(query, &tables, &self.records)?;
            trial.prepare().await?;
            output::line(READY);
            for range in &self.range {
                tokio::task::block_in_place(|| trial.attempt(range));
                output::line(PASSED);
            }
            Ok(0)
        })
    }
}

/// Whoever asked holds the other end of our input: when that goes, nobody wants to know any more.
fn end_with_input() {
    std::thread::spawn(|| {
        let mut rest = Vec::new();
        let _ = std::io::stdin().take(1).read_to_end(&mut rest);
        std::process::exit(i32::from(Kind::Again.exit_code()));
    });
}

fn range(text: &str) -> Result<Range<usize>, String> {
    let bounds = text.split_once("..").and_then(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?));
    bounds.ok_or_else(|| format!("a range is first..end, not '{text}'"))
}
