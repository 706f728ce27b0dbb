//! The answer of `tidemill plan`: what a query would do with the state of a checkpoint. Nothing is connected to,
//! and the checkpoint is only read: it may belong to a query that runs.

use super::compare::Fate;
use super::saved::Saved;
use super::settle::{Change, change, first};
use crate::checkpoint::journal::segments;
use crate::checkpoint::metadata::Metadata;
use crate::checkpoint::place::Place;
use crate::checkpoint::record::Record;
use crate::pipeline::plan::inner_schema;
use crate::pipeline::query::Query;
use arrow::record_batch::RecordBatch;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use tidemill_core::{Clock, Result};

/// What a start would do with a checkpoint.
#[derive(Debug, Clone, Serialize)]
pub struct StatePlan {
    /// The query.
    pub query: String,
    /// Where the checkpoint is.
    pub checkpoint: String,
    /// False when there is none yet: everything is new.
    pub exists: bool,
    /// The newest committed epoch.
    pub committed: Option<u64>,
    /// True when the start loses state and so needs to be approved.
    pub needs_approval: bool,
    /// The store that has the state, and its bytes; `None` for files.
    pub store: Option<(String, u64)>,
    /// The stateful operators.
    pub operators: Vec<OperatorPlan>,
    /// The source tables.
    pub sources: Vec<SourcePlan>,
}

/// What becomes of one operator's state.
#[derive(Debug, Clone, Serialize)]
pub struct OperatorPlan {
    /// Its name in the checkpoint from now on.
    pub id: String,
    /// The name whose state it has or had.
    pub was: Option<String>,
    /// What becomes of it.
    pub fate: Fate,
    /// True when state is lost.
    pub loses_state: bool,
    /// Bytes on disk; `None` when a store has it together with that of others, or there is none.
    pub bytes: Option<u64>,
    /// What it is now; for one that is gone, what it was.
    pub layout: String,
    /// Why, for people.
    pub why: String,
}

/// What becomes of the position in a source table.
#[derive(Debug, Clone, Serialize)]
pub struct SourcePlan {
    /// The table.
    pub table: String,
    /// What becomes of it.
    pub fate: Fate,
}

/// Says what a start of the query would do with the state of a checkpoint. What is in an object store is read into a
/// directory of its own, which is removed again: the working copy may be in use.
///
/// # Errors
/// The checkpoint is damaged or that of another pipeline; its store does not answer.
pub async fn plan(query: &Query, place: &Place, clock: &Arc<dyn Clock>) -> Result<StatePlan> {
    let own = place.directory.with_extension(format!("plan-{}", uuid::Uuid::new_v4().simple()));
    let Some(remote) = place.remote(clock, &own) else {
        let known = Metadata::read(&place.directory)?;
        let records = match known {
            Some(_) => segments::read(&place.directory.join("journal"))?,
            None => vec![],
        };
        return told(query, place, &place.directory, known, &records);
    };
    let held = remote.read().await;
    let planned = held.and_then(|held| told(query, place, &own, held.metadata, &held.records));
    // nothing of it is needed; what stays of a failure takes room only
    let _ = std::fs::remove_dir_all(&own);
    planned
}

fn told(
    query: &Query,
    place: &Place,
    directory: &Path,
    known: Option<Metadata>,
    records: &[Record],
) -> Result<StatePlan> {
    let mut flow = crate::start::lowered(query, &|_, _, attributes| {
        // what tables hold does not matter to the state's form
        Ok(RecordBatch::new_empty(inner_schema(attributes)))
    })?;
    let saved = Saved::of(directory, records)?;
    let exists = known.is_some();
    let known = match known {
        Some(known) => known,
        None => Metadata { operators: Default::default(), ..first(query, &mut flow)? },
    };
    let change = change(query, &mut flow, &known, &saved, directory)?;
    Ok(StatePlan {
        query: query.name.clone(),
        checkpoint: place.name(),
        exists,
        committed: saved.committed.map(|epoch| epoch.0),
        needs_approval: !change.losses().is_empty(),
        store: saved.store().map(|store| (store.to_owned(), saved.store_bytes().unwrap_or(0))),
        operators: operators(&change, &known, &saved),
        sources: change.sources.iter().map(|(table, fate)| SourcePlan { table: table.clone(), fate: *fate }).collect(),
    })
}

fn operators(change: &Change, known: &Metadata, saved: &Saved) -> Vec<OperatorPlan> {
    let each = change.verdicts.iter().map(|verdict| {
        let was = verdict.was.as_ref();
        let layout = match verdict.now {
            Some(place) => Some(&change.operators[place].layout),
            None => was.and_then(|was| known.operators.get(was)),
        };
        OperatorPlan {
            id: verdict.id.clone(),
            was: verdict.was.clone(),
            fate: verdict.fate,
            loses_state: verdict.loses,
            bytes: was.and_then(|was| saved.bytes(was)),
            layout: layout.cloned().unwrap_or_default(),
            why: verdict.why.clone(),
        }
    });
    each.collect()
}
