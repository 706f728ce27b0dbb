//! Key groups: fixed ranges of keys, so that a store needs no change when the number of partitions does. A
//! partition has neighbouring groups.

use std::ops::Range;

/// Key groups there are, and so the most partitions a query with a store can have. Stored: never to be changed.
pub const KEY_GROUPS: u16 = 256;

/// The group of a key, by the checksum CRC-32 of its bytes in row format.
pub fn group_of(key: &[u8]) -> u8 {
    (crc32fast::hash(key) >> 24) as u8
}

/// The groups of a partition.
pub fn groups_of(partition: usize, partitions: usize) -> Range<u16> {
    let first = |partition: usize| (partition * usize::from(KEY_GROUPS)).div_ceil(partitions) as u16;
    first(partition)..first(partition + 1)
}

/// The partition of a group.
pub fn partition_of(group: u8, partitions: usize) -> usize {
    usize::from(group) * partitions / usize::from(KEY_GROUPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_is_in_the_range_of_its_partition() {
        for partitions in 1..=usize::from(KEY_GROUPS) {
            for group in 0..=u8::MAX {
                let partition = partition_of(group, partitions);
                assert!(groups_of(partition, partitions).contains(&u16::from(group)), "{group} of {partitions}");
            }
        }
    }

    #[test]
    fn groups_are_those_of_every_release() {
        assert_eq!([b"".as_slice(), b"a", b"tidemill"].map(group_of), [0, 232, group_of(b"tidemill")]);
    }
}
