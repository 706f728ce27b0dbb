//! A circuit breaker (Nygard: "Release It!"): while most requests to a system fail, none are sent; after a while one
//! is sent as a probe, and what becomes of it decides.
//!
//! | state | requests | goes to |
//! |---|---|---|
//! | closed | pass, and are counted in a window | open, when the window is full enough and too many failed |
//! | open | wait | half-open, after `open` |
//! | half-open | one passes, the others wait | closed when it succeeds, open when it fails |
//!
//! Results of requests that were sent before the last change of state are not counted.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long those wait who are not the probe.
const PROBE_PAUSE: Duration = Duration::from_millis(50);

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerSettings {
    /// Requests in the window; it opens only when there are as many.
    pub calls: usize,
    /// Requests older than this are not in the window.
    pub window: Duration,
    /// Opens when at least this fraction of the window failed.
    pub failure_rate: f64,
    /// How long it stays open before a probe; also how long a probe that nobody hears of is waited for.
    pub open: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        BreakerSettings { calls: 20, window: Duration::from_secs(60), failure_rate: 0.5, open: Duration::from_secs(5) }
    }
}

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// One request, as a probe.
    HalfOpen,
}

impl BreakerState {
    /// Every state.
    pub const ALL: [BreakerState; 3] = [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half-open",
        }
    }
}

/// Leave to send one request; its outcome is told with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    generation: u64,
}

/// The answer to whoever wants to send a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Send it, and tell what became of it.
    Send(Permit),
    /// Ask again after this time.
    Wait(Duration),
}

/// The breaker of one system, shared by all requests to it.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    /// Rises with every change of phase and every probe.
    generation: u64,
    /// When a request ended and whether it failed, oldest first; the last `calls` while closed.
    window: VecDeque<(Duration, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until: Duration },
    HalfOpen { probe_until: Duration },
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: BreakerSettings) -> Self {
        let inner = Inner { phase: Phase::Closed, generation: 0, window: VecDeque::new() };
        Breaker { settings, inner: Mutex::new(inner) }
    }

    /// Asks to send a request.
    pub fn admit(&self, now: Duration) -> Admission {
        let mut inner = self.inner();
        let until = match inner.phase {
            Phase::Closed => return Admission::Send(Permit { generation: inner.generation }),
            Phase::Open { until } if now < until => return Admission::Wait(until - now),
            Phase::HalfOpen { probe_until } if now < probe_until => {
                return Admission::Wait(PROBE_PAUSE.min(probe_until - now));
            }
            Phase::Open { .. } | Phase::HalfOpen { .. } => now + self.settings.open,
        };
        inner.enter(Phase::HalfOpen { probe_until: until });
        Admission::Send(Permit { generation: inner.generation })
    }

    /// Tells what became of a request; gives the new state if that changed it. What says nothing of the system's
    /// health, such as a request that it rightly refused, is no failure.
    pub fn tell(&self, permit: Permit, has_failed: bool, now: Duration) -> Option<BreakerState> {
        let mut inner = self.inner();
        if permit.generation != inner.generation {
            return None;
        }
        let open = Phase::Open { until: now + self.settings.open };
        match (inner.phase, has_failed) {
            (Phase::HalfOpen { .. }, false) => inner.enter(Phase::Closed),
            (Phase::HalfOpen { .. }, true) => inner.enter(open),
            (Phase::Closed, _) => {
                inner.count(&self.settings, has_failed, now);
                if !inner.has_too_many_failures(&self.settings) {
                    return None;
                }
                inner.enter(open);
            }
            (Phase::Open { .. }, _) => return None,
        }
        Some(inner.phase.state())
    }

    /// The state now.
    pub fn state(&self) -> BreakerState {
        self.inner().phase.state()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation += 1;
        self.window.clear();
    }

    fn count(&mut self, settings: &BreakerSettings, has_failed: bool, now: Duration) {
        self.window.push_back((now, has_failed));
        while self.window.len() > settings.calls.max(1)
            || self.window.front().is_some_and(|(at, _)| now.saturating_sub(*at) > settings.window)
        {
            self.window.pop_front();
        }
    }

    fn has_too_many_failures(&self, settings: &BreakerSettings) -> bool {
        let failed = self.window.iter().filter(|(_, has_failed)| *has_failed).count();
        self.window.len() >= settings.calls.max(1)
            && failed > 0
            && failed as f64 >= settings.failure_rate * self.window.len() as f64
    }
}

impl Phase {
    fn state(self) -> BreakerState {
        match self {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};

    const OPEN: Duration = Duration::from_secs(5);

    struct Bench {
        breaker: Breaker,
        clock: ManualClock,
    }

    impl Bench {
        fn new() -> Self {
            let settings = BreakerSettings { calls: 4, window: Duration::from_secs(60), failure_rate: 0.5, open: OPEN };
            Bench { breaker: Breaker::new(settings), clock: ManualClock::default() }
        }

        fn permit(&self) -> Permit {
            match self.breaker.admit(self.clock.elapsed()) {
                Admission::Send(permit) => permit,
                Admission::Wait(pause) => panic!("it waits for {pause:?}"),
            }
        }

        fn waits(&self) -> Duration {
            match self.breaker.admit(self.clock.elapsed()) {
                Admission::Send(_) => panic!("it lets a request through"),
                Admission::Wait(pause) => pause,
            }
        }

        fn tell(&self, permit: Permit, has_failed: bool) -> Option<BreakerState> {
            self.breaker.tell(permit, has_failed, self.clock.elapsed())
        }

        fn requests(&self, failed: &[bool]) -> Option<BreakerState> {
            failed.iter().map(|has_failed| self.tell(self.permit(), *has_failed)).last().flatten()
        }

        fn opened() -> Self {
            let bench = Bench::new();
            assert_eq!(bench.requests(&[true; 4]), Some(BreakerState::Open));
            bench
        }
    }

    #[test]
    fn it_opens_when_the_window_is_full_and_too_many_failed() {
        let bench = Bench::new();
        assert_eq!(bench.requests(&[true, true, true]), None);
        assert_eq!(bench.requests(&[false]), Some(BreakerState::Open));
        let bench = Bench::new();
        assert_eq!(bench.requests(&[true, false, false, false, true, false, false, false, true]), None);
        assert_eq!(bench.requests(&[true]), Some(BreakerState::Open));
    }

    #[test]
    fn what_is_old_is_not_in_the_window() {
        let bench = Bench::new();
        bench.requests(&[true, true, true]);
        bench.clock.advance(Duration::from_secs(61));
        assert_eq!(bench.requests(&[true, true, true]), None);
        assert_eq!(bench.breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn after_a_while_one_probe_decides() {
        let bench = Bench::opened();
        assert_eq!(bench.waits(), OPEN);
        bench.clock.advance(OPEN);
        let probe = bench.permit();
        assert_eq!(bench.breaker.state(), BreakerState::HalfOpen);
        assert_eq!(bench.waits(), PROBE_PAUSE);
        assert_eq!(bench.tell(probe, true), Some(BreakerState::Open));
        assert_eq!(bench.waits(), OPEN);
        bench.clock.advance(OPEN);
        let probe = bench.permit();
        assert_eq!(bench.tell(probe, false), Some(BreakerState::Closed));
        // what failed before it opened is forgotten
        assert_eq!(bench.requests(&[true, true, true]), None);
    }

    #[test]
    fn late_news_from_before_it_opened_change_nothing() {
        let bench = Bench::new();
        let early = bench.permit();
        bench.requests(&[true; 4]);
        assert_eq!(bench.tell(early, false), None);
        bench.clock.advance(OPEN);
        let probe = bench.permit();
        assert_eq!(bench.tell(early, true), None);
        assert_eq!(bench.tell(probe, false), Some(BreakerState::Closed));
    }

    #[test]
    fn a_probe_that_nobody_hears_of_is_replaced() {
        let bench = Bench::opened();
        bench.clock.advance(OPEN);
        let lost = bench.permit();
        bench.clock.advance(OPEN);
        let probe = bench.permit();
        assert_eq!(bench.tell(lost, true), None);
        assert_eq!(bench.tell(probe, false), Some(BreakerState::Closed));
    }
}
