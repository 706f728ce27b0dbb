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
