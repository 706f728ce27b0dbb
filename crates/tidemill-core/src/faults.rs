//! The steps of an epoch by name, and who may break them. A program that ships breaks none; tests kill,
//! stop or fail it at a step, and the model of the commit protocol crashes at the same ones.
//!
//! Must not contain: what to do at a step. That belongs to whoever tests.

use crate::error::Result;
use std::fmt;

/// A step of the life of an epoch, or of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The epoch is planned, nothing of it is on disk.
    Planned,
    /// Half of the plan's record is written.
    PlanTorn,
    /// The plan is durable.
    PlanLogged,
    /// The rows are read, nothing is computed.
    Executing,
    /// The state holds the epoch, no sink does.
    StatePut,
    /// A sink is about to write, or writes.
    SinkStaging,
    /// A sink has committed, the journal does not know.
    SinkCommitted,
    /// Half of the commit's record is written.
    CommitTorn,
    /// The files of a snapshot are there, its manifest is not.
    SnapshotTorn,
    /// The snapshot is durable, the journal is not rolled.
    SnapshotTaken,
    /// Some of what is no longer needed is removed, not all.
    Forgetting,
    /// A start has decided what to do, or has done part of it.
    Recovering,
}

impl Step {
    /// All of them, in the order of an epoch.
    pub const ALL: [Step; 12] = [
        Step::Planned,
        Step::PlanTorn,
        Step::PlanLogged,
        Step::Executing,
        Step::StatePut,
        Step::SinkStaging,
        Step::SinkCommitted,
        Step::CommitTorn,
        Step::SnapshotTorn,
        Step::SnapshotTaken,
        Step::Forgetting,
        Step::Recovering,
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Step::Planned => "planned",
            Step::PlanTorn => "plan-torn",
            Step::PlanLogged => "plan-logged",
            Step::Executing => "executing",
            Step::StatePut => "state-put",
            Step::SinkStaging => "sink-staging",
            Step::SinkCommitted => "sink-committed",
            Step::CommitTorn => "commit-torn",
            Step::SnapshotTorn => "snapshot-torn",
            Step::SnapshotTaken => "snapshot-taken",
            Step::Forgetting => "forgetting",
            Step::Recovering => "recovering",
        }
    }

    /// The step of this word.
    pub fn parse(word: &str) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.word() == word)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

/// Hears of every step, and may break it.
pub trait Faults: fmt::Debug + Send + Sync {
    /// A query is at a step.
    ///
    /// # Errors
    /// The step is to fail.
    fn at(&self, query: &str, step: Step) -> Result<()>;

    /// True when the next write at this step is to be made in two halves, with [`Faults::at`] between them.
    fn tears(&self, query: &str, step: Step) -> bool;
}

/// Breaks nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn at(&self, _query: &str, _step: Step) -> Result<()> {
        Ok(())
    }

    fn tears(&self, _query: &str, _step: Step) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for step in Step::ALL {
            assert_eq!(Step::parse(step.word()), Some(step));
        }
        assert_eq!(Step::parse("never"), None);
    }
}
