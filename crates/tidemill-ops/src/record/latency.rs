//! Histograms: one that gives percentiles to within 2 %, and one with the fixed buckets of a metric.

use std::time::Duration;

/// Sub-buckets of an octave; a value is known to within 1/64 of itself.
const SUB: u64 = 32;

/// Largest value told apart, in microseconds: about 38 hours.
const LARGEST: u64 = (1 << 37) - 1;

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Percentiles {
    /// Half of the values are lower.
    pub p50: f64,
    /// 95 of 100 are.
    pub p95: f64,
    /// 99 of 100 are.
    pub p99: f64,
    /// None is higher.
    pub max: f64,
    /// How many values there are.
    pub count: u64,
}

/// Values in microseconds, counted by size in buckets that grow with the size.
#[derive(Debug, Clone, Default)]
pub struct LatencyHistogram {
    counts: Vec<u64>,
    count: u64,
    max: u64,
}

impl LatencyHistogram {
    /// Counts `times` values of `micros`.
    pub fn add(&mut self, micros: u64, times: u64) {
        let index = index(micros.min(LARGEST));
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += times;
        self.count += times;
        self.max = self.max.max(micros);
    }

    /// Adds everything another one has counted.
    pub fn merge(&mut self, other: &LatencyHistogram) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        (self.count, self.max) = (0, 0);
    }

    /// Percentiles; `None` for no values.
    pub fn percentiles(&self) -> Option<Percentiles> {
        (self.count > 0).then(|| Percentiles {
            p50: self.quantile(0.5),
            p95: self.quantile(0.95),
            p99: self.quantile(0.99),
            max: self.max as f64 / 1000.0,
            count: self.count,
        })
    }

    /// The value that a share of all values does not exceed, in milliseconds.
    fn quantile(&self, share: f64) -> f64 {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut below = 0;
        for (index, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return middle(index as u64).min(self.max as f64) / 1000.0;
            }
        }
        self.max as f64 / 1000.0
    }
}

fn index(micros: u64) -> usize {
    let shift = (63 - micros.max(1).leading_zeros()).saturating_sub(SUB.trailing_zeros());
    (u64::from(shift) * SUB + (micros >> shift)) as usize
}

fn middle(index: u64) -> f64 {
    let shift = (index / SUB).saturating_sub(1);
    let low = (index - shift * SUB) << shift;
    low as f64 + ((1u64 << shift) - 1) as f64 / 2.0
}

/// Seconds in the fixed buckets of a metric.
#[derive(Debug, Clone)]
pub struct Buckets {
    bounds: &'static [f64],
    counts: Vec<u64>,
    /// Sum of all values, in seconds.
    pub sum: f64,
    /// How many values there are.
    pub count: u64,
}

/// Bounds for the way from a source to the sinks, in seconds.
pub const LATENCY_BOUNDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Bounds for the steps of an epoch, in seconds.
pub const STEP_BOUNDS: &[f64] =
    &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

impl Buckets {
    /// Empty buckets with these upper bounds, in seconds.
    pub fn new(bounds: &'static [f64]) -> Self {
        Buckets { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0, count: 0 }
    }

    /// Counts `times` values of `seconds`.
    pub fn add(&mut self, seconds: f64, times: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        self.counts[bucket] += times;
        self.sum += seconds * times as f64;
        self.count += times;
    }

    /// Counts one time.
    pub fn add_time(&mut self, time: Duration) {
        self.add(time.as_secs_f64(), 1);
    }

    /// Upper bounds in seconds, and the values in each bucket alone.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        self.bounds.iter().copied().chain([f64::INFINITY]).zip(self.counts.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_known_to_within_two_percent() {
        let mut value = 1u64;
        while value < LARGEST {
            let found = middle(index(value) as u64);
            assert!((found - value as f64).abs() <= value as f64 / 50.0, "{value} became {found}");
            assert!(index(value + 1) - index(value) <= 1);
            value += value / 7 + 1;
        }
        for value in 0..2 * SUB {
            assert_eq!(middle(index(value) as u64), value as f64);
        }
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut histogram = LatencyHistogram::default();
        assert_eq!(histogram.percentiles(), None);
        (1..=1000).for_each(|millis| histogram.add(millis * 1000, 1));
        let found = histogram.percentiles().unwrap();
        for (found, right) in [(found.p50, 500.0), (found.p95, 950.0), (found.p99, 990.0)] {
            assert!((found - right).abs() < right / 50.0, "{found} is not {right}");
        }
        assert_eq!((found.max, found.count), (1000.0, 1000));
        let mut both = LatencyHistogram::default();
        both.add(5_000_000, 1);
        both.merge(&histogram);
        assert_eq!(both.percentiles().map(|both| (both.max, both.count)), Some((5000.0, 1001)));
    }

    #[test]
    fn a_value_on_a_bound_is_inside() {
        let mut buckets = Buckets::new(&[0.1, 1.0]);
        buckets.add(0.1, 2);
        buckets.add(0.5, 1);
        buckets.add(7.0, 1);
        assert_eq!(buckets.buckets(), [(0.1, 2), (1.0, 1), (f64::INFINITY, 1)]);
        assert_eq!((buckets.count, buckets.sum), (4, 7.7));
    }
}
