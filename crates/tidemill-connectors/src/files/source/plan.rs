//! What an epoch reads of the files there are: decided from facts alone.

use super::compression::is_compressed;
use super::listing::FileInfo;
use tidemill_core::source::Ask;
use tidemill_core::{Offsets, SplitRange};

/// What the user allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most files of an epoch.
    pub files_max: Option<u64>,
    /// About how many bytes of an epoch.
    pub bytes_max: Option<u64>,
    pub latest_first: bool,
    /// How much older than the newest file that was read an unread one may be, in microseconds.
    pub age_max: i64,
}

/// The ranges of one epoch.
#[derive(Debug, Default)]
pub(super) struct Planned {
    pub ranges: Vec<SplitRange>,
    /// Where the file of the last range ends, if the range is to be drawn out from where it ends now to the end of a
    /// line.
    pub cut: Option<u64>,
}

/// The ranges of one epoch: of `files`, what is new since `from`, within `ask` and `limits`. Files of `lines` may be
/// cut, unless they are compressed.
pub(super) fn plan(files: Vec<FileInfo>, from: &Offsets, ask: &Ask, limits: &Limits, lines: bool) -> Planned {
    let files_max = limits.files_max.filter(|_| ask.rate_limited);
    let bytes_max = bytes_max(ask, limits, files_max);
    let mut planned = Planned::default();
    let mut bytes = 0u64;
    for (file, start, end) in unread(files, from, ask, limits, lines) {
        let room = bytes_max - bytes;
        let is_first = planned.ranges.is_empty();
        if files_max.is_some_and(|most| planned.ranges.len() as u64 >= most) || (room == 0 && !is_first) {
            break;
        }
        let mut range = SplitRange { tag: file.tag(), ..SplitRange::new(file.split.clone(), start, end) };
        if range.len() > room {
            if files_max.is_none() && has_lines(&file, lines) {
                range.to = (start + room.max(1)).min(end);
                planned.cut = Some(end);
                planned.ranges.push(range);
                break;
            } else if !is_first {
                break;
            }
        }
        bytes = bytes.saturating_add(range.len()).min(bytes_max);
        planned.ranges.push(range);
    }
    planned
}

/// True for a file that can be read in pieces.
fn has_lines(file: &FileInfo, lines: bool) -> bool {
    lines && !is_compressed(&file.split)
}

/// About how many bytes the epoch may have. A limit in files takes the place of the engine's, not of the
/// user's own; 0 is no limit.
fn bytes_max(ask: &Ask, limits: &Limits, files_max: Option<u64>) -> u64 {
    let asked = if files_max.is_some() || ask.bytes_max == 0 { u64::MAX } else { ask.bytes_max };
    let allowed = limits.bytes_max.filter(|_| ask.rate_limited);
    allowed.map_or(asked, |allowed| allowed.min(asked))
}

/// The files with something unread, in the order of reading, and from where to where.
fn unread(
    mut files: Vec<FileInfo>,
    from: &Offsets,
    ask: &Ask,
    limits: &Limits,
    lines: bool,
) -> Vec<(FileInfo, u64, u64)> {
    // With the newest first, older files are unread because their turn has not come.
    let newest_read = files.iter().filter(|file| from.get(&file.split).is_some()).map(|file| file.modified).max();
    let oldest =
        newest_read.filter(|_| !limits.latest_first).map_or(i64::MIN, |newest| newest.saturating_sub(limits.age_max));
    files.sort_by(|a, b| (a.modified, &a.split).cmp(&(b.modified, &b.split)));
    if limits.latest_first {
        files.reverse();
    }
    let unread = files.into_iter().filter_map(|file| {
        let end = match &ask.until {
            Some(until) => {
                let end = until.get(&file.split)?;
                if has_lines(&file, lines) { end.min(file.bytes) } else { file.bytes }
            }
            None => file.bytes,
        };
        let start = match from.get(&file.split) {
            None if file.modified < oldest => return None,
            None => 0,
            Some(position) if has_lines(&file, lines) && position < end => position,
            Some(_) => return None,
        };
        Some((file, start, end))
    });
    unread.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files by name, size and time.
    fn files(all: &[(&str, u64, i64)]) -> Vec<FileInfo> {
        all.iter()
            .map(|(split, bytes, modified)| FileInfo {
                split: (*split).into(),
                bytes: *bytes,
                modified: *modified,
                version: None,
            })
            .collect()
    }

    fn offsets(all: &[(&str, u64)]) -> Offsets {
        all.iter().map(|(split, position)| ((*split).into(), *position)).collect()
    }

    const NO_LIMITS: Limits = Limits { files_max: None, bytes_max: None, latest_first: false, age_max: i64::MAX };
    const LIMITED: Ask = Ask { until: None, rate_limited: true, bytes_max: 0 };

    /// Every line has ten bytes.
    fn planned(all: &[(&str, u64, i64)], from: &[(&str, u64)], ask: &Ask, limits: &Limits, lines: bool) -> Vec<String> {
        let mut planned = plan(files(all), &offsets(from), ask, limits, lines);
        if let (Some(end), Some(last)) = (planned.cut, planned.ranges.last_mut()) {
            last.to = last.to.next_multiple_of(10).min(end);
        }
        planned.ranges.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn files_come_by_time_then_name_and_each_once() {
        let all = [("b", 10, 2), ("c", 20, 1), ("a", 30, 2), ("seen", 5, 1), ("empty", 0, 3), ("was-empty", 0, 3)];
        let from = [("seen", 5), ("was-empty", 0)];
        assert_eq!(
            planned(&all, &from, &LIMITED, &NO_LIMITS, true),
            ["c[0..20]", "a[0..30]", "b[0..10]", "empty[0..0]"]
        );
        let latest_first = Limits { latest_first: true, ..NO_LIMITS };
        assert_eq!(
            planned(&all, &from, &LIMITED, &latest_first, true),
            ["empty[0..0]", "b[0..10]", "a[0..30]", "c[0..20]"]
        );
    }

    #[test]
    fn an_epoch_is_bounded_and_goes_on_where_the_last_one_stopped() {
        let all = [("a", 25, 1), ("b", 100, 2), ("c", 10, 3)];
        let ask = Ask { bytes_max: 41, ..LIMITED };
        assert_eq!(planned(&all, &[], &ask, &NO_LIMITS, true), ["a[0..25]", "b[0..20]"]);
        assert_eq!(planned(&all, &[("a", 25), ("b", 20)], &ask, &NO_LIMITS, true), ["b[20..70]"]);
        assert_eq!(planned(&all, &[("a", 25), ("b", 70)], &ask, &NO_LIMITS, true), ["b[70..100]", "c[0..10]"]);
        assert_eq!(planned(&all, &[], &Ask { bytes_max: 1, ..LIMITED }, &NO_LIMITS, true), ["a[0..10]"]);
        assert_eq!(planned(&all, &[], &Ask { bytes_max: 41, ..LIMITED }, &NO_LIMITS, false), ["a[0..25]"]);
        assert_eq!(planned(&all, &[("a", 25)], &ask, &NO_LIMITS, false), ["b[0..100]"], "one whole file at least");
        assert_eq!(
            planned(&all, &[("b", 20)], &LIMITED, &NO_LIMITS, false),
            ["a[0..25]", "c[0..10]"],
            "no part of a whole file"
        );
    }

    #[test]
    fn a_compressed_file_is_not_cut_and_does_not_grow() {
        let all = [("a.json.gz", 100, 1), ("b.json", 100, 2)];
        let ask = Ask { bytes_max: 41, ..LIMITED };
        assert_eq!(planned(&all, &[], &ask, &NO_LIMITS, true), ["a.json.gz[0..100]"]);
        assert_eq!(planned(&all, &[("a.json.gz", 90)], &ask, &NO_LIMITS, true), ["b.json[0..50]"]);
    }

    #[test]
    fn a_limit_in_files_counts_whole_files_and_once_passes_over_it() {
        let all = [("a", 100, 1), ("b", 100, 2), ("c", 100, 3)];
        let two = Limits { files_max: Some(2), ..NO_LIMITS };
        assert_eq!(planned(&all, &[], &Ask { bytes_max: 50, ..LIMITED }, &two, true), ["a[0..100]", "b[0..100]"]);
        let once = Ask { rate_limited: false, ..LIMITED };
        assert_eq!(planned(&all, &[], &once, &two, true).len(), 3);
        let bytes = Limits { bytes_max: Some(95), ..NO_LIMITS };
        assert_eq!(planned(&all, &[], &LIMITED, &bytes, true), ["a[0..100]"], "up to the end of a line");
        let both = Limits { bytes_max: Some(150), ..two };
        assert_eq!(planned(&all, &[], &LIMITED, &both, true), ["a[0..100]"]);
    }

    #[test]
    fn nothing_is_read_beyond_what_was_there_when_it_was_asked() {
        let all = [("a", 100, 1), ("b", 100, 2), ("new", 100, 3)];
        let ask = Ask { until: Some(offsets(&[("a", 60), ("b", 100)])), ..LIMITED };
        assert_eq!(planned(&all, &[], &ask, &NO_LIMITS, true), ["a[0..60]", "b[0..100]"]);
        assert_eq!(planned(&all, &[("a", 60), ("b", 100)], &ask, &NO_LIMITS, true), [""; 0]);
    }

    #[test]
    fn old_files_are_ignored_only_after_newer_ones_were_read() {
        let all = [("old", 10, 1), ("newer", 10, 100)];
        let week = Limits { age_max: 50, ..NO_LIMITS };
        assert_eq!(planned(&all, &[], &LIMITED, &week, true), ["old[0..10]", "newer[0..10]"]);
        assert_eq!(planned(&all, &[("newer", 10)], &LIMITED, &week, true), [""; 0]);
        assert_eq!(planned(&all, &[("newer", 10), ("old", 5)], &LIMITED, &week, true), ["old[5..10]"]);
        let latest_first = Limits { latest_first: true, ..week };
        assert_eq!(planned(&all, &[("newer", 10)], &LIMITED, &latest_first, true), ["old[0..10]"]);
    }
}
