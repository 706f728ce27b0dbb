//! How often a shard is asked for records: additive increase, multiplicative decrease. Pure.
//!
//! Source: "Quotas and limits" of the Kinesis Data Streams developer guide: five reads a second of a shard, which all
//! its readers share; more are refused.

use std::time::Duration;

/// A reader that is refused all the time still asks this often.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The part of the highest rate that a read without refusal gives back.
const INCREASE: f64 = 0.05;
/// What is left of the rate after a refusal.
const DECREASE: f64 = 0.5;

/// The rate of one shard, in reads a second.
#[derive(Debug)]
pub(super) struct Pace {
    rate: f64,
    most: f64,
    least: f64,
}

impl Pace {
    /// A pace whose shortest pause between two reads is `interval`.
    pub fn new(interval: Duration) -> Self {
        let most = 1.0 / interval.as_secs_f64().max(0.001);
        Pace { rate: most, most, least: (1.0 / PAUSE_MAX.as_secs_f64()).min(most) }
    }

    /// A read was answered.
    pub fn answered(&mut self) {
        self.rate = (self.rate + self.most * INCREASE).min(self.most);
    }

    /// A read was refused for being one too many.
    pub fn refused(&mut self) {
        self.rate = (self.rate * DECREASE).max(self.least);
    }

    /// From the beginning of a read to that of the next.
    pub fn pause(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_halves_at_a_refusal_and_comes_back_step_by_step() {
        let interval = Duration::from_millis(200);
        let mut pace = Pace::new(interval);
        assert_eq!(pace.pause(), interval);
        pace.refused();
        assert_eq!(pace.pause(), interval * 2);
        pace.answered();
        assert!(pace.pause() < interval * 2 && pace.pause() > interval);
        (0..9).for_each(|_| pace.answered());
        assert_eq!(pace.pause(), interval, "never faster than asked for");
        (0..50).for_each(|_| pace.refused());
        assert_eq!(pace.pause(), PAUSE_MAX, "and never silent");
    }

    #[test]
    fn a_slow_reader_stays_slow() {
        let mut pace = Pace::new(Duration::from_secs(60));
        pace.refused();
        assert_eq!(pace.pause(), Duration::from_secs(60));
    }
}
