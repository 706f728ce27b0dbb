//! The pauses of `tidemill_core::retry`, slept: what the connectors share.

use std::sync::Arc;
use std::time::Duration;
use tidemill_core::retry::{Attempts, Budget, Class, Failure, Jitter, Policy, Vitals};
use tidemill_core::{Clock, Result};

/// How often is looked whether others have paid for a retry.
const BUDGET_POLL: Duration = Duration::from_millis(50);

/// The attempts of one operation on an outside system.
pub(crate) struct Retry {
    attempts: Attempts,
    clock: Arc<dyn Clock>,
    jitter: Jitter,
    system: &'static str,
    vitals: Arc<Vitals>,
}

/// What the operations on one system have in common.
#[derive(Clone)]
pub(crate) struct Patience {
    policy: Policy,
    system: &'static str,
    clock: Arc<dyn Clock>,
    vitals: Arc<Vitals>,
}

impl Patience {
    /// With a rule; `system` is what the log calls the other side.
    pub(crate) fn new(policy: Policy, system: &'static str, clock: Arc<dyn Clock>) -> Self {
        Patience { policy, system, clock, vitals: Arc::default() }
    }

    /// An operation that begins now.
    pub(crate) fn begin(&self) -> Retry {
        let Patience { policy, system, clock, vitals } = self.clone();
        Retry { attempts: Attempts::new(policy, clock.elapsed()), clock, jitter: Jitter::unique(), system, vitals }
    }

    /// What is counted of all of them.
    pub(crate) fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }
}

impl Retry {
    /// An operation that begins now and is counted nowhere.
    pub(crate) fn new(policy: Policy, system: &'static str, clock: Arc<dyn Clock>) -> Self {
        Patience::new(policy, system, clock).begin()
    }

    /// Time in which another attempt may still begin.
    pub(crate) fn left(&self) -> Duration {
        self.attempts.left(self.clock.elapsed())
    }

    /// Waits after a failure, until the next attempt.
    ///
    /// # Errors
    /// The failure's error, when another attempt would not help or there is no more time.
    pub(crate) async fn wait(&mut self, failure: Failure) -> Result<()> {
        self.pause(failure).await.map(|_| ())
    }

    /// The same, where retries have a budget, which has the same clock. Who was asked to wait, and waited, takes
    /// nothing from it. True when it has paid for the next attempt.
    ///
    /// # Errors
    /// As [`Retry::wait`].
    pub(crate) async fn wait_within(&mut self, budget: &Budget, failure: Failure) -> Result<bool> {
        let failure = self.pause(failure).await?;
        if failure.retry_after.is_some() {
            return Ok(false);
        }
        while let Err(wait) = budget.take(self.clock.elapsed()) {
            if self.left().is_zero() {
                return Err(self.attempts.end(failure, self.clock.elapsed()));
            }
            tokio::time::sleep(wait.min(BUDGET_POLL)).await;
        }
        Ok(true)
    }

    async fn pause(&mut self, failure: Failure) -> Result<Failure> {
        let Some(pause) = self.attempts.after(&failure, self.clock.elapsed(), &mut self.jitter) else {
            return Err(self.attempts.end(failure, self.clock.elapsed()));
        };
        let (pause_ms, system, error) = (pause.as_millis() as u64, self.system, failure.error.chain());
        if failure.class == Class::Throttled {
            tracing::info!(system, error, pause_ms, "asked to wait");
        } else {
            tracing::warn!(system, error, pause_ms, "trying again");
        }
        self.vitals.count_retry();
        tokio::time::sleep(pause).await;
        Ok(failure)
    }
}
