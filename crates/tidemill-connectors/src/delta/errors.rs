//! Errors of the Delta library in our words: who can mend it.

use deltalake::{DeltaTableError, ObjectStoreError};
use tidemill_core::{Error, Kind};

/// `what` failed on the table at `place`.
pub(crate) fn failed(what: &str, place: &str, error: DeltaTableError) -> Error {
    let kind = kind(&error);
    Error::new(kind, format!("cannot {what} the delta table at {place}")).caused_by(error)
}

/// `what` failed on a file of the table at `place`.
pub(crate) fn store_failed(what: &str, place: &str, error: ObjectStoreError) -> Error {
    Error::new(store_kind(&error), format!("cannot {what} the delta table at {place}")).caused_by(error)
}

/// Whose fault it is, by the nearest cause that tells: the library wraps a failed read in several layers.
fn kind(error: &(dyn std::error::Error + 'static)) -> Kind {
    // the log reader's error does not give the store's as its cause; only its text tells
    let text = error.to_string();
    if text.contains("Error interacting with object store") {
        return if text.contains("LocalFileSystem") { Kind::Io } else { Kind::Again };
    }
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(store) = error.downcast_ref::<ObjectStoreError>() {
            return store_kind(store);
        }
        if let Some(kind) = disk_kind(error) {
            return kind;
        }
        cause = error.source();
    }
    Kind::Invalid
}

/// For an error of the operating system.
fn disk_kind(error: &(dyn std::error::Error + 'static)) -> Option<Kind> {
    let io = error.downcast_ref::<std::io::Error>()?;
    Some(if io.kind() == std::io::ErrorKind::PermissionDenied { Kind::Denied } else { Kind::Io })
}

fn store_kind(error: &ObjectStoreError) -> Kind {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(kind) = disk_kind(error) {
            return kind;
        }
        cause = error.source();
    }
    match error {
        ObjectStoreError::PermissionDenied { .. } | ObjectStoreError::Unauthenticated { .. } => Kind::Denied,
        ObjectStoreError::InvalidPath { .. }
        | ObjectStoreError::NotSupported { .. }
        | ObjectStoreError::NotImplemented { .. }
        | ObjectStoreError::UnknownConfigurationKey { .. } => Kind::Invalid,
        _ => Kind::Again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_fails_is_no_wrong_table() {
        let disk = |kind: std::io::ErrorKind| ObjectStoreError::Generic {
            store: "LocalFileSystem",
            source: Box::new(std::io::Error::from(kind)),
        };
        let store = DeltaTableError::ObjectStore { source: disk(std::io::ErrorKind::Other) };
        assert_eq!(failed("open", "t", store).kind(), Kind::Io);
        let reader = "Kernel error: Error interacting with object store: Generic LocalFileSystem error: Unable to open";
        assert_eq!(failed("open", "t", DeltaTableError::generic(reader)).kind(), Kind::Io);
        assert_eq!(store_failed("read", "t", disk(std::io::ErrorKind::PermissionDenied)).kind(), Kind::Denied);
        let unreachable = ObjectStoreError::Generic { store: "S3", source: "no answer".into() };
        assert_eq!(store_failed("read", "t", unreachable).kind(), Kind::Again);
        assert_eq!(failed("open", "t", DeltaTableError::generic("not a table")).kind(), Kind::Invalid);
    }
}
