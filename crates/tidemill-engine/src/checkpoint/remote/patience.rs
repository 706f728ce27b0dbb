//! Waiting for an object store that does not answer: the query stands still, says so, and goes on when it does.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::{Clock, Error, Kind, Result};

/// How long an answer may take before it is said that the query waits.
const SAY_AFTER: Duration = Duration::from_secs(2);
/// The first wait before another try, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How long somebody waits, and for whom.
#[derive(Clone)]
pub struct Patience {
    clock: Arc<dyn Clock>,
    place: String,
    limit: Duration,
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("place", &self.place).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Patience {
    /// Waits at most `limit` for the store of the checkpoint `place`.
    pub fn new(clock: Arc<dyn Clock>, place: &str, limit: Duration) -> Self {
        Patience { clock, place: place.to_owned(), limit }
    }

    /// The same that gives up after the tries of one request.
    #[must_use]
    pub fn none(&self) -> Self {
        Patience { limit: Duration::ZERO, ..self.clone() }
    }

    /// Monotonic time.
    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// What `attempt` gives. One that fails because the store does not answer is made again, which must change
    /// nothing if it was done already.
    ///
    /// # Errors
    /// Any other failure at once; that of the last attempt when the limit is over.
    pub async fn wait<T, F: Future<Output = Result<T>>>(
        &self,
        what: &str,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T> {
        let begun = self.clock.elapsed();
        let (mut wait, longest) = WAITS;
        let mut told = false;
        loop {
            let ended = self.say_when_late(what, &mut told, attempt()).await;
            let waited = self.clock.elapsed().saturating_sub(begun);
            match ended {
                Err(error) if error.kind() == Kind::Again && waited < self.limit => {
                    let seconds = waited.as_secs();
                    tracing::warn!(
                        checkpoint = self.place, what, seconds, error = %error.chain(),
                        "the query stands still: the store of its checkpoint does not answer"
                    );
                    told = true;
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(longest);
                }
                Err(error) if error.kind() == Kind::Again && told => return Err(self.lost(error, waited)),
                ended => {
                    if told && ended.is_ok() {
                        tracing::warn!(
                            checkpoint = self.place,
                            seconds = waited.as_secs_f64(),
                            "the store of the checkpoint answers again: the query goes on"
                        );
                    }
                    return ended;
                }
            }
        }
    }

    async fn say_when_late<T>(&self, what: &str, told: &mut bool, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(SAY_AFTER), if !*told => {
                    tracing::warn!(
                        checkpoint = self.place, what, seconds = SAY_AFTER.as_secs(),
                        "the query stands still: it waits for the store of its checkpoint"
                    );
                    *told = true;
                }
            }
        }
    }

    fn lost(&self, error: Error, waited: Duration) -> Error {
        let place = &self.place;
        Error::new(
            Kind::Again,
            format!("the store of the checkpoint {place} has not answered for {} s", waited.as_secs()),
        )
        .caused_by(error)
        .help("start the query again when it answers; the setting checkpoint_timeout says how long it waits")
    }
}
