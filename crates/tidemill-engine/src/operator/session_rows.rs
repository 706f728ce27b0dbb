//! The stretch of time every row opens for a session, `[time, time + gap)`, as a new last column. Rows
//! without a time, and those whose gap is no time or none, open nothing and go no further.

use super::Transform;
use super::project::{compile, evaluate};
use crate::pipeline::plan::{Attribute, inner_schema};
use arrow::array::{Array, ArrayRef, AsArray, StructArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use std::sync::Arc;
use tidemill_core::{Error, Result};

/// Opens a stretch of time for every row.
pub struct SessionRows {
    start: Arc<dyn PhysicalExpr>,
    end: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
}

impl SessionRows {
    /// From `start` to `end` over `input`; `output` is the input and the column of both.
    pub fn new(start: &Expr, end: &Expr, input: &[Attribute], output: &[Attribute]) -> Result<Self> {
        Ok(SessionRows { start: compile(start, input)?, end: compile(end, input)?, schema: inner_schema(output) })
    }
}

impl Transform for SessionRows {
    fn apply(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let (starts, ends) = (evaluate(&self.start, &rows)?, evaluate(&self.end, &rows)?);
        let instants = |column: &ArrayRef| column.as_primitive::<TimestampMicrosecondType>().clone();
        let (from, until) = (instants(&starts), instants(&ends));
        let opens = |row: &usize| from.is_valid(*row) && until.is_valid(*row) && until.value(*row) > from.value(*row);
        let kept = UInt32Array::from_iter_values((0..rows.num_rows()).filter(opens).map(|row| row as u32));
        let field = self.schema.field(self.schema.fields().len() - 1);
        let DataType::Struct(fields) = field.data_type() else { return Err(Error::bug("a session is a struct")) };
        let mut columns =
            rows.columns().iter().map(|column| Ok(take(column, &kept, None)?)).collect::<Result<Vec<_>>>()?;
        let bounds = vec![take(&starts, &kept, None)?, take(&ends, &kept, None)?];
        columns.push(Arc::new(StructArray::try_new(fields.clone(), bounds, None)?));
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}
