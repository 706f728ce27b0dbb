//! What a table holds now: its files, and the newest epochs of its writers. Kept up commit by commit, so
//! that nothing has to be read again from the beginning of the log.

use deltalake::kernel::{Action, Add, Remove};
use deltalake::table::state::DeltaTableState;
use std::collections::{BTreeMap, HashMap};

/// Files and epochs as of the newest version known.
#[derive(Default)]
pub(crate) struct Live {
    files: BTreeMap<String, Add>,
    /// Epochs of the commits since the log was read whole.
    epochs: HashMap<String, i64>,
    /// Files that were added since the table was opened.
    added: u64,
}

impl Live {
    /// The files of a table that was read whole.
    pub(crate) fn of(state: &DeltaTableState, added: u64) -> Live {
        let data = state.log_data();
        // the replacement that the library names (its own Arrow columns) holds neither tags nor vectors
        #[allow(deprecated, reason = "the one way to get a whole add action")]
        let adds = data.iter().map(|file| file.add_action());
        let files = adds.map(|add| (add.path.clone(), add)).collect();
        Live { files, epochs: HashMap::new(), added }
    }

    /// Takes in a commit. False when it changed more than files and epochs.
    pub(crate) fn apply(&mut self, actions: &[Action]) -> bool {
        let mut is_known = true;
        for action in actions {
            match action {
                Action::Remove(remove) => {
                    self.files.remove(&remove.path);
                }
                Action::Metadata(_) | Action::Protocol(_) => is_known = false,
                _ => {}
            }
        }
        // a commit may remove a file and add it again, with another deletion vector
        for action in actions {
            match action {
                Action::Add(add) => {
                    self.added += 1;
                    self.files.insert(add.path.clone(), add.clone());
                }
                Action::Txn(txn) => {
                    self.epochs.insert(txn.app_id.clone(), txn.version);
                }
                _ => {}
            }
        }
        is_known
    }

    /// The table's files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Add> {
        self.files.values()
    }

    /// Number of files.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    /// True when the table holds exactly this file.
    pub(crate) fn holds(&self, add: &Add) -> bool {
        self.files.get(&add.path).is_some_and(|own| own.deletion_vector == add.deletion_vector)
    }

    /// Newest epoch of an application among the commits since the log was read whole.
    pub(crate) fn epoch(&self, app_id: &str) -> Option<i64> {
        self.epochs.get(app_id).copied()
    }

    /// Files that were added since the table was opened.
    pub(crate) fn added(&self) -> u64 {
        self.added
    }
}

/// What removes a file. `is_change` is false when its rows are in files that the same commit adds.
pub(crate) fn removal(add: &Add, now_millis: i64, is_change: bool) -> Action {
    Action::Remove(Remove {
        path: add.path.clone(),
        data_change: is_change,
        deletion_timestamp: Some(now_millis),
        extended_file_metadata: Some(true),
        partition_values: Some(add.partition_values.clone()),
        size: Some(add.size),
        tags: add.tags.clone(),
        deletion_vector: add.deletion_vector.clone(),
        base_row_id: add.base_row_id,
        default_row_commit_version: add.default_row_commit_version,
    })
}
