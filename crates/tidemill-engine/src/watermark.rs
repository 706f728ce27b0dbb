//! The watermark of a query: the newest event time each watermark node has seen, less its delay, and
//! from these one value by the policy. It rises after an epoch and takes effect in the next; rows of
//! an epoch are never late because of rows of the same epoch.
//! Source of the rules: SEMANTICS section 1 (Spark's `WatermarkTracker`).
//!
//! Under the policy `min` a node that sees no rows holds the others back, as in Spark. With an idle timeout
//! it does so only for that long, by the clock that is pinned in the plans of epochs; Spark has none.
//!
//! One row from the future makes all others late, as in Spark. With `max_future_skew` a row that is further ahead of that
//! clock goes on and does not raise the watermark.

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
    max_future_skew: Option<i64>,
    millis: i64,
    /// When rows ahead of the clock were last told of.
    warned: Option<i64>,
}

/// Microseconds between two warnings of the same.
const QUIET: i64 = 10_000_000;

impl WatermarkTracker {
    /// A tracker that starts at 1970-01-01T00:00:00Z. `use_max` is the policy `max`.
    pub fn new(nodes: Vec<WatermarkNode>, use_max: bool) -> Self {
        WatermarkTracker { nodes, use_max, max_future_skew: None, millis: 0, warned: None }
    }

    /// Rows that are further ahead of the clock than so many microseconds do not count.
    #[must_use]
    pub fn with_max_future_skew(self, skew: Option<i64>) -> Self {
        WatermarkTracker { max_future_skew: skew, ..self }
    }

    /// The epoch of instant `now` begins.
    pub fn begin(&self, now: i64) {
        if let Some(skew) = self.max_future_skew {
            self.nodes.iter().for_each(|node| node.observed.limit(now.saturating_add(skew)));
        }
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
            if times.newest > i64::MIN {
                let reached = times.newest.div_euclid(1000).saturating_sub(node.delay / 1000);
                node.reached = Some(node.reached.map_or(reached, |before| before.max(reached)));
            }
            all = Some(all.map_or(times, |before| before.and(times)));
        }
        let ahead = all.map_or(0, |times| times.ahead);
        if ahead > 0 && self.warned.is_none_or(|warned| now.saturating_sub(warned) >= QUIET) {
            tracing::warn!(rows = ahead, "event times too far ahead of the clock: they do not raise the watermark");
            self.warned = Some(now);
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
    fn rows_too_far_ahead_do_not_count() {
        let observed = Arc::new(Observed::default());
        let nodes = vec![WatermarkNode::new(0, None, observed.clone())];
        let mut tracker = WatermarkTracker::new(nodes, false).with_max_future_skew(Some(5_000));
        for (now, seen, millis, ahead) in
            [(10_000, [12_000, 15_001].as_slice(), 12, 1), (11_000, &[99_000], 12, 1), (95_000, &[99_000], 99, 0)]
        {
            tracker.begin(now);
            see(&observed, seen);
            let times = tracker.advance(now).unwrap();
            assert_eq!((tracker.millis(), times.ahead), (millis, ahead), "at {now}");
            assert_eq!(times.most, *seen.last().unwrap(), "reports say what was there");
        }
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
