//! Windows that overlap: slices are as wide as the greatest common divisor of length and slide, so
//! every window is a whole number of slices.

/// Sizes in microseconds. The slide is shorter than the length and need not divide it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sliding {
    /// Length of a window.
    pub length: i64,
    /// Distance between the starts of two windows.
    pub slide: i64,
    /// Where windows start, relative to 1970-01-01T00:00:00Z.
    pub offset: i64,
}

impl Sliding {
    /// Width of a slice.
    pub fn slice_width(&self) -> i64 {
        greatest_common_divisor(self.length, self.slide)
    }

    /// Start of the slice an instant is in.
    pub fn slice(&self, instant: i64) -> i64 {
        instant - instant.wrapping_sub(self.offset).rem_euclid(self.slice_width())
    }

    /// Starts of the first and last window a slice is part of, and the distance between two.
    pub fn windows(&self, slice: i64) -> (i64, i64, i64) {
        let last = slice - slice.wrapping_sub(self.offset).rem_euclid(self.slide);
        let covered = (self.length - (slice - last) - self.slice_width()).div_euclid(self.slide);
        (last - covered * self.slide, last, self.slide)
    }
}

fn greatest_common_divisor(left: i64, right: i64) -> i64 {
    if right == 0 { left } else { greatest_common_divisor(right, left % right) }
}
