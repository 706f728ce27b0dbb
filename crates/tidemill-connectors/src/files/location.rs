//! Where files are on this machine.

use std::path::PathBuf;
use tidemill_core::{Error, Result};

/// The local path that `location` means.
///
/// # Errors
/// A URL of anything but a local file.
pub(super) fn local_path(location: &str) -> Result<PathBuf> {
    let location = location.trim();
    match location.split_once("://") {
        None => Ok(PathBuf::from(location)),
        Some(("file", path)) => Ok(PathBuf::from(path)),
        Some((scheme, _)) => {
            Err(Error::invalid(format!("'{location}' is not supported: connector 'files' cannot read {scheme}://"))
                .help("give a path of this machine, or a URL of s3://, abfss://, az:// or gs://"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_machine_are_taken() {
        assert_eq!(local_path("file:///data/in").unwrap(), PathBuf::from("/data/in"));
        assert_eq!(local_path("in/*.json").unwrap(), PathBuf::from("in/*.json"));
        let error = local_path("ftp://host/in").unwrap_err();
        assert!(error.to_string().contains("cannot read ftp://"), "{error}");
    }
}
