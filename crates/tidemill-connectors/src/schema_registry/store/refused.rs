//! What a registry does not do, and which of Confluent's answers that is.

use crate::schema_registry::compatibility::Difference;
use tidemill_core::Error;

/// Why a registry did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// There is no such subject.
    NoSubject,
    /// The subject has no such version.
    NoVersion,
    /// The schema cannot be read.
    Invalid,
    /// The schema breaks versions before it: all that it breaks.
    Incompatible(Vec<Difference>),
    /// Other schemas name it.
    Referenced,
    /// The version is deleted already, and can only be deleted for good.
    VersionDeleted,
    /// The version must be deleted before it can be deleted for good.
    VersionNotDeleted,
    /// The subject is deleted already.
    SubjectDeleted,
    /// The subject must be deleted before.
    SubjectNotDeleted,
    /// The disk failed, or a file is damaged.
    Failed,
}

/// A refusal: why, and the same in words.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub why: Why,
    /// The error to show.
    pub error: Error,
}

impl Refused {
    pub(super) fn new(why: Why, error: Error) -> Refused {
        Refused { why, error }
    }

    /// A schema that cannot be read.
    pub(super) fn invalid(error: Error) -> Refused {
        Refused::new(Why::Invalid, error)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::new(Why::Failed, error)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        refused.error
    }
}
