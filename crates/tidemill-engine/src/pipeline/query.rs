//! A checked query: everything known, nothing open. What `run`, `explain` and `check` work on.

use super::analysis::Session;
use super::plan::Plan;
use super::text::Text;
use crate::state::home::StateBackends;
use arrow::datatypes::SchemaRef;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_core::describe::Guarantee;
use tidemill_core::format::Format;
use tidemill_core::sink::{OutputMode, SinkConnector};
use tidemill_core::source::SourceConnector;
use tidemill_core::{Error, Options, Place};

/// A query: outputs that share sources, and so run in one epoch loop with one checkpoint.
#[derive(Clone)]
pub struct Query {
    /// Its name: that of the pipeline, with the first sink's when the pipeline has several queries.
    pub name: String,
    /// Settings, functions, clock.
    pub session: Arc<Session>,
    /// The streaming tables it reads.
    pub sources: Vec<SourceTable>,
    /// The tables it reads once.
    pub tables: Vec<SourceTable>,
    /// Where rows go.
    pub outputs: Vec<QueryOutput>,
    /// Late rows that become dead letters; the sink is that of the rows they were too late for.
    pub late_letters: Vec<QueryOutput>,
    /// Where bad records go, when a table is named for them.
    pub dead_letter: Option<SinkTable>,
    /// Where state may be kept.
    pub state: StateBackends,
    /// The user's text.
    pub text: Text,
    /// Where each table is defined in it.
    pub places: BTreeMap<String, Place>,
}

/// A table that is read.
#[derive(Clone)]
pub struct SourceTable {
    /// Its name.
    pub name: String,
    /// What it reads from.
    pub connector: Arc<dyn SourceConnector>,
    /// How bytes become rows; `None` when the source makes rows itself.
    pub format: Option<Arc<dyn Format>>,
    /// Checked options of both.
    pub options: Options,
    /// Declared columns.
    pub columns: SchemaRef,
}

impl SourceTable {
    /// True for a table beside the stream that is read again when it has changed.
    pub fn is_followed(&self) -> bool {
        match self.options.text("refresh") {
            Some(_) => self.options.boolean("refresh"),
            None => self.connector.reads_whole(),
        }
    }
}

/// A table that is written.
#[derive(Clone)]
pub struct SinkTable {
    /// Its name.
    pub name: String,
    /// What it writes to.
    pub connector: Arc<dyn SinkConnector>,
    /// How rows become bytes, for sinks of payloads.
    pub format: Option<Arc<dyn Format>>,
    /// Checked options of both.
    pub options: Options,
}

/// Rows and where they go.
#[derive(Clone)]
pub struct QueryOutput {
    /// Where.
    pub sink: SinkTable,
    /// What.
    pub plan: Arc<Plan>,
    /// What the rows mean.
    pub mode: OutputMode,
    /// True for late rows that become dead letters.
    pub are_letters: bool,
}

impl Query {
    /// The error of a table, with the place where the table is defined unless a nearer one is known.
    pub fn placed(&self, table: &str, error: Error) -> Error {
        error.at_if_unplaced(self.places.get(table).cloned())
    }

    /// What the query promises for one output, end to end: the weakest of its sources and the sink.
    pub fn guarantee(&self, output: &QueryOutput) -> Guarantee {
        let sources = output.plan.sources();
        let read = self.sources.iter().filter(|source| sources.contains(&source.name));
        read.map(|source| source.connector.guarantee(&source.options))
            .chain([output.sink.connector.guarantee(&output.sink.options)])
            .min()
            .unwrap_or(Guarantee::None)
    }
}
