//! One request: who may send, how much, and what it is answered. Nothing of its body is in memory before there is room
//! for all of it.

use super::answer::{Answer, No, taken};
use super::body;
use super::options::Settings;
use super::signature::Verdict;
use crate::intake::queue::{Delivery, Intake, Pushed, Refusal};
use crate::topics::headers;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::{HeaderMap, Method, Request, header};
use std::sync::Arc;
use tidemill_core::Clock;

/// What all requests to one table share.
pub(super) struct Taker {
    pub(super) settings: Settings,
    pub(super) intake: Intake,
    pub(super) clock: Arc<dyn Clock>,
}

impl Taker {
    /// Answers a request.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Answer {
        match self.take(request).await {
            Ok(answer) => answer,
            Err(no) => {
                tracing::debug!(why = no.why(), "a request was refused");
                no.answer()
            }
        }
    }

    async fn take(&self, request: Request<Incoming>) -> Result<Answer, No> {
        let settings = &self.settings;
        if request.uri().path() != settings.path {
            return Err(No::Path);
        }
        if *request.method() != Method::POST {
            return Err(No::Method);
        }
        let waits = match request.uri().query() {
            None | Some("") => false,
            Some("wait=commit") => true,
            Some(_) => return Err(No::Query),
        };
        if settings.token.as_ref().is_some_and(|token| !token.is_in(request.headers())) {
            return Err(No::Token);
        }
        if request.headers().get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(No::Encoded);
        }
        let bytes = request.body().size_hint().exact().unwrap_or(settings.body_bytes_max);
        if bytes > settings.body_bytes_max {
            return Err(No::TooLarge);
        }
        let room = self.intake.room(bytes).map_err(No::Refused)?;
        let (head, incoming) = request.into_parts();
        let body = self.body(incoming).await?;
        self.verify(&head.headers, &body)?;
        let records = body::records(&body, settings.shape, settings.depth_max).map_err(No::Body)?;
        let count = records.len();
        let delivery = self.delivery(&head.headers, records);
        let outcome = self.intake.hand_in(delivery, room).map_err(No::Refused)?;
        let kept = outcome.await.unwrap_or(Err(Refusal::Failed)).map_err(No::Refused)?;
        let committed = match waits {
            true => Some(tokio::time::timeout(settings.wait_timeout, self.intake.committed(&kept.ends)).await.is_ok()),
            false => None,
        };
        Ok(taken(count, kept.is_repeat, committed))
    }

    async fn body(&self, incoming: Incoming) -> Result<Bytes, No> {
        let limited = Limited::new(incoming, self.settings.body_bytes_max as usize);
        match tokio::time::timeout(self.settings.body_timeout, limited.collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(No::TooLarge),
            Ok(Err(_)) => Err(No::Broken),
            Err(_) => Err(No::Slow),
        }
    }

    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), No> {
        let Some(verifier) = &self.settings.verifier else { return Ok(()) };
        match verifier.verify(headers, body, self.clock.now_micros() / 1_000_000) {
            Verdict::Good => Ok(()),
            Verdict::Bad => Err(No::Signature),
            Verdict::Stale => Err(No::Stale),
        }
    }

    fn delivery(&self, given: &HeaderMap, records: Vec<Bytes>) -> Delivery {
        let settings = &self.settings;
        let value = |name: &Option<header::HeaderName>| {
            let value = name.as_ref().and_then(|name| given.get(name))?;
            Some(Bytes::copy_from_slice(value.as_bytes())).filter(|value| !value.is_empty())
        };
        let kept = (!settings.headers.is_empty()).then(|| {
            let mut packed = Vec::new();
            let all =
                settings.headers.iter().flat_map(|name| given.get_all(name).iter().map(move |value| (name, value)));
            headers::pack(all.map(|(name, value)| (name.as_str(), Some(value.as_bytes()))), &mut packed);
            packed
        });
        let kept = kept.filter(|packed| !packed.is_empty());
        let key = value(&settings.key_header);
        let record = |value| Pushed { key: key.clone(), value, headers: kept.clone() };
        Delivery { records: records.into_iter().map(record).collect(), key: value(&settings.idempotency_header) }
    }
}
