//! Answers: a status, an error code of the API, JSON.

use crate::schema_registry::client::wire::CONTENT_TYPE;
use crate::schema_registry::store::{Refused, Why};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use tidemill_core::{Error, Kind};

/// An answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// Why there is none: the error code, whose first three digits are the status, and the message.
#[derive(Debug)]
pub(super) struct No {
    code: u32,
    message: String,
}

impl No {
    pub(super) fn new(code: u32, message: impl Into<String>) -> No {
        No { code, message: message.into() }
    }

    pub(super) fn subject(subject: &str) -> No {
        No::new(40401, format!("Subject '{subject}' not found."))
    }

    pub(super) fn version(version: &str) -> No {
        No::new(40402, format!("Version {version} not found."))
    }

    pub(super) fn schema() -> No {
        No::new(40403, "Schema not found")
    }

    pub(super) fn path() -> No {
        No::new(404, "HTTP 404 Not Found")
    }

    fn status(&self) -> StatusCode {
        let status = if self.code > 999 { self.code / 100 } else { self.code };
        u16::try_from(status)
            .ok()
            .and_then(|code| StatusCode::from_u16(code).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The answer.
    pub(super) fn answer(&self) -> Answer {
        let mut answer = said(self.status(), &json!({"error_code": self.code, "message": self.message}));
        let headers = answer.headers_mut();
        if self.code == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"schema registry\""));
        }
        // what is refused before its body was read ends the connection
        if matches!(self.code, 401 | 403 | 408 | 413) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

impl From<Error> for No {
    fn from(error: Error) -> No {
        // what the disk says is for the log
        match error.kind() {
            Kind::Invalid | Kind::Usage | Kind::Data => No::new(42201, error.chain()),
            _ => {
                tracing::error!(error = error.chain(), "the schema registry failed");
                No::new(50001, "Error in the backend data store")
            }
        }
    }
}

impl From<Refused> for No {
    fn from(refused: Refused) -> No {
        let code = match refused.why {
            Why::NoSubject => 40401,
            Why::NoVersion => 40402,
            Why::SubjectDeleted => 40404,
            Why::SubjectNotDeleted => 40405,
            Why::VersionDeleted => 40406,
            Why::VersionNotDeleted => 40407,
            Why::Incompatible(_) => 409,
            Why::Invalid => 42201,
            Why::Referenced => 42206,
            Why::Failed => return No::from(refused.error),
        };
        No::new(code, refused.error.chain())
    }
}

/// An answer that is found.
pub(super) fn found(value: &impl Serialize) -> Answer {
    said(StatusCode::OK, value)
}

fn said(status: StatusCode, value: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec());
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    answer
}
