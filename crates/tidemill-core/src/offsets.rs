//! Positions in a source: ordered, by split. A split is whatever the source counts on its own: a
//! Kafka partition, a file, a partition of the embedded log.
//!
//! A position is a number. Where the source knows records by other names (Kinesis by numbers of 186 bits), the
//! number counts the records that were read, and the name of the position goes beside it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Name of a split within its source: `events-0` (topic and partition) or a file's path.
pub type Split = Arc<str>;

/// How far each split has been read: the position of the *next* record (or byte, for files), and what the source
/// calls it where the number does not say that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<Split, Written>", into = "BTreeMap<Split, Written>")]
pub struct Offsets(pub BTreeMap<Split, u64>, BTreeMap<Split, String>);

/// A position as it is written: a number, or a number with its name.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Named { at: u64, name: String },
}

impl Offsets {
    /// Position of `split`, if it has been seen.
    pub fn get(&self, split: &str) -> Option<u64> {
        self.0.get(split).copied()
    }

    /// What the source calls the position of `split`; `None` when the number says it.
    pub fn name(&self, split: &str) -> Option<&str> {
        self.1.get(split).map(String::as_str)
    }

    /// Puts `split` at a position with a name; an empty one is none.
    pub fn set(&mut self, split: Split, position: u64, name: String) {
        match name.is_empty() {
            true => self.1.remove(&split),
            false => self.1.insert(split.clone(), name),
        };
        self.0.insert(split, position);
    }

    /// Moves every split of `ranges` to the end of its range.
    pub fn advance(&mut self, ranges: &[SplitRange]) {
        for range in ranges {
            self.set(range.split.clone(), range.to, range.to_name.clone());
        }
    }
}

impl From<BTreeMap<Split, u64>> for Offsets {
    fn from(positions: BTreeMap<Split, u64>) -> Self {
        Offsets(positions, BTreeMap::new())
    }
}

impl FromIterator<(Split, u64)> for Offsets {
    fn from_iter<I: IntoIterator<Item = (Split, u64)>>(positions: I) -> Self {
        Offsets::from(BTreeMap::from_iter(positions))
    }
}

impl From<BTreeMap<Split, Written>> for Offsets {
    fn from(written: BTreeMap<Split, Written>) -> Self {
        let mut offsets = Offsets::default();
        for (split, position) in written {
            match position {
                Written::Number(at) => offsets.set(split, at, String::new()),
                Written::Named { at, name } => offsets.set(split, at, name),
            }
        }
        offsets
    }
}

impl From<Offsets> for BTreeMap<Split, Written> {
    fn from(Offsets(positions, mut names): Offsets) -> Self {
        let written = |(split, at): (Split, u64)| match names.remove(&split) {
            Some(name) => (split, Written::Named { at, name }),
            None => (split, Written::Number(at)),
        };
        positions.into_iter().map(written).collect()
    }
}

/// A piece of a split, `from` inclusive to `to` exclusive. What an epoch reads, pinned in its plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What the source calls `from`; empty when the number says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from_name: String,
    /// What the source calls `to`, which the offsets keep; empty when the number says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to_name: String,
}

impl SplitRange {
    /// A range without a tag and without names.
    pub fn new(split: impl Into<Split>, from: u64, to: u64) -> Self {
        SplitRange { split: split.into(), from, to, ..SplitRange::default() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_positions_are_kept_and_written_beside_the_numbers() {
        let mut offsets: Offsets = [("a-0".into(), 7)].into_iter().collect();
        assert_eq!(serde_json::to_string(&offsets).unwrap(), r#"{"a-0":7}"#, "as ever");
        let named = SplitRange { to_name: "4957".into(), ..SplitRange::new("s/1", 0, 3) };
        offsets.advance(std::slice::from_ref(&named));
        let text = serde_json::to_string(&offsets).unwrap();
        assert_eq!(text, r#"{"a-0":7,"s/1":{"at":3,"name":"4957"}}"#);
        let read: Offsets = serde_json::from_str(&text).unwrap();
        assert_eq!((read.get("s/1"), read.name("s/1"), read.name("a-0")), (Some(3), Some("4957"), None));
        assert_eq!(read, offsets);
        offsets.advance(&[SplitRange::new("s/1", 3, 4)]);
        assert_eq!(offsets.name("s/1"), None, "of another position");
    }
}
