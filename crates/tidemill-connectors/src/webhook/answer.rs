//! What a sender is answered: a status, and a small JSON object. Nothing of a request comes back in it.

use crate::intake::queue::Refusal;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// Seconds after which a sender may try again when there is no room at the moment.
const FULL_SECONDS: u64 = 1;
/// The same when the query is behind, or the log has failed.
const BEHIND_SECONDS: u64 = 5;

/// An answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum No {
    /// Another path.
    Path,
    /// Another method.
    Method,
    /// The query string says something that is not known.
    Query,
    /// No token, or a wrong one.
    Token,
    /// No signature, or a wrong one.
    Signature,
    /// The time of the signature is too long ago, or to come.
    Stale,
    /// More bytes than may be.
    TooLarge,
    /// The body did not come in time.
    Slow,
    /// The body ended before its end.
    Broken,
    /// A body that is compressed.
    Encoded,
    /// Not what the table takes: why.
    Body(&'static str),
    /// No room.
    Refused(Refusal),
}

impl No {
    fn status(self) -> StatusCode {
        match self {
            No::Path => StatusCode::NOT_FOUND,
            No::Method => StatusCode::METHOD_NOT_ALLOWED,
            No::Query | No::Broken | No::Body(_) => StatusCode::BAD_REQUEST,
            No::Token | No::Signature | No::Stale => StatusCode::UNAUTHORIZED,
            No::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            No::Slow => StatusCode::REQUEST_TIMEOUT,
            No::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            No::Refused(Refusal::Full | Refusal::Behind) => StatusCode::TOO_MANY_REQUESTS,
            No::Refused(Refusal::Failed) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Why, for people.
    pub(super) fn why(self) -> &'static str {
        match self {
            No::Path => "nothing is taken at this path",
            No::Method => "only POST",
            No::Query => "the query string may be wait=commit and nothing else",
            No::Token => "no bearer token, or a wrong one",
            No::Signature => "no signature, or a wrong one",
            No::Stale => "the signature is too old, or of the future",
            No::TooLarge => "the body is too large",
            No::Slow => "the body did not come in time",
            No::Broken => "the body broke off",
            No::Encoded => "the body must not be compressed",
            No::Body(why) => why,
            No::Refused(Refusal::Full) => "no room at the moment",
            No::Refused(Refusal::Behind) => "the query is too far behind",
            No::Refused(Refusal::Failed) => "nothing can be kept at the moment",
        }
    }

    /// True when the body was not read to its end, so that nothing can follow on the connection.
    fn closes(self) -> bool {
        !matches!(self, No::Signature | No::Stale | No::Body(_))
    }

    /// The answer.
    pub(super) fn answer(self) -> Answer {
        let mut answer = json_of(self.status(), &json!({"error": self.why()}));
        let headers = answer.headers_mut();
        match self {
            No::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            No::Token => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            No::Refused(refusal) => {
                let seconds = if refusal == Refusal::Full { FULL_SECONDS } else { BEHIND_SECONDS };
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            _ => {}
        }
        if self.closes() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

/// The answer to a delivery that is durable; `committed` when its sender waited for the commit.
pub(super) fn taken(records: usize, is_repeat: bool, committed: Option<bool>) -> Answer {
    let mut said = json!({"records": records, "duplicate": is_repeat});
    if let (Some(committed), Some(said)) = (committed, said.as_object_mut()) {
        said.insert("committed".into(), committed.into());
    }
    json_of(if committed == Some(true) { StatusCode::OK } else { StatusCode::ACCEPTED }, &said)
}

fn json_of(status: StatusCode, said: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(format!("{said}\n"))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
