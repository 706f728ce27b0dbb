//! The number of an epoch, and the identity of the checkpoint that counts it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Number of an epoch: what Spark calls a micro-batch id and `foreachBatch` sees as `batch_id`.
/// Counts from 0 without a gap over epochs with and without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identity of one life of a checkpoint. A deleted checkpoint starts a new incarnation, so that its
/// epoch numbers are never taken for those of the old one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub String);

impl Incarnation {
    /// A new identity, different from every other.
    pub fn mint() -> Self {
        Incarnation(uuid::Uuid::new_v4().to_string())
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
