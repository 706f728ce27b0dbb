//! A retry budget: retries that fail are a fraction of the requests, so that a system that fails gets hardly more
//! requests than one that works. A token bucket: each request pays in a part of a token, each retry takes one out, and
//! brings it back when it succeeds. A floor in time lets a client try again that has few requests at all (as Finagle's
//! `RetryBudget`).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a wait for ever is cut to.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

/// The size of a budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetSettings {
    /// Retries a request may cost: `0.2` is one for five requests.
    pub fraction: f64,
    /// Retries a second that are always allowed.
    pub per_second: f64,
    /// Retries that may be saved up; a new budget has them all.
    pub burst: f64,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        BudgetSettings { fraction: 0.2, per_second: 1.0, burst: 10.0 }
    }
}

/// A budget that the requests to one system share.
#[derive(Debug)]
pub struct Budget {
    settings: BudgetSettings,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Duration,
}

impl Budget {
    /// A full one.
    pub fn new(settings: BudgetSettings, now: Duration) -> Self {
        Budget { settings, bucket: Mutex::new(Bucket { tokens: settings.burst, filled: now }) }
    }

    /// A first attempt is made.
    pub fn deposit(&self, now: Duration) {
        let mut bucket = self.filled(now);
        bucket.tokens = (bucket.tokens + self.settings.fraction).min(self.settings.burst);
    }

    /// Takes a token for a retry. Without one, nothing is taken, and the time is given after which the floor has one;
    /// there may be one earlier, when other requests succeed.
    ///
    /// # Errors
    /// The time to wait, at most a day.
    pub fn take(&self, now: Duration) -> Result<(), Duration> {
        let mut bucket = self.filled(now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait = Duration::try_from_secs_f64((1.0 - bucket.tokens) / self.settings.per_second);
        Err(wait.unwrap_or(WAIT_MAX).clamp(Duration::from_millis(1), WAIT_MAX))
    }

    /// A retry has succeeded: it multiplied nothing.
    pub fn refund(&self, now: Duration) {
        let mut bucket = self.filled(now);
        bucket.tokens = (bucket.tokens + 1.0).min(self.settings.burst);
    }

    /// The bucket, with what time has brought.
    fn filled(&self, now: Duration) -> MutexGuard<'_, Bucket> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_sub(bucket.filled).as_secs_f64();
        bucket.filled = bucket.filled.max(now);
        bucket.tokens = (bucket.tokens + passed * self.settings.per_second).min(self.settings.burst);
        bucket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_outage_is_not_multiplied() {
        let settings = BudgetSettings { fraction: 0.2, per_second: 1.0, burst: 10.0 };
        let budget = Budget::new(settings, Duration::ZERO);
        let mut retries = 0;
        // a hundred requests a second for a minute, and each would like three retries at once
        for number in 0..6_000_u32 {
            let now = Duration::from_millis(u64::from(number) * 10);
            budget.deposit(now);
            retries += (0..3).filter(|_| budget.take(now).is_ok()).count();
        }
        let allowed = 10.0 + 6_000.0 * 0.2 + 60.0;
        assert!(retries as f64 <= allowed && retries as f64 > allowed - 3.0, "{retries}");
    }

    #[test]
    fn the_floor_gives_a_token_in_time() {
        let budget = Budget::new(BudgetSettings { fraction: 0.0, per_second: 0.5, burst: 2.0 }, Duration::ZERO);
        assert_eq!([budget.take(Duration::ZERO), budget.take(Duration::ZERO)], [Ok(()), Ok(())]);
        assert_eq!(budget.take(Duration::ZERO), Err(SECOND * 2));
        assert_eq!(budget.take(SECOND), Err(SECOND));
        assert_eq!(budget.take(SECOND * 2), Ok(()));
        // no more than the burst is saved up
        assert_eq!([(); 3].map(|()| budget.take(SECOND * 600).is_ok()), [true, true, false]);
    }

    #[test]
    fn requests_pay_for_retries_and_a_retry_that_succeeds_is_free() {
        let budget = Budget::new(BudgetSettings { fraction: 0.5, per_second: 0.0, burst: 1.0 }, Duration::ZERO);
        assert!(budget.take(SECOND).is_ok());
        budget.refund(SECOND);
        assert!(budget.take(SECOND).is_ok());
        budget.deposit(SECOND);
        assert_eq!(budget.take(SECOND), Err(WAIT_MAX));
        budget.deposit(SECOND);
        assert!(budget.take(SECOND).is_ok());
    }
}
