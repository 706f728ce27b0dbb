//! What a processor of arbitrary state is to the engine: a factory by name, which declares its state variables
//! when a partition is opened, and a partition's processor, which is called once an epoch with all rows of the
//! partition, grouped by key, and the partition's state.
//!
//! Two kinds implement it: Rust processors that are called key by key ([`super::StatefulProcessor`]), and Python's,
//! which take the whole call over at once so that the interpreter's lock is taken once.

use super::state::PartitionState;
use arrow::datatypes::{Fields, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tidemill_core::{Error, Result};

/// What timers go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeMode {
    /// There are none, and no TTL.
    None,
    /// The epoch's own instant, which its plan pins. State may have a TTL.
    ProcessingTime,
    /// The watermark.
    EventTime,
}

impl TimeMode {
    /// The mode a user names, in any case.
    ///
    /// # Errors
    /// No such mode.
    pub fn parse(word: &str) -> Result<TimeMode> {
        match word.to_lowercase().as_str() {
            "none" => Ok(TimeMode::None),
            "processingtime" => Ok(TimeMode::ProcessingTime),
            "eventtime" => Ok(TimeMode::EventTime),
            _ => Err(Error::invalid(format!("there is no time mode '{word}'"))
                .class("STATEFUL_PROCESSOR_UNKNOWN_TIME_MODE")
                .help("time modes: none, processingTime, eventTime")),
        }
    }

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            TimeMode::None => "none",
            TimeMode::ProcessingTime => "processingTime",
            TimeMode::EventTime => "eventTime",
        }
    }
}

/// Kinds of state variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariableKind {
    /// One value a key.
    Value,
    /// A list a key.
    List,
    /// A map a key, from values with these fields.
    Map(Fields),
}

impl VariableKind {
    /// Its name in messages and in saved state.
    pub fn word(&self) -> &'static str {
        match self {
            VariableKind::Value => "ValueState",
            VariableKind::List => "ListState",
            VariableKind::Map(_) => "MapState",
        }
    }
}

/// A state variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name, which finds what is saved of it after a restart.
    pub name: String,
    /// Its kind.
    pub kind: VariableKind,
    /// The fields of its values.
    pub fields: Fields,
    /// How long a value is kept after it was last written, in milliseconds of processing time; `None` for ever.
    pub ttl_ms: Option<i64>,
}

/// Collects what a processor declares when it is opened.
#[derive(Debug, Clone)]
pub struct Declarations {
    mode: TimeMode,
    /// The variables, in the order they were declared.
    pub variables: Vec<Variable>,
    /// Variables of earlier versions of the processor whose state is to go.
    pub dropped: Vec<String>,
}

impl Declarations {
    /// None yet.
    pub fn new(mode: TimeMode) -> Self {
        Declarations { mode, variables: vec![], dropped: vec![] }
    }

    /// What timers go by.
    pub fn time_mode(&self) -> TimeMode {
        self.mode
    }

    /// Declares a variable and gives its number.
    ///
    /// # Errors
    /// A name that is taken, a TTL that is none or where there is no processing time.
    pub fn variable(&mut self, variable: Variable) -> Result<usize> {
        let name = &variable.name;
        if self.variables.iter().any(|known| known.name == *name) {
            return Err(Error::invalid(format!("the state variable '{name}' is declared twice"))
                .class("STATEFUL_PROCESSOR_DUPLICATE_STATE_VARIABLE_DEFINED")
                .help("give each variable a name of its own"));
        }
        if variable.ttl_ms.is_some_and(|ttl| ttl <= 0) {
            return Err(Error::invalid(format!("the TTL of the state variable '{name}' is not above 0"))
                .class("STATEFUL_PROCESSOR_TTL_DURATION_MUST_BE_POSITIVE"));
        }
        if variable.ttl_ms.is_some() && self.mode != TimeMode::ProcessingTime {
            return Err(Error::invalid(format!(
                "the state variable '{name}' has a TTL, which the time mode {} has not",
                self.mode.word()
            ))
            .class("STATEFUL_PROCESSOR_INCORRECT_TIME_MODE_TO_ASSIGN_TTL")
            .help("use the time mode processingTime"));
        }
        self.variables.push(variable);
        Ok(self.variables.len() - 1)
    }

    /// Lets the saved state of a variable that is no longer declared go.
    pub fn drop_if_exists(&mut self, name: &str) {
        self.dropped.push(name.to_owned());
    }
}

/// Rows of one key: a range of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Number of the key in the partition's state, for this call.
    pub key: u32,
    /// Its first row.
    pub start: usize,
    /// The row after its last.
    pub end: usize,
}

/// Rows of a partition, those of a key one after the other, keys in ascending order.
#[derive(Debug, Clone)]
pub struct GroupedRows {
    /// The rows, with the columns of the processor's input.
    pub rows: RecordBatch,
    /// The keys.
    pub groups: Vec<Group>,
}

/// What a partition's processor is called with, once an epoch.
#[derive(Debug)]
pub struct ProcessorCall {
    /// The epoch's instant, in milliseconds.
    pub now_ms: i64,
    /// The watermark, in milliseconds.
    pub watermark_ms: i64,
    /// Rows of the initial state; only in the first epoch of a query.
    pub initial: Option<GroupedRows>,
    /// Rows of this epoch that are not late.
    pub rows: GroupedRows,
    /// The instant up to which timers are due, in milliseconds; `None` without timers.
    pub due_ms: Option<i64>,
}

/// State of a partition, shared with its processor, which holds it only while it is called.
pub type SharedState = Arc<Mutex<PartitionState>>;

/// The processor of one partition.
pub trait PartitionProcessor: Send {
    /// Processes the initial state, then the rows, then the timers that are due, and gives the rows that come
    /// out, with the columns of the output.
    ///
    /// # Errors
    /// What the processor fails with; the epoch is then not committed.
    fn process(&mut self, call: &ProcessorCall, state: &SharedState) -> Result<Vec<RecordBatch>>;
}

/// Makes the processors of a query's partitions.
pub trait ProcessorFactory: Debug + Send + Sync {
    /// The processor of one partition; declares its state variables.
    ///
    /// # Errors
    /// What the processor fails with.
    fn open(&self, schemas: &ProcessorSchemas, declare: &mut Declarations) -> Result<Box<dyn PartitionProcessor>>;

    /// The operator's name in progress reports.
    fn spark_name(&self) -> &'static str {
        "transformWithStateExec"
    }
}

/// What a processor's rows look like.
#[derive(Debug, Clone)]
pub struct ProcessorSchemas {
    /// The columns of a key.
    pub key: SchemaRef,
    /// The columns of the input's rows, key columns among them.
    pub input: SchemaRef,
    /// The columns of the initial state, if there is one.
    pub initial: Option<SchemaRef>,
    /// The columns that come out.
    pub output: SchemaRef,
}
