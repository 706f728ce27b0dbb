//! Kinds of time window: arithmetic only. A kind says which *slice* an instant is in and which
//! windows a slice is part of; state and aggregates know nothing more. A row goes to one slice, so
//! its cost does not grow with the overlap of the windows. A window is named by its *place*: the distance
//! from there to its end is the same for every window of a kind. That is its start, but for windows that
//! grow, where it is the start of the last slice.
//!
//! Windows are aligned to 1970-01-01T00:00:00Z whatever the session's zone, floor toward the past,
//! start inclusive, end exclusive. All values are microseconds.

pub mod cumulate;
pub mod sliding;
pub mod tumbling;

use crate::time::interval::in_words;
use cumulate::Cumulating;
use sliding::Sliding;
use std::fmt;
use tumbling::Tumbling;

/// A kind of window with its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// Windows side by side.
    Tumbling(Tumbling),
    /// Windows that overlap.
    Sliding(Sliding),
    /// Windows that grow.
    Cumulating(Cumulating),
}

impl fmt::Display for WindowKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (slide, offset) = match self {
            WindowKind::Tumbling(kind) => (kind.length, kind.offset),
            WindowKind::Sliding(kind) => (kind.slide, kind.offset),
            WindowKind::Cumulating(kind) => (kind.length, kind.offset),
        };
        match self {
            WindowKind::Cumulating(kind) => {
                write!(out, "windows up to {} in steps of {}", in_words(kind.length), in_words(kind.step))?;
            }
            _ => write!(out, "windows of {}", in_words(self.reach()))?,
        }
        if !matches!(self, WindowKind::Cumulating(_)) && slide != self.reach() {
            write!(out, " every {}", in_words(slide))?;
        }
        if offset != 0 {
            write!(out, " from {}", in_words(offset))?;
        }
        Ok(())
    }
}

impl WindowKind {
    /// The kind for a length, slide and start offset; a slide as long as the window is tumbling.
    pub fn new(length: i64, slide: i64, offset: i64) -> WindowKind {
        if length == slide {
            WindowKind::Tumbling(Tumbling { length, offset })
        } else {
            WindowKind::Sliding(Sliding { length, slide, offset })
        }
    }

    /// Windows that grow by `step` up to `length`.
    pub fn growing(length: i64, step: i64, offset: i64) -> WindowKind {
        WindowKind::Cumulating(Cumulating { length, step, offset })
    }

    /// Distance from the place of a window to its end.
    pub fn reach(&self) -> i64 {
        match self {
            WindowKind::Tumbling(kind) => kind.length,
            WindowKind::Sliding(kind) => kind.length,
            WindowKind::Cumulating(kind) => kind.step,
        }
    }

    /// Start of the window of a place.
    pub fn start(&self, place: i64) -> i64 {
        match self {
            WindowKind::Tumbling(_) | WindowKind::Sliding(_) => place,
            WindowKind::Cumulating(kind) => kind.start(place),
        }
    }

    /// Start of the slice an instant is in.
    pub fn slice(&self, instant: i64) -> i64 {
        match self {
            WindowKind::Tumbling(kind) => kind.slice(instant),
            WindowKind::Sliding(kind) => kind.slice(instant),
            WindowKind::Cumulating(kind) => kind.slice(instant),
        }
    }

    /// Width of a slice.
    pub fn slice_width(&self) -> i64 {
        match self {
            WindowKind::Tumbling(kind) => kind.length,
            WindowKind::Sliding(kind) => kind.slice_width(),
            WindowKind::Cumulating(kind) => kind.step,
        }
    }

    /// Places of the windows a slice is part of, earliest first: `first`, `first + step`, .. `last`.
    /// None when the slide leaves gaps and the slice lies in one.
    pub fn windows(&self, slice: i64) -> impl Iterator<Item = i64> + use<> {
        let (first, last, step) = match self {
            WindowKind::Tumbling(kind) => (slice, slice, kind.length),
            WindowKind::Sliding(kind) => kind.windows(slice),
            WindowKind::Cumulating(kind) => kind.windows(slice),
        };
        (0..=last.wrapping_sub(first).div_euclid(step)).map(move |index| first + index * step)
    }

    /// End of the last window a slice is part of: when that has passed, the slice can go.
    pub fn last_end(&self, slice: i64) -> i64 {
        match self {
            WindowKind::Tumbling(kind) => slice + kind.length,
            WindowKind::Sliding(kind) => kind.windows(slice).1 + kind.length,
            WindowKind::Cumulating(kind) => kind.start(slice) + kind.length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_and_windows_agree_with_the_definition() {
        for (length, slide, offset) in
            [(10, 10, 0), (10, 5, 0), (10, 4, 0), (10, 5, 2), (7, 7, 3), (60, 1, 0), (10, 3, -4)]
        {
            let kind = WindowKind::new(length, slide, offset);
            for instant in -100..100 {
                let by_definition: Vec<i64> = (-200i64..200)
                    .filter(|start| (start - offset).rem_euclid(slide) == 0)
                    .filter(|start| (*start..start + length).contains(&instant))
                    .collect();
                let slice = kind.slice(instant);
                assert!((slice..slice + kind.slice_width()).contains(&instant));
                assert_eq!(kind.windows(slice).collect::<Vec<_>>(), by_definition, "{kind:?} at {instant}");
                assert_eq!(kind.last_end(slice), by_definition[by_definition.len() - 1] + length);
            }
        }
    }

    #[test]
    fn growing_windows_share_a_start_and_end_a_step_apart() {
        let kind = WindowKind::growing(30, 10, 5);
        for instant in -100..100 {
            let slice = kind.slice(instant);
            let start = (-200i64..200).rfind(|at| (at - 5).rem_euclid(30) == 0 && *at <= instant).unwrap();
            let by_definition: Vec<(i64, i64)> =
                (1..=3).map(|steps| (start, start + steps * 10)).filter(|(_, end)| instant < *end).collect();
            let windows: Vec<(i64, i64)> =
                kind.windows(slice).map(|place| (kind.start(place), place + kind.reach())).collect();
            assert_eq!(windows, by_definition, "at {instant}");
            assert_eq!(kind.last_end(slice), start + 30);
        }
    }
}
