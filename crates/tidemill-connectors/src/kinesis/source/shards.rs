//! The shards of a stream and which of them may be read now. Pure.
//!
//! A shard that was split or merged has children. Records of a key go on in a child after the last one of the parent,
//! so a child is read when all of its parents have been read to their end, in epochs before.

use super::position::Mark;
use std::collections::BTreeMap;

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shard {
    pub id: String,
    /// The shards it came from: one after a split, two after a merge.
    pub parents: Vec<String>,
    /// The first and the last hash key of its records.
    pub hashes: (u128, u128),
}

/// The shards that a stream has told of, by id.
#[derive(Debug, Default)]
pub(super) struct Shards(pub BTreeMap<String, Shard>);

impl Shards {
    /// Those that may be read, of which `mark` says how far they are: no mark is a shard that was not seen before.
    pub fn readable(&self, mark: impl Fn(&str) -> Option<Mark>) -> Vec<&Shard> {
        let is_done = |parent: &String| match mark(parent) {
            Some(mark) => mark == Mark::End,
            // older than what the stream keeps, and nothing of it was read: it had ended before this query began
            None => !self.0.contains_key(parent),
        };
        let may = |shard: &&Shard| mark(&shard.id) != Some(Mark::End) && shard.parents.iter().all(is_done);
        self.0.values().filter(may).collect()
    }

    /// The children of a shard. One that has any takes no more records.
    pub fn children<'a>(&'a self, shard: &'a str) -> impl Iterator<Item = &'a Shard> {
        self.0.values().filter(move |child| child.parents.iter().any(|parent| parent == shard))
    }

    /// True when `shard` comes, through any number of splits and merges, before `other`.
    pub fn is_before(&self, shard: &str, other: &str) -> bool {
        let parents = self.0.get(other).map_or(&[][..], |other| &other.parents);
        parents.iter().any(|parent| parent == shard || (parent != other && self.is_before(shard, parent)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(all: &[(&str, &[&str])]) -> Shards {
        let shard = |(id, parents): &(&str, &[&str])| {
            let parents = parents.iter().map(|parent| (*parent).to_owned()).collect();
            ((*id).to_owned(), Shard { id: (*id).to_owned(), parents, hashes: (0, u128::MAX) })
        };
        Shards(all.iter().map(shard).collect())
    }

    fn readable(shards: &Shards, ended: &[&str], begun: &[&str]) -> Vec<String> {
        let mark = |id: &str| match (ended.contains(&id), begun.contains(&id)) {
            (true, _) => Some(Mark::End),
            (false, true) => Some(Mark::Horizon),
            _ => None,
        };
        shards.readable(mark).into_iter().map(|shard| shard.id.clone()).collect()
    }

    #[test]
    fn children_wait_for_all_of_their_parents() {
        // 0 is split into 2 and 3; 3 and 1 are merged into 4
        let all = shards(&[("0", &[]), ("1", &[]), ("2", &["0"]), ("3", &["0"]), ("4", &["3", "1"])]);
        assert_eq!(readable(&all, &[], &[]), ["0", "1"]);
        assert_eq!(readable(&all, &["0"], &["1"]), ["1", "2", "3"]);
        assert_eq!(readable(&all, &["0", "3"], &["1"]), ["1", "2"], "1 is not done");
        assert_eq!(readable(&all, &["0", "3", "1"], &["2"]), ["2", "4"]);
    }

    #[test]
    fn children_are_those_of_a_split_and_of_a_merge() {
        let all = shards(&[("0", &[]), ("1", &[]), ("2", &["0"]), ("3", &["0"]), ("4", &["3", "1"])]);
        let children = |of| all.children(of).map(|shard| shard.id.clone()).collect::<Vec<_>>();
        assert_eq!([children("0"), children("1"), children("4")], [vec!["2", "3"], vec!["4"], vec![]]);
    }

    #[test]
    fn a_parent_that_is_gone_was_over_unless_it_was_begun() {
        let all = shards(&[("2", &["0"]), ("3", &["0"])]);
        assert_eq!(readable(&all, &[], &[]), ["2", "3"]);
        assert_eq!(readable(&all, &[], &["0"]), Vec::<String>::new(), "its last records were never read");
    }

    #[test]
    fn ancestors_are_found_through_splits_and_merges() {
        let all = shards(&[("0", &[]), ("2", &["0"]), ("4", &["2", "1"])]);
        assert!(all.is_before("0", "4") && all.is_before("1", "4") && !all.is_before("4", "0"));
    }
}
