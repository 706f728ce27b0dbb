//! Everything that is outside a process: the journal, the sinks, the lock of the checkpoint.

use super::writer::Writer;
use std::collections::BTreeMap;

/// A range of rows that an epoch reads: rows have numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The epoch.
    pub epoch: u8,
    /// Its first row.
    pub from: u8,
    /// The row after its last.
    pub to: u8,
}

impl Plan {
    /// True when it reads something, so that sinks get it.
    pub fn has_rows(&self) -> bool {
        self.from < self.to
    }
}

/// A record of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Record {
    /// Before an epoch.
    Plan(Plan),
    /// After it, with the newest epoch that each sink got.
    Commit(u8, Vec<Option<u8>>),
}

/// What a sink can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SinkKind {
    /// Rows and marker in one atomic write; refuses an epoch it holds.
    Marker,
    /// No marker; a row that is written again replaces itself.
    Idempotent,
}

/// A sink.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sink {
    /// What it can do.
    pub kind: SinkKind,
    /// The writes it holds, in order.
    pub writes: Vec<Plan>,
    /// The newest epoch, as it says itself.
    pub marker: Option<u8>,
}

impl Sink {
    /// An empty one.
    pub fn new(kind: SinkKind) -> Self {
        Sink { kind, writes: vec![], marker: None }
    }

    /// How often it holds a row.
    pub fn count(&self, row: u8) -> usize {
        let count = self.writes.iter().filter(|plan| (plan.from..plan.to).contains(&row)).count();
        if self.kind == SinkKind::Idempotent { count.min(1) } else { count }
    }
}

/// All there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// Records that are durable.
    pub journal: Vec<Record>,
    /// Records that are written and may be lost with the machine: none, unless a bug has it so.
    pub unsynced: Vec<Record>,
    /// The sinks.
    pub sinks: Vec<Sink>,
    /// Two processes.
    pub writers: [Writer; 2],
    /// The process that holds the checkpoint.
    pub lock: Option<usize>,
    /// Crashes that may still come.
    pub crashes: u8,
    /// Answers that may still be lost.
    pub lost_answers: u8,
    /// Losses of sinks that may still come.
    pub losses: u8,
}

/// The journal as a start reads it: a later record of an epoch replaces an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Known {
    /// Plans by epoch.
    pub plans: BTreeMap<u8, Plan>,
    /// Newest epoch of each sink, by committed epoch.
    pub commits: BTreeMap<u8, Vec<Option<u8>>>,
    /// What each sink says.
    pub markers: Vec<Option<u8>>,
}

impl World {
    /// What a start reads now.
    pub fn known(&self) -> Known {
        let mut known = Known { markers: self.sinks.iter().map(|sink| sink.marker).collect(), ..Known::default() };
        for record in self.journal.iter().chain(&self.unsynced) {
            match record {
                Record::Plan(plan) => {
                    known.plans.insert(plan.epoch, *plan);
                }
                Record::Commit(epoch, sinks) => {
                    known.commits.insert(*epoch, sinks.clone());
                }
            }
        }
        known
    }

    /// What no world may show: a row twice in a sink.
    pub fn doubled(&self) -> Option<String> {
        let last = self.sinks.iter().flat_map(|sink| &sink.writes).map(|plan| plan.to).max()?;
        (0..last).find_map(|row| {
            let number = self.sinks.iter().position(|sink| sink.count(row) > 1)?;
            Some(format!("row {row} is twice in sink {number}"))
        })
    }

    /// What must hold when everything before `row` is behind a process: each of these rows is in every sink.
    pub fn lost(&self, row: u8) -> Option<String> {
        (0..row).find_map(|row| {
            let number = self.sinks.iter().position(|sink| sink.count(row) == 0)?;
            Some(format!("row {row} is behind the query and not in sink {number}"))
        })
    }
}
