//! Saved values of an aggregate whose functions have changed: those it still has are kept, whatever their order;
//! one that is new begins empty; one that is gone is left out.

use super::identity::Call;
use crate::operator::aggregate::accumulator::{AggregateFunction, Scope};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tidemill_core::{Epoch, Result};

/// The functions an aggregate had up to an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The last epoch whose state is of these; `None` for the state of no epoch.
    pub until: Option<Epoch>,
    /// The functions, in the order of the state.
    pub calls: Vec<Call>,
}

/// An aggregate that has other functions than some of its saved state.
#[derive(Debug, Clone)]
pub struct Changed {
    /// What it had, oldest first.
    pub before: Vec<Before>,
    /// What it has.
    pub now: Vec<Call>,
    /// The same, to compute.
    pub functions: Vec<Arc<dyn AggregateFunction>>,
}

impl Changed {
    /// Rows saved after `epoch` as rows of `schema`, which is that of the state now.
    ///
    /// # Errors
    /// What was saved does not look as the checkpoint says.
    pub fn adapt(&self, rows: RecordBatch, epoch: Epoch, schema: &SchemaRef, scope: Scope) -> Result<RecordBatch> {
        let then = self.before.iter().find(|before| before.until.is_some_and(|until| epoch <= until));
        let Some(then) = then else { return Ok(rows) };
        let saved = rows.schema();
        let first = saved.fields().iter().position(|field| field.name().starts_with("value"));
        let mut columns = rows.columns()[..first.unwrap_or(rows.num_columns())].to_vec();
        for ((place, call), function) in self.now.iter().enumerate().zip(&self.functions) {
            let had = then.calls.iter().enumerate().filter(|(_, known)| *known == call);
            // of two that are the same the first is the first
            let same_before = self.now[..place].iter().filter(|other| *other == call).count();
            match had.map(|(number, _)| number).nth(same_before) {
                Some(number) => {
                    let prefix = format!("value{number}_");
                    let of_it =
                        saved.fields().iter().enumerate().filter(|(_, field)| field.name().starts_with(&prefix));
                    columns.extend(of_it.map(|(column, _)| rows.column(column).clone()));
                }
                None => columns.extend(empty(&**function, rows.num_rows(), scope)?),
            }
        }
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    }
}

/// Saved values of a function that has seen nothing, `count` times.
fn empty(function: &dyn AggregateFunction, count: usize, scope: Scope) -> Result<Vec<ArrayRef>> {
    let mut accumulator = function.accumulator()?;
    accumulator.resize(1);
    let same = UInt32Array::from(vec![0; count]);
    accumulator.save(&[0], scope)?.iter().map(|column| Ok(take(column, &same, None)?)).collect()
}
