//! Which deliveries have been written: the hashes of their keys, for a while, and not more than so many.
//!
//! They lie in an internal partition of the topic, in the same append as the records, so that a crash leaves both or
//! neither.

use crate::log::LogReader;
use sha2::{Digest as _, Sha256};
use std::collections::{HashSet, VecDeque};
use tidemill_core::Result;

/// Number of the internal partition.
pub(super) const PARTITION: u32 = 0;

/// The hash of a key: 128 bits of SHA-256, so that nobody can make two keys of one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Hashed([u8; 16]);

impl Hashed {
    pub(super) fn of(key: &[u8]) -> Self {
        let mut hash = [0; 16];
        hash.copy_from_slice(&Sha256::digest(key)[..16]);
        Hashed(hash)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Keys that have been seen.
#[derive(Debug)]
pub(super) struct Seen {
    known: HashSet<Hashed>,
    /// The same with the time of their append, oldest first.
    order: VecDeque<(i64, Hashed)>,
    keys_max: usize,
}

impl Seen {
    pub(super) fn new(keys_max: usize) -> Self {
        Seen { known: HashSet::new(), order: VecDeque::new(), keys_max }
    }

    /// Those of a topic since `oldest_micros`.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub(super) fn load(reader: &LogReader, keys_max: usize, oldest_micros: i64) -> Result<Self> {
        let mut seen = Seen::new(keys_max);
        let (partition, end) = reader.internal(PARTITION)?;
        let first = partition.start()?.max(end.saturating_sub(keys_max as u64));
        for piece in partition.read(&(first..end))? {
            for at in 0..piece.len() {
                let hash = piece.value(at).and_then(|value| value.try_into().ok());
                if let Some(hash) = hash.filter(|_| piece.timestamps[at] >= oldest_micros) {
                    seen.insert(Hashed(hash), piece.timestamps[at]);
                }
            }
        }
        Ok(seen)
    }

    pub(super) fn holds(&self, key: &Hashed) -> bool {
        self.known.contains(key)
    }

    pub(super) fn insert(&mut self, key: Hashed, micros: i64) {
        if self.keys_max == 0 || !self.known.insert(key) {
            return;
        }
        self.order.push_back((micros, key));
        while self.order.len() > self.keys_max {
            self.forget_oldest();
        }
    }

    /// Forgets those of before.
    pub(super) fn forget(&mut self, oldest_micros: i64) {
        while self.order.front().is_some_and(|(micros, _)| *micros < oldest_micros) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.known.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_forgotten_by_age_and_by_number() {
        let mut seen = Seen::new(2);
        let keys: Vec<Hashed> = [b"a", b"b", b"c"].iter().map(|key| Hashed::of(*key)).collect();
        seen.insert(keys[0], 10);
        seen.insert(keys[1], 20);
        seen.insert(keys[0], 25);
        assert!(seen.holds(&keys[0]) && seen.holds(&keys[1]));
        seen.insert(keys[2], 30);
        assert!(!seen.holds(&keys[0]) && seen.holds(&keys[1]), "the oldest went");
        seen.forget(30);
        assert!(!seen.holds(&keys[1]) && seen.holds(&keys[2]));
    }
}
