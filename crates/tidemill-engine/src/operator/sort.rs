//! All rows of an epoch in order.

use super::project::{compile, evaluate};
use crate::pipeline::plan::{Attribute, SortBy, inner_schema};
use arrow::array::UInt32Array;
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use datafusion::physical_expr::PhysicalExpr;
use std::sync::Arc;
use tidemill_core::Result;

/// Orders rows.
pub struct Sort {
    keys: Vec<(Arc<dyn PhysicalExpr>, SortOptions)>,
    schema: SchemaRef,
}

impl Sort {
    /// Orders rows with columns `input` by `keys`.
    pub fn new(keys: &[SortBy], input: &[Attribute]) -> Result<Self> {
        let keys = keys.iter().map(|key| {
            let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
            Ok((compile(&key.by, input)?, options))
        });
        Ok(Sort { keys: keys.collect::<Result<_>>()?, schema: inner_schema(input) })
    }

    /// The rows in order, as one batch. Rows with equal keys keep their order.
    pub fn apply(&self, rows: &[RecordBatch]) -> Result<RecordBatch> {
        let rows = concat_batches(&self.schema, rows)?;
        let mut columns = Vec::with_capacity(self.keys.len());
        for (expr, options) in &self.keys {
            columns.push(SortColumn { values: evaluate(expr, &rows)?, options: Some(*options) });
        }
        let nested = columns.iter().any(|column| column.values.data_type().is_nested());
        if !nested && columns.len() == 1 {
            return Ok(take_record_batch(&rows, &lexsort_to_indices(&columns, None)?)?);
        }
        let fields = columns.iter().map(|column| {
            SortField::new_with_options(column.values.data_type().clone(), column.options.unwrap_or_default())
        });
        let converter = RowConverter::new(fields.collect())?;
        let values: Vec<_> = columns.into_iter().map(|column| column.values).collect();
        let keys = converter.convert_columns(&values)?;
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_by(|left, right| keys.row(*left as usize).cmp(&keys.row(*right as usize)));
        Ok(take_record_batch(&rows, &UInt32Array::from(order))?)
    }
}
