//! How far a stream is in its table, and how that stands in offsets and in planned ranges.
//!
//! A table has three splits, whose names begin with its id: `version` (the one whose files are read), `file` (the
//! next of them) and `log` (the first version of which only the changes are read; those before it are the snapshot
//! that the stream began with). So a table that was dropped and made again is not taken for the old one.

use tidemill_core::{Error, Kind, Offsets, Result, SplitRange};

const VERSION: &str = "version";
const FILE: &str = "file";
const LOG: &str = "log";

/// The next file to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// The version of the table.
    pub version: u64,
    /// The file's place among those of the version.
    pub file: u64,
}

/// A position, and where the log begins for the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub at: Position,
    /// The version before is read whole, as the stream's first files, unless the stream begins with the log.
    pub log: u64,
}

impl Standing {
    /// At the beginning of version `log`, with changes only.
    pub fn at_log(log: u64) -> Self {
        Standing { at: Position { version: log, file: 0 }, log }
    }

    /// At the first file of the table as it is in `version`.
    pub fn at_snapshot(version: u64) -> Self {
        Standing { at: Position { version, file: 0 }, log: version + 1 }
    }

    /// The standing in `offsets` of the table `id`; `None` when they hold none.
    ///
    /// # Errors
    /// They are those of another table.
    pub fn of(offsets: &Offsets, id: &str, place: &str) -> Result<Option<Standing>> {
        if let Some(split) = offsets.0.keys().find(|split| name_of(split, id).is_none()) {
            let other = split.rsplit_once('/').map_or(&**split, |(other, _)| other);
            return Err(Error::new(
                Kind::Data,
                format!(
                    "the delta table at {place} has the id {id}, and the checkpoint is one of the table \
                         {other}: it was dropped and made again"
                ),
            )
            .help("start with a new checkpoint, or put the old table back"));
        }
        let get = |name: &str| offsets.get(&format!("{id}/{name}"));
        let (Some(version), Some(file), Some(log)) = (get(VERSION), get(FILE), get(LOG)) else { return Ok(None) };
        Ok(Some(Standing { at: Position { version, file }, log }))
    }

    /// As offsets.
    pub fn offsets(self, id: &str) -> Offsets {
        let mut offsets = Offsets::default();
        offsets.advance(&Span { from: self, to: self.at }.ranges(id));
        offsets
    }
}

/// What an epoch reads: the files from one position to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub from: Standing,
    pub to: Position,
}

impl Span {
    /// As ranges. That of the version holds all of it, and is the one that is read.
    pub fn ranges(self, id: &str) -> Vec<SplitRange> {
        let (from, to, log) = (self.from.at, self.to, self.from.log);
        let range = |name: &str, from, to| SplitRange::new(format!("{id}/{name}"), from, to);
        let tag = format!("files={}..{} log={log}", from.file, to.file);
        vec![
            SplitRange { tag, ..range(VERSION, from.version, to.version) },
            range(FILE, from.file, to.file),
            range(LOG, log, log),
        ]
    }

    /// The span of a range of the table `id`; `None` for one that is not read.
    ///
    /// # Errors
    /// A range of another table, or none of ours.
    pub fn of(range: &SplitRange, id: &str, place: &str) -> Result<Option<Span>> {
        match name_of(&range.split, id) {
            Some(VERSION) => {}
            Some(_) => return Ok(None),
            None => {
                return Err(Error::new(
                    Kind::Data,
                    format!(
                        "{range} was planned for another table than the delta table at {place}, whose id is \
                             {id}"
                    ),
                )
                .help("start with a new checkpoint, or put the old table back"));
            }
        }
        let parts = || {
            let (files, log) = range.tag.strip_prefix("files=")?.split_once(" log=")?;
            let (from, to) = files.split_once("..")?;
            Some((from.parse().ok()?, to.parse().ok()?, log.parse().ok()?))
        };
        let (from, to, log) = parts().ok_or_else(|| Error::bug(format!("{range} has the tag '{}'", range.tag)))?;
        let from = Standing { at: Position { version: range.from, file: from }, log };
        Ok(Some(Span { from, to: Position { version: range.to, file: to } }))
    }
}

/// The name after the table's id.
fn name_of<'a>(split: &'a str, id: &str) -> Option<&'a str> {
    split.strip_prefix(id)?.strip_prefix('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_comes_back_from_its_ranges_and_moves_the_offsets() {
        let from = Standing { at: Position { version: 4, file: 17 }, log: 5 };
        let span = Span { from, to: Position { version: 6, file: 2 } };
        let ranges = span.ranges("a-b");
        let read: Vec<_> = ranges.iter().map(|range| Span::of(range, "a-b", "t").unwrap()).collect();
        assert_eq!(read, [Some(span), None, None]);
        let mut offsets = from.offsets("a-b");
        assert_eq!(Standing::of(&offsets, "a-b", "t").unwrap(), Some(from));
        offsets.advance(&ranges);
        assert_eq!(Standing::of(&offsets, "a-b", "t").unwrap(), Some(Standing { at: span.to, log: 5 }));
    }

    #[test]
    fn a_table_made_again_is_another_one() {
        let offsets = Standing::at_log(3).offsets("old");
        let error = Standing::of(&offsets, "new", "t").unwrap_err();
        assert!(
            error.to_string().contains("has the id new") && error.to_string().contains("of the table old"),
            "{error}"
        );
        let range = Span { from: Standing::at_log(3), to: Position { version: 4, file: 0 } }.ranges("old").remove(0);
        assert_eq!(Span::of(&range, "new", "t").unwrap_err().kind(), Kind::Data);
        assert_eq!(Standing::of(&Offsets::default(), "new", "t").unwrap(), None);
    }
}
