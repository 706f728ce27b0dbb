//! The watermark of a query: the newest event time each watermark node has seen, less its delay, and
//! from these one value by the policy. It rises after an epoch and takes effect in the next; rows of
//! an epoch are never late because of rows of the same epoch.
//! Source of the rules: SEMANTICS section 1 (Spark's `WatermarkTracker`).
//!
//! Under the policy `min` a node that sees no rows holds the others back, as in Spark. With an idle timeout
//! it does so only for that long, by the clock that is pinned in the plans of epochs; Spark has none.

use crate::operator::watermark::{EventTimes, Observed};
use std::sync::Arc;

/// A node that declares a watermark.
#[derive(Debug, Clone)]
pub struct WatermarkNode {
    /// Delay in microseconds.
    pub delay: i64,
    /// What passes it in the running epoch.
    pub observed: Arc<Observed>,
    /// How long it may see no rows and still hold the others back, in microseconds; `None` for ever.
    pub idle_after: Option<i64>,
    /// Newest event time less the delay over the run, in milliseconds.
    reached: Option<i64>,
    /// When it last saw a row or, before the first, when the run began: in microseconds since 1970.
    seen: Option<i64>,
}

impl WatermarkNode {
    /// A node that has seen nothing.
    pub fn new(delay: i64, idle_after: Option<i64>, observed: Arc<Observed>) -> Self {
        WatermarkNode { delay, observed, idle_after, reached: None, seen: None }
    }

    /// When it no longer holds the others back.
    fn idle_at(&self) -> Option<i64> {
        Some(self.seen?.saturating_add(self.idle_after?))
    }
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
    pub fn new(nodes: Vec<WatermarkNode>, use_max: bool) -> Self {
        WatermarkTracker { nodes, use_max, millis: 0 }
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

    /// Takes in what the rows of the epoch of instant `now` have shown; gives the event times of all nodes
    /// together.
    pub fn advance(&mut self, now: i64) -> Option<EventTimes> {
        let mut all: Option<EventTimes> = None;
        for node in &mut self.nodes {
            let Some(times) = node.observed.take() else { continue };
            node.seen = Some(now);
            let reached = times.most.div_euclid(1000).saturating_sub(node.delay / 1000);
            node.reached = Some(node.reached.map_or(reached, |before| before.max(reached)));
            all = Some(all.map_or(times, |before| EventTimes {
                least: before.least.min(times.least),
                most: before.most.max(times.most),
                average: i64::midpoint(before.average, times.average),
            }));
        }
        self.settle(now);
        all
    }

    /// Raises the watermark to what the nodes that are not idle have reached. When all are idle it stays.
    pub fn settle(&mut self, now: i64) {
        self.nodes.iter_mut().for_each(|node| node.seen = Some(node.seen.unwrap_or(now)));
        let counts = |node: &&WatermarkNode| self.use_max || node.idle_at().is_none_or(|idle| now < idle);
        let values = self.nodes.iter().filter(counts).map(|node| node.reached.unwrap_or(0));
        let chosen = if self.use_max { values.max() } else { values.min() };
        self.millis = self.millis.max(chosen.unwrap_or(0));
    }

    /// The next instant at which a node becomes idle while another still counts.
    pub fn next_idle(&self, now: i64) -> Option<i64> {
        if self.use_max {
            return None;
        }
        let next = self.nodes.iter().filter_map(WatermarkNode::idle_at).filter(|idle| *idle > now).min()?;
        let counts_then = |node: &WatermarkNode| node.idle_at().is_none_or(|idle| idle > next);
        self.nodes.iter().any(counts_then).then_some(next)
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
            let nodes = vec![WatermarkNode::new(1_000_000, None, busy.clone()), WatermarkNode::new(0, None, idle)];
            let mut tracker = WatermarkTracker::new(nodes, use_max);
            see(&busy, &[10_000_999, 3]);
            tracker.advance(0);
            assert_eq!(tracker.millis(), expected);
        }
    }

    #[test]
    fn it_never_falls() {
        let observed = Arc::new(Observed::default());
        let mut tracker = WatermarkTracker::new(vec![WatermarkNode::new(0, None, observed.clone())], false);
        tracker.resume(5);
        see(&observed, &[1_000]);
        tracker.advance(0);
        assert_eq!(tracker.millis(), 5);
    }

    #[test]
    fn an_idle_node_holds_min_only_as_long_as_it_may() {
        let (busy, quiet) = (Arc::new(Observed::default()), Arc::new(Observed::default()));
        let node = |observed: &Arc<Observed>| WatermarkNode::new(0, Some(60), observed.clone());
        let mut tracker = WatermarkTracker::new(vec![node(&busy), node(&quiet)], false);
        see(&quiet, &[2_000]);
        see(&busy, &[3_000]);
        tracker.advance(100);
        assert_eq!((tracker.millis(), tracker.next_idle(100)), (2, None), "both would be idle at once");
        see(&busy, &[9_000]);
        tracker.advance(120);
        assert_eq!((tracker.millis(), tracker.next_idle(120)), (2, Some(160)));
        tracker.settle(159);
        assert_eq!(tracker.millis(), 2);
        tracker.settle(160);
        assert_eq!(tracker.millis(), 9);
        see(&quiet, &[4_000]);
        tracker.advance(170);
        assert_eq!(tracker.millis(), 9, "it never falls");
        tracker.settle(500);
        assert_eq!(tracker.millis(), 9, "all are idle");
    }
}
