//! The `tidemill` program: reads the command line, wires the crates together, prints the one error.
//! A verb is one file in `cmd/` and one line in `args.rs`.

mod args;
mod cmd;
#[cfg(debug_assertions)]
mod fault;
mod isolation;
mod output;
mod progress;
mod wiring;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // --help and --version are no mistakes
            let code = if error.use_stderr() { tidemill_core::Kind::Usage.exit_code() } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    wiring::start_logging(args.verbose, args.quiet);
    wiring::choose_cryptography();
    match args.command.run(args.quiet) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}
