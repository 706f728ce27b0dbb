//! Another parallelism for a query that runs, between two of its epochs. Operators get other partitions and inputs are
//! handed out otherwise; sources, sinks, watermarks and the checkpoint do not notice. In memory rows move from the old
//! partitions to the new ones; in a store they stay where they are, since partitions are ranges of key groups.
//!
//! It is not remembered: the next start has what the pipeline says.

use crate::dataflow::KeyedStep;
use crate::dataflow::execute::Workers;
use crate::evolve::saved::Saved;
use crate::evolve::settle;
use crate::operator::aggregate::accumulator::Scope;
use crate::pipeline::plan::Attribute;
use crate::run::Running;
use crate::start::lowered_to;
use crate::state::groups::KEY_GROUPS;
use tidemill_core::{Error, Kind, Result};

/// Most partitions a query can be given while it runs: state in a store has so many key groups.
pub const PARALLELISM_MAX: usize = KEY_GROUPS as usize;

/// Refuses a parallelism that no query can have.
///
/// # Errors
/// It is 0, or more than [`PARALLELISM_MAX`].
pub fn check(parallelism: usize) -> Result<()> {
    match (1..=PARALLELISM_MAX).contains(&parallelism) {
        true => Ok(()),
        false => Err(Error::new(Kind::Usage, format!("a query cannot have the parallelism {parallelism}"))
            .help(format!("ask for 1 to {PARALLELISM_MAX}"))),
    }
}

impl Running {
    /// Does what somebody has asked for, if anybody has. What the last epoch changed has been taken from the operators.
    pub(crate) fn rescale_if_asked(&mut self) -> Result<()> {
        let Some(wanted) = self.signals.rescale_asked() else { return Ok(()) };
        tokio::task::block_in_place(|| self.rescale(wanted))?;
        tracing::info!(query = %self.name, parallelism = wanted, "rescaled");
        self.signals.rescaled(wanted);
        Ok(())
    }

    fn rescale(&mut self, partitions: usize) -> Result<()> {
        let tables = &self.tables;
        let rows_of = |name: &str, columns: &[usize], attributes: &[Attribute]| tables.rows(name, columns, attributes);
        let mut flow = lowered_to(&self.query, partitions, &rows_of)?;
        // the same operators in the same order: named as the checkpoint has them
        let (directory, metadata) = (&self.checkpoint.directory, &self.checkpoint.metadata);
        let saved = Saved::of(directory, &[])?;
        let change = settle::change(&self.query, &mut flow, metadata, &saved, directory)?;
        settle::settle(&self.query, &mut flow, metadata.clone(), &change, None);
        if let Some(home) = &self.resumed.home {
            home.take(&mut flow, &|_, _| Err(Error::bug("stored state has changed its columns")))?;
        }
        let in_memory = self.resumed.home.is_none();
        for (part, wider) in self.flow.parts.iter_mut().zip(&mut flow.parts) {
            for (step, wider) in part.keyed().zip(wider.keyed()) {
                replace(step, wider, in_memory)?;
            }
        }
        self.workers = Workers::new(partitions)?;
        Ok(())
    }
}

/// Gives a step the partitions of another one, with its own rows in them.
fn replace(step: &mut KeyedStep, other: &mut KeyedStep, moves_rows: bool) -> Result<()> {
    if step.name != other.name || step.inputs.len() != other.inputs.len() {
        return Err(Error::bug(format!("the operator {} has become {}", step.name, other.name)));
    }
    // one without a key has one partition, however many there are
    if step.partitions.len() == other.partitions.len() {
        return Ok(());
    }
    if moves_rows {
        for partition in &mut step.partitions {
            other.put_back(partition.state().whole()?, Scope::Whole)?;
            partition.state().clear()?;
        }
    }
    std::mem::swap(&mut step.partitions, &mut other.partitions);
    for (input, other) in step.inputs.iter_mut().zip(&mut other.inputs) {
        std::mem::swap(&mut input.exchange, &mut other.exchange);
    }
    Ok(())
}
