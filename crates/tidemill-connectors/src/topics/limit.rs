//! How many records each partition gives to an epoch when the user or memory sets a bound.

use tidemill_core::SplitRange;

/// Cuts `ranges` so that together they hold at most `records_max` positions, each partition in
/// proportion to its backlog (as Spark's `maxOffsetsPerTrigger`) and none left out for ever: where
/// rounding leaves positions over, the first partitions with backlog get them. Ranges that were empty
/// stay: they pin a position.
pub(crate) fn share(mut ranges: Vec<SplitRange>, records_max: u64) -> Vec<SplitRange> {
    let total: u128 = ranges.iter().map(|range| u128::from(range.len())).sum();
    if total <= u128::from(records_max) {
        return ranges;
    }
    let part = |length: u64| (u128::from(length) * u128::from(records_max) / total) as u64;
    let mut over = records_max - ranges.iter().map(|range| part(range.len())).sum::<u64>();
    ranges.retain_mut(|range| {
        let (length, extra) = (range.len(), over.min(range.len() - part(range.len())).min(1));
        over -= extra;
        range.to = range.from + part(length) + extra;
        length == 0 || !range.is_empty()
    });
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backlogs_are_cut_in_proportion_and_never_beyond_the_bound() {
        let cut = |lengths: &[u64], most: u64| -> Vec<u64> {
            let ranges = lengths.iter().enumerate().map(|(at, len)| SplitRange::new(format!("t-{at}"), 10, 10 + len));
            share(ranges.collect(), most).iter().map(SplitRange::len).collect()
        };
        assert_eq!(cut(&[10, 20], 100), [10, 20]);
        assert_eq!(cut(&[100, 300], 40), [10, 30]);
        assert_eq!(cut(&[1, 1_000_000], 10), [1, 9]);
        assert_eq!(cut(&[5, 5, 5], 2), [1, 1]);
        assert_eq!(cut(&[0, 5, 5], 1), [0, 1]);
        assert_eq!(cut(&[u64::MAX / 2, u64::MAX / 2], 3), [2, 1]);
    }
}
