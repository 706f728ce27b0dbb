//! The fields of a case file. Everything but the schema, the query, the batches and what is expected
//! may be left out.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tidemill_core::{Error, Result};

/// A case.
#[derive(Debug, Clone, Deserialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The group it belongs to.
    #[serde(default)]
    pub group: String,
    /// Streams: columns with their types.
    pub schema: Tables,
    /// Tables that are read once.
    #[serde(default, rename = "static")]
    pub tables: BTreeMap<String, StaticTable>,
    /// Watermarks that the SQL form runs with, by stream.
    #[serde(default)]
    pub watermark: BTreeMap<String, Watermark>,
    /// The query in SQL and as a DataFrame.
    pub query: Forms,
    /// append, update or complete.
    #[serde(default = "append")]
    pub output_mode: String,
    /// Settings.
    #[serde(default)]
    pub conf: BTreeMap<String, String>,
    /// Options of the streams, such as `maxFilesPerTrigger`.
    #[serde(default)]
    pub source_options: BTreeMap<String, String>,
    /// The trigger, when it is not the default.
    #[serde(default)]
    pub trigger: Option<Trigger>,
    /// Rows that arrive together, by stream.
    #[serde(default)]
    pub batches: Vec<BTreeMap<String, BatchRows>>,
    /// Batches before which the query is stopped and started again.
    #[serde(default)]
    pub restart_before: BTreeMap<String, String>,
    /// Batches in which the sink fails the first time.
    #[serde(default)]
    pub fail_in_batch: Vec<usize>,
    /// Columns of the result.
    #[serde(default)]
    pub output_schema: Option<Vec<(String, String)>>,
    /// Rows that come out of each batch.
    #[serde(default)]
    pub expected: Vec<Vec<Vec<Value>>>,
    /// True when the order of rows matters.
    #[serde(default)]
    pub ordered: bool,
    /// Watermark after each batch, in milliseconds.
    #[serde(default)]
    pub expected_watermark_ms_after_batch: Option<Vec<i64>>,
    /// Spark's names of the stateful operators, furthest downstream first.
    #[serde(default)]
    pub state_operators: Vec<String>,
    /// State rows after each batch, an entry an operator.
    #[serde(default)]
    pub expected_state_rows: Vec<Vec<u64>>,
    /// Rows dropped as late in each batch.
    #[serde(default)]
    pub late_rows_dropped: Vec<u64>,
    /// Tolerances.
    #[serde(default)]
    pub compare: Compare,
    /// The case must fail.
    #[serde(default)]
    pub expect_error: Option<ExpectedError>,
    /// How the SQL form fails, when that differs.
    #[serde(default)]
    pub expect_error_sql: Option<ExpectedError>,
}

/// Tables in the order they are written.
pub type Tables = serde_json::Map<String, Value>;

/// A table that is read once.
#[derive(Debug, Clone, Deserialize)]
pub struct StaticTable {
    /// Columns with their types.
    pub schema: Vec<(String, String)>,
    /// Rows.
    pub rows: Vec<Vec<Value>>,
}

/// A watermark.
#[derive(Debug, Clone, Deserialize)]
pub struct Watermark {
    /// The event-time column.
    pub column: String,
    /// The delay.
    pub delay: String,
}

/// The query, twice.
#[derive(Debug, Clone, Deserialize)]
pub struct Forms {
    /// Spark SQL over the stream names.
    #[serde(default)]
    pub sql: Option<String>,
    /// PySpark code that leaves its result in `out`.
    #[serde(default)]
    pub dataframe: Option<String>,
}

/// A trigger.
#[derive(Debug, Clone, Deserialize)]
pub struct Trigger {
    /// `availableNow`, `once`, `processingTime`.
    pub mode: String,
    /// The interval of `processingTime`.
    #[serde(default)]
    pub interval: Option<String>,
}

/// Rows of one stream in one batch.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum BatchRows {
    /// One file.
    Rows(Vec<Vec<Value>>),
    /// Several files that appear at once.
    Files { files: Vec<Vec<Vec<Value>>> },
}

impl BatchRows {
    /// The files.
    pub fn files(&self) -> Vec<&[Vec<Value>]> {
        match self {
            BatchRows::Rows(rows) => vec![rows],
            BatchRows::Files { files } => files.iter().map(Vec::as_slice).collect(),
        }
    }
}

/// Tolerances.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Compare {
    /// How much a double may differ, relative to its size.
    #[serde(default)]
    pub double_rel_tol: f64,
    /// Columns whose values are not compared.
    #[serde(default)]
    pub unstable_columns: Vec<String>,
}

/// An expected failure.
#[derive(Debug, Clone, Deserialize)]
pub struct ExpectedError {
    /// `analysis` or `runtime`.
    pub phase: String,
    /// Spark's error class; empty or absent when it has none.
    #[serde(default, deserialize_with = "text_or_null")]
    pub class: String,
    /// The batch in which it fails.
    #[serde(default)]
    pub batch: usize,
}

fn text_or_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

fn append() -> String {
    "append".into()
}

impl Case {
    /// Reads a case file.
    ///
    /// # Errors
    /// The file cannot be read or is no case.
    pub fn read(path: &Path) -> Result<Case> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::io(format!("cannot read {}", path.display()), error))?;
        serde_json::from_str(&text)
            .map_err(|error| Error::invalid(format!("{} is not a case", path.display())).caused_by(error))
    }

    /// Columns of a stream.
    ///
    /// # Errors
    /// A schema that is no list of name and type.
    pub fn stream_columns(&self, stream: &str) -> Result<Vec<(String, String)>> {
        let columns = self.schema.get(stream).cloned().unwrap_or_default();
        serde_json::from_value(columns).map_err(|error| {
            Error::invalid(format!("the schema of {stream} is not a list of [name, type]")).caused_by(error)
        })
    }
}
