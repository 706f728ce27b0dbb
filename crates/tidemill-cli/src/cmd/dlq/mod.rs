//! `tidemill dlq`: what was set aside, and feeding it back.

mod audit;
mod letters;
mod mask;
mod show;

use crate::output;
use clap::{Args, Subcommand};
use letters::{Letter, Letters, Wanted};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use tidemill_core::{Error, Kind, Result, ResultExt};
use tidemill_engine::dead_letter::replay::{Replays, picked};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Dlq {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Count dead letters by source, stage and code.
    List(List),
    /// Show one record: where it stood, why it failed, its form; its values too when asked.
    Show(show::Show),
    /// Feed records back through the pipeline, each once: a running query takes them within a second, one that
    /// stands takes them when it is started.
    Replay(Replay),
}

/// Where the letters are.
#[derive(Debug, Args)]
struct Place {
    /// Directory of the checkpoint; its `dead_letters` are read unless a table is named.
    #[arg(long, value_name = "DIR", value_parser = super::directory_of)]
    checkpoint: Option<PathBuf>,

    /// The pipeline's own dead-letter table: a Delta table, or a directory of Parquet files.
    #[arg(long, value_name = "PATH")]
    table: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    wanted: Wanted,
    /// Name the single records.
    #[arg(long)]
    records: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Args)]
struct Replay {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    wanted: Wanted,
    /// Every record that can be replayed.
    #[arg(long)]
    all: bool,
    /// Also those that have been replayed before.
    #[arg(long)]
    again: bool,
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

/// Letters alike.
#[derive(Debug, Serialize)]
struct Group {
    source: String,
    stage: String,
    code: String,
    count: u64,
    replayed: u64,
    first: String,
    last: String,
    example: String,
}

/// What a replay did.
#[derive(Debug, Serialize)]
struct Replayed {
    replay: Option<u64>,
    records: usize,
    already_replayed: usize,
    without_original: usize,
}

impl Dlq {
    /// Runs the verb.
    pub fn run(self) -> Result<u8> {
        match self.verb {
            Verb::List(verb) => verb.run(),
            Verb::Show(verb) => verb.run(),
            Verb::Replay(verb) => verb.run(),
        }
    }
}

impl Place {
    fn letters(&self) -> Result<Letters> {
        match (&self.table, &self.checkpoint) {
            (Some(table), _) => Letters::read(table),
            (None, Some(checkpoint)) => Letters::read(&checkpoint.join("dead_letters")),
            (None, None) => Err(Error::new(Kind::Usage, "no dead letters are named")
                .help("--checkpoint DIR, or --table PATH of the pipeline's own dead-letter table")),
        }
    }

    /// Ids that have been replayed, if the checkpoint is known.
    fn replayed(&self) -> Result<BTreeSet<String>> {
        match &self.checkpoint {
            Some(checkpoint) => Replays::new(checkpoint, 0).ids(),
            None => Ok(BTreeSet::new()),
        }
    }
}

impl List {
    fn run(self) -> Result<u8> {
        let letters = self.place.letters()?;
        let replayed = self.place.replayed()?;
        let wanted: Vec<Letter> = letters.all().filter(|letter| self.wanted.takes(letter)).collect();
        if self.records {
            let wanted = wanted.into_iter().map(Letter::masked).collect::<Result<Vec<_>>>()?;
            match self.format {
                Format::Json => json(&wanted)?,
                Format::Text => wanted.iter().for_each(|letter| output::line(letter.line())),
            }
            return Ok(0);
        }
        let groups = grouped(&wanted, &replayed);
        if self.format == Format::Json {
            json(&groups)?;
            return Ok(0);
        }
        output::line(format!("{} dead letters", wanted.len()));
        for group in groups {
            let Group { source, stage, code, count, replayed, first, last, example } = group;
            let again = if replayed > 0 { format!(", {replayed} of them replayed") } else { String::new() };
            output::line(format!("\n  {count} {stage} {code} in {source}{again}"));
            output::line(format!("    {first} to {last}\n    such as {example}"));
        }
        Ok(0)
    }
}

fn grouped(letters: &[Letter], replayed: &BTreeSet<String>) -> Vec<Group> {
    let mut groups: BTreeMap<(&str, &str, &str), Group> = BTreeMap::new();
    for letter in letters {
        let key = (letter.source.as_str(), letter.stage.as_str(), letter.code.as_str());
        let group = groups.entry(key).or_insert_with(|| Group {
            source: letter.source.clone(),
            stage: letter.stage.clone(),
            code: letter.code.clone(),
            count: 0,
            replayed: 0,
            first: letter.failed_at.clone(),
            last: letter.failed_at.clone(),
            example: letter.id.clone(),
        });
        group.count += 1;
        group.replayed += u64::from(replayed.contains(&letter.id));
        group.first = group.first.clone().min(letter.failed_at.clone());
        group.last = group.last.clone().max(letter.failed_at.clone());
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

impl Replay {
    fn run(self) -> Result<u8> {
        let Some(checkpoint) = self.place.checkpoint.as_deref() else {
            return Err(Error::new(Kind::Usage, "a replay needs the checkpoint of the query")
                .help("--checkpoint DIR; the records go through the query that keeps it"));
        };
        if !checkpoint.join("metadata.json").is_file() {
            return Err(Error::new(Kind::Usage, format!("there is no checkpoint in {}", checkpoint.display())));
        }
        if !self.all && self.wanted.is_everything() {
            return Err(Error::new(Kind::Usage, "which records are to be replayed?")
                .help("--all, or a choice such as --code DIVIDE_BY_ZERO"));
        }
        let letters = self.place.letters()?;
        let replays = Replays::new(checkpoint, 0);
        let before = replays.ids()?;
        let wanted: Vec<Letter> = letters.all().filter(|letter| self.wanted.takes(letter)).collect();
        let mut seen = if self.again { BTreeSet::new() } else { before.clone() };
        let mut rows = Vec::new();
        for batch in letters.batches() {
            let of = letters::of(batch);
            let batch = picked(batch, &mut seen, &|row| self.wanted.takes(&of[row]))?;
            rows.extend((batch.num_rows() > 0).then_some(batch));
        }
        let done = Replayed {
            records: rows.iter().map(|rows| rows.num_rows()).sum(),
            already_replayed: match self.again {
                true => 0,
                false => wanted.iter().filter(|letter| before.contains(&letter.id)).count(),
            },
            without_original: wanted.iter().filter(|letter| !letter.is_original()).count(),
            replay: if rows.is_empty() { None } else { Some(replays.add(&rows)?) },
        };
        if self.format == Format::Json {
            json(&done)?;
            return Ok(0);
        }
        match done.replay {
            Some(number) => output::line(format!(
                "replay {number}: {} records go through the query once; a running one takes them within a second, \
                 else the next start",
                done.records
            )),
            None => output::line("nothing to replay"),
        }
        if done.already_replayed > 0 {
            output::line(format!("{} were replayed before: --again to do it once more", done.already_replayed));
        }
        if done.without_original > 0 {
            output::line(format!("{} have no original bytes or offset and stay", done.without_original));
        }
        Ok(0)
    }
}

fn json(value: &impl Serialize) -> Result<()> {
    output::line(serde_json::to_string_pretty(value).context(Kind::Bug, || "dead letters have no JSON".into())?);
    Ok(())
}
