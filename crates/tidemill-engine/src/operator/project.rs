//! Computes columns, and keeps the rows for which a condition is true.

use super::Transform;
use crate::errors::from_datafusion;
use crate::pipeline::plan::{Attribute, inner_schema};
use arrow::array::{ArrayRef, AsArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::DFSchema;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use std::sync::Arc;
use tidemill_core::Result;

/// An expression ready to run over batches with the columns `input`.
///
/// # Errors
/// A bug: analysis let something through that cannot be run.
pub fn compile(expr: &Expr, input: &[Attribute]) -> Result<Arc<dyn PhysicalExpr>> {
    compile_over(expr, &inner_schema(input))
}

/// An expression ready to run over batches of a schema.
///
/// # Errors
/// As [`compile`].
pub fn compile_over(expr: &Expr, schema: &SchemaRef) -> Result<Arc<dyn PhysicalExpr>> {
    let schema = DFSchema::try_from(schema.as_ref().clone()).map_err(from_datafusion)?;
    create_physical_expr(expr, &schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
        .map_err(from_datafusion)
}

/// The values of an expression.
///
/// # Errors
/// What the expression fails with on a row.
pub fn evaluate(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<ArrayRef> {
    let value = expr.evaluate(rows).map_err(from_datafusion)?;
    value.into_array(rows.num_rows()).map_err(from_datafusion)
}

/// One expression a column.
pub struct Project {
    list: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
}

impl Project {
    /// Computes `list` over `input` into columns `output`.
    pub fn new(list: &[Expr], input: &[Attribute], output: &[Attribute]) -> Result<Self> {
        let list = list.iter().map(|expr| compile(expr, input)).collect::<Result<_>>()?;
        Ok(Project { list, schema: inner_schema(output) })
    }
}

impl Transform for Project {
    fn apply(&self, rows: RecordBatch) -> Result<RecordBatch> {
        if rows.num_rows() == 0 {
            // nothing is computed for no row: an expression of constants may fail
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        let columns = self.list.iter().map(|expr| evaluate(expr, &rows)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    fn is_total(&self) -> bool {
        self.list.iter().all(|expr| expr.downcast_ref::<Column>().is_some())
    }
}

/// Rows for which a condition is true.
pub struct Filter {
    condition: Arc<dyn PhysicalExpr>,
}

impl Filter {
    /// Keeps the rows of `input` for which `condition` is true.
    pub fn new(condition: &Expr, input: &[Attribute]) -> Result<Self> {
        Ok(Filter { condition: compile(condition, input)? })
    }
}

impl Transform for Filter {
    fn apply(&self, rows: RecordBatch) -> Result<RecordBatch> {
        if rows.num_rows() == 0 {
            return Ok(rows);
        }
        let passes = evaluate(&self.condition, &rows)?;
        Ok(filter_record_batch(&rows, passes.as_boolean())?)
    }
}
