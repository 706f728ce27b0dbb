//! How often and after which pauses an operation is tried again: exponential backoff with full jitter
//! (Brooker: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), all attempts within one time.

use super::failure::{Class, Failure};
use super::jitter::Jitter;
use crate::error::Error;
use std::time::Duration;

/// The rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The first pause is a random time up to this; the second up to twice this, and so on.
    pub pause_min: Duration,
    /// No pause is longer, unless the system asks for a longer one.
    pub pause_max: Duration,
    /// No attempt begins later than this after the first one.
    pub within: Duration,
    /// True where an attempt whose outcome is unknown may be made again: the request has the same effect twice, or
    /// each attempt begins by reading back what became of the one before.
    pub is_repeatable: bool,
}

impl Policy {
    /// The usual pauses, 100 ms to 30 s, for a request that may be repeated.
    pub fn within(within: Duration) -> Self {
        let (pause_min, pause_max) = (Duration::from_millis(100), Duration::from_secs(30));
        Policy { pause_min, pause_max, within, is_repeatable: true }
    }

    /// With other pauses.
    #[must_use]
    pub fn pauses(mut self, min: Duration, max: Duration) -> Self {
        (self.pause_min, self.pause_max) = (min, max.max(min));
        self
    }

    /// For requests that must not be repeated while their outcome is unknown.
    #[must_use]
    pub fn not_repeatable(mut self) -> Self {
        self.is_repeatable = false;
        self
    }
}

/// The attempts of one operation.
#[derive(Debug)]
pub struct Attempts {
    policy: Policy,
    started: Duration,
    failed: u32,
}

impl Attempts {
    /// An operation that begins at `now` ([`crate::Clock::elapsed`]).
    pub fn new(policy: Policy, now: Duration) -> Self {
        Attempts { policy, started: now, failed: 0 }
    }

    /// Time in which another attempt may still begin.
    pub fn left(&self, now: Duration) -> Duration {
        self.policy.within.saturating_sub(now.saturating_sub(self.started))
    }

    /// The pause after an attempt that has failed, before the next one. `None` when another attempt would not help or
    /// would begin too late. What a system asks for is waited for in full.
    pub fn after(&mut self, failure: &Failure, now: Duration, jitter: &mut Jitter) -> Option<Duration> {
        self.failed = self.failed.saturating_add(1);
        if !self.may_help(failure.class) {
            return None;
        }
        let doublings = (self.failed - 1).min(31);
        let limit = self.policy.pause_min.saturating_mul(1 << doublings).min(self.policy.pause_max);
        let (pause, left) = (jitter.up_to(limit), self.left(now));
        match failure.retry_after {
            // jitter comes on top: all who were sent away would else return in the same instant
            Some(asked) => Some(asked.saturating_add(pause)).filter(|pause| *pause <= left),
            // the last attempt is made when the time is up
            None => Some(pause.min(left)).filter(|_| !left.is_zero()),
        }
    }

    /// The error of an operation that ends with `failure`: says how often was tried, where that could have helped.
    pub fn end(&self, failure: Failure, now: Duration) -> Error {
        if !self.may_help(failure.class) {
            return failure.error;
        }
        let (tries, seconds) = (self.failed.max(1), now.saturating_sub(self.started).as_secs_f64());
        let cause = failure.error;
        let asked = match failure.retry_after {
            Some(asked) => format!(", which asks for a pause of {} s", asked.as_secs()),
            None => String::new(),
        };
        let times = if tries == 1 { "once".to_owned() } else { format!("{tries} times") };
        let mut error = Error::new(cause.kind(), format!("{cause}{asked} (tried {times} in {seconds:.1} s)"))
            .at_if_unplaced(cause.place().cloned());
        if let Some(help) = cause.help_text() {
            error = error.help(help);
        }
        error.caused_by(cause)
    }

    fn may_help(&self, class: Class) -> bool {
        match class {
            Class::Transient | Class::Throttled => true,
            Class::Ambiguous => self.policy.is_repeatable,
            Class::Permanent => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::error::Kind;

    fn failure(class: Class) -> Failure {
        Failure::new(class, Error::new(Kind::Again, "it is away").help("wait"))
    }

    /// All pauses of an operation that never succeeds.
    fn pauses(policy: Policy, seed: u64) -> (Vec<Duration>, Error) {
        let clock = ManualClock::default();
        let mut jitter = Jitter::seeded(seed);
        let mut attempts = Attempts::new(policy, clock.elapsed());
        let mut pauses = Vec::new();
        loop {
            match attempts.after(&failure(Class::Transient), clock.elapsed(), &mut jitter) {
                Some(pause) => {
                    pauses.push(pause);
                    clock.advance(pause);
                }
                None => return (pauses, attempts.end(failure(Class::Transient), clock.elapsed())),
            }
        }
    }

    #[test]
    fn pauses_grow_are_jittered_in_full_and_end_with_the_time() {
        let policy = Policy::within(Duration::from_secs(60)).pauses(Duration::from_millis(100), Duration::from_secs(5));
        for seed in 0..200 {
            let (pauses, error) = pauses(policy, seed);
            for (number, pause) in pauses.iter().enumerate() {
                let limit = Duration::from_millis(100 << number.min(20)).min(Duration::from_secs(5));
                assert!(*pause <= limit, "pause {number} of seed {seed} is {pause:?}");
            }
            // in microseconds, as the clock of the test counts
            let waited: u128 = pauses.iter().map(Duration::as_micros).sum();
            assert!(waited <= Duration::from_secs(60).as_micros(), "seed {seed} waits for {waited} microseconds");
            assert!(pauses.len() >= 10, "{pauses:?}");
            assert!(error.to_string().contains("tried"), "{error}");
            assert_eq!(error.help_text(), Some("wait"));
        }
        assert_eq!(pauses(policy, 1).0, pauses(policy, 1).0);
        assert_ne!(pauses(policy, 1).0, pauses(policy, 2).0);
        // full jitter: the mean of first pauses is half their limit, and they reach both ends
        let first: Vec<f64> = (0..1000).map(|seed| pauses(policy, seed * 7919).0[0].as_secs_f64()).collect();
        let mean = first.iter().sum::<f64>() / 1000.0;
        assert!((0.045..0.055).contains(&mean), "{mean}");
        assert!(first.iter().any(|pause| *pause < 0.005) && first.iter().any(|pause| *pause > 0.095));
    }

    #[test]
    fn what_does_not_pass_is_not_tried_again_and_says_nothing_of_attempts() {
        let mut attempts = Attempts::new(Policy::within(Duration::from_secs(60)), Duration::ZERO);
        assert_eq!(attempts.after(&failure(Class::Permanent), Duration::ZERO, &mut Jitter::seeded(1)), None);
        assert_eq!(attempts.end(failure(Class::Permanent), Duration::ZERO).to_string(), "it is away");
    }

    #[test]
    fn an_unknown_outcome_is_tried_again_only_where_that_is_harmless() {
        let policy = Policy::within(Duration::from_secs(60));
        let pause = |policy| {
            let mut attempts = Attempts::new(policy, Duration::ZERO);
            attempts.after(&failure(Class::Ambiguous), Duration::ZERO, &mut Jitter::seeded(1))
        };
        assert!(pause(policy).is_some() && pause(policy.not_repeatable()).is_none());
    }

    #[test]
    fn what_a_server_asks_for_is_waited_for_or_given_up_at_once() {
        let mut jitter = Jitter::seeded(1);
        let asked = |seconds| failure(Class::Throttled).retry_after(Some(Duration::from_secs(seconds)));
        let mut attempts = Attempts::new(Policy::within(Duration::from_secs(60)), Duration::ZERO);
        let pause = attempts.after(&asked(20), Duration::ZERO, &mut jitter).unwrap();
        assert!(pause >= Duration::from_secs(20) && pause <= Duration::from_millis(20_100), "{pause:?}");
        assert_eq!(attempts.after(&asked(50), pause, &mut jitter), None);
        let error = attempts.end(asked(50), pause);
        assert!(error.to_string().contains("asks for a pause of 50 s (tried 2 times in 20."), "{error}");
    }
}
