//! Windows of partitions: which rows they hold, when they close and what their archives are called. Pure: the
//! state of one epoch becomes that of the next, and `commit` writes it down.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// When a window closes: whichever comes first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Its age in seconds.
    pub interval: i64,
    /// Size of its events in bytes, before compression.
    pub bytes: u64,
    /// No archive of a window without events.
    pub skip_empty: bool,
}

/// A file of rows that no archive holds yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Its name in the folder of parts.
    pub name: String,
    /// Its events.
    pub events: u64,
    /// Size of its events in bytes.
    pub bytes: u64,
}

/// An open window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    /// When it was opened, in seconds since 1970.
    pub since: i64,
    /// The second that its archive is named after: that one, or the next that is free.
    pub named: i64,
    pub parts: Vec<Part>,
}

impl Window {
    fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// A closed window, whose archive is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Archive {
    pub partition: String,
    /// The second that it is named after.
    pub named: i64,
    /// Its sync marker: a word of chance, by which it is known again.
    pub sync: Uuid,
    pub parts: Vec<Part>,
}

/// What is known of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Partition {
    /// The sequence number that the next event gets.
    pub sequence: i64,
    /// The offset that the next event gets: bytes of all bodies before it.
    pub offset: i64,
    /// The newest second that a window was named after.
    pub named: Option<i64>,
    pub window: Option<Window>,
}

impl Partition {
    fn open(&mut self, now: i64) -> &mut Window {
        let named = self.named;
        let newest = &mut self.named;
        self.window.get_or_insert_with(|| {
            let named = named.map_or(now, |named| now.max(named + 1));
            *newest = Some(named);
            Window { since: now, named, parts: Vec::new() }
        })
    }
}

/// All partitions, and the archives that are due.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Windows {
    pub partitions: BTreeMap<String, Partition>,
    pub due: Vec<Archive>,
}

impl Windows {
    /// How many bytes of events the window of `partition` still takes; one event more is always taken.
    pub fn room(&self, partition: &str, limits: &Limits) -> u64 {
        let window = self.partitions.get(partition).and_then(|partition| partition.window.as_ref());
        limits.bytes.saturating_sub(window.map_or(0, Window::bytes))
    }

    /// Puts a part into the window of its partition, and closes the window if it is full. `body_bytes` is what the
    /// offset of the next event grows by. `now` is in seconds since 1970.
    pub fn add(&mut self, partition: &str, part: Part, body_bytes: i64, limits: &Limits, now: i64) {
        let known = self.partitions.entry(partition.to_owned()).or_default();
        known.sequence += i64::try_from(part.events).unwrap_or(i64::MAX);
        known.offset += body_bytes;
        let window = known.open(now);
        window.parts.push(part);
        if window.bytes() >= limits.bytes {
            self.close(partition, limits, now);
        }
    }

    /// Closes the windows whose time is over; true if there was one.
    pub fn close_elapsed(&mut self, limits: &Limits, now: i64) -> bool {
        self.close_where(limits, now, |window| now >= window.since.saturating_add(limits.interval))
    }

    /// Closes all windows that hold events; true if there was one.
    pub fn close_filled(&mut self, limits: &Limits, now: i64) -> bool {
        let no_empty = Limits { skip_empty: true, ..*limits };
        self.close_where(&no_empty, now, |window| !window.parts.is_empty())
    }

    fn close_where(&mut self, limits: &Limits, now: i64, over: impl Fn(&Window) -> bool) -> bool {
        let closing: Vec<String> = self
            .partitions
            .iter()
            .filter(|(_, partition)| partition.window.as_ref().is_some_and(&over))
            .map(|(name, _)| name.clone())
            .collect();
        closing.iter().for_each(|name| self.close(name, limits, now));
        !closing.is_empty()
    }

    fn close(&mut self, name: &str, limits: &Limits, now: i64) {
        let Some(partition) = self.partitions.get_mut(name) else { return };
        if let Some(window) = partition.window.take()
            && !(window.parts.is_empty() && limits.skip_empty)
        {
            let (partition, sync) = (name.to_owned(), Uuid::new_v4());
            self.due.push(Archive { partition, named: window.named, sync, parts: window.parts });
        }
        // a window without events is opened at once, that its archive comes in time
        if !limits.skip_empty {
            partition.open(now);
        }
    }

    /// Names of the parts that are needed.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        let open = self.partitions.values().filter_map(|partition| partition.window.as_ref());
        let open = open.flat_map(|window| &window.parts);
        open.chain(self.due.iter().flat_map(|archive| &archive.parts)).map(|part| part.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { interval: 60, bytes: 100, skip_empty: true };

    fn part(name: &str, bytes: u64) -> Part {
        Part { name: name.into(), events: 2, bytes }
    }

    fn due(windows: &Windows) -> Vec<(i64, Vec<String>)> {
        let parts = |archive: &Archive| -> Vec<String> { archive.parts.iter().map(|part| part.name.clone()).collect() };
        windows.due.iter().map(|archive| (archive.named, parts(archive))).collect()
    }

    #[test]
    fn a_window_closes_by_size_or_by_time_whichever_comes_first() {
        let mut windows = Windows::default();
        windows.add("0", part("a", 60), 20, &LIMITS, 1_000);
        assert_eq!(windows.room("0", &LIMITS), 40);
        assert!(!windows.close_elapsed(&LIMITS, 1_059));
        windows.add("0", part("b", 40), 20, &LIMITS, 1_010);
        assert_eq!(due(&windows), [(1_000, vec!["a".to_owned(), "b".to_owned()])]);
        windows.add("0", part("c", 1), 20, &LIMITS, 1_020);
        assert!(windows.close_elapsed(&LIMITS, 1_080));
        assert_eq!(due(&windows)[1..], [(1_020, vec!["c".to_owned()])]);
        let partition = &windows.partitions["0"];
        assert_eq!((partition.sequence, partition.offset, &partition.window), (6, 60, &None));
    }

    #[test]
    fn two_windows_of_one_second_have_two_names_also_when_the_clock_goes_back() {
        let mut windows = Windows::default();
        for (name, now) in [("a", 1_000), ("b", 1_000), ("c", 900), ("d", 1_001), ("e", 2_000)] {
            windows.add("0", part(name, 100), 0, &LIMITS, now);
        }
        let named: Vec<i64> = windows.due.iter().map(|archive| archive.named).collect();
        assert_eq!(named, [1_000, 1_001, 1_002, 1_003, 2_000]);
    }

    #[test]
    fn empty_windows_have_archives_unless_they_are_skipped() {
        let limits = Limits { skip_empty: false, ..LIMITS };
        let mut windows = Windows::default();
        windows.add("0", part("a", 1), 0, &limits, 0);
        assert!(windows.close_elapsed(&limits, 60) && windows.close_elapsed(&limits, 120));
        assert_eq!(due(&windows), [(0, vec!["a".to_owned()]), (60, Vec::new())]);
        assert!(!windows.close_filled(&limits, 130), "at the end of a query nothing is made of nothing");
        assert!(windows.close_elapsed(&LIMITS, 180));
        assert_eq!((windows.due.len(), windows.partitions["0"].window.as_ref()), (2, None));
    }
}
