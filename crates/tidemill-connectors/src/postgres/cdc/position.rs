//! How far the source has read, as the checkpoint keeps it.
//!
//! A position in the stream is the end of the last whole transaction in the log, and how many rows of the one after it
//! have been read: a transaction larger than an epoch is read in pieces. Rows are counted besides, so that ranges
//! have a length. What identifies the server is kept as a position too: it says which log the others are of.

use tidemill_core::{Error, Offsets, Result, SplitRange};

/// Names of the splits, after that of the slot and a point.
const LSN: &str = "lsn";
const INSIDE: &str = "inside";
pub(super) const ROWS: &str = "rows";
const SYSTEM: &str = "system";
const TIMELINE: &str = "timeline";
pub(super) const SNAPSHOT: &str = "snapshot";
const SNAPSHOT_END: &str = "snapshot_end";

/// How far the source has read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// End of the last transaction that was read whole.
    pub(super) lsn: u64,
    /// Rows read of the transaction after it.
    pub(super) inside: u64,
    /// Rows read of the stream.
    pub(super) rows: u64,
    /// Bytes read of the copy of the table, and its size: 0 without one.
    pub(super) snapshot: u64,
    pub(super) snapshot_end: u64,
    /// Which server, and which of its histories.
    pub(super) system: u64,
    pub(super) timeline: u64,
}

impl Position {
    /// The position that a checkpoint holds; `None` for a new query.
    ///
    /// # Errors
    /// It holds positions of another slot.
    pub(super) fn find(table: &str, slot: &str, offsets: &Offsets) -> Result<Option<Self>> {
        let get = |name: &str| offsets.get(&split(slot, name));
        if let Some(lsn) = get(LSN) {
            let rest = |name: &str| get(name).unwrap_or(0);
            return Ok(Some(Position {
                lsn,
                inside: rest(INSIDE),
                rows: rest(ROWS),
                snapshot: rest(SNAPSHOT),
                snapshot_end: rest(SNAPSHOT_END),
                system: rest(SYSTEM),
                timeline: rest(TIMELINE),
            }));
        }
        match offsets.0.keys().next() {
            None => Ok(None),
            Some(other) => Err(Error::invalid(format!(
                "table '{table}' reads slot '{slot}', and the checkpoint holds the position '{other}'"
            ))
            .help("name the slot of the checkpoint again with option 'slot', or start with a new checkpoint")),
        }
    }

    /// What changes from `self` to `to`, as ranges of a plan. With `all`, what stays as well.
    pub(super) fn ranges(&self, slot: &str, to: &Position, all: bool) -> Vec<SplitRange> {
        let mut ranges = Vec::new();
        if to.snapshot > self.snapshot {
            ranges.push(SplitRange::new(split(slot, SNAPSHOT), self.snapshot, to.snapshot));
        }
        if to.rows > self.rows {
            let rows = SplitRange::new(split(slot, ROWS), self.rows, to.rows);
            ranges.push(SplitRange { tag: self.tag(), ..rows });
        }
        // positions that nothing is read of
        let pins = [
            (LSN, self.lsn, to.lsn),
            (INSIDE, self.inside, to.inside),
            (SNAPSHOT_END, self.snapshot_end, to.snapshot_end),
            (SYSTEM, self.system, to.system),
            (TIMELINE, self.timeline, to.timeline),
        ];
        let moved = pins.into_iter().filter(|(_, from, to)| all || from != to);
        ranges.extend(moved.map(|(name, _, to)| SplitRange::new(split(slot, name), to, to)));
        ranges
    }

    /// Where in the log the next row is; a range says so of its first row.
    pub(super) fn tag(&self) -> String {
        format!("{:X}:{}+{}", self.system, self.lsn, self.inside)
    }
}

/// Name of a split.
pub(super) fn split(slot: &str, name: &str) -> String {
    format!("{slot}.{name}")
}

/// A position in the log as Postgres writes it.
pub(super) fn shown(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF)
}

/// Reads what [`shown`] writes.
pub(super) fn parse(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let half = |text: &str| u32::from_str_radix(text, 16).ok();
    Some(u64::from(half(high)?) << 32 | u64::from(half(low)?))
}

/// Positions of a source table with the newest log position `lsn` and the end of the copy.
pub(super) fn newest(slot: &str, lsn: u64, snapshot_end: u64) -> Offsets {
    let mut offsets = Offsets::default();
    offsets.0.insert(split(slot, LSN).into(), lsn);
    if snapshot_end > 0 {
        offsets.0.insert(split(slot, SNAPSHOT).into(), snapshot_end);
    }
    offsets
}

/// The log position within `offsets`.
pub(super) fn lsn_of(slot: &str, offsets: &Offsets) -> Option<u64> {
    offsets.get(&split(slot, LSN))
}

/// How far the copy may be read within `offsets`.
pub(super) fn snapshot_of(slot: &str, offsets: &Offsets) -> Option<u64> {
    offsets.get(&split(slot, SNAPSHOT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_gives_back_what_was_planned() {
        let start = Position { lsn: 100, system: u64::MAX, timeline: 1, snapshot_end: 9, ..Position::default() };
        let mut offsets = Offsets::default();
        assert_eq!(Position::find("t", "s", &offsets).unwrap(), None);
        offsets.advance(&start.ranges("s", &start, true));
        assert_eq!(Position::find("t", "s", &offsets).unwrap(), Some(start));
        let inside = Position { inside: 3, rows: 3, snapshot: 9, ..start };
        offsets.advance(&start.ranges("s", &inside, false));
        assert_eq!(Position::find("t", "s", &offsets).unwrap(), Some(inside));
        let whole = Position { lsn: 200, inside: 0, rows: 5, ..inside };
        let ranges = inside.ranges("s", &whole, false);
        assert_eq!(ranges.iter().map(SplitRange::len).sum::<u64>(), 2, "only rows have a length");
        offsets.advance(&ranges);
        assert_eq!(Position::find("t", "s", &offsets).unwrap(), Some(whole));
        assert!(Position::find("t", "other", &offsets).is_err());
    }

    #[test]
    fn log_positions_are_written_as_postgres_does() {
        assert_eq!(shown(0x16_B374_8D28), "16/B3748D28");
        assert_eq!(parse("16/B3748D28"), Some(0x16_B374_8D28));
        assert_eq!(parse("16"), None);
    }
}
