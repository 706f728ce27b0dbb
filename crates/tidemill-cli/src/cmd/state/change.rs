//! `tidemill state import` and `compact`: the query must not run, and what is done is noted in `audit.log`.

use super::{Format, Place, files, json};
use crate::{output, wiring};
use clap::Args;
use std::path::PathBuf;
use tidemill_core::{Error, Kind, Result};
use tidemill_engine::state::offline::audit::Author;
use tidemill_engine::state::offline::rewrite::{self, Edit};
use tidemill_engine::state::offline::saved::SavedState;

/// The system's list of users.
const USERS: &str = "/etc/passwd";

#[derive(Debug, Args)]
pub struct Import {
    #[command(flatten)]
    place: Place,
    /// The file: Parquet, or a line of JSON a row, with the columns `tidemill state export` writes.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The operator, by its name or its number in `tidemill state ls`; may be left out when there is only one.
    #[arg(long)]
    operator: Option<String>,
    /// What becomes of the rows that are there.
    #[arg(long, value_enum, default_value_t = Mode::Upsert)]
    mode: Mode,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// Those of the file take the place of those with the same key; others stay.
    Upsert,
    /// Those of the file are all there is.
    Replace,
    /// Those with the keys of the file go.
    Delete,
}

impl Import {
    pub fn run(self) -> Result<u8> {
        let opened = self.place.opened()?;
        let Some(query) = &opened.query else {
            return Err(Error::new(
                Kind::Usage,
                "an import needs the pipeline: only its operators know what follows from a row",
            )
            .help("--pipeline FILE.sql"));
        };
        let (operator, rows) = {
            let mut state = SavedState::open(&self.place.checkpoint, Some(query), None, &opened.backends)?;
            let operator = state.operator(self.operator.as_deref())?;
            let columns = state.columns(&operator)?;
            (operator, files::read(&self.from, columns.schema())?)
        };
        let edit = match self.mode {
            Mode::Upsert => Edit::Upsert,
            Mode::Replace => Edit::Replace,
            Mode::Delete => Edit::Delete,
        };
        let file = self.from.file_name().unwrap_or_default().to_string_lossy();
        let import = rewrite::Import { operator: &operator, rows: &rows, edit, file: &file };
        let done = rewrite::import(&self.place.checkpoint, query, &import, &opened.backends, &author())?;
        match self.format {
            Format::Json => json(&done)?,
            Format::Text => output::line(format!(
                "{operator} after epoch {}: {} rows, then {}",
                done.epoch, done.rows_before, done.rows_after
            )),
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
pub struct Compact {
    #[command(flatten)]
    place: Place,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Compact {
    pub fn run(self) -> Result<u8> {
        let opened = self.place.opened()?;
        let done = rewrite::compact(&self.place.checkpoint, opened.query.as_ref(), &opened.backends, &author())?;
        match self.format {
            Format::Json => json(&done)?,
            Format::Text => {
                output::line(format!("one snapshot after epoch {}", done.epoch));
                done.gone.iter().for_each(|name| output::line(format!("  let go: {name}")));
            }
        }
        Ok(0)
    }
}

/// Who runs the program, and when.
fn author() -> Author {
    let number = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string(USERS).unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    Author { user: name.unwrap_or(number), at: wiring::clock().now_micros() }
}
