//! `tidemill state backup`, `restore`, `verify`.

use super::{Format, json, size};
use crate::{output, wiring};
use clap::Args;
use std::path::PathBuf;
use tidemill_core::{Kind, Result};
use tidemill_engine::state::home::StateBackends;
use tidemill_engine::state::offline::{backup, verify};

#[derive(Debug, Args)]
pub struct Backup {
    /// Directory of the checkpoint.
    #[arg(value_parser = crate::cmd::directory_of)]
    checkpoint: PathBuf,
    /// Directory of the backup, which must not exist yet.
    to: PathBuf,
}

impl Backup {
    pub fn run(self) -> Result<u8> {
        let made = backup::backup(&self.checkpoint, &self.to, wiring::clock().now_micros())?;
        let bytes = made.files.values().map(|file| file.bytes).sum();
        let epoch = made.committed.map_or_else(|| "no epoch yet".to_owned(), |epoch| format!("epoch {epoch}"));
        output::line(format!("{}, {epoch}: {} files, {}", made.pipeline, made.files.len(), size(bytes)));
        Ok(0)
    }
}

#[derive(Debug, Args)]
pub struct Restore {
    /// Directory of the backup.
    from: PathBuf,
    /// Directory of the checkpoint, which must not exist yet.
    #[arg(value_parser = crate::cmd::directory_of)]
    checkpoint: PathBuf,
}

impl Restore {
    pub fn run(self) -> Result<u8> {
        let made = backup::restore(&self.from, &self.checkpoint)?;
        let epoch = made.committed.map_or_else(|| "no epoch yet".to_owned(), |epoch| format!("epoch {epoch}"));
        output::line(format!("{}, {epoch}, as of {}", made.pipeline, made.made_at));
        Ok(0)
    }
}

#[derive(Debug, Args)]
pub struct Verify {
    /// Directory of the checkpoint, or of a backup.
    #[arg(value_parser = crate::cmd::directory_of)]
    checkpoint: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Memory for reading a store, in bytes.
const READ_BYTES: u64 = 64 << 20;

impl Verify {
    pub fn run(self) -> Result<u8> {
        let known = wiring::registry().state_backends().to_vec();
        let backends = StateBackends { chosen: None, known, memory_bytes: READ_BYTES };
        let report = verify::verify(&self.checkpoint, &backends)?;
        if self.format == Format::Json {
            json(&report)?;
            return Ok(if report.problems.is_empty() { 0 } else { Kind::Invalid.exit_code() });
        }
        for finding in &report.problems {
            output::line(format!("damaged  {}: {}", finding.file, finding.what));
        }
        for finding in &report.notes {
            output::line(format!("note     {}: {}", finding.file, finding.what));
        }
        output::line(format!("{} files, {}: {} problems", report.files, size(report.bytes), report.problems.len()));
        report.into_result(&self.checkpoint)?;
        Ok(0)
    }
}
