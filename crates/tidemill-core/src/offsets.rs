//! Positions in a source: ordered, by split. A split is whatever the source counts on its own: a
//! Kafka partition, a file, a partition of the embedded log.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Name of a split within its source: `events-0` (topic and partition) or a file's path.
pub type Split = Arc<str>;

/// How far each split has been read: the position of the *next* record (or byte, for files).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offsets(pub BTreeMap<Split, u64>);

impl Offsets {
    /// Position of `split`, if it has been seen.
    pub fn get(&self, split: &str) -> Option<u64> {
        self.0.get(split).copied()
    }

    /// Moves every split of `ranges` to the end of its range.
    pub fn advance(&mut self, ranges: &[SplitRange]) {
        for range in ranges {
            self.0.insert(range.split.clone(), range.to);
        }
    }
}

/// A piece of a split, `from` inclusive to `to` exclusive. What an epoch reads, pinned in its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRange {
    /// The split.
    pub split: Split,
    /// First position to read.
    pub from: u64,
    /// Position after the last one to read.
    pub to: u64,
    /// What must still be true of the split when the range is read again, in the source's own
    /// words: size and time of a file, identity of a topic. Empty when nothing can be checked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tag: String,
}

impl SplitRange {
    /// A range without a tag.
    pub fn new(split: impl Into<Split>, from: u64, to: u64) -> Self {
        SplitRange { split: split.into(), from, to, tag: String::new() }
    }

    /// Positions in the range.
    pub fn len(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// True when there is nothing to read. An empty file is such a range, and still new data.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for SplitRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}..{}]", self.split, self.from, self.to)
    }
}
