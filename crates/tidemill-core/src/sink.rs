//! The contract of a sink, and the one commit rule: **a sink stores the epoch's number in the same
//! atomic write as the epoch's rows.** There is no second protocol.

use crate::describe::{Description, Guarantee};
use crate::epoch::{Epoch, Incarnation};
use crate::error::Result;
use crate::format::Format;
use crate::options::Options;
use crate::retry::Vitals;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What an epoch's rows mean to the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputMode {
    /// New rows, each once.
    Append,
    /// New or changed rows; a later row replaces an earlier one of the same key.
    Update,
    /// The whole result, which replaces what was there.
    Complete,
}

impl OutputMode {
    /// The word users write.
    pub fn word(self) -> &'static str {
        match self {
            OutputMode::Append => "append",
            OutputMode::Update => "update",
            OutputMode::Complete => "complete",
        }
    }
}

/// Who writes: the same three words in every sink's marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// The pipeline's name, which outlives its checkpoint.
    pub query: String,
    /// The sink's name in the pipeline.
    pub sink: String,
    /// The checkpoint that counts the epochs.
    pub incarnation: Incarnation,
}

impl Writer {
    /// `tidemill/<query>/<sink>/`: what all incarnations share.
    pub fn prefix(&self) -> String {
        format!("tidemill/{}/{}/", self.query, self.sink)
    }

    /// `tidemill/<query>/<sink>/<incarnation>`: the application id of a marker.
    pub fn id(&self) -> String {
        format!("{}{}", self.prefix(), self.incarnation)
    }
}

/// What a sink itself says about our writes, read when a query starts and whenever the outcome of a
/// commit is unclear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marker {
    /// This sink cannot hold a marker; its description says what it promises instead.
    Unsupported,
    /// No epoch of this query has been written.
    Absent,
    /// The newest epoch this incarnation has written.
    At(Epoch),
    /// Only an older incarnation of this query has written here.
    Foreign(Incarnation),
}

/// What a sink needs to open.
#[derive(Clone)]
pub struct SinkRequest {
    /// The table's name, for messages.
    pub table: String,
    /// Columns of the rows to come.
    pub schema: SchemaRef,
    /// What the rows mean.
    pub mode: OutputMode,
    /// Checked options, those of the format among them.
    pub options: Options,
    /// The format, for sinks that write payloads.
    pub format: Option<Arc<dyn Format>>,
    /// Who writes.
    pub writer: Writer,
}

/// Names a sink, describes it and opens it.
#[async_trait]
pub trait SinkConnector: Send + Sync {
    /// What it says of itself.
    fn describe(&self) -> &'static Description;

    /// The output modes it can take.
    fn modes(&self) -> &'static [OutputMode] {
        &[OutputMode::Append, OutputMode::Update, OutputMode::Complete]
    }

    /// How often it likes to commit when the user sets no trigger: sinks that make a file a commit ask
    /// for fewer, larger ones. Zero: as often as there are rows.
    fn commit_interval(&self, _options: &Options) -> Duration {
        Duration::ZERO
    }

    /// What it promises with these options: less than its description says where an option weakens it.
    fn guarantee(&self, _options: &Options) -> Guarantee {
        self.describe().guarantee
    }

    /// True for a sink that tells columns apart by their names: two of one name are refused.
    fn names_columns(&self) -> bool {
        true
    }

    /// True for a sink that is called for every epoch, also when there are no rows.
    fn every_epoch(&self) -> bool {
        false
    }

    /// The directory of this machine that it writes into, if it does: its disk is looked at before every epoch.
    fn local_directory(&self, _options: &Options) -> Option<PathBuf> {
        None
    }

    /// Connects. A sink that cannot be reached or written says so here, not at the first commit.
    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>>;
}

/// A row that a sink refuses for good, whatever is tried: a value or a size it cannot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Number of the row among those of its epoch, over all batches, from 0.
    pub row: usize,
    /// A short code for grouping, in the sink's own words: a SQLSTATE, `MESSAGE_TOO_LARGE`, `WRONGTYPE`.
    pub code: String,
    /// What is wrong with it, for people; no values of the row.
    pub reason: String,
}

/// More refused rows than this of one epoch are no bad rows: the table or the query is wrong.
pub const REFUSED_ROWS_MAX: usize = 1000;

/// A sink.
#[async_trait]
pub trait Sink: Send {
    /// How the outside system does, for sinks that count it; read at any time, also during a commit.
    fn vitals(&self) -> Option<Arc<Vitals>> {
        None
    }

    /// What the sink holds of this query.
    async fn marker(&mut self) -> Result<Marker>;

    /// Writes the rows and the epoch's number in one atomic step, and returns when both are durable.
    /// Called with epochs that only rise; never with an epoch the sink already holds.
    ///
    /// # Errors
    /// After an error the outcome is unknown: the engine stops, and reads the marker at the next start. Only
    /// [`Kind::Data`](crate::Kind::Data) says that rows were refused for good and the epoch is not there.
    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()>;

    /// The query has ended in good order: what the sink holds back, to put it together with rows of later epochs,
    /// becomes visible. Never needed for what was committed to be there after a crash.
    ///
    /// # Errors
    /// As [`Sink::commit`].
    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    /// Which rows of an epoch are refused for good. Asked after `commit` has failed with `Kind::Data`, by
    /// pipelines that set such rows aside; writes nothing. The engine writes down what it is told, and calls
    /// `commit` for the same epoch again, without those rows. None: the error stands.
    ///
    /// # Errors
    /// It cannot be found out; more than [`REFUSED_ROWS_MAX`].
    async fn refused(&mut self, _epoch: Epoch, _rows: &[RecordBatch]) -> Result<Vec<Refused>> {
        Ok(vec![])
    }
}
