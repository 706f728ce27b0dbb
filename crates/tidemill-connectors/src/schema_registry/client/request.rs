//! One request, tried until it is answered: the registry's URLs in turn, pauses, the breaker.

use super::access::Access;
use super::verdict::{Answer, refused, unanswered};
use super::wire::CONTENT_TYPE;
use crate::retry::{Patience, Retry};
use reqwest::header::{ACCEPT, CONTENT_TYPE as CONTENT_TYPE_NAME};
use reqwest::{Client, Method, Response, Url};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tidemill_core::retry::{Admission, Breaker, BreakerSettings, BreakerState, Class, Failure, Permit, Policy, Vitals};
use tidemill_core::{Clock, Error, Kind, Result};

/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 5 << 20;
/// What the log calls the other side.
const SYSTEM: &str = "schema registry";

/// Sends requests to one registry.
pub(super) struct Courier {
    access: Access,
    urls: Vec<Url>,
    client: Client,
    patience: Patience,
    breaker: Breaker,
    /// The URL that answered last.
    next: AtomicUsize,
    /// What the last request met that failed.
    trouble: Mutex<String>,
    clock: Arc<dyn Clock>,
}

impl Courier {
    /// With a closed breaker.
    ///
    /// # Errors
    /// As [`super::HttpRegistry::new`].
    pub(super) fn new(mut access: Access, clock: Arc<dyn Clock>) -> Result<Courier> {
        let urls = access.places()?;
        let patience = Patience::new(Policy::within(access.retry_timeout), SYSTEM, clock.clone());
        patience.vitals().set_breaker(BreakerState::Closed);
        Ok(Courier {
            client: access.client()?,
            access,
            urls,
            patience,
            breaker: Breaker::new(BreakerSettings::default()),
            next: AtomicUsize::new(0),
            trouble: Mutex::default(),
            clock,
        })
    }

    /// The registry, for messages.
    pub(super) fn shown(&self) -> String {
        self.urls.iter().map(Url::as_str).map(|url| url.trim_end_matches('/')).collect::<Vec<_>>().join(", ")
    }

    /// Retries, and the state of the breaker.
    pub(super) fn vitals(&self) -> Arc<Vitals> {
        self.patience.vitals().clone()
    }

    /// An answer that is not what the API says.
    pub(super) fn nonsense(&self, path: &str, said: &str) -> Error {
        let said: String = said.chars().take(200).collect();
        Error::invalid(format!("the schema registry at {} answered {path} with {said}", self.shown()))
            .help("is this the URL of a registry with Confluent's API?")
    }

    /// Asks until there is an answer. Every request may be made twice: a registered schema is found again.
    ///
    /// # Errors
    /// None came within `retry_timeout`, or the registry refuses.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut retry = self.patience.begin();
        loop {
            let mut last = None;
            // one after the other, from the one that answered last
            for _ in 0..self.urls.len() {
                let permit = self.admitted(path, &retry).await?;
                let at = self.next.load(Ordering::Relaxed) % self.urls.len();
                let answer = self.send(&self.urls[at], &method, path, body).await;
                self.learn(permit, answer.as_ref().err());
                match answer {
                    Ok(answer) => return Ok(answer),
                    Err(failure) if failure.class == Class::Permanent => return Err(failure.error),
                    Err(failure) => {
                        self.next.store(at + 1, Ordering::Relaxed);
                        last = Some(failure);
                    }
                }
            }
            if let Some(failure) = last {
                retry.wait(failure).await?;
            }
        }
    }

    /// Waits until a request may be sent.
    async fn admitted(&self, path: &str, retry: &Retry) -> Result<Permit> {
        loop {
            let wait = match self.breaker.admit(self.clock.elapsed()) {
                Admission::Send(permit) => {
                    self.patience.vitals().set_breaker(self.breaker.state());
                    return Ok(permit);
                }
                Admission::Wait(wait) => wait,
            };
            if wait > retry.left() {
                let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let shown = self.shown();
                let what = format!(
                    "{path} waits for the schema registry at {shown} for too long; the last request met: {trouble}"
                );
                return Err(Error::new(Kind::Again, what).help("the same command may work later"));
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn send(&self, url: &Url, method: &Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let at = format!("{}{path}", url.as_str().trim_end_matches('/'));
        let mut request =
            self.client.request(method.clone(), at).header(ACCEPT, format!("{CONTENT_TYPE}, application/json"));
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE_NAME, CONTENT_TYPE).body(body.to_string());
        }
        request = match (&self.access.bearer, &self.access.basic) {
            (Some(token), _) => request.bearer_auth(token.reveal()),
            (None, Some((user, password))) => request.basic_auth(user, Some(password.reveal())),
            (None, None) => request,
        };
        let shown = url.as_str().trim_end_matches('/');
        let response = request.send().await.map_err(|cause| unanswered(shown, path, cause))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let said = whole(response).await.map_err(|cause| unanswered(shown, path, cause))?;
        let Some(said) = said else {
            let error = Error::invalid(format!(
                "the schema registry at {shown} answered {path} with more than {ANSWER_BYTES_MAX} bytes"
            ));
            return Err(Failure::new(Class::Permanent, error));
        };
        if status.is_success() {
            return serde_json::from_slice(&said)
                .map(Answer::Said)
                .map_err(|_| Failure::new(Class::Permanent, self.nonsense(path, &String::from_utf8_lossy(&said))));
        }
        refused(shown, path, status, &headers, &said, self.clock.now_micros())
    }

    /// What an outcome tells about the registry.
    fn learn(&self, permit: Permit, failure: Option<&Failure>) {
        if let Some(failure) = failure {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = failure.error.chain();
        }
        // who asks to wait, or refuses, is well
        let has_failed = failure.is_some_and(|failure| matches!(failure.class, Class::Transient | Class::Ambiguous));
        let changed = self.breaker.tell(permit, has_failed, self.clock.elapsed());
        self.patience.vitals().set_breaker(self.breaker.state());
        if let Some(state) = changed {
            tracing::warn!(registry = self.shown(), state = state.word(), "breaker of the schema registry");
        }
    }
}

/// An answer's body; `None` when it is too long.
async fn whole(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut said = Vec::new();
    while let Some(piece) = response.chunk().await? {
        said.extend_from_slice(&piece);
        if said.len() > ANSWER_BYTES_MAX {
            return Ok(None);
        }
    }
    Ok(Some(said))
}
