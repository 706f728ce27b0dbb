//! `tidemill plan FILE.sql --checkpoint DIR`: what a run would do with the state of a checkpoint. Nothing is
//! connected to and nothing is changed; the checkpoint may be that of a query that runs.

use super::run::checkpoint_of;
use crate::{output, wiring};
use clap::Args;
use std::path::PathBuf;
use tidemill_core::{Kind, Result, ResultExt};
use tidemill_engine::evolve::compare::Fate;
use tidemill_engine::evolve::report::{OperatorPlan, StatePlan, plan};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Plan {
    /// The pipeline, as it is to run.
    file: PathBuf,

    /// The checkpoint: a directory, or a folder in an object store (s3://bucket/path); default: the setting
    /// `checkpoint`, else `.tidemill/<pipeline>`.
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<String>,

    /// A setting, key=value; overrules the file's.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Plan {
    /// Prints what becomes of the state: ends with 0 when none is lost, with 78 when a run needs `--approve`.
    pub fn run(self) -> Result<u8> {
        let spec = wiring::read_pipeline(&self.file, &self.set)?;
        let queries = spec.check(&wiring::registry())?;
        let several = queries.len() > 1;
        let runtime = wiring::runtime()?;
        let mut plans: Vec<StatePlan> = Vec::with_capacity(queries.len());
        for query in &queries {
            let place = checkpoint_of(self.checkpoint.as_deref(), query, several)?;
            plans.push(runtime.block_on(plan(query, &place, &wiring::clock()))?);
        }
        match self.format {
            Format::Json => {
                let text = serde_json::to_string_pretty(&plans).context(Kind::Bug, || "a plan has no JSON".into())?;
                output::line(text);
            }
            Format::Text => plans.iter().for_each(show),
        }
        let needs_approval = plans.iter().any(|plan| plan.needs_approval);
        Ok(if needs_approval { Kind::Invalid.exit_code() } else { 0 })
    }
}

fn show(plan: &StatePlan) {
    let epoch = match (plan.exists, plan.committed) {
        (false, _) => "there is none yet".to_owned(),
        (true, None) => "no epoch is committed".to_owned(),
        (true, Some(epoch)) => format!("after epoch {epoch}"),
    };
    output::line(format!("query {}, checkpoint {}: {epoch}", plan.query, plan.checkpoint));
    if let Some((store, bytes)) = &plan.store {
        output::line(format!("  the state of all operators is in {store}: {}", size(*bytes)));
    }
    if plan.operators.is_empty() {
        output::line("  no operator keeps state");
    }
    for operator in &plan.operators {
        let bytes = operator.bytes.map_or_else(String::new, |bytes| format!("  {}", size(bytes)));
        let from = operator.was.as_ref().filter(|was| **was != operator.id);
        let from = from.map_or_else(String::new, |was| format!(" (was {was})"));
        output::line(format!("  {:<9} {}{from}{bytes}", operator.fate.word(), operator.id));
        output::line(format!("            {}", operator.layout));
        if !operator.why.is_empty() {
            output::line(format!("            {}: {}", mark(operator), operator.why));
        }
    }
    for source in plan.sources.iter().filter(|source| source.fate != Fate::Kept) {
        let what = match source.fate {
            Fate::Dropped => "how far it has been read is forgotten",
            _ => "read from where its options say",
        };
        output::line(format!("  {:<9} source {}: {what}", source.fate.word(), source.table));
    }
    output::line(if plan.needs_approval {
        "  state is lost: `tidemill run` needs --approve"
    } else {
        "  nothing is lost"
    });
}

fn mark(operator: &OperatorPlan) -> &'static str {
    if operator.loses_state { "loses state" } else { "note" }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
