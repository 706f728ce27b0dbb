//! `tidemill state ls`, `show`, `size`, `export`: nothing is changed, and the query may run.

use super::files::Writer;
use super::{Format, Place, json, size};
use crate::output;
use arrow::json::LineDelimitedWriter;
use arrow::record_batch::RecordBatch;
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use clap::Args;
use std::path::PathBuf;
use tidemill_core::{Error, Kind, Result};
use tidemill_engine::state::offline::select::Selection;
use tidemill_engine::state::offline::sizes::{Sizes, sizes};
use tidemill_engine::state::offline::{audit, overview};

#[derive(Debug, Args)]
pub struct Ls {
    #[command(flatten)]
    place: Place,
    /// List what was changed by hand: who, when, what.
    #[arg(long)]
    audit: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Ls {
    pub fn run(self) -> Result<u8> {
        if self.audit {
            return self.audit();
        }
        let opened = self.place.opened()?;
        let overview = overview::overview(&self.place.checkpoint, opened.query.as_ref(), &opened.backends)?;
        if self.format == Format::Json {
            json(&overview)?;
            return Ok(0);
        }
        let after = match (overview.epoch, overview.committed) {
            (Some(epoch), Some(committed)) if epoch < committed => {
                format!("rows after epoch {epoch}, the newest snapshot; committed: epoch {committed}")
            }
            (Some(epoch), _) => format!("after epoch {epoch}"),
            (None, Some(committed)) => format!("after epoch {committed}, no snapshot yet: --pipeline counts rows"),
            (None, None) => "no epoch is committed".to_owned(),
        };
        let store = overview.store_bytes.map_or_else(String::new, |bytes| format!(", {} in all", size(bytes)));
        output::line(format!("pipeline {}, {after}; state in {}{store}", overview.pipeline, overview.backend));
        for operator in &overview.operators {
            let rows = operator.rows.map_or_else(String::new, |rows| match rows {
                1 => "  1 row".to_owned(),
                rows => format!("  {rows} rows"),
            });
            let bytes = operator.bytes.map_or_else(String::new, |bytes| format!("  {}", size(bytes)));
            let last = operator.last_epoch.map_or_else(String::new, |epoch| format!("  changed in epoch {epoch}"));
            output::line(format!("  {} {}{rows}{bytes}{last}", operator.number, operator.id));
            // names of keys are known with the pipeline only
            let keys = match operator.keys.as_slice() {
                [] => String::new(),
                keys => format!("by [{}]; ", keys.join(", ")),
            };
            output::line(format!("    {keys}{}", operator.layout));
        }
        if overview.operators.is_empty() {
            output::line("  no operator keeps state");
        }
        Ok(0)
    }

    fn audit(&self) -> Result<u8> {
        let lines = audit::read(&self.place.checkpoint)?;
        if self.format == Format::Json {
            json(&lines)?;
            return Ok(0);
        }
        for line in &lines {
            let entry = &line.entry;
            output::line(format!(
                "{} {} {} {} after epoch {}",
                line.number, entry.at, entry.user, entry.action, entry.epoch
            ));
            if let (Some(operator), Some(mode)) = (&entry.operator, &entry.mode) {
                let file = entry.file.as_deref().unwrap_or("?");
                let rows = format!("{} rows, then {}", entry.rows_before, entry.rows_after);
                output::line(format!("  {operator}: {mode} from {file}; {rows}"));
                output::line(format!("  before {}\n  after  {}", entry.digest_before, entry.digest_after));
            }
        }
        if lines.is_empty() {
            output::line("nothing was changed by hand");
        }
        Ok(0)
    }
}

/// Which rows.
#[derive(Debug, Args)]
struct Rows {
    #[command(flatten)]
    place: Place,
    /// The operator, by its name or its number in `tidemill state ls`; may be left out when there is only one.
    #[arg(long)]
    operator: Option<String>,
    /// Only rows for which this is true: "user = 'a'".
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// The state after this epoch, of which there must be a snapshot.
    #[arg(long, conflicts_with = "pipeline")]
    epoch: Option<u64>,
}

impl Rows {
    /// Shows the wanted rows, a batch at a time, until the visitor says that it is enough.
    fn each(&self, visit: &mut dyn FnMut(RecordBatch) -> Result<bool>) -> Result<arrow::datatypes::SchemaRef> {
        let opened = self.place.opened()?;
        let mut state = self.place.state(&opened, self.epoch)?;
        let operator = state.operator(self.operator.as_deref())?;
        let columns = state.columns(&operator)?;
        let selection = self.condition.as_deref();
        let selection = selection.map(|text| Selection::new(columns.schema(), text, &opened.registry)).transpose()?;
        state.rows(&operator, &mut |rows| {
            let rows = columns.outward(&rows)?;
            visit(match &selection {
                Some(selection) => selection.of(&rows)?,
                None => rows,
            })
        })?;
        Ok(columns.schema().clone())
    }
}

#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    rows: Rows,
    /// Rows at most; 0 for all.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// How to print: a table, or a line of JSON a row.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Show {
    pub fn run(self) -> Result<u8> {
        let mut left = if self.limit == 0 { usize::MAX } else { self.limit };
        let mut shown = vec![];
        let schema = self.rows.each(&mut |rows| {
            let rows = rows.slice(0, rows.num_rows().min(left));
            left -= rows.num_rows();
            shown.push(rows);
            Ok(left > 0)
        })?;
        if self.format == Format::Json {
            let mut writer = LineDelimitedWriter::new(std::io::stdout().lock());
            let written = shown.iter().try_for_each(|rows| writer.write(rows)).and_then(|()| writer.finish());
            // a reader that goes away is no error of ours
            let _ = written;
            return Ok(0);
        }
        let options = FormatOptions::default().with_null("NULL");
        let shown = if shown.is_empty() { vec![RecordBatch::new_empty(schema)] } else { shown };
        output::line(pretty_format_batches_with_options(&shown, &options)?.to_string());
        Ok(0)
    }
}

#[derive(Debug, Args)]
pub struct Size {
    #[command(flatten)]
    place: Place,
    /// Only this operator.
    #[arg(long)]
    operator: Option<String>,
    /// How many of the largest keys.
    #[arg(long, default_value_t = 10)]
    keys: usize,
    /// Every key group, not only the largest.
    #[arg(long)]
    groups: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Size {
    pub fn run(self) -> Result<u8> {
        let opened = self.place.opened()?;
        let mut state = self.place.state(&opened, None)?;
        let operators: Vec<String> = match &self.operator {
            Some(name) => vec![state.operator(Some(name))?],
            None => state.operators().into_iter().map(str::to_owned).collect(),
        };
        let all = operators.iter().map(|operator| sizes(&mut state, operator, self.keys));
        let all = all.collect::<Result<Vec<_>>>()?;
        match self.format {
            Format::Json => json(&all)?,
            Format::Text => all.iter().for_each(|sizes| self.print(sizes)),
        }
        Ok(0)
    }

    fn print(&self, sizes: &Sizes) {
        output::line(format!("{}: {} rows, {}", sizes.operator, sizes.rows, size(sizes.bytes)));
        let mut groups = sizes.groups.clone();
        if !self.groups {
            groups.sort_by_key(|group| std::cmp::Reverse(group.bytes));
            groups.truncate(3);
        }
        output::line(format!("  key groups: {} of 256", sizes.groups.len()));
        for group in groups {
            output::line(format!("    {:>3}  {} rows, {}", group.group, group.rows, size(group.bytes)));
        }
        if !sizes.largest.is_empty() {
            output::line("  largest keys:");
        }
        for key in &sizes.largest {
            output::line(format!("    {}  {} rows, {}", key.key.join(", "), key.rows, size(key.bytes)));
        }
    }
}

#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    rows: Rows,
    /// The file to write: its name ends in .parquet, .json or .jsonl.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

impl Export {
    pub fn run(self) -> Result<u8> {
        if self.to.exists() {
            return Err(Error::new(Kind::Usage, format!("{} is there already", self.to.display()))
                .help("name a file that does not exist yet"));
        }
        let mut writer = Writer::new(&self.to)?;
        let schema = self.rows.each(&mut |rows| writer.write(&rows).map(|()| true))?;
        let rows = writer.finish(&schema)?;
        output::line(format!("{rows} rows in {}", self.to.display()));
        Ok(0)
    }
}
