//! How an outside system does, as its client sees it: counted where it is met, read by whoever shows it, at any time.

use super::breaker::BreakerState;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

const NO_BREAKER: u8 = u8::MAX;

/// Figures that a client shares with whoever shows them.
#[derive(Debug)]
pub struct Vitals {
    retries: AtomicU64,
    breaker: AtomicU8,
}

impl Default for Vitals {
    /// Of a client without a breaker.
    fn default() -> Self {
        Vitals { retries: AtomicU64::new(0), breaker: AtomicU8::new(NO_BREAKER) }
    }
}

impl Vitals {
    /// An attempt is made again.
    pub fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Attempts that were made again.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// The breaker is in this state.
    pub fn set_breaker(&self, state: BreakerState) {
        let number = BreakerState::ALL.iter().position(|known| *known == state).unwrap_or_default();
        self.breaker.store(number as u8, Ordering::Relaxed);
    }

    /// The state of the breaker, if there is one.
    pub fn breaker(&self) -> Option<BreakerState> {
        BreakerState::ALL.get(usize::from(self.breaker.load(Ordering::Relaxed))).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_read_as_it_was_set_and_absent_before() {
        let vitals = Vitals::default();
        assert_eq!(vitals.breaker(), None);
        for state in BreakerState::ALL {
            vitals.set_breaker(state);
            assert_eq!(vitals.breaker(), Some(state));
        }
    }
}
