//! A row once for every list of expressions: what `ROLLUP`, `CUBE` and `GROUPING SETS` group over.

use super::Transform;
use super::project::Project;
use crate::pipeline::plan::{Attribute, inner_schema};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::Expr;
use tidemill_core::Result;

/// Repeats rows.
pub struct Expand {
    lists: Vec<Project>,
    schema: SchemaRef,
}

impl Expand {
    /// One output row a list and input row.
    pub fn new(lists: &[Vec<Expr>], input: &[Attribute], output: &[Attribute]) -> Result<Self> {
        let lists = lists.iter().map(|list| Project::new(list, input, output)).collect::<Result<_>>()?;
        Ok(Expand { lists, schema: inner_schema(output) })
    }
}

impl Transform for Expand {
    fn apply(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let batches = self.lists.iter().map(|list| list.apply(rows.clone())).collect::<Result<Vec<_>>>()?;
        Ok(concat_batches(&self.schema, &batches)?)
    }
}
