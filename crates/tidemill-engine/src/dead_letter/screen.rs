//! Finds the records that would fail the query, before any state is touched: what every output does to
//! a record up to its first stateful operator is tried; where a batch fails, it is halved until the
//! failing rows are known. A record that one output cannot take is set aside from all of them, so that
//! a replay of it doubles nothing.

use crate::dataflow::execute::{Workers, apply};
use crate::dataflow::{Part, Step};
use crate::operator::Transform;
use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result};

type Chain = Vec<Arc<dyn Transform>>;

/// A row of a batch that fails, with what it fails with.
pub type Bad = BTreeMap<(usize, usize), Error>;

/// What is done to the rows of each source before state, by number of the source. Watermarks are left
/// out: trying is not seeing.
pub struct Screen(Vec<(usize, Chain)>);

impl Screen {
    /// The paths of the parts of a pipeline that can fail.
    pub fn new(parts: &[Part]) -> Self {
        let mut paths = Vec::new();
        for part in parts {
            for (step, _) in &part.outputs {
                paths.extend(upstream(&part.steps, *step));
            }
            for keyed in
                part.steps.iter().filter_map(|step| if let Step::Keyed(keyed) = step { Some(keyed) } else { None })
            {
                for input in &keyed.inputs {
                    let more = upstream(&part.steps, input.step).into_iter();
                    paths.extend(more.map(|(source, chain)| (source, [chain, vec![input.prepare.clone()]].concat())));
                }
            }
        }
        paths.iter_mut().for_each(|(_, chain)| chain.retain(|transform| !transform.is_watermark()));
        paths.retain(|(_, chain)| !chain.iter().all(|transform| transform.is_total()));
        Screen(paths)
    }

    /// The bad rows of a source's batches, by number of the batch and row.
    ///
    /// # Errors
    /// What is not about rows: a bug, a resource.
    pub fn bad(&self, source: usize, batches: &[RecordBatch], workers: &Workers) -> Result<Bad> {
        let mut bad = Bad::new();
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        for (_, chain) in self.0.iter().filter(|(of, _)| *of == source) {
            let found = workers.map(batches.iter().enumerate().collect(), rows, |(number, batch)| {
                let mut found = Vec::new();
                failing(chain, batch, 0, &mut found)?;
                Ok((number, found))
            })?;
            for (number, found) in found {
                for (row, error) in found {
                    bad.entry((number, row)).or_insert(error);
                }
            }
        }
        Ok(bad)
    }
}

/// The batches without their bad rows.
///
/// # Errors
/// A bug.
pub fn without(batches: &[RecordBatch], bad: &Bad) -> Result<Vec<RecordBatch>> {
    let kept = batches.iter().enumerate().map(|(number, batch)| {
        if bad.range((number, 0)..(number + 1, 0)).next().is_none() {
            return Ok(batch.clone());
        }
        let keep: BooleanArray = (0..batch.num_rows()).map(|row| Some(!bad.contains_key(&(number, row)))).collect();
        Ok(filter_record_batch(batch, &keep)?)
    });
    kept.collect()
}

/// The ways rows take from sources to a step, stateless operators only.
fn upstream(steps: &[Step], step: usize) -> Vec<(usize, Chain)> {
    match &steps[step] {
        Step::Source { source, chain } => vec![(*source, chain.clone())],
        Step::Map { input, chain } => {
            let paths = upstream(steps, *input).into_iter();
            paths.map(|(source, before)| (source, [before, chain.clone()].concat())).collect()
        }
        Step::Union { inputs } => inputs.iter().flat_map(|input| upstream(steps, *input)).collect(),
        Step::Sort { input, .. } => upstream(steps, *input),
        Step::Values { .. } | Step::Keyed(_) | Step::Late { .. } => vec![],
    }
}

/// Halves until single rows fail; costs the rows' own work once, and about `2 log2(rows)` more for each bad one.
pub(crate) fn failing(
    chain: &[Arc<dyn Transform>],
    rows: &RecordBatch,
    first: usize,
    found: &mut Vec<(usize, Error)>,
) -> Result<()> {
    let count = rows.num_rows();
    if count == 0 {
        return Ok(());
    }
    match apply(chain, rows.clone()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() != Kind::Data => Err(error),
        Err(error) if count == 1 => {
            found.push((first, error));
            Ok(())
        }
        Err(_) => {
            let half = count / 2;
            failing(chain, &rows.slice(0, half), first, found)?;
            failing(chain, &rows.slice(half, count - half), first + half, found)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    /// Fails on negative numbers, and for good on -100.
    struct Positive;

    impl Transform for Positive {
        fn apply(&self, rows: RecordBatch) -> Result<RecordBatch> {
            let numbers = rows.column(0).as_primitive::<Int64Type>();
            match numbers.values().iter().find(|number| **number < 0) {
                Some(-100) => Err(Error::bug("not about rows")),
                Some(number) => Err(Error::new(Kind::Data, format!("{number} is negative"))),
                None => Ok(rows),
            }
        }
    }

    fn screened(numbers: Vec<i64>) -> Result<(Vec<usize>, Vec<i64>)> {
        let column = Arc::new(Int64Array::from(numbers)) as _;
        let batch = RecordBatch::try_from_iter([("n", column)])?;
        let screen = Screen(vec![(0, vec![Arc::new(Positive)])]);
        let bad = screen.bad(0, std::slice::from_ref(&batch), &Workers::new(1)?)?;
        let kept = without(&[batch], &bad)?;
        let left = kept[0].column(0).as_primitive::<Int64Type>().values().to_vec();
        Ok((bad.keys().map(|(_, row)| *row).collect(), left))
    }

    #[test]
    fn exactly_the_failing_rows_are_found() {
        assert_eq!(screened(vec![1, -2, 3, 4, -5]).unwrap(), (vec![1, 4], vec![1, 3, 4]));
        assert_eq!(screened(vec![]).unwrap(), (vec![], vec![]));
        assert_eq!(screened(vec![-1]).unwrap(), (vec![0], vec![]));
    }

    #[test]
    fn an_error_that_is_not_about_a_row_is_not_a_dead_letter() {
        assert!(screened(vec![1, -100, 2]).is_err());
    }
}
