//! A failed attempt: the error it would be, and whether another attempt may help.

use crate::error::{Error, Kind};
use std::time::Duration;

/// What a failure says about the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing was done, and the same request may succeed soon: refused connections, elections, 5xx.
    Transient,
    /// The system works and asks for less: 429, `SlowDown`. No sign of ill health.
    Throttled,
    /// The request may have been carried out: an answer that was lost, a timeout after sending. May be sent again
    /// only where the request is repeatable, or where reading back tells what became of it.
    Ambiguous,
    /// The same request will fail again.
    Permanent,
}

/// A failed attempt.
#[derive(Debug)]
pub struct Failure {
    /// The error, if it stays at this attempt.
    pub error: Error,
    /// Whether another may help.
    pub class: Class,
    /// How long the system asks not to be asked again.
    pub retry_after: Option<Duration>,
    /// What the system itself calls it: a SQLSTATE, a status.
    pub code: Option<String>,
}

impl Failure {
    /// A failure of a class.
    pub fn new(class: Class, error: Error) -> Self {
        Failure { error, class, retry_after: None, code: None }
    }

    /// With what the system asks for.
    #[must_use]
    pub fn retry_after(mut self, pause: Option<Duration>) -> Self {
        self.retry_after = pause;
        self
    }

    /// With the system's own word for it.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Classed by the error's kind: only [`Kind::Again`] is worth another attempt. For errors of which nothing
    /// more is known, and which did not leave the outcome open.
    pub fn by_kind(error: Error) -> Self {
        let class = if error.kind() == Kind::Again { Class::Transient } else { Class::Permanent };
        Failure::new(class, error)
    }
}

/// An error of our own: another attempt would meet it again.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::new(Class::Permanent, error)
    }
}
