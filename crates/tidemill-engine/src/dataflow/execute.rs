//! Runs the operators of a part for one epoch. Batches of stateless steps and partitions of keyed
//! steps run in parallel; small epochs run on the calling thread, because waking another costs more.

use super::aside::{Aside, Failed};
use super::{Dataflow, KeyedStep, Part, Step};
use crate::operator::late;
use crate::operator::{EpochContext, KeyedOutput, KeyedRows, Transform};
use crate::pipeline::plan::{Plan, inner_schema};
use crate::state::table::StateSize;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use rayon::ThreadPool;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;
use tidemill_core::{Epoch, Result};

/// Epochs with fewer rows than this run on one thread.
const PARALLEL_ROWS_MIN: usize = 4096;

/// What happened in one stateful operator in an epoch.
#[derive(Debug, Clone, Default)]
pub struct OperatorReport {
    /// The operator.
    pub name: String,
    /// Spark's name of it.
    pub spark_name: &'static str,
    /// Rows dropped because they were late.
    pub late: u64,
    /// State rows changed.
    pub updated: u64,
    /// State rows removed.
    pub removed: u64,
    /// State after the epoch.
    pub state: StateSize,
}

/// What a part gives for an epoch.
#[derive(Debug, Default)]
pub struct PartResult {
    /// Rows by output number.
    pub outputs: Vec<(usize, Vec<RecordBatch>)>,
    /// Its stateful operators, source side first.
    pub operators: Vec<OperatorReport>,
    /// Rows that failed above state, if the part sets them aside.
    pub failed: Vec<Failed>,
}

/// Runs something on several threads, or on this one.
pub struct Workers {
    pool: Option<ThreadPool>,
}

impl Workers {
    /// `threads` workers; one means the calling thread.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub fn new(threads: usize) -> Result<Self> {
        if threads <= 1 {
            return Ok(Workers { pool: None });
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("tidemill-worker-{number}"))
            .build()
            .map_err(|error| {
                tidemill_core::Error::new(tidemill_core::Kind::Io, "cannot start worker threads").caused_by(error)
            })?;
        Ok(Workers { pool: Some(pool) })
    }

    /// Maps `items` in order; in parallel when `rows` makes it worth it.
    pub fn map<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        rows: usize,
        run: impl Fn(T) -> Result<R> + Send + Sync,
    ) -> Result<Vec<R>> {
        match &self.pool {
            Some(pool) if items.len() > 1 && rows >= PARALLEL_ROWS_MIN => {
                pool.install(|| items.into_par_iter().map(run).collect())
            }
            _ => items.into_iter().map(run).collect(),
        }
    }
}

/// Applies a chain to one batch.
pub fn apply(chain: &[Arc<dyn Transform>], mut rows: RecordBatch) -> Result<RecordBatch> {
    for transform in chain {
        rows = transform.apply(rows)?;
    }
    Ok(rows)
}

impl Part {
    /// Runs one epoch over the rows of the sources, by source number.
    ///
    /// # Errors
    /// What an expression or aggregate fails with.
    pub fn run(
        &mut self,
        sources: &[Vec<RecordBatch>],
        context: &EpochContext,
        workers: &Workers,
    ) -> Result<PartResult> {
        let mut results: Vec<Vec<RecordBatch>> = Vec::with_capacity(self.steps.len());
        let (mut operators, mut dropped) = (Vec::new(), HashMap::new());
        let mut aside = Aside::new(self.sets_aside);
        let (late, current) = (self.marks(context.late), self.marks(context.watermark));
        for (number, step) in self.steps.iter_mut().enumerate() {
            let rows = match step {
                Step::Source { source, chain } => mapped(&sources[*source], chain, workers)?,
                Step::Values { rows } => {
                    if context.epoch == Epoch(0) {
                        vec![rows.clone()]
                    } else {
                        vec![]
                    }
                }
                Step::Map { input, chain } => aside.mapped(number, &results[*input], chain, workers)?,
                Step::Union { inputs } => inputs.iter().flat_map(|input| results[*input].iter().cloned()).collect(),
                Step::Keyed(keyed) => {
                    let context = EpochContext { late: late[number], watermark: current[number], ..*context };
                    let (rows, late_rows, report) = keyed.run(&results, &context, workers, (number, &mut aside))?;
                    operators.push(report);
                    dropped.insert(number, late_rows);
                    rows
                }
                Step::Late { input, schema } => named(dropped.get(input).cloned().unwrap_or_default(), schema)?,
                Step::Sort { input, sort } => vec![sort.apply(&results[*input])?],
            };
            results.push(rows);
        }
        let with_rows = |rows: &Vec<RecordBatch>| rows.iter().filter(|batch| batch.num_rows() > 0).cloned().collect();
        let outputs = self.outputs.iter().map(|(step, number)| (*number, with_rows(&results[*step])));
        let outputs = outputs.collect();
        Ok(PartResult { outputs, operators, failed: aside.named(&self.steps, &self.outputs) })
    }

    /// The stateful steps.
    pub fn keyed(&mut self) -> impl Iterator<Item = &mut KeyedStep> {
        self.steps.iter_mut().filter_map(|step| match step {
            Step::Keyed(keyed) => Some(keyed),
            _ => None,
        })
    }
}

pub(super) fn mapped(
    batches: &[RecordBatch],
    chain: &[Arc<dyn Transform>],
    workers: &Workers,
) -> Result<Vec<RecordBatch>> {
    if chain.is_empty() {
        return Ok(batches.to_vec());
    }
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    workers.map(batches.to_vec(), rows, |batch| apply(chain, batch))
}

impl KeyedStep {
    fn run(
        &mut self,
        results: &[Vec<RecordBatch>],
        context: &EpochContext,
        workers: &Workers,
        (number, aside): (usize, &mut Aside),
    ) -> Result<(Vec<RecordBatch>, Vec<RecordBatch>, OperatorReport)> {
        let mut inputs: Vec<Vec<KeyedRows>> = vec![vec![]; self.partitions.len()];
        let mut total = 0;
        // rows are numbered by epoch and place, so that the numbers go on after a restart
        let mut arrival = context.epoch.0 << 32;
        for (port, input) in self.inputs.iter().enumerate() {
            let batches = &results[input.step];
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            let split =
                |batches| workers.map(batches, rows, |batch| input.exchange.split(input.prepare.apply(batch)?, 0));
            let split = match split(batches.clone()) {
                Err(error) if aside.takes(&error) => {
                    split(aside.kept(number, batches, std::slice::from_ref(&input.prepare))?)?
                }
                done => done?,
            };
            for parts in split {
                let rows = parts[0].rows.num_rows() as u64;
                for (partition, part) in parts.into_iter().enumerate().filter(|(_, part)| !part.select.is_empty()) {
                    inputs[partition].push(KeyedRows { arrival, port, ..part });
                }
                arrival += rows;
            }
            total += rows;
        }
        let worth = total.max(idle_rows(context));
        let work: Vec<_> = self.partitions.iter_mut().zip(inputs).collect();
        let outputs: Vec<KeyedOutput> =
            workers.map(work, worth, |(operator, input)| operator.process(context, input))?;
        let mut report =
            OperatorReport { name: self.name.clone(), spark_name: self.spark_name, ..OperatorReport::default() };
        let (mut rows, mut late_rows) = (Vec::new(), Vec::new());
        for output in outputs {
            report.late += output.late;
            report.updated += output.updated;
            report.removed += output.removed;
            rows.extend(output.rows);
            for late in &output.late_rows {
                late_rows.push(late::completed(late, context.late, context.epoch)?);
            }
        }
        for partition in &mut self.partitions {
            let size = partition.state().size();
            report.state.rows += size.rows;
            report.state.bytes += size.bytes;
        }
        Ok((rows, late_rows, report))
    }
}

/// Batches under the names of a plan's columns.
fn named(batches: Vec<RecordBatch>, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let renamed = |batch: RecordBatch| Ok(RecordBatch::try_new(schema.clone(), batch.columns().to_vec())?);
    batches.into_iter().map(renamed).collect()
}

/// An epoch without input may still have much to do when the watermark closes windows.
fn idle_rows(context: &EpochContext) -> usize {
    if context.watermark > context.late { PARALLEL_ROWS_MIN } else { 0 }
}

/// Runs operators that read no stream, once, and gives all rows with the plan's columns.
///
/// # Errors
/// What an expression fails with.
pub fn all_rows(mut flow: Dataflow, plan: &Plan) -> Result<RecordBatch> {
    let context = EpochContext { epoch: Epoch(0), late: i64::MIN, watermark: i64::MIN, timestamp: 0, has_data: true };
    let workers = Workers::new(1)?;
    let mut rows = Vec::new();
    for part in &mut flow.parts {
        for (_, output) in part.run(&[], &context, &workers)?.outputs {
            rows.extend(output);
        }
    }
    Ok(concat_batches(&inner_schema(&plan.attributes), &rows)?)
}
