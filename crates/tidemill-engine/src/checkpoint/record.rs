//! The records of the journal.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidemill_core::{Epoch, Offsets, Split, SplitRange};

/// What an epoch will do, pinned before it does anything: from here it is deterministic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// The epoch.
    pub epoch: Epoch,
    /// The epoch's instant, in microseconds.
    pub timestamp: i64,
    /// What is read, by source table.
    pub ranges: BTreeMap<String, Vec<SplitRange>>,
    /// False for an epoch that is run only because the watermark has moved.
    pub has_data: bool,
    /// The watermarks of every part.
    pub watermarks: Vec<PlannedWatermark>,
    /// What is seen of the tables that are followed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, Offsets>,
    /// The file of the replay log that is read as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<u64>,
    /// Records that are set aside unread, because they end the process: found after an epoch has done that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crashed: Vec<CrashedRecord>,
    /// Rows that sinks have refused for good: they are left out when the epoch is run again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedRow>,
}

/// A row that a sink refuses for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRow {
    /// The sink's table.
    pub sink: String,
    /// Its number among the sink's rows of the epoch when it was refused. Another parallelism may number them
    /// otherwise, so what names a row is what it holds.
    pub number: u64,
    /// The row, as JSON.
    pub row: String,
    /// Why, in a word and in a sentence.
    pub code: String,
    /// The sentence.
    pub reason: String,
}

/// A record that ends the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashedRecord {
    /// The source table.
    pub table: String,
    /// The replay it comes with; 0 when it comes from the source.
    pub replay: u64,
    /// Its split.
    pub split: Split,
    /// Its position there.
    pub offset: u64,
    /// How the process ended.
    pub how: String,
}

/// The watermarks of one part in an epoch, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWatermark {
    /// Rows behind this are late: the watermark of the epoch before.
    pub late: i64,
    /// What is behind this is final.
    pub current: i64,
}

/// What an epoch has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// The epoch.
    pub epoch: Epoch,
    /// The watermark of every part after it, in milliseconds.
    pub next_watermarks: Vec<i64>,
    /// The newest epoch in which each sink got rows.
    pub sinks: BTreeMap<String, Epoch>,
}

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// Before an epoch.
    Plan(PlanRecord),
    /// Changes of one operator's state in an epoch, as columns.
    Changes { epoch: Epoch, operator: String, rows: Vec<u8> },
    /// After an epoch.
    Commit(CommitRecord),
}

impl Record {
    /// Epoch it belongs to.
    pub fn epoch(&self) -> Epoch {
        match self {
            Record::Plan(plan) => plan.epoch,
            Record::Changes { epoch, .. } => *epoch,
            Record::Commit(commit) => commit.epoch,
        }
    }
}
