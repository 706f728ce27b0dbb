//! Names of files: which texts can be one, and files that are made under a name once.

use crate::durable::Disk;
use std::path::{Path, PathBuf};
use tidemill_core::Result;

const NAME_BYTES_MAX: usize = 200;

/// True for a text that can be the name of a file anywhere: up to 200 letters, digits, `.`, `_` and `-`,
/// with no `.` in front.
pub(crate) fn is_plain(name: &str) -> bool {
    let plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-'));
    plain && !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.starts_with('.')
}

/// A name beside `path` that no other file has, hidden from listings of the directory.
pub(crate) fn staged(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}", uuid::Uuid::new_v4()))
}

/// Creates `path` with `content` if there is nothing yet, whole and durable or not at all; false if there
/// is something.
///
/// # Errors
/// Names the file. After an error it may be there or not.
pub(crate) fn create(path: &Path, content: &[u8]) -> Result<bool> {
    Disk::default().create(path, &staged(path), content)
}
