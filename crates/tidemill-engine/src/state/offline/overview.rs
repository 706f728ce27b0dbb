//! What state a checkpoint has: its operators, how much each holds, when it last changed.

use super::saved::{SavedState, committed};
use crate::checkpoint::journal::segments;
use crate::checkpoint::metadata::Metadata;
use crate::checkpoint::record::Record;
use crate::evolve::saved::Saved;
use crate::pipeline::query::Query;
use crate::state::home::StateBackends;
use serde::Serialize;
use std::path::Path;
use tidemill_core::{Epoch, Result};

/// The state of a checkpoint.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// Directory of the checkpoint.
    pub checkpoint: String,
    /// The pipeline it belongs to.
    pub pipeline: String,
    /// The newest committed epoch.
    pub committed: Option<u64>,
    /// The epoch whose state can be read; `None` when there is no snapshot and the pipeline is not named.
    pub epoch: Option<u64>,
    /// Where the state is: `memory`, or the name of a store.
    pub backend: String,
    /// Bytes of the whole store, when there is one.
    pub store_bytes: Option<u64>,
    /// The stateful operators.
    pub operators: Vec<OperatorState>,
}

/// The state of an operator.
#[derive(Debug, Clone, Serialize)]
pub struct OperatorState {
    /// Its number: Spark's `operatorId`.
    pub number: usize,
    /// Its name.
    pub id: String,
    /// What it is: `aggregate`, `session`, `join`, ...
    pub kind: String,
    /// The columns that are its key.
    pub keys: Vec<String>,
    /// What it keeps.
    pub layout: String,
    /// Rows; `None` when the state cannot be read.
    pub rows: Option<u64>,
    /// Bytes on disk: its file and the changes since; `None` when it shares a store.
    pub bytes: Option<u64>,
    /// The last epoch that changed it, as far as the journal goes back.
    pub last_epoch: Option<u64>,
}

/// Reads what there is to say of a checkpoint's state.
///
/// # Errors
/// There is no checkpoint, it is damaged, or it does not fit the query.
pub fn overview(directory: &Path, query: Option<&Query>, backends: &StateBackends) -> Result<Overview> {
    let metadata = Metadata::read(directory)?.ok_or_else(|| Metadata::missing(directory))?;
    let records = segments::read(&directory.join("journal"))?;
    let saved = Saved::of(directory, &records)?;
    let mut state = match query.is_some() || saved.has_snapshot() {
        true => Some(SavedState::open(directory, query, None, backends)?),
        false => None,
    };
    let metadata = state.as_ref().map_or(metadata, |state| state.metadata.clone());
    let mut operators = vec![];
    for (number, (id, layout)) in metadata.operators.iter().enumerate() {
        let identity = metadata.identities.get(id).map(|remembered| &remembered.identity);
        let changed =
            records.iter().filter(|record| matches!(record, Record::Changes { operator, .. } if operator == id));
        operators.push(OperatorState {
            number,
            id: id.clone(),
            kind: identity.map_or_else(String::new, |identity| identity.kind.clone()),
            keys: identity.map_or_else(Vec::new, |identity| identity.keys.clone()),
            layout: layout.clone(),
            rows: state.as_mut().map(|state| state.count(id)).transpose()?,
            bytes: saved.bytes(id),
            last_epoch: changed.map(Record::epoch).max().map(|epoch: Epoch| epoch.0),
        });
    }
    Ok(Overview {
        checkpoint: directory.display().to_string(),
        pipeline: metadata.pipeline.clone(),
        committed: committed(directory)?.map(|epoch| epoch.0),
        epoch: state.as_ref().map(|state| state.epoch.0),
        backend: saved.store().unwrap_or("memory").to_owned(),
        store_bytes: saved.store_bytes(),
        operators,
    })
}
