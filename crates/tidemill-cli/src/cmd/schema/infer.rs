//! `tidemill schema infer`: the schema of sample records.

use crate::output;
use clap::Args;
use std::path::PathBuf;
use tidemill_connectors::sample::{Kind, arrow_to_json_schema, read};
use tidemill_connectors::schema_registry::arrow_to_avro;
use tidemill_core::types::schema_ddl;
use tidemill_core::{Error, Kind as ErrorKind, Result};

#[derive(Debug, Args)]
pub struct Infer {
    /// File with sample records.
    file: PathBuf,

    /// What the file is, if its name (.json, .jsonl, .ndjson, .csv, .parquet, .avro) does not say so.
    #[arg(long, value_enum)]
    input: Option<Input>,

    /// What to write the schema in.
    #[arg(long = "as", value_enum, default_value_t = Target::Avro)]
    target: Target,

    /// Name of the record; the file's name when not given.
    #[arg(long)]
    name: Option<String>,

    /// Most records that are looked at.
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    records: usize,
}

/// What a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Input {
    /// Objects, one a line, or in an array.
    Json,
    /// With a header.
    Csv,
    Parquet,
    /// An object container file.
    Avro,
}

/// What a schema is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    Avro,
    /// JSON Schema, draft 7.
    Json,
    /// Columns of CREATE TABLE.
    Ddl,
}

impl Infer {
    pub fn run(self) -> Result<u8> {
        let kind = match self.input {
            Some(Input::Json) => Kind::Json,
            Some(Input::Csv) => Kind::Csv,
            Some(Input::Parquet) => Kind::Parquet,
            Some(Input::Avro) => Kind::Avro,
            None => Kind::of(&self.file).ok_or_else(|| {
                Error::new(ErrorKind::Usage, format!("the name of {} does not say what it is", self.file.display()))
                    .help("say it with --input json, csv, parquet or avro")
            })?,
        };
        let sample = read(&self.file, kind, self.records)?;
        let stem = self.file.file_stem().map_or_else(|| "record".into(), |stem| stem.to_string_lossy().into_owned());
        let name = self.name.unwrap_or(stem);
        let plain: String = name.chars().map(|one| if one.is_ascii_alphanumeric() { one } else { '_' }).collect();
        let plain = if plain.starts_with(|first: char| first.is_ascii_digit()) { format!("_{plain}") } else { plain };
        let text = match self.target {
            Target::Avro => pretty(&arrow_to_avro(&sample.schema, &plain)?)?,
            Target::Json => pretty(&arrow_to_json_schema(&sample.schema, &name)?)?,
            Target::Ddl => schema_ddl(&sample.schema).replace(", ", ",\n"),
        };
        if let Some(records) = sample.records {
            let what = if records == 1 { "record" } else { "records" };
            output::note(format!("from {records} {what}: values to come may not fit what these have in common"));
        }
        output::line(text);
        Ok(0)
    }
}

fn pretty(text: &str) -> Result<String> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|cause| Error::bug("an inferred schema is not JSON").caused_by(cause))?;
    serde_json::to_string_pretty(&value).map_err(|cause| Error::bug("a schema has no JSON").caused_by(cause))
}
