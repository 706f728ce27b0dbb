//! Joins of two streams.

pub mod bounds;
