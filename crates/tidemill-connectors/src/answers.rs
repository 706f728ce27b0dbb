//! What answers of HTTP servers mean to whoever asks, whatever was asked: when to ask again, whom not to trust, what of
//! an answer may stand in a message.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::error::Error as StdError;
use tidemill_core::Error;
use tidemill_core::retry::{Class, Failure, parse_retry_after};

/// An answer after which the request is sent again, when the server says so.
pub(crate) fn again(status: StatusCode, headers: &HeaderMap, now_micros: i64, error: Error) -> Failure {
    let class = if status == StatusCode::TOO_MANY_REQUESTS { Class::Throttled } else { Class::Transient };
    let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let pause = asked.and_then(|value| parse_retry_after(value, now_micros));
    Failure::new(class, error).retry_after(pause).code(status.as_str())
}

/// True when there was no answer because the server's certificate is not trusted, or is of another name.
pub(crate) fn is_untrusted(cause: &reqwest::Error) -> bool {
    let mut next: Option<&dyn StdError> = Some(cause);
    while let Some(error) = next {
        let told = error.to_string();
        if told.contains("certificate") || told.contains("UnknownIssuer") {
            return true;
        }
        next = error.source();
    }
    false
}

/// The beginning of a text as one line.
pub(crate) fn one_line(text: &str, letters_max: usize) -> String {
    let plain = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    plain.take(letters_max).collect::<String>().trim().to_owned()
}
