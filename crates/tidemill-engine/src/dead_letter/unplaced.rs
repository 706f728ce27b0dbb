//! Dead letters of rows that stand at no offset any more: a row of a result on which an expression fails,
//! and a row that came too late for a query whose table asks to keep it (`late = 'dead_letter'`). `source`
//! names the table they are missing in.

use super::{Letter, Payload, Stage, Standing};
use crate::checkpoint::record::PlanRecord;
use crate::dataflow::aside::Failed;
use crate::dataflow::execute::PartResult;
use crate::decode;
use crate::operator::late::fields;
use crate::run::Running;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use tidemill_core::Result;

/// Late rows that become letters.
#[derive(Debug, Clone)]
pub struct LateRows {
    /// The table that lacks them.
    pub table: String,
    /// Their columns, under the names people see; those of [`fields`] come last.
    pub schema: SchemaRef,
}

impl Running {
    /// The letters of an epoch's rows that stand at no offset, each with its table.
    ///
    /// # Errors
    /// Too many that failed.
    pub(crate) fn unplaced(&mut self, plan: &PlanRecord, parts: &mut [PartResult]) -> Result<Vec<(String, Letter)>> {
        let mut letters = Vec::new();
        for row in parts.iter_mut().flat_map(|part| std::mem::take(&mut part.failed)) {
            let table = match row.output.checked_sub(self.flow.outputs) {
                None => &self.sinks[row.output].table,
                Some(late) => &self.late[late].table,
            };
            letters.push((table.clone(), failed(table, letters.len(), row)));
        }
        self.rate.take(plan.timestamp, 0, letters.len() as u64)?;
        for (number, rows) in parts.iter().flat_map(|part| &part.outputs) {
            let Some(of) = number.checked_sub(self.flow.outputs).and_then(|late| self.late.get(late)) else { continue };
            letters.extend(late(of, rows)?.into_iter().map(|letter| (of.table.clone(), letter)));
        }
        Ok(letters)
    }
}

/// A letter of a row that fails above state; `number` is its own among those of the epoch.
pub fn failed(table: &str, number: usize, row: Failed) -> Letter {
    let standing = Standing::Row(number as u64);
    Letter::of_row(table.into(), standing, Payload::Row(row.row), &row.error, 0)
}

/// Letters of the late rows of an epoch.
///
/// # Errors
/// A bug.
pub fn late(of: &LateRows, batches: &[RecordBatch]) -> Result<Vec<Letter>> {
    let own: Vec<usize> = (0..of.schema.fields().len() - fields().len()).collect();
    let schema = SchemaRef::new(of.schema.project(&own)?);
    let mut letters = Vec::new();
    for batch in batches {
        let [start, end, watermark] =
            [0, 1, 2].map(|at| batch.column(own.len() + at).as_primitive::<TimestampMicrosecondType>());
        let rows = batch.project(&own)?;
        for row in 0..batch.num_rows() {
            let window = match start.is_valid(row) && end.is_valid(row) {
                true => format!(": the window from {} to {} was over", iso(start.value(row)), iso(end.value(row))),
                false => String::new(),
            };
            letters.push(Letter {
                split: of.table.as_str().into(),
                standing: Standing::Row(letters.len() as u64),
                stage: Stage::Late,
                code: "LATE_ROW".into(),
                reason: format!("it came behind the watermark {}{window}", iso(watermark.value(row))),
                place: None,
                payload: Payload::Row(decode::json(&schema, &rows, row)),
                replay: 0,
            });
        }
    }
    Ok(letters)
}

fn iso(micros: i64) -> String {
    let instant = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default();
    instant.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
