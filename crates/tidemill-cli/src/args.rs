//! The command line. A verb's options stand beside its code in `cmd/`.

use crate::cmd;
use clap::{Parser, Subcommand};
use tidemill_core::Result;

/// Spark Structured Streaming's API and semantics in one process: SQL or DataFrames in, exactly-once
/// results out.
#[derive(Debug, Parser)]
#[command(name = "tidemill", version, max_term_width = 100)]
pub struct Args {
    /// Say more: once for progress of the engine, twice for its details.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Say only errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,

    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a pipeline.
    Run(cmd::run::Run),
    /// Check a pipeline without connecting to anything.
    Check(cmd::check::Check),
    /// Show a pipeline's plan as data flows, and what it guarantees.
    Explain(cmd::explain::Explain),
    /// Say what a run would do with the state of a checkpoint: what is kept, changed, started anew.
    Plan(cmd::plan::Plan),
    /// Run pipeline cases.
    Test(cmd::test::Test),
    /// List sources, sinks and formats with their options.
    Connectors(cmd::connectors::Connectors),
    /// List, show and replay dead letters.
    Dlq(cmd::dlq::Dlq),
    /// Try records that may end the process.
    #[command(hide = true)]
    Isolate(cmd::isolate::Isolate),
    /// Look at, export, edit, copy and check the state in a checkpoint.
    State(cmd::state::State),
    /// Make, fill, read and look at topics of the embedded log.
    Log(cmd::log::Log),
    /// Register, look at, compare, infer and serve schemas.
    Schema(cmd::schema::Schema),
    /// Write a starter pipeline.
    New(cmd::new::New),
}

impl Command {
    /// Runs the verb; gives the exit code. `quiet` when it is to say only errors.
    pub fn run(self, quiet: bool) -> Result<u8> {
        match self {
            Command::Run(command) => command.run(quiet),
            Command::Check(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Plan(command) => command.run(),
            Command::Test(command) => command.run(),
            Command::Connectors(command) => command.run(),
            Command::Dlq(command) => command.run(),
            Command::Isolate(command) => command.run(),
            Command::State(command) => command.run(),
            Command::Log(command) => command.run(),
            Command::Schema(command) => command.run(),
            Command::New(command) => command.run(),
        }
    }
}
