//! Rows that an operator drops because they are late: counted always, kept when a table takes them.
//!
//! What is kept is the row as it came to the operator, and the window that was over, if it was one. A row of
//! several windows that are over is kept once for each of them: each is a result that lacks the row.

use super::KeyedOutput;
use arrow::array::{ArrayRef, TimestampMicrosecondArray, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{Field, FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use tidemill_core::{Epoch, Result, types};

/// Columns of late rows after their own: the window that was over, the watermark that made them late, and
/// the epoch in which they came.
pub fn fields() -> Vec<Field> {
    vec![
        Field::new("late_window_start", types::timestamp(), true),
        Field::new("late_window_end", types::timestamp(), true),
        Field::new("late_watermark", types::timestamp(), true),
        Field::new("late_epoch", arrow::datatypes::DataType::Int64, true),
    ]
}

/// The late rows of one batch.
pub struct LateRows {
    /// Where the row's own columns are in the operator's input; `None` to count only.
    columns: Option<(usize, usize)>,
    rows: Vec<u32>,
    starts: Vec<Option<i64>>,
    ends: Vec<Option<i64>>,
}

impl LateRows {
    /// None yet. The columns of a row as it came are from the first number up to the second.
    pub fn new(columns: Option<(usize, usize)>) -> Self {
        LateRows { columns, rows: vec![], starts: vec![], ends: vec![] }
    }

    /// Notes a row that is late, and the window that is over: its start and its end, where it has them.
    pub fn note(&mut self, row: u32, window: (Option<i64>, Option<i64>), out: &mut KeyedOutput) {
        out.late += 1;
        if self.columns.is_some() {
            self.rows.push(row);
            self.starts.push(window.0);
            self.ends.push(window.1);
        }
    }

    /// Hands on the rows that were noted, of the batch they are in.
    ///
    /// # Errors
    /// A bug.
    pub fn hand_on(self, batch: &RecordBatch, out: &mut KeyedOutput) -> Result<()> {
        let Some((first, end)) = self.columns.filter(|_| !self.rows.is_empty()) else { return Ok(()) };
        let places = UInt32Array::from(self.rows);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(end - first + 2);
        for column in &batch.columns()[first..end] {
            columns.push(take(column, &places, None)?);
        }
        let instants =
            |of: Vec<Option<i64>>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(of).with_timezone("UTC")) };
        columns.extend([instants(self.starts), instants(self.ends)]);
        let mut kept: Vec<FieldRef> = batch.schema().fields()[first..end].to_vec();
        kept.extend(fields().into_iter().take(2).map(Arc::new));
        out.late_rows.push(RecordBatch::try_new(Arc::new(Schema::new(kept)), columns)?);
        Ok(())
    }
}

/// Late rows of an operator that has no windows.
///
/// # Errors
/// A bug.
pub fn without_window(mut kept: Vec<Field>, mut columns: Vec<ArrayRef>, count: usize) -> Result<RecordBatch> {
    for field in fields().into_iter().take(2) {
        columns.push(new_null_array(field.data_type(), count));
        kept.push(field);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(kept)), columns)?)
}

/// Late rows with the watermark and the epoch, as they go out.
///
/// # Errors
/// A bug.
pub fn completed(rows: &RecordBatch, watermark: i64, epoch: Epoch) -> Result<RecordBatch> {
    let mut columns = rows.columns().to_vec();
    let count = rows.num_rows();
    columns.push(Arc::new(TimestampMicrosecondArray::from(vec![watermark; count]).with_timezone("UTC")));
    columns.push(Arc::new(arrow::array::Int64Array::from(vec![epoch.0 as i64; count])));
    let mut all: Vec<FieldRef> = rows.schema().fields().to_vec();
    all.extend(fields().into_iter().skip(2).map(Arc::new));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(all)), columns)?)
}
