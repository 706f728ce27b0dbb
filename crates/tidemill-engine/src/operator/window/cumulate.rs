//! Windows that grow: within each stretch of `length` one starts at its beginning and ends after every
//! `step`, so that a day's total can be read every hour. A slice is one step.

/// Sizes in microseconds. The length is a whole number of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cumulating {
    /// Length of the longest window.
    pub length: i64,
    /// How much longer each window is than the one before.
    pub step: i64,
    /// Where windows start, relative to 1970-01-01T00:00:00Z.
    pub offset: i64,
}

impl Cumulating {
    /// Start of the slice an instant is in.
    pub fn slice(&self, instant: i64) -> i64 {
        instant - instant.wrapping_sub(self.offset).rem_euclid(self.step)
    }

    /// Start of every window whose last slice, or any other, this is.
    pub fn start(&self, slice: i64) -> i64 {
        slice - slice.wrapping_sub(self.offset).rem_euclid(self.length)
    }

    /// Last slices of the first and last window a slice is part of, and the distance between two.
    pub fn windows(&self, slice: i64) -> (i64, i64, i64) {
        (slice, self.start(slice) + self.length - self.step, self.step)
    }
}
