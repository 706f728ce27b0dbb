//! A row once for every window it is in, with the window as a new last column. Rows without a time
//! are in none. Used where windows are not grouped by at once; the aggregate operator assigns its own.

use super::Transform;
use super::aggregate::keyed::window_column;
use super::project::{compile, evaluate};
use super::window::WindowKind;
use crate::pipeline::plan::{Attribute, inner_schema};
use arrow::array::{Array, AsArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use std::sync::Arc;
use tidemill_core::Result;

/// Assigns windows.
pub struct WindowRows {
    time: Arc<dyn PhysicalExpr>,
    kind: WindowKind,
    schema: SchemaRef,
}

impl WindowRows {
    /// Windows of `kind` by `time` over `input`; `output` is the input and the window.
    pub fn new(time: &Expr, kind: WindowKind, input: &[Attribute], output: &[Attribute]) -> Result<Self> {
        Ok(WindowRows { time: compile(time, input)?, kind, schema: inner_schema(output) })
    }
}

impl Transform for WindowRows {
    fn apply(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let times = evaluate(&self.time, &rows)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let (mut from, mut places) = (Vec::with_capacity(rows.num_rows()), Vec::with_capacity(rows.num_rows()));
        for row in 0..rows.num_rows() {
            if times.is_valid(row) {
                for window in self.kind.windows(self.kind.slice(times.value(row))) {
                    from.push(row as u32);
                    places.push(window);
                }
            }
        }
        let repeated = take_record_batch(&rows, &UInt32Array::from(from))?;
        let mut columns = repeated.columns().to_vec();
        columns.push(window_column(&places, self.kind, self.schema.field(columns.len()).data_type())?);
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}
