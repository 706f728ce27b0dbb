//! What an answer means for the request, or that none came: taken, to be sent again, or never to be taken.

use super::options::Settings;
use crate::answers::{again, is_untrusted, one_line};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tidemill_core::retry::{Class, Failure};
use tidemill_core::{Error, Kind};

/// Letters of an answer that an error repeats.
const SAID_MAX: usize = 200;

/// A status code that is no success. `what` is the request, `said` the beginning of the answer's body.
pub(super) fn refused(
    settings: &Settings,
    what: &str,
    status: StatusCode,
    headers: &HeaderMap,
    said: &[u8],
    now_micros: i64,
) -> Failure {
    let message = format!("{} answered {status} to {what}{}", settings.shown(), quoted(settings, said));
    if settings.retry.has(status.as_u16()) {
        return again(status, headers, now_micros, Error::new(Kind::Again, message));
    }
    let (kind, help) = match status.as_u16() {
        401 | 403 | 407 => (Kind::Denied, "see options 'headers.Authorization' and 'signing_secret'"),
        300..=399 => {
            (Kind::Invalid, "redirects are not followed, since they may lose the body: name the new place in 'url'")
        }
        404 | 405 | 410 | 501 => (Kind::Invalid, "see options 'url' and 'method'"),
        413 => (Kind::Data, "lower 'batch_rows' or 'batch_bytes'"),
        415 => (Kind::Invalid, "see options 'content_type' and 'body'"),
        _ => (
            Kind::Data,
            "the receiver will not take these rows: filter them out, or name the code in 'success_codes' or 'retry_codes'",
        ),
    };
    Failure::new(Class::Permanent, Error::new(kind, message).help(help)).code(status.as_str())
}

/// No answer.
pub(super) fn unanswered(settings: &Settings, what: &str, cause: reqwest::Error) -> Failure {
    // its text would show the whole URL
    let cause = cause.without_url();
    let message = format!("sending {what} to {} failed", settings.shown());
    if is_untrusted(&cause) {
        let help =
            "option 'ssl_ca_location' names the certificate authority; the name in 'url' must be in the certificate";
        return Failure::new(Class::Permanent, Error::new(Kind::Denied, message).help(help).caused_by(cause));
    }
    if cause.is_builder() {
        return Failure::new(Class::Permanent, Error::new(Kind::Invalid, message).caused_by(cause));
    }
    // before there is a connection nothing was sent
    let class = if cause.is_connect() { Class::Transient } else { Class::Ambiguous };
    let help = "the same command goes on where it stopped; what was taken already has the same idempotency key";
    Failure::new(class, Error::new(Kind::Again, message).help(help).caused_by(cause))
}

/// The beginning of an answer as one line, without what we sent as a secret.
fn quoted(settings: &Settings, said: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(said).into_owned();
    let path = settings.url.path().trim_matches('/');
    let secrets = settings.headers.values().filter_map(|value| value.to_str().ok());
    let secrets = secrets.flat_map(|value| value.split(' ')).chain([path]).chain(settings.url.query());
    for secret in secrets.filter(|secret| secret.len() >= 8) {
        text = text.replace(secret, "***");
    }
    match one_line(&text, SAID_MAX).as_str() {
        "" => String::new(),
        text => format!(": {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::{OPTIONS, Shape};
    use super::*;
    use reqwest::header::RETRY_AFTER;
    use std::time::Duration;
    use tidemill_core::Options;
    use tidemill_core::options::GivenOption;

    fn settings() -> Settings {
        let given = [
            ("url", "https://hooks.example.com/T000/s3ntinel-path"),
            ("headers.Authorization", "Bearer s3ntinel-token"),
        ];
        let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        Settings::new("t", &Options::check("sink 'http'", &[OPTIONS], &given).unwrap(), Shape::Row, "json").unwrap()
    }

    fn verdict(status: u16, retry_after: Option<&'static str>, said: &str) -> Failure {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, reqwest::header::HeaderValue::from_static(value));
        }
        refused(&settings(), "row 7 of epoch 2", StatusCode::from_u16(status).unwrap(), &headers, said.as_bytes(), 0)
    }

    #[test]
    fn each_status_tells_who_can_mend_it_and_whether_to_try_again() {
        for (status, class, kind) in [
            (503, Class::Transient, Kind::Again),
            (409, Class::Transient, Kind::Again),
            (429, Class::Throttled, Kind::Again),
            (400, Class::Permanent, Kind::Data),
            (422, Class::Permanent, Kind::Data),
            (401, Class::Permanent, Kind::Denied),
            (404, Class::Permanent, Kind::Invalid),
            (308, Class::Permanent, Kind::Invalid),
            (501, Class::Permanent, Kind::Invalid),
        ] {
            let failure = verdict(status, None, "");
            assert_eq!((failure.class, failure.error.kind(), failure.retry_after), (class, kind, None), "{status}");
        }
        assert_eq!(verdict(503, Some("7"), "").retry_after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn an_error_names_the_row_and_repeats_the_answer_but_no_secret() {
        let said = "no field 'x'\nfor T000/s3ntinel-path and s3ntinel-token";
        let told = verdict(400, None, said).error.report();
        let expected =
            "https://hooks.example.com answered 400 Bad Request to row 7 of epoch 2: no field 'x' for *** and ***";
        assert!(told.contains(expected) && !told.contains("s3ntinel"), "{told}");
        assert!(verdict(400, None, &"x".repeat(9_000)).error.to_string().len() < 400);
    }
}
