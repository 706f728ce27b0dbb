//! One request, tried until it is taken. All requests of a sink share a retry budget, a breaker, and the pause a
//! receiver asks for.

use super::body::Letter;
use super::options::Settings;
use super::verdict::{refused, unanswered};
use crate::retry::{Patience, Retry};
use reqwest::Response;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidemill_core::retry::{Admission, Breaker, BreakerState, Budget, Class, Failure, Permit, Vitals};
use tidemill_core::{Clock, Error, Kind, Result};

/// Bytes of an answer that are read; a connection with more left is closed.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// What the log calls the other side.
const SYSTEM: &str = "http";

/// Sends requests to one receiver.
pub(super) struct Courier {
    settings: Settings,
    patience: Patience,
    budget: Budget,
    breaker: Option<Breaker>,
    /// Nothing is sent before, by request of the receiver; in time of `clock`.
    not_before: Mutex<Duration>,
    /// What the last request met that failed.
    trouble: Mutex<String>,
    clock: Arc<dyn Clock>,
}

impl Courier {
    /// With a closed breaker and a full budget.
    pub(super) fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let patience = Patience::new(settings.policy, SYSTEM, clock.clone());
        if settings.breaker.is_some() {
            patience.vitals().set_breaker(BreakerState::Closed);
        }
        Courier {
            patience,
            budget: Budget::new(settings.budget, clock.elapsed()),
            breaker: settings.breaker.map(Breaker::new),
            not_before: Mutex::default(),
            trouble: Mutex::default(),
            settings,
            clock,
        }
    }

    /// Waits until the receiver can be connected to. A proxy is asked only by the first request.
    ///
    /// # Errors
    /// It cannot for longer than `retry_timeout`.
    pub(super) async fn knock(&self) -> Result<()> {
        let url = &self.settings.url;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Ok(()) };
        if self.settings.has_proxy {
            return Ok(());
        }
        let mut retry = self.patience.begin();
        loop {
            let connecting = tokio::net::TcpStream::connect((host.trim_matches(['[', ']']), port));
            match connecting.await {
                Ok(_) => return Ok(()),
                Err(cause) => {
                    let error = Error::new(Kind::Again, format!("cannot connect to {}", self.settings.shown()));
                    retry.wait(Failure::new(Class::Transient, error.caused_by(cause))).await?;
                }
            }
        }
    }

    /// Sends a request until it is taken; gives the failure when the receiver will never take these rows.
    ///
    /// # Errors
    /// It takes none, or did not take it within `retry_timeout`. Whether it has it may be unknown then.
    pub(super) async fn deliver(&self, letter: &Letter) -> Result<Option<Failure>> {
        self.budget.deposit(self.clock.elapsed());
        let mut retry = self.patience.begin();
        let mut has_paid = false;
        loop {
            let permit = self.admitted(letter, &retry).await?;
            let sent = self.send(letter).await;
            self.learn(permit, sent.as_ref().err());
            match sent {
                Ok(()) => {
                    if has_paid {
                        self.budget.refund(self.clock.elapsed());
                    }
                    return Ok(None);
                }
                Err(failure) if failure.class == Class::Permanent && failure.error.kind() == Kind::Data => {
                    return Ok(Some(failure));
                }
                Err(failure) => has_paid = retry.wait_within(&self.budget, failure).await?,
            }
        }
    }

    /// Retries and the breaker's state.
    pub(super) fn vitals(&self) -> Arc<Vitals> {
        self.patience.vitals().clone()
    }

    /// Waits until a request may be sent.
    async fn admitted(&self, letter: &Letter, retry: &Retry) -> Result<Option<Permit>> {
        loop {
            let now = self.clock.elapsed();
            let held = locked(&self.not_before).saturating_sub(now);
            let wait = match &self.breaker {
                _ if !held.is_zero() => held,
                None => return Ok(None),
                Some(breaker) => match breaker.admit(now) {
                    Admission::Send(permit) => {
                        self.patience.vitals().set_breaker(breaker.state());
                        return Ok(Some(permit));
                    }
                    Admission::Wait(wait) => wait,
                },
            };
            if wait > retry.left() {
                return Err(self.left_alone(letter));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// The error of a request that waits for the breaker or by request until its time is up.
    fn left_alone(&self, letter: &Letter) -> Error {
        let (receiver, what) = (self.settings.shown(), &letter.what);
        let trouble = locked(&self.trouble).clone();
        Error::new(
            Kind::Again,
            format!("{what} waits to be sent to {receiver} for too long; the last request met: {trouble}"),
        )
        .help("the same command goes on where it stopped; see options 'retry_timeout' and 'breaker_open'")
    }

    async fn send(&self, letter: &Letter) -> Result<(), Failure> {
        let Settings { client, url, method, headers, signer, idempotency_header, .. } = &self.settings;
        let mut request =
            client.request(method.clone(), url.clone()).headers(headers.clone()).body(letter.body.clone());
        if let Some(name) = idempotency_header {
            request = request.header(name, &letter.key);
        }
        if let Some(signer) = signer {
            let seconds = self.clock.now_micros().div_euclid(1_000_000);
            request = request
                .header("webhook-id", &letter.key)
                .header("webhook-timestamp", seconds)
                .header("webhook-signature", signer.sign(&letter.key, seconds, &letter.body));
        }
        let response = request.send().await.map_err(|cause| unanswered(&self.settings, &letter.what, cause))?;
        let (status, answered) = (response.status(), response.headers().clone());
        // also for the connection to be used again; what is taken is taken, even when the rest is lost
        let said = beginning(response).await;
        if self.settings.success.has(status.as_u16()) {
            return Ok(());
        }
        Err(refused(&self.settings, &letter.what, status, &answered, &said, self.clock.now_micros()))
    }

    /// What an outcome tells about the receiver.
    fn learn(&self, permit: Option<Permit>, failure: Option<&Failure>) {
        let now = self.clock.elapsed();
        if let Some(failure) = failure {
            *locked(&self.trouble) = failure.error.chain();
            if let Some(asked) = failure.retry_after {
                let mut not_before = locked(&self.not_before);
                *not_before = (*not_before).max(now.saturating_add(asked));
            }
        }
        // who asks to wait, or refuses a row, is well
        let has_failed = failure.is_some_and(|failure| matches!(failure.class, Class::Transient | Class::Ambiguous));
        let (Some(breaker), Some(permit)) = (&self.breaker, permit) else { return };
        let (state, receiver) = (breaker.tell(permit, has_failed, now), self.settings.shown());
        self.patience.vitals().set_breaker(breaker.state());
        match state {
            Some(BreakerState::Open) => {
                tracing::warn!(
                    receiver,
                    trouble = locked(&self.trouble).as_str(),
                    "breaker open: nothing is sent for a while"
                );
            }
            Some(state) => tracing::warn!(receiver, state = state.word(), "breaker"),
            None => {}
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The beginning of an answer's body.
async fn beginning(mut response: Response) -> Vec<u8> {
    let mut said = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        said.extend_from_slice(&piece);
        if said.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    said
}
