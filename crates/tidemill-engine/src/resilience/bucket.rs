//! A rate that a source may not pass: a token bucket that may go into debt. What an epoch has read is paid for
//! afterwards, so that it works for any source, whatever it can be asked for.

use std::time::Duration;

/// Longest time whose tokens are kept: after a rest an epoch may read this much at once.
const BURST: Duration = Duration::from_secs(1);

/// A bucket of tokens, each an event or a byte. Times are [`tidemill_core::Clock::elapsed`].
#[derive(Debug, Clone)]
pub struct Bucket {
    per_second: f64,
    tokens: f64,
    filled: Option<Duration>,
}

impl Bucket {
    /// A full bucket of a rate a second.
    pub fn new(per_second: u64) -> Self {
        let per_second = per_second.max(1) as f64;
        Bucket { per_second, tokens: per_second * BURST.as_secs_f64(), filled: None }
    }

    /// Tokens that are there now; less than one while a debt is paid.
    pub fn tokens(&mut self, now: Duration) -> f64 {
        let since = self.filled.map_or(Duration::ZERO, |filled| now.saturating_sub(filled));
        self.filled = Some(now);
        self.tokens = (self.tokens + since.as_secs_f64() * self.per_second).min(self.per_second * BURST.as_secs_f64());
        self.tokens
    }

    /// Takes what was read.
    pub fn take(&mut self, count: u64) {
        self.tokens -= count as f64;
    }

    /// Time until something may be read; zero when it may now. Rests until a tenth of a second is worth reading, so
    /// that epochs do not get tiny.
    pub fn wait(&mut self, now: Duration) -> Duration {
        let wanted = (self.per_second / 10.0).max(1.0);
        let tokens = self.tokens(now);
        if tokens >= wanted { Duration::ZERO } else { Duration::from_secs_f64((wanted - tokens) / self.per_second) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_too_much_is_waited_for() {
        let mut bucket = Bucket::new(100);
        let at = Duration::from_millis;
        assert_eq!((bucket.tokens(at(0)), bucket.wait(at(0))), (100.0, Duration::ZERO));
        bucket.take(300);
        assert_eq!(bucket.wait(at(0)), at(2100));
        assert_eq!(bucket.wait(at(2000)), at(100));
        assert_eq!(bucket.wait(at(2100)), Duration::ZERO);
        assert_eq!(bucket.tokens(at(60_000)), 100.0, "a rest is worth a second");
    }

    #[test]
    fn over_a_long_time_it_is_the_rate() {
        let mut bucket = Bucket::new(50);
        let (mut now, mut read) = (Duration::ZERO, 0);
        while now < Duration::from_secs(60) {
            let wait = bucket.wait(now);
            if wait.is_zero() {
                bucket.take(37);
                read += 37;
            }
            now += wait.max(Duration::from_millis(3));
        }
        assert!((50 * 60..=50 * 61 + 37).contains(&read), "{read}");
    }
}
