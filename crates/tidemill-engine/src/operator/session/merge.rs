//! The arithmetic of sessions: which stretches of time of one key make one session. Nothing is kept here.
//!
//! Stretches that overlap or touch belong together. What a session is made of has an order, that of the
//! starts, and values follow it: `first` and `collect_list` of a session do not depend on which rows came
//! in which epoch, beyond what was already joined. Source: Spark's `MergingSessionsExec`; observed in the
//! `session_order_*` cases.

use std::ops::Range;

/// A stretch of time of one key, in microseconds: what a row opens, or a session that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// First instant.
    pub start: i64,
    /// The instant after the last.
    pub end: i64,
    /// What it is.
    pub origin: Origin,
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A row of this epoch, by its number.
    Row(u32),
    /// A session that is kept, by its slot, with the greatest number of its rows.
    Kept { slot: u32, last: i64 },
}

/// A session made of pieces that stand beside one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// First instant.
    pub start: i64,
    /// The instant after the last.
    pub end: i64,
    /// Its pieces.
    pub pieces: Range<usize>,
}

/// The sessions of the pieces of one key, which are in order of their starts.
pub fn sessions(pieces: &[Piece]) -> Vec<Merged> {
    let mut merged: Vec<Merged> = Vec::new();
    for (position, piece) in pieces.iter().enumerate() {
        match merged.last_mut() {
            Some(last) if piece.start <= last.end => {
                last.end = last.end.max(piece.end);
                last.pieces.end = position + 1;
            }
            _ => merged.push(Merged { start: piece.start, end: piece.end, pieces: position..position + 1 }),
        }
    }
    merged
}

/// Numbers by which the values of a session are in order: those of its rows, and the greatest of all.
/// A row's number is its time, or the greatest number before it if that is greater.
pub fn numbers(pieces: &[Piece]) -> (Vec<(u32, i64)>, i64) {
    let (mut rows, mut last) = (Vec::with_capacity(pieces.len()), i64::MIN);
    for piece in pieces {
        match piece.origin {
            Origin::Kept { last: kept, .. } => last = last.max(kept),
            Origin::Row(row) => {
                last = last.max(piece.start);
                rows.push((row, last));
            }
        }
    }
    (rows, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(start: i64, end: i64) -> Piece {
        Piece { start, end, origin: Origin::Row(start as u32) }
    }

    #[test]
    fn touching_merges_and_one_more_does_not() {
        let ends = |pieces: &[Piece]| sessions(pieces).iter().map(|one| (one.start, one.end)).collect::<Vec<_>>();
        assert_eq!(ends(&[row(0, 5), row(5, 10)]), [(0, 10)]);
        assert_eq!(ends(&[row(0, 5), row(6, 11)]), [(0, 5), (6, 11)]);
    }

    #[test]
    fn the_longest_gap_ends_a_session() {
        assert_eq!(sessions(&[row(0, 20), row(3, 4), row(15, 18), row(21, 22)]).len(), 2);
        assert_eq!(sessions(&[row(0, 20), row(3, 4), row(15, 18)])[0].end, 20);
    }

    #[test]
    fn rows_are_numbered_after_what_was_joined_before() {
        let kept = Piece { start: 0, end: 15, origin: Origin::Kept { slot: 0, last: 10 } };
        let (rows, last) = numbers(&[kept, row(5, 10), row(12, 17)]);
        assert_eq!((rows, last), (vec![(5, 10), (12, 12)], 12));
    }
}
