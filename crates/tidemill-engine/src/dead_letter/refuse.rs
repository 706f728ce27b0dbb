//! Rows that a sink refuses for good. They are named in the epoch's plan, durably, before anything is
//! written without them: run again after a crash, the epoch leaves out the same rows and sets them aside
//! once, whether the sink has the epoch by then or not. Dead letters are written after all outputs, because
//! the outputs say which there are.

use super::{Letter, Payload, Stage, Standing, bounded};
use crate::checkpoint::record::{PlanRecord, Record, RefusedRow};
use crate::decode;
use crate::deliver::Delivered;
use crate::run::Running;
use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::collections::HashMap;
use tidemill_core::sink::Refused;
use tidemill_core::{Error, Kind, Result, Step};

/// What was delivered, and the letters of what was not, each with the table of its sink.
type Outcome = (Vec<Delivered>, Vec<(String, Letter)>);

impl Running {
    /// Writes the rows of the outputs, without those that their sinks refuse.
    ///
    /// # Errors
    /// A sink that fails otherwise; too many refused rows; rows that are refused when it is too late to set
    /// them aside.
    pub(crate) async fn write_outputs(
        &mut self,
        plan: &mut PlanRecord,
        rows: Vec<Vec<RecordBatch>>,
    ) -> Result<Outcome> {
        let (mut letters, mut left) = (Vec::new(), Vec::with_capacity(rows.len()));
        for (sink, rows) in self.sinks.iter().zip(rows) {
            let (rows, refused) = without(&sink.table, sink.schema(), &plan.refused, rows)?;
            letters.extend(refused.into_iter().map(|letter| (sink.table.clone(), letter)));
            left.push(rows);
        }
        let mut done: Vec<Option<Delivered>> = vec![None; left.len()];
        loop {
            let refused = self.write_once(plan, &left, &mut done).await?;
            if refused.is_empty() {
                return Ok((done.into_iter().flatten().collect(), letters));
            }
            self.rate.take(plan.timestamp, 0, refused.len() as u64)?;
            plan.refused.extend(refused.iter().cloned());
            self.resumed.journal.add(&Record::Plan(plan.clone()))?;
            self.flush().await?;
            self.resumed.journal.confirm().await?;
            self.faults.at(Step::PlanLogged)?;
            for (sink, rows) in self.sinks.iter().zip(&mut left) {
                let (kept, found) = without(&sink.table, sink.schema(), &refused, std::mem::take(rows))?;
                letters.extend(found.into_iter().map(|letter| (sink.table.clone(), letter)));
                *rows = kept;
            }
        }
    }

    /// Writes to the outputs that are not done; gives the rows that some of them refuse.
    async fn write_once(
        &mut self,
        plan: &PlanRecord,
        rows: &[Vec<RecordBatch>],
        done: &mut [Option<Delivered>],
    ) -> Result<Vec<RefusedRow>> {
        let too_late = self.too_late(plan);
        let (epoch, has_data, clock, faults) = (plan.epoch, plan.has_data, &*self.clock, &self.faults);
        let work = self.sinks.iter_mut().zip(rows).zip(done.iter_mut()).filter(|(_, done)| done.is_none());
        let work = work.map(|((sink, rows), done)| async move {
            match sink.deliver(epoch, rows.clone(), has_data, clock, faults).await {
                Ok(delivered) => {
                    *done = Some(delivered);
                    Ok(vec![])
                }
                Err(error) if error.kind() == Kind::Data => {
                    let refused = sink.refused(epoch, rows).await?;
                    match (refused.is_empty(), too_late) {
                        (true, _) => Err(error),
                        (false, Some(why)) => Err(error.help(why)),
                        (false, None) => Ok(refused),
                    }
                }
                Err(error) => Err(error),
            }
        });
        let refused = futures::future::join_all(work).await.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(refused.concat())
    }

    /// Why no more rows of the epoch can be set aside.
    fn too_late(&self, plan: &PlanRecord) -> Option<&'static str> {
        let letters_held = self.sinks.get(self.flow.outputs).and_then(|letters| letters.held);
        if self.is_committed(plan.epoch) {
            return Some("the epoch was committed before with this row, and is written again to a sink that lost it");
        }
        let held = letters_held.is_some_and(|held| held >= plan.epoch);
        held.then_some("the dead letters of this epoch are written already, so no row can be added to them")
    }
}

/// What a sink has refused, under the names people see, as the plan keeps it.
pub fn named(table: &str, rows: &[RecordBatch], refused: Vec<Refused>) -> Vec<RefusedRow> {
    let place = |mut row: usize| {
        rows.iter().find_map(|batch| match row.checked_sub(batch.num_rows()) {
            None => Some((batch, row)),
            Some(rest) => {
                row = rest;
                None
            }
        })
    };
    let named = refused.into_iter().filter_map(|Refused { row, code, reason }| {
        let (batch, at) = place(row)?;
        let json = decode::json(&batch.schema(), batch, at);
        let number = row as u64;
        Some(RefusedRow { sink: table.to_owned(), number, row: json, code, reason: bounded(reason) })
    });
    named.collect()
}

/// The rows of a sink without those that are named, and a letter for each of these. Rows that hold the same
/// are interchangeable.
fn without(
    table: &str,
    schema: &SchemaRef,
    refused: &[RefusedRow],
    rows: Vec<RecordBatch>,
) -> Result<(Vec<RecordBatch>, Vec<Letter>)> {
    let mut wanted: HashMap<&str, Vec<&RefusedRow>> = HashMap::new();
    for row in refused.iter().filter(|row| row.sink == table) {
        wanted.entry(&row.row).or_default().push(row);
    }
    if wanted.is_empty() {
        return Ok((rows, vec![]));
    }
    let (mut kept, mut letters) = (Vec::with_capacity(rows.len()), Vec::new());
    for batch in rows {
        let mut keep = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let found = wanted.get_mut(decode::json(schema, &batch, row).as_str()).and_then(Vec::pop);
            keep.push(found.is_none());
            letters.extend(found.map(|refused| letter(table, refused)));
        }
        let batch = filter_record_batch(&batch, &BooleanArray::from(keep))?;
        kept.extend((batch.num_rows() > 0).then_some(batch));
    }
    match wanted.into_values().flatten().next() {
        None => Ok((kept, letters)),
        Some(missing) => Err(Error::new(
            Kind::Data,
            format!(
                "the table '{table}' refused row {} of the epoch, and the epoch that is run again has no such row",
                missing.number
            ),
        )
        .help("a function gives something else each time it is called: declare it as not deterministic, or mend it")),
    }
}

fn letter(table: &str, refused: &RefusedRow) -> Letter {
    Letter {
        split: table.into(),
        standing: Standing::Row(refused.number),
        stage: Stage::Sink,
        code: refused.code.clone(),
        reason: refused.reason.clone(),
        place: None,
        payload: Payload::Row(refused.row.clone()),
        replay: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use std::sync::Arc;

    fn batch(numbers: &[i64]) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    fn refused(rows: &[RecordBatch], row: usize) -> Vec<RefusedRow> {
        named("t", rows, vec![Refused { row, code: "23514".into(), reason: "no".into() }])
    }

    fn numbers(rows: &[RecordBatch]) -> Vec<i64> {
        rows.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[test]
    fn a_row_is_named_by_its_number_over_all_batches_and_found_by_what_it_holds() {
        let rows = [batch(&[1, 2]), batch(&[3, 4])];
        let plan = refused(&rows, 2);
        assert_eq!((plan[0].row.as_str(), plan[0].number), ("{\"n\":3}", 2));
        // run again with another parallelism, the rows come in another order
        let again = vec![batch(&[4, 3, 2, 1])];
        let (kept, letters) = without("t", &again[0].schema(), &plan, again.clone()).unwrap();
        assert_eq!(numbers(&kept), [4, 2, 1]);
        assert_eq!((letters.len(), letters[0].standing), (1, Standing::Row(2)));
        let (kept, letters) = without("other", &again[0].schema(), &plan, again).unwrap();
        assert_eq!((numbers(&kept).len(), letters.len()), (4, 0));
    }

    #[test]
    fn of_equal_rows_as_many_go_as_were_refused() {
        let rows = vec![batch(&[7, 7, 7])];
        let plan = refused(&rows, 1);
        let (kept, letters) = without("t", &rows[0].schema(), &plan, rows).unwrap();
        assert_eq!((numbers(&kept), letters.len()), (vec![7, 7], 1));
    }

    #[test]
    fn a_row_that_does_not_come_again_is_not_lost_in_silence() {
        let plan = refused(&[batch(&[1])], 0);
        let rows = vec![batch(&[2])];
        assert_eq!(without("t", &rows[0].schema(), &plan, rows).unwrap_err().kind(), Kind::Data);
    }
}
