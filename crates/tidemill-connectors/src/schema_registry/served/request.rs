//! One request: who may ask, how much, and its path in parts.

use super::answer::{Answer, No};
use super::routes::route;
use crate::schema_registry::client::wire::decoded;
use crate::schema_registry::store::SchemaRegistry;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, header};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use tidemill_core::Error;
use tidemill_core::secret::Secret;

/// Longest body, in bytes: a schema of the largest size with every letter escaped.
const BODY_BYTES_MAX: usize = 4 << 20;
/// How long its body may take.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// What all requests share.
pub(super) struct Desk {
    registry: SchemaRegistry,
    /// Digests of the headers that are let in; none: everybody is.
    known: Vec<[u8; 32]>,
}

/// A request, read.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// The path's parts, without `%`.
    pub(super) path: Vec<String>,
    query: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Asked {
    /// A parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// True for a parameter that is `true`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.parameter(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is none, or not what is expected here.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, No> {
        serde_json::from_slice(&self.body)
            .map_err(|cause| No::new(422, format!("the body is not what is expected: {cause}")))
    }
}

impl Desk {
    /// For a registry; `users` may ask, or everybody when there are none.
    pub(super) fn new(registry: SchemaRegistry, users: &[(String, Secret)]) -> Desk {
        let known = users.iter().map(|(user, password)| {
            let given = format!("{user}:{}", password.reveal());
            Sha256::digest(format!("Basic {}", STANDARD.encode(given))).into()
        });
        Desk { registry, known: known.collect() }
    }

    /// Answers a request.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        match self.take(request).await {
            Ok(answer) => answer,
            Err(no) => no.answer(),
        }
    }

    async fn take(&self, request: Request<Incoming>) -> Result<Answer, No> {
        self.admit(request.headers())?;
        let (head, incoming) = request.into_parts();
        let limited = Limited::new(incoming, BODY_BYTES_MAX);
        let body = match tokio::time::timeout(BODY_TIME_MAX, limited.collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(No::new(413, format!("a body has at most {BODY_BYTES_MAX} bytes")));
            }
            Ok(Err(_)) => return Err(No::new(400, "the body broke off")),
            Err(_) => return Err(No::new(408, "the body did not come in time")),
        };
        let pairs = head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query = pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (decoded(key), decoded(value)));
        let path = head.uri.path().split('/').filter(|part| !part.is_empty()).map(decoded).collect();
        let asked = Asked { method: head.method, path, query: query.collect(), body };
        let registry = self.registry.clone();
        let done = tokio::task::spawn_blocking(move || route(&registry, &asked)).await;
        done.unwrap_or_else(|cause| Err(Error::bug("answering broke off").caused_by(cause).into()))
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), No> {
        // a page in a browser must not reach a registry that only this machine reaches
        if headers.contains_key(header::ORIGIN) {
            return Err(No::new(403, "requests of web pages are not taken"));
        }
        if self.known.is_empty() {
            return Ok(());
        }
        let given = headers.get(header::AUTHORIZATION).map(|value| Sha256::digest(value.as_bytes()));
        // digests are compared, so that the time it takes tells nothing of the password
        match given.is_some_and(|given| self.known.iter().any(|known| known[..] == given[..])) {
            true => Ok(()),
            false => Err(No::new(401, "Unauthorized")),
        }
    }
}
