//! The watermark of a query: the newest event time each watermark node has seen, less its delay, and
//! from these one value by the policy. It rises after an epoch and takes effect in the next; rows of
//! an epoch are never late because of rows of the same epoch.
//! Source of the rules: SEMANTICS section 1 (Spark's `WatermarkTracker`).

use crate::operator::watermark::{EventTimes, Observed};
use std::sync::Arc;

/// A node that declares a watermark.
#[derive(Debug, Clone)]
pub struct WatermarkNode {
    /// Delay in microseconds.
    pub delay: i64,
    /// What passes it in the running epoch.
    pub observed: Arc<Observed>,
    /// Newest event time less the delay over the run, in milliseconds.
    reached: Option<i64>,
}

/// The watermark of one query.
#[derive(Debug, Clone, Default)]
pub struct WatermarkTracker {
    nodes: Vec<WatermarkNode>,
    use_max: bool,
    millis: i64,
}

impl WatermarkTracker {
    /// A tracker that starts at 1970-01-01T00:00:00Z. `use_max` is the policy `max`.
    pub fn new(nodes: Vec<(i64, Arc<Observed>)>, use_max: bool) -> Self {
        let nodes = nodes.into_iter().map(|(delay, observed)| WatermarkNode { delay, observed, reached: None });
        WatermarkTracker { nodes: nodes.collect(), use_max, millis: 0 }
    }

    /// The watermark, in milliseconds.
    pub fn millis(&self) -> i64 {
        self.millis
    }

    /// True when the query declares a watermark.
    pub fn is_declared(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// Continues at least at `millis` after a restart.
    pub fn resume(&mut self, millis: i64) {
        self.millis = self.millis.max(millis);
    }

    /// Takes in what the epoch's rows have shown; gives the event times of all nodes together.
    pub fn advance(&mut self) -> Option<EventTimes> {
        let mut all: Option<EventTimes> = None;
        for node in &mut self.nodes {
            let Some(times) = node.observed.take() else { continue };
            let reached = times.most.div_euclid(1000).saturating_sub(node.delay / 1000);
            node.reached = Some(node.reached.map_or(reached, |before| before.max(reached)));
            all = Some(all.map_or(times, |before| EventTimes {
                least: before.least.min(times.least),
                most: before.most.max(times.most),
                average: i64::midpoint(before.average, times.average),
            }));
        }
        let values = self.nodes.iter().map(|node| node.reached.unwrap_or(0));
        let chosen = if self.use_max { values.max() } else { values.min() };
        self.millis = self.millis.max(chosen.unwrap_or(0));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Transform;
    use crate::operator::watermark::Watch;
    use arrow::array::TimestampMicrosecondArray;
    use arrow::record_batch::RecordBatch;

    fn see(observed: &Arc<Observed>, micros: &[i64]) {
        let times = Arc::new(TimestampMicrosecondArray::from(micros.to_vec()).with_timezone("UTC"));
        let rows = RecordBatch::try_from_iter([("ts", times as _)]).unwrap();
        Watch { column: 0, is_window: false, observed: observed.clone() }.apply(rows).unwrap();
    }

    #[test]
    fn an_idle_node_holds_min_at_zero_and_not_max() {
        for (use_max, expected) in [(false, 0), (true, 9_000)] {
            let (busy, idle) = (Arc::new(Observed::default()), Arc::new(Observed::default()));
            let mut tracker = WatermarkTracker::new(vec![(1_000_000, busy.clone()), (0, idle)], use_max);
            see(&busy, &[10_000_999, 3]);
            tracker.advance();
            assert_eq!(tracker.millis(), expected);
        }
    }

    #[test]
    fn it_never_falls() {
        let observed = Arc::new(Observed::default());
        let mut tracker = WatermarkTracker::new(vec![(0, observed.clone())], false);
        tracker.resume(5);
        see(&observed, &[1_000]);
        tracker.advance();
        assert_eq!(tracker.millis(), 5);
    }
}
