//! A checked plan as operators that run: built by [`lower`], run an epoch at a time by [`execute`].
//!
//! Outputs that see the same watermark in the same output mode form a [`Part`]; a part has its own
//! operators and its own watermark. Parts share the rows of sources.

pub mod aside;
pub mod execute;
mod join;
mod keyed;
pub mod lower;
mod marks;
mod process;
mod session;

use crate::operator::aggregate::accumulator::Scope;
use crate::operator::enrich::Enrich;
use crate::operator::exchange::Exchange;
use crate::operator::join::bounds::JoinBounds;
use crate::operator::sort::Sort;
use crate::operator::{Keyed, Transform};
use crate::pipeline::plan::{Attribute, Plan};
use crate::watermark::WatermarkTracker;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidemill_core::sink::OutputMode;
use tidemill_core::{Error, Result};

/// The operators of a pipeline.
pub struct Dataflow {
    /// The streaming tables it reads, each with the columns it needs.
    pub sources: Vec<SourceColumns>,
    /// The operators.
    pub parts: Vec<Part>,
    /// Number of outputs over all parts that have a sink; those after them are dead letters.
    pub outputs: usize,
    /// Joins with tables that may change.
    pub refreshes: Vec<Refresh>,
}

/// A join with what a plan gives over tables.
pub struct Refresh {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The tables it reads.
    pub reads: BTreeSet<String>,
    /// The join.
    pub join: Arc<Enrich>,
}

impl Dataflow {
    /// When an operator wants an epoch next, rows or not, in microseconds of the clock.
    pub fn alarm(&self) -> Option<i64> {
        let steps = self.parts.iter().flat_map(|part| &part.steps);
        let keyed = steps.filter_map(|step| if let Step::Keyed(keyed) = step { Some(keyed) } else { None });
        keyed.flat_map(|step| &step.partitions).filter_map(|partition| partition.alarm()).min()
    }
}

/// The columns of a streaming table that the operators read.
#[derive(Debug, Clone)]
pub struct SourceColumns {
    /// The table.
    pub table: String,
    /// Positions in its declared columns.
    pub columns: Vec<usize>,
    /// The columns inside the engine.
    pub attributes: Vec<Attribute>,
}

/// Outputs with one watermark and one output mode.
pub struct Part {
    /// What its aggregates do with results.
    pub mode: OutputMode,
    /// Its operators, inputs before readers.
    pub steps: Vec<Step>,
    /// Steps whose rows go out, with the number of the output.
    pub outputs: Vec<(usize, usize)>,
    /// True to set rows aside that fail an expression above state; false to fail with them.
    pub sets_aside: bool,
    /// Its watermark.
    pub watermark: WatermarkTracker,
    /// The plans of its stateful steps, by their names.
    pub origins: Vec<(String, Arc<Plan>)>,
}

/// One step of a part. Steps name their inputs by position.
pub enum Step {
    /// Rows of source number `source`, through `chain`.
    Source { source: usize, chain: Vec<Arc<dyn Transform>> },
    /// Rows that are there from the start; they come once.
    Values { rows: RecordBatch },
    /// Batches one by one.
    Map { input: usize, chain: Vec<Arc<dyn Transform>> },
    /// Rows of all inputs.
    Union { inputs: Vec<usize> },
    /// State by key.
    Keyed(KeyedStep),
    /// Rows that a stateful step dropped because they were late.
    Late { input: usize, schema: SchemaRef },
    /// All rows in order.
    Sort { input: usize, sort: Sort },
}

impl Step {
    /// The steps it reads.
    pub fn inputs(&self) -> Vec<usize> {
        match self {
            Step::Source { .. } | Step::Values { .. } => vec![],
            Step::Map { input, .. } | Step::Sort { input, .. } | Step::Late { input, .. } => vec![*input],
            Step::Union { inputs } => inputs.clone(),
            Step::Keyed(keyed) => keyed.inputs.iter().map(|input| input.step).collect(),
        }
    }

    /// Replaces every input by `place` of it.
    fn rename_inputs(&mut self, place: &[usize]) {
        match self {
            Step::Source { .. } | Step::Values { .. } => {}
            Step::Map { input, .. } | Step::Sort { input, .. } | Step::Late { input, .. } => *input = place[*input],
            Step::Union { inputs } => inputs.iter_mut().for_each(|input| *input = place[*input]),
            Step::Keyed(keyed) => keyed.inputs.iter_mut().for_each(|input| input.step = place[input.step]),
        }
    }
}

/// Partitions load fewer rows than this one after another.
const PARALLEL_ROWS_MIN: usize = 8192;

/// A stateful step.
pub struct KeyedStep {
    /// What it reads: most operators have one input, a join has two. Their keys are of the same types.
    pub inputs: Vec<KeyedInput>,
    /// The partitions.
    pub partitions: Vec<Box<dyn Keyed>>,
    /// Name of the operator, stable over restarts: its kind and its number of that kind.
    pub name: String,
    /// Spark's name of the operator in progress reports.
    pub spark_name: &'static str,
    /// What its state holds: a checkpoint of another layout is refused.
    pub layout: String,
    /// True when it wants an epoch without rows after its watermark has risen.
    pub wants_no_data: bool,
    /// What makes the watermark it hands on a lower one than its own: the bounds of a join.
    pub bounds: Option<JoinBounds>,
}

impl KeyedStep {
    /// Puts saved rows of the operator back, each in the partition of its key.
    ///
    /// # Errors
    /// Rows that cannot be kept under the columns the operator has now.
    pub fn put_back(&mut self, rows: RecordBatch, scope: Scope) -> Result<()> {
        let shape = self.partitions[0].shape();
        let same = rows.schema() == shape.schema;
        let rows = if same { rows } else { self.partitions[0].migrated(&rows, &self.name)? };
        let routes = self.inputs[0].exchange.route(&rows.columns()[shape.keys], rows.num_rows())?;
        let loads = self.partitions.iter_mut().zip(routes);
        if rows.num_rows() < PARALLEL_ROWS_MIN {
            return loads.into_iter().try_for_each(|(partition, select)| partition.state().load(&rows, &select, scope));
        }
        let rows = &rows;
        std::thread::scope(|threads| {
            let running: Vec<_> = loads
                .map(|(partition, select)| threads.spawn(move || partition.state().load(rows, &select, scope)))
                .collect();
            let mut ended = running.into_iter().map(|load| load.join());
            ended.try_for_each(|end| end.unwrap_or_else(|_| Err(Error::bug("loading state panicked"))))
        })
    }
}

/// One input of a stateful step.
pub struct KeyedInput {
    /// Step it reads.
    pub step: usize,
    /// What brings the rows into the operator's layout.
    pub prepare: Arc<dyn Transform>,
    /// Hands rows to partitions.
    pub exchange: Exchange,
}
