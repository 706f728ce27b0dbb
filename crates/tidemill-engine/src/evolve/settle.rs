//! Gives operators and parts of a query the names and places they have in its checkpoint.

use super::calls::{Before, Changed};
use super::compare::{Facts, Fate, Known, Verdict, compare};
use super::identity::{Identity, Operator, operators, part_names};
use super::saved::Saved;
use crate::checkpoint::metadata::{FORMAT, Metadata, Remembered};
use crate::dataflow::{Dataflow, KeyedStep, Part, Step};
use crate::operator::aggregate::accumulator::AggregateFunction;
use crate::pipeline::plan::Node;
use crate::pipeline::query::Query;
use crate::watermark::WatermarkTracker;
use arrow::record_batch::RecordBatch;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tidemill_core::sink::OutputMode;
use tidemill_core::{Epoch, Error, Incarnation, Result, types};

/// What a changed query means for a checkpoint.
pub struct Change {
    /// The operators as they are now.
    pub operators: Vec<Operator>,
    /// What becomes of each operator, as it was and as it is.
    pub verdicts: Vec<Verdict>,
    /// What becomes of the position in each source table.
    pub sources: Vec<(String, Fate)>,
}

impl Change {
    /// What the checkpoint would lose, in words.
    pub fn losses(&self) -> Vec<String> {
        let operators = self.verdicts.iter().filter(|verdict| verdict.loses);
        let operators =
            operators.map(|verdict| format!("{} ({}: {})", verdict.was_called(), verdict.fate.word(), verdict.why));
        let sources = self.sources.iter().filter(|(_, fate)| *fate == Fate::Dropped);
        operators.chain(sources.map(|(table, _)| format!("how far the table {table} has been read"))).collect()
    }

    /// Refuses a change that loses state unless the user has approved it.
    ///
    /// # Errors
    /// It loses state.
    pub fn check_approved(&self, is_approved: bool, directory: &Path) -> Result<()> {
        let losses = self.losses();
        if is_approved || losses.is_empty() {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the checkpoint {} does not fit this pipeline without losing state: {}",
            directory.display(),
            losses.join("; ")
        ))
        .help(
            "`tidemill plan` shows all of it; run with --approve to let that state go, or give the changed pipeline a \
             new checkpoint directory",
        ))
    }
}

impl Verdict {
    /// The name people know it by.
    pub fn was_called(&self) -> &str {
        self.was.as_deref().unwrap_or(&self.id)
    }
}

/// What the query as it is now means for the state of a checkpoint.
///
/// # Errors
/// The checkpoint is that of another pipeline; a hint that fits nothing.
pub fn change(query: &Query, flow: &mut Dataflow, known: &Metadata, saved: &Saved, directory: &Path) -> Result<Change> {
    if known.pipeline != query.name {
        return Err(Error::invalid(format!(
            "the checkpoint {} does not fit this pipeline: it belongs to the pipeline '{}', this one is '{}'",
            directory.display(),
            known.pipeline,
            query.name
        ))
        .help("give the pipeline a checkpoint directory of its own"));
    }
    let operators = operators(query, flow);
    let knowns = known.operators.iter().map(|(id, layout)| {
        let identity = known.identities.get(id).map(|remembered| remembered.identity.clone());
        (id.clone(), Known { layout: layout.clone(), identity })
    });
    let facts = Facts {
        retired: known.retired.clone(),
        moved: query.session.settings.state_moved()?,
        store: saved.store().map(str::to_owned),
    };
    let mut verdicts = compare(&knowns.collect(), &operators, &facts)?;
    for verdict in verdicts.iter_mut().filter(|verdict| verdict.fate == Fate::Kept) {
        let Some(operator) = verdict.now.map(|place| &operators[place]) else { continue };
        if let Some(step) = step(flow, operator) {
            look_at_columns(verdict, step, saved);
        }
    }
    let now: Vec<&String> = query.sources.iter().map(|source| &source.name).collect();
    let mut sources: Vec<(String, Fate)> = now
        .iter()
        .map(|name| ((*name).clone(), if known.sources.contains(*name) { Fate::Kept } else { Fate::New }))
        .collect();
    let gone = known.sources.iter().filter(|name| !now.contains(name));
    sources.extend(gone.map(|name| (name.clone(), Fate::Dropped)));
    Ok(Change { operators, verdicts, sources })
}

/// An operator that describes its own columns may have others now: those of arbitrary state.
fn look_at_columns(verdict: &mut Verdict, step: &KeyedStep, saved: &Saved) {
    let Some(partition) = step.partitions.first() else { return };
    let (Some(was), now) = (saved.schema(&verdict.id), partition.shape().schema) else { return };
    let types = |schema: &arrow::datatypes::Schema| -> Vec<(String, String)> {
        schema.fields().iter().map(|field| (field.name().clone(), types::name(field.data_type()))).collect()
    };
    let (before, after) = (types(&was), types(&now));
    if before == after {
        return;
    }
    let changed = after.iter().filter(|field| !before.contains(field)).map(|(name, of)| {
        match before.iter().find(|(known, _)| known == name) {
            Some((_, was)) => format!("{name} {was} becomes {of}"),
            None => format!("{name} {of} added"),
        }
    });
    let changed: Vec<String> = changed.collect();
    match partition.migrated(&RecordBatch::new_empty(was), &verdict.id) {
        Ok(_) => (verdict.fate, verdict.why) = (Fate::Migrated, changed.join("; ")),
        // the processor says itself what to do, and refuses to start until it is done
        Err(error) => {
            let advice = error.help_text().map(|help| format!("; {help}")).unwrap_or_default();
            (verdict.fate, verdict.loses, verdict.why) = (Fate::Rebuilt, true, error.chain() + &advice);
        }
    }
}

fn step<'a>(flow: &'a Dataflow, operator: &Operator) -> Option<&'a KeyedStep> {
    match flow.parts.get(operator.part)?.steps.get(operator.step)? {
        Step::Keyed(step) => Some(step),
        _ => None,
    }
}

/// The metadata of a checkpoint without a past.
///
/// # Errors
/// A bug.
pub fn first(query: &Query, flow: &mut Dataflow) -> Result<Metadata> {
    let operators = operators(query, flow);
    let verdicts = compare(&BTreeMap::new(), &operators, &Facts::default())?;
    let change = Change { operators, verdicts, sources: vec![] };
    let nothing = Metadata {
        format: FORMAT,
        pipeline: query.name.clone(),
        incarnation: Incarnation::mint(),
        made_by: format!("tidemill {}", env!("CARGO_PKG_VERSION")),
        operators: BTreeMap::new(),
        sources: vec![],
        identities: BTreeMap::new(),
        parts: vec![],
        retired: BTreeSet::new(),
    };
    Ok(settle(query, flow, nothing, &change, None).0)
}

/// Names the operators of a query as its checkpoint does and puts its parts where they were; gives what the
/// checkpoint has to remember, and the aggregates whose older state has to be adapted.
pub fn settle(
    query: &Query,
    flow: &mut Dataflow,
    known: Metadata,
    change: &Change,
    committed: Option<Epoch>,
) -> (Metadata, BTreeMap<String, Changed>) {
    let mut metadata = Metadata {
        operators: BTreeMap::new(),
        identities: BTreeMap::new(),
        sources: query.sources.iter().map(|source| source.name.clone()).collect(),
        ..known.clone()
    };
    let mut adapted = BTreeMap::new();
    for verdict in &change.verdicts {
        if let (Fate::Rebuilt | Fate::Dropped, Some(was)) = (verdict.fate, &verdict.was) {
            metadata.retired.insert(was.clone());
        }
        let Some(operator) = verdict.now.map(|place| &change.operators[place]) else { continue };
        let past = known.identities.get(&verdict.id).filter(|_| verdict.was.as_ref() == Some(&verdict.id));
        let before = past.map(|past| history(past, &operator.identity, verdict.fate, committed)).unwrap_or_default();
        let functions = rename(flow, operator, &verdict.id);
        if let (false, Some(functions)) = (before.is_empty(), functions) {
            let now = operator.identity.calls.clone();
            adapted.insert(verdict.id.clone(), Changed { before: before.clone(), now, functions });
        }
        metadata.operators.insert(verdict.id.clone(), operator.layout.clone());
        let identity = operator.identity.clone();
        metadata.identities.insert(verdict.id.clone(), Remembered { identity, before });
    }
    metadata.parts = place_parts(query, flow, known.parts);
    (metadata, adapted)
}

/// The functions an operator had, when some of its state may be of others than it has now.
fn history(past: &Remembered, now: &Identity, fate: Fate, committed: Option<Epoch>) -> Vec<Before> {
    let mut before = past.before.clone();
    match fate {
        Fate::Migrated if past.identity.calls != now.calls => {
            before.push(Before { until: committed, calls: past.identity.calls.clone() });
        }
        // called otherwise by a hint, and the same: so were they in the past
        Fate::Kept => {
            for (was, is) in past.identity.calls.iter().zip(&now.calls) {
                let all = before.iter_mut().flat_map(|before| &mut before.calls);
                all.filter(|call| *call == was).for_each(|call| call.clone_from(is));
            }
        }
        _ => {}
    }
    before
}

/// Names a step; gives the functions of one that is an aggregate.
fn rename(flow: &mut Dataflow, operator: &Operator, id: &str) -> Option<Vec<Arc<dyn AggregateFunction>>> {
    let part = flow.parts.get_mut(operator.part)?;
    let Step::Keyed(step) = part.steps.get_mut(operator.step)? else { return None };
    let origin = part.origins.iter_mut().find(|(name, _)| *name == step.name)?;
    id.clone_into(&mut origin.0);
    id.clone_into(&mut step.name);
    match &origin.1.node {
        Node::Aggregate { calls, .. } => Some(calls.iter().map(|call| call.function.clone()).collect()),
        _ => None,
    }
}

/// Puts parts in the order the checkpoint has them, new ones last: records tell watermarks by this place. Where a
/// part is gone an empty one stands, so that no other takes its watermark.
fn place_parts(query: &Query, flow: &mut Dataflow, known: Vec<String>) -> Vec<String> {
    let now = part_names(query, flow);
    let mut parts: Vec<Option<Part>> = std::mem::take(&mut flow.parts).into_iter().map(Some).collect();
    // checkpoints of the first versions have them as they were built
    let mut names = if known.is_empty() { now.clone() } else { known };
    names.extend(now.iter().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>());
    for name in &names {
        let part = now.iter().position(|known| known == name).and_then(|place| parts[place].take());
        flow.parts.push(part.unwrap_or_else(|| Part {
            mode: OutputMode::Append,
            steps: vec![],
            outputs: vec![],
            sets_aside: false,
            watermark: WatermarkTracker::default(),
            origins: vec![],
        }));
    }
    names
}
