//! Rows that fail an expression above state, when the query sets them aside: they belong to no record any
//! more, so the row itself is kept. What state has of them stays.

use super::Step;
use super::execute::{Workers, apply};
use crate::dead_letter::screen::failing;
use crate::decode;
use crate::operator::Transform;
use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

/// A row that failed.
#[derive(Debug)]
pub struct Failed {
    /// Number of the output that lacks it; the first, when there are several.
    pub output: usize,
    /// The row as it came to the expression, as JSON.
    pub row: String,
    /// Why.
    pub error: Error,
}

/// The rows of a part's epoch that failed.
pub(super) struct Aside {
    /// False to fail with them.
    wanted: bool,
    failed: Vec<(usize, String, Error)>,
}

impl Aside {
    /// None yet.
    pub(super) fn new(wanted: bool) -> Self {
        Aside { wanted, failed: vec![] }
    }

    /// True for an error that concerns rows, and not the query.
    pub(super) fn takes(&self, error: &Error) -> bool {
        self.wanted && error.kind() == Kind::Data
    }

    /// Applies the chain of a step; rows that fail are set aside.
    ///
    /// # Errors
    /// What is not about rows, or is not to be set aside.
    pub(super) fn mapped(
        &mut self,
        step: usize,
        batches: &[RecordBatch],
        chain: &[Arc<dyn Transform>],
        workers: &Workers,
    ) -> Result<Vec<RecordBatch>> {
        match super::execute::mapped(batches, chain, workers) {
            Err(error) if self.takes(&error) => {
                let kept = self.kept(step, batches, chain)?;
                kept.into_iter().map(|batch| apply(chain, batch)).collect()
            }
            done => done,
        }
    }

    /// The rows that do not fail the chain.
    ///
    /// # Errors
    /// What is not about rows.
    pub(super) fn kept(
        &mut self,
        step: usize,
        batches: &[RecordBatch],
        chain: &[Arc<dyn Transform>],
    ) -> Result<Vec<RecordBatch>> {
        let mut kept = Vec::with_capacity(batches.len());
        for batch in batches {
            let mut found = Vec::new();
            failing(chain, batch, 0, &mut found)?;
            let bad = |row: &usize| found.iter().any(|(bad, _)| bad == row);
            let keep: BooleanArray = (0..batch.num_rows()).map(|row| Some(!bad(&row))).collect();
            kept.push(filter_record_batch(batch, &keep)?);
            let schema = outer(&batch.schema());
            self.failed.extend(found.into_iter().map(|(row, error)| (step, decode::json(&schema, batch, row), error)));
        }
        Ok(kept)
    }

    /// What failed, with the outputs that lack it.
    pub(super) fn named(self, steps: &[Step], outputs: &[(usize, usize)]) -> Vec<Failed> {
        let failed = self.failed.into_iter().map(|(step, row, error)| {
            let lacking = outputs.iter().find(|(of, _)| reaches(steps, *of, step));
            Failed { output: lacking.map_or(0, |(_, number)| *number), row, error }
        });
        failed.collect()
    }
}

/// True when `step` is `from` or something it reads.
fn reaches(steps: &[Step], from: usize, step: usize) -> bool {
    from == step || steps[from].inputs().into_iter().any(|input| reaches(steps, input, step))
}

/// Columns without the numbers they have inside the engine.
fn outer(schema: &SchemaRef) -> SchemaRef {
    let plain = |field: &Arc<Field>| {
        let name = field.name().rsplit_once('#').map_or(field.name().as_str(), |(name, _)| name);
        Field::new(name, field.data_type().clone(), true)
    };
    Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>()))
}
