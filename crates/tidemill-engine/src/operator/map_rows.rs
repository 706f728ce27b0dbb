//! Whole batches through a function of the user's program: `mapInArrow`, `mapInPandas`. Keeps nothing.

use super::Transform;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::fmt::Debug;
use std::sync::Arc;
use tidemill_core::Result;

/// A function of batches: any number of rows in, any number out.
pub trait RowsFunction: Debug + Send + Sync {
    /// What becomes of the rows of a batch; `output` are the columns of the result.
    ///
    /// # Errors
    /// What the function fails with.
    fn call(&self, rows: RecordBatch, output: &SchemaRef) -> Result<Vec<RecordBatch>>;
}

/// Calls a function with every batch.
pub struct MapRows {
    /// The function.
    pub function: Arc<dyn RowsFunction>,
    /// The input's columns as the user knows them.
    pub input: SchemaRef,
    /// The output's columns as the user knows them.
    pub output: SchemaRef,
    /// The output's columns inside the engine.
    pub schema: SchemaRef,
}

impl Transform for MapRows {
    fn apply(&self, rows: RecordBatch) -> Result<RecordBatch> {
        if rows.num_rows() == 0 {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(self.input.clone(), rows.columns().to_vec(), &options)?;
        let mut given = Vec::new();
        for batch in self.function.call(rows, &self.output)? {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            given.push(RecordBatch::try_new_with_options(self.schema.clone(), batch.columns().to_vec(), &options)?);
        }
        Ok(concat_batches(&self.schema, &given)?)
    }
}
