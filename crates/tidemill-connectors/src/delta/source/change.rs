//! What a commit of the log means to a stream: rows that are new, nothing, or a change that a stream of new rows
//! cannot tell. Decided from the actions alone.
//!
//! Source of the rules: Delta Lake, "Table streaming reads and writes"; `DeltaSource.validateCommitAndDecideAction`.

use super::scan::DataFile;
use deltalake::kernel::Action;
use tidemill_core::{Error, Kind, Options, Result};

/// What the user lets pass.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Allowed {
    /// Commits that only delete rows bring nothing.
    pub deletes: bool,
    /// Files that were written anew are read whole, rows that did not change among them.
    pub changes: bool,
    /// Commits that change or delete rows bring nothing.
    pub skips: bool,
}

impl Allowed {
    pub fn of(options: &Options) -> Self {
        Allowed {
            deletes: options.boolean("ignore_deletes"),
            changes: options.boolean("ignore_changes"),
            skips: options.boolean("skip_change_commits"),
        }
    }
}

/// The files of commit `version` whose rows are new, in the order of the log, in the table at `place`.
///
/// # Errors
/// It deletes or changes rows, and the user did not say what is to become of them.
pub(super) fn new_files(version: u64, actions: Vec<Action>, allowed: Allowed, place: &str) -> Result<Vec<DataFile>> {
    let (mut files, mut removed, mut operation) = (Vec::new(), None, None);
    for action in actions {
        match action {
            // files that were only put together anew hold no new rows
            Action::Add(add) if add.data_change => files.push(DataFile::of(&add)),
            Action::Remove(remove) if remove.data_change => {
                removed.get_or_insert(remove.path);
            }
            Action::CommitInfo(info) => operation = info.operation,
            _ => {}
        }
    }
    let Some(path) = removed else { return Ok(files) };
    if allowed.skips {
        return Ok(Vec::new());
    }
    let passes = allowed.changes || (files.is_empty() && allowed.deletes);
    if passes {
        return Ok(files);
    }
    let by = operation.map(|operation| format!(" ({operation})")).unwrap_or_default();
    let (class, what, help) = match files.is_empty() {
        true => (
            "DELTA_SOURCE_IGNORE_DELETE",
            "deletes rows",
            "set ignore_deletes = 'true' to pass over commits that only delete, or start with a new checkpoint",
        ),
        false => (
            "DELTA_SOURCE_TABLE_IGNORE_CHANGES",
            "changes or deletes rows",
            "set skip_change_commits = 'true' to pass over such commits, or ignore_changes = 'true' to read the \
             files they write whole (rows that did not change come again), or start with a new checkpoint",
        ),
    };
    Err(Error::new(
        Kind::Data,
        format!(
            "version {version}{by} of the delta table at {place} {what}, such as those of '{path}': a stream \
                 brings new rows only"
        ),
    )
    .class(class)
    .help(help))
}

#[cfg(test)]
mod tests {
    use super::*;
    use deltalake::logstore::get_actions;

    const APPEND: &str =
        r#"{"add":{"path":"new","partitionValues":{},"size":1,"modificationTime":0,"dataChange":true}}"#;
    const DELETE: &str = r#"{"remove":{"path":"old","deletionTimestamp":0,"dataChange":true}}"#;

    fn commit(lines: &[&str], allowed: Allowed) -> Result<Vec<String>> {
        let actions = get_actions(7, &lines.join("\n").into()).unwrap();
        Ok(new_files(7, actions, allowed, "t")?.into_iter().map(|file| file.path).collect())
    }

    #[test]
    fn compaction_brings_nothing() {
        let still = |line: &str| line.replace(r#""dataChange":true"#, r#""dataChange":false"#);
        assert_eq!(commit(&[APPEND], Allowed::default()).unwrap(), ["new"]);
        assert!(commit(&[&still(APPEND), &still(DELETE)], Allowed::default()).unwrap().is_empty());
    }

    #[test]
    fn deletes_and_changes_stop_unless_the_user_says_what_becomes_of_them() {
        let (deletes, changes, skips) = (
            Allowed { deletes: true, ..Allowed::default() },
            Allowed { changes: true, ..Allowed::default() },
            Allowed { skips: true, ..Allowed::default() },
        );
        let info = r#"{"commitInfo":{"operation":"DELETE"}}"#;
        let error = commit(&[info, DELETE], Allowed::default()).unwrap_err();
        assert_eq!(error.error_class(), Some("DELTA_SOURCE_IGNORE_DELETE"));
        assert!(error.to_string().starts_with("version 7 (DELETE) of the delta table at t deletes rows"), "{error}");
        for allowed in [deletes, changes, skips] {
            assert!(commit(&[DELETE], allowed).unwrap().is_empty());
        }
        for allowed in [Allowed::default(), deletes] {
            let error = commit(&[APPEND, DELETE], allowed).unwrap_err();
            assert_eq!(error.error_class(), Some("DELTA_SOURCE_TABLE_IGNORE_CHANGES"));
        }
        assert_eq!(commit(&[APPEND, DELETE], changes).unwrap(), ["new"]);
        assert!(commit(&[APPEND, DELETE], skips).unwrap().is_empty());
    }
}
