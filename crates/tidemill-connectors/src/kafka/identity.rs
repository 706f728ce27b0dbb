//! Who a topic is. A topic that is deleted and made again has another id: positions in the old one mean nothing in it,
//! even where the new one holds them. Pure.
//!
//! The checkpoint remembers an id as the position of a split of its own, `<topic>#id`; no topic has a `#` in its name.

use std::collections::BTreeMap;
use tidemill_core::{Offsets, Split, SplitRange};

const SUFFIX: &str = "#id";
/// A position is shown as a number of JSON, which many readers take for a double.
const BITS: u32 = 53;

/// The id of a topic, cut to the size of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TopicId(u64);

impl TopicId {
    /// From the two halves of the brokers' id; `None` for the id of zeros, which stands for "unknown".
    pub(crate) fn new(high: i64, low: i64) -> Option<TopicId> {
        let bits = (high as u64) ^ (low as u64).rotate_left(32);
        ((high, low) != (0, 0)).then_some(TopicId(bits >> (u64::BITS - BITS)))
    }

    /// The range that puts the id into the checkpoint.
    pub(crate) fn pin(self, topic: &str) -> SplitRange {
        SplitRange::new(format!("{topic}{SUFFIX}"), self.0, self.0)
    }
}

/// The topic whose id `split` holds; `None` for a partition.
pub(crate) fn topic_of(split: &str) -> Option<&str> {
    split.strip_suffix(SUFFIX)
}

/// The partitions among positions.
pub(crate) fn partitions(offsets: &Offsets) -> Offsets {
    let partition = |(split, _): &(&Split, &u64)| topic_of(split).is_none();
    offsets.0.iter().filter(partition).map(|(split, offset)| (split.clone(), *offset)).collect()
}

/// Topics that are there and are not those that `offsets` hold positions of.
pub(crate) fn made_again<'a>(ids: &'a BTreeMap<String, TopicId>, offsets: &Offsets) -> Vec<(&'a str, TopicId)> {
    let is_other =
        |(topic, id): &(&String, &TopicId)| offsets.get(&format!("{topic}{SUFFIX}")).is_some_and(|known| known != id.0);
    ids.iter().filter(is_other).map(|(topic, id)| (topic.as_str(), *id)).collect()
}

/// Ids that `offsets` do not hold yet.
pub(crate) fn unknown<'a>(ids: &'a BTreeMap<String, TopicId>, offsets: &Offsets) -> Vec<(&'a str, TopicId)> {
    let is_unknown = |(topic, _): &(&String, &TopicId)| offsets.get(&format!("{topic}{SUFFIX}")).is_none();
    ids.iter().filter(is_unknown).map(|(topic, id)| (topic.as_str(), *id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_and_another_one_is_found_out() {
        let id = |high, low| TopicId::new(high, low).unwrap();
        assert_eq!(TopicId::new(0, 0), None);
        assert_ne!(id(1, 2), id(2, 1));
        let ids = BTreeMap::from([("a".to_owned(), id(-7, 9)), ("b".to_owned(), id(i64::MIN, 3))]);
        let mut offsets = Offsets::from_iter([("a-0".into(), 5)]);
        assert_eq!((made_again(&ids, &offsets).len(), unknown(&ids, &offsets).len()), (0, 2));
        offsets.advance(&[id(-7, 9).pin("a"), id(4, 4).pin("b")]);
        assert_eq!((made_again(&ids, &offsets), unknown(&ids, &offsets).len()), (vec![("b", id(i64::MIN, 3))], 0));
        assert!(offsets.0.values().all(|position| *position < 1 << BITS));
        assert_eq!(partitions(&offsets), Offsets::from_iter([("a-0".into(), 5)]));
        assert_eq!((topic_of("a.b-c#id"), topic_of("a-0")), (Some("a.b-c"), None));
    }
}
