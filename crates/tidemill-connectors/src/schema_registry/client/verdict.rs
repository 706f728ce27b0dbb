//! What an answer means, or that none came.
//!
//! | answer | meaning |
//! |---|---|
//! | 2xx | the answer |
//! | 404 with error code 404xx of the API | there is no such subject, version or schema |
//! | 404 without | there is no registry at this URL |
//! | 401, 403, 407 | access is refused |
//! | 408, 429, 5xx, none | ask again |
//! | 409 | the schema is not compatible |
//! | the rest | the request is wrong |

use crate::answers::{again, is_untrusted, one_line};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tidemill_core::retry::{Class, Failure};
use tidemill_core::{Error, Kind};

/// Letters of an answer that an error repeats.
const SAID_MAX: usize = 2_000;

/// What was said.
pub(super) enum Answer {
    /// This.
    Said(Value),
    /// That there is no such thing.
    Nothing,
}

/// An answer that is no success.
///
/// # Errors
/// All but that there is no such thing.
pub(super) fn refused(
    shown: &str,
    path: &str,
    status: StatusCode,
    headers: &HeaderMap,
    said: &[u8],
    now_micros: i64,
) -> Result<Answer, Failure> {
    let body: Option<Value> = serde_json::from_slice(said).ok();
    let code = body.as_ref().and_then(|body| body.get("error_code")).and_then(Value::as_u64);
    if status == StatusCode::NOT_FOUND && code.is_some_and(|code| (40_400..40_500).contains(&code)) {
        return Ok(Answer::Nothing);
    }
    let told = body.as_ref().and_then(|body| body.get("message")).and_then(Value::as_str).map(str::to_owned);
    let told = told.unwrap_or_else(|| String::from_utf8_lossy(said).into_owned());
    let what = format!("the schema registry at {shown} answered {status} to {path}: {}", one_line(&told, SAID_MAX));
    let permanent = |kind, help: &str| Failure::new(Class::Permanent, Error::new(kind, what.clone()).help(help));
    Err(match status.as_u16() {
        408 | 429 | 500..=599 => again(status, headers, now_micros, Error::new(Kind::Again, what)),
        401 | 403 | 407 => permanent(Kind::Denied, "give a user and password, or a token, that may do this"),
        404 => permanent(Kind::Invalid, "is this the URL of a registry with Confluent's API?"),
        300..=399 => permanent(Kind::Invalid, "redirects are not followed: give the new URL"),
        409 => permanent(Kind::Invalid, "`tidemill schema check` shows the differences"),
        _ => permanent(Kind::Invalid, "the registry does not take this request"),
    })
}

/// No answer.
pub(super) fn unanswered(shown: &str, path: &str, cause: reqwest::Error) -> Failure {
    let cause = cause.without_url();
    let what = format!("asking the schema registry at {shown} for {path} failed");
    if is_untrusted(&cause) {
        let help = "name the certificate authority; the name in the URL must be in the certificate";
        return Failure::new(Class::Permanent, Error::new(Kind::Denied, what).help(help).caused_by(cause));
    }
    let help = "the same command may work later";
    Failure::new(Class::Transient, Error::new(Kind::Again, what).help(help).caused_by(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, said: &str) -> Result<Answer, Failure> {
        let status = StatusCode::from_u16(status).unwrap();
        refused("http://registry:8081", "/schemas/ids/1", status, &HeaderMap::new(), said.as_bytes(), 0)
    }

    #[test]
    fn only_the_api_s_own_404_means_that_there_is_no_such_thing() {
        for code in [40401, 40402, 40403] {
            let said = format!(r#"{{"error_code":{code},"message":"not found"}}"#);
            assert!(matches!(verdict(404, &said), Ok(Answer::Nothing)), "{code}");
        }
        for said in ["<html>no such page</html>", r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#, ""] {
            let failure = verdict(404, said).err().unwrap();
            assert_eq!((failure.class, failure.error.kind()), (Class::Permanent, Kind::Invalid), "{said}");
        }
    }

    #[test]
    fn what_may_pass_is_asked_again_and_the_rest_is_not() {
        let table = [
            (500, Class::Transient, Kind::Again),
            (503, Class::Transient, Kind::Again),
            (408, Class::Transient, Kind::Again),
            (429, Class::Throttled, Kind::Again),
            (401, Class::Permanent, Kind::Denied),
            (403, Class::Permanent, Kind::Denied),
            (409, Class::Permanent, Kind::Invalid),
            (422, Class::Permanent, Kind::Invalid),
            (301, Class::Permanent, Kind::Invalid),
        ];
        for (status, class, kind) in table {
            let failure = verdict(status, r#"{"error_code":1,"message":"so it is"}"#).err().unwrap();
            assert_eq!((failure.class, failure.error.kind()), (class, kind), "{status}");
            assert!(failure.error.to_string().ends_with("to /schemas/ids/1: so it is"), "{}", failure.error);
        }
    }
}
