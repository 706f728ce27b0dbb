//! Windows side by side: each is one slice.

/// Sizes in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tumbling {
    /// Length of a window.
    pub length: i64,
    /// Where windows start, relative to 1970-01-01T00:00:00Z.
    pub offset: i64,
}

impl Tumbling {
    /// Start of the window an instant is in.
    pub fn slice(&self, instant: i64) -> i64 {
        instant - instant.wrapping_sub(self.offset).rem_euclid(self.length)
    }
}
