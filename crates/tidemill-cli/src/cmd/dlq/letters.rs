//! Dead letters as they are in their table, and the choice of some of them.

use crate::wiring;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use clap::Args;
use serde::Serialize;
use std::path::Path;
use tidemill_core::options::{GivenOption, Options};
use tidemill_core::{Error, Kind, Result};
use tidemill_engine::dead_letter;
use tidemill_engine::ingest::read_whole;
use tidemill_engine::pipeline::query::SourceTable;
use tidemill_engine::pipeline::table_options::TABLE_OPTIONS;

/// A choice of letters; without any option all.
#[derive(Debug, Args)]
pub struct Wanted {
    /// Only of this stage: decode, expression, udf, crash, sink, late.
    #[arg(long)]
    stage: Option<String>,
    /// Only with this code, such as DIVIDE_BY_ZERO.
    #[arg(long)]
    code: Option<String>,
    /// Only of this source table.
    #[arg(long)]
    source: Option<String>,
    /// Only this record; may be given several times.
    #[arg(long)]
    id: Vec<String>,
    /// Only set aside at this time or later: 2024-05-01 or 2024-05-01T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only set aside before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// A letter, without its bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Letter {
    pub id: String,
    pub pipeline: String,
    pub epoch: i64,
    pub source: String,
    pub topic: String,
    pub partition: String,
    pub offset: Option<i64>,
    pub failed_at: String,
    pub stage: String,
    pub code: String,
    pub reason: String,
    pub payload: String,
    pub place: Option<String>,
    pub replay: i64,
}

/// The letters of a table.
pub struct Letters(Vec<RecordBatch>);

impl Wanted {
    /// True for a choice of all.
    pub fn is_everything(&self) -> bool {
        let texts = [&self.stage, &self.code, &self.source, &self.since, &self.until];
        texts.iter().all(|text| text.is_none()) && self.id.is_empty()
    }

    /// True for a letter that is chosen. Times compare as text: they are written alike.
    pub fn takes(&self, letter: &Letter) -> bool {
        let same = |wanted: &Option<String>, has: &str| wanted.as_ref().is_none_or(|wanted| wanted == has);
        same(&self.stage, &letter.stage)
            && same(&self.code, &letter.code)
            && same(&self.source, &letter.source)
            && (self.id.is_empty() || self.id.contains(&letter.id))
            && self.since.as_ref().is_none_or(|since| letter.failed_at.as_str() >= since.as_str())
            && self.until.as_ref().is_none_or(|until| letter.failed_at.as_str() < until.as_str())
    }
}

impl Letters {
    /// Reads a Delta table, or the Parquet files the files sink has published in a directory.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn read(path: &Path) -> Result<Letters> {
        if !path.exists() {
            return Err(Error::new(Kind::Usage, format!("there are no dead letters in {}", path.display()))
                .help("--table PATH when the pipeline sets dead_letter; else nothing was set aside"));
        }
        let registry = wiring::registry();
        let is_delta = path.join("_delta_log").is_dir();
        let connector = registry.source(if is_delta { "delta" } else { "files" })?;
        let format = if is_delta { None } else { Some(registry.format("parquet")?) };
        let mut groups = vec![TABLE_OPTIONS, connector.describe().options];
        groups.extend(format.as_ref().map(|format| format.describe().options));
        let given = [
            GivenOption::new("connector", connector.describe().name),
            GivenOption::new("path", path.display().to_string()),
        ];
        let options = Options::check("the dead letters", &groups, &given)?;
        let columns = dead_letter::schema();
        let table = SourceTable { name: "dead_letters".into(), connector, format, options, columns };
        let (rows, _) = wiring::runtime()?.block_on(read_whole(&table, None))?;
        Ok(Letters(vec![RecordBatch::try_new(dead_letter::schema(), rows.columns().to_vec())?]))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = Letter> + '_ {
        self.0.iter().flat_map(of)
    }

    /// The rows.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.0
    }

    /// One by its id, with its bytes.
    pub fn find(&self, id: &str) -> Option<(Letter, Vec<u8>)> {
        self.0.iter().find_map(|rows| {
            let row = rows.column(0).as_string::<i32>().iter().position(|known| known == Some(id))?;
            Some((of(rows).swap_remove(row), rows.column(11).as_binary::<i32>().value(row).to_vec()))
        })
    }
}

/// Every row as a letter.
pub fn of(rows: &RecordBatch) -> Vec<Letter> {
    let text = |column: usize, row: usize| {
        let column = rows.column(column).as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let number = |column: usize, row: usize| {
        let column = rows.column(column).as_primitive::<Int64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    let words = |column: usize, row: usize| text(column, row).unwrap_or_default();
    let instants = rows.column(7).as_primitive::<TimestampMicrosecondType>();
    let letter = |row: usize| Letter {
        id: words(0, row),
        pipeline: words(1, row),
        epoch: number(2, row).unwrap_or(0),
        source: words(3, row),
        topic: words(4, row),
        partition: words(5, row),
        offset: number(6, row),
        failed_at: iso(instants.value(row)),
        stage: words(8, row),
        code: words(9, row),
        reason: words(10, row),
        payload: words(12, row),
        place: text(13, row),
        replay: number(14, row).unwrap_or(0),
    };
    (0..rows.num_rows()).map(letter).collect()
}

pub fn iso(micros: i64) -> String {
    let instant = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default();
    instant.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

impl Letter {
    /// True for one that can be replayed.
    pub fn is_original(&self) -> bool {
        self.payload == "original" && self.offset.is_some()
    }

    /// Without the personal data its reason may quote.
    ///
    /// # Errors
    /// A bug.
    pub fn masked(self) -> Result<Self> {
        Ok(Letter { reason: super::mask::reason(&self.reason)?, ..self })
    }

    /// One line of a list.
    pub fn line(&self) -> String {
        format!("{}  {}  {}  {}", self.failed_at, self.code, self.id, self.reason.lines().next().unwrap_or_default())
    }

    /// What there is to say, by name.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let offset = self.offset.map_or("not known".to_owned(), |offset| offset.to_string());
        let mut fields = vec![
            ("id", self.id.clone()),
            ("source", format!("{}, {}, partition {}, offset {offset}", self.source, self.topic, self.partition)),
            ("failed", format!("{} in epoch {} of {}", self.failed_at, self.epoch, self.pipeline)),
            ("stage", self.stage.clone()),
            ("code", self.code.clone()),
            ("reason", self.reason.clone()),
            ("payload", self.payload.clone()),
        ];
        fields.extend(self.place.clone().map(|place| ("place", place)));
        fields.extend((self.replay > 0).then(|| ("replay", self.replay.to_string())));
        fields
    }
}
