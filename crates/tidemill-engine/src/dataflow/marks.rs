//! Watermarks between the operators of a part: each stateful operator works with the least of those its
//! inputs hand on. A watermark node hands on the query's; a stateful operator its own, a join a lower one.
//!
//! Source of the rules: SEMANTICS section 2 (Spark's `WatermarkPropagator`).

use super::{Part, Step};
use crate::operator::Transform;
use std::sync::Arc;

impl Part {
    /// The watermark each step works with, in microseconds, when the query's is `origin`. It is never
    /// before 1970, and it is 1970 where no watermark reaches.
    pub fn marks(&self, origin: i64) -> Vec<i64> {
        let floor = origin.min(0);
        let (mut own, mut handed): (Vec<i64>, Vec<Option<i64>>) = (Vec::new(), Vec::new());
        for step in &self.steps {
            let input = step.inputs().into_iter().filter_map(|input| handed[input]).min();
            let declared = |chain: &[Arc<dyn Transform>]| chain.iter().any(|transform| transform.is_watermark());
            handed.push(match step {
                Step::Source { chain, .. } | Step::Map { chain, .. } if declared(chain) => Some(origin),
                Step::Keyed(keyed) => match &keyed.bounds {
                    // Spark hands 1970 through as it is
                    Some(bounds) if origin > 0 => input.map(|mark| bounds.handed_on(mark)),
                    _ => input,
                },
                _ => input,
            });
            own.push(input.map_or(floor, |mark| mark.max(floor)));
        }
        own
    }

    /// The watermarks of the stateful steps, in the order of [`Part::keyed`].
    pub fn keyed_marks(&self, origin: i64) -> Vec<i64> {
        let keyed = self.steps.iter().zip(self.marks(origin)).filter(|(step, _)| matches!(step, Step::Keyed(_)));
        keyed.map(|(_, mark)| mark).collect()
    }

    /// True when a rise of the query's watermark, in milliseconds, makes a stateful step want an epoch
    /// without rows.
    pub fn no_data_due(&self, used: i64, now: i64) -> bool {
        if now <= used {
            return false;
        }
        let (used, now) = (self.marks(used.saturating_mul(1000)), self.marks(now.saturating_mul(1000)));
        self.steps.iter().enumerate().any(|(number, step)| {
            matches!(step, Step::Keyed(keyed) if keyed.wants_no_data) && now[number] > used[number]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::{KeyedInput, KeyedStep};
    use crate::operator::exchange::Exchange;
    use crate::operator::join::bounds::{JoinBounds, RangeBound, SideBound};
    use crate::operator::watermark::{Observed, Watch};
    use crate::watermark::WatermarkTracker;
    use tidemill_core::sink::OutputMode;

    fn source(declares: bool) -> Step {
        let watch = || Watch { column: 0, is_window: false, observed: Arc::new(Observed::default()) };
        let chain: Vec<Arc<dyn Transform>> = if declares { vec![Arc::new(watch())] } else { vec![] };
        Step::Source { source: 0, chain }
    }

    fn keyed(inputs: &[usize], bounds: Option<JoinBounds>) -> Step {
        let input = |step: &usize| KeyedInput {
            step: *step,
            prepare: Arc::new(Watch { column: 0, is_window: false, observed: Arc::new(Observed::default()) }),
            exchange: Exchange::new(&[], 1).unwrap(),
        };
        Step::Keyed(KeyedStep {
            inputs: inputs.iter().map(input).collect(),
            partitions: vec![],
            name: "x".into(),
            spark_name: "x",
            layout: String::new(),
            wants_no_data: true,
            bounds,
        })
    }

    fn part(steps: Vec<Step>) -> Part {
        Part {
            mode: OutputMode::Append,
            steps,
            outputs: vec![],
            sets_aside: false,
            watermark: WatermarkTracker::default(),
            origins: vec![],
        }
    }

    #[test]
    fn what_is_above_a_range_join_works_with_a_lower_watermark() {
        let range = |shift: f64| SideBound::Range(vec![RangeBound { watermarks: 1.0, shift, strict: false }]);
        let bounds = JoinBounds { left: range(-5e6), right: range(0.0) };
        let part = part(vec![source(true), source(true), keyed(&[0, 1], Some(bounds)), keyed(&[2], None)]);
        assert_eq!(part.keyed_marks(60_000_000), [60_000_000, 54_999_000]);
        assert_eq!(part.keyed_marks(3_000_000), [3_000_000, 0], "never before 1970");
        assert!(part.no_data_due(0, 3_000), "the join waits for it");
    }

    #[test]
    fn an_input_without_a_watermark_does_not_count() {
        let part = part(vec![source(true), source(false), keyed(&[0, 1], None), keyed(&[1], None)]);
        assert_eq!(part.keyed_marks(60_000_000), [60_000_000, 0]);
    }
}
