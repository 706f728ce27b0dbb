//! Keyed state in memory: keys by number, and the changes an epoch makes to a table of state.

pub mod keys;
pub mod table;
