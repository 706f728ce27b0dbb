//! Errors of the Delta library in our words: who can mend it.

use deltalake::{DeltaTableError, ObjectStoreError};
use tidemill_core::{Error, Kind};

/// `what` failed on the table at `place`.
pub(crate) fn failed(what: &str, place: &str, error: DeltaTableError) -> Error {
    let kind = match &error {
        DeltaTableError::ObjectStore { source } => store_kind(source),
        DeltaTableError::Io { source } if source.kind() == std::io::ErrorKind::PermissionDenied => Kind::Denied,
        DeltaTableError::Io { .. } => Kind::Io,
        _ => Kind::Invalid,
    };
    Error::new(kind, format!("cannot {what} the delta table at {place}")).caused_by(error)
}

/// `what` failed on a file of the table at `place`.
pub(crate) fn store_failed(what: &str, place: &str, error: ObjectStoreError) -> Error {
    Error::new(store_kind(&error), format!("cannot {what} the delta table at {place}")).caused_by(error)
}

fn store_kind(error: &ObjectStoreError) -> Kind {
    match error {
        ObjectStoreError::PermissionDenied { .. } | ObjectStoreError::Unauthenticated { .. } => Kind::Denied,
        ObjectStoreError::InvalidPath { .. }
        | ObjectStoreError::NotSupported { .. }
        | ObjectStoreError::NotImplemented { .. }
        | ObjectStoreError::UnknownConfigurationKey { .. } => Kind::Invalid,
        _ => Kind::Again,
    }
}
