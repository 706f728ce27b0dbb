//! The note that an epoch leaves in our own group, and what it proves. No I/O.

use crate::marker;
use serde::{Deserialize, Serialize};
use std::fmt;
use tidemill_core::sink::{Marker, Writer};
use tidemill_core::{Epoch, Error, Kind, Result};

/// Name of the transactional id and of the group; the same for all incarnations of a query's sink.
pub(crate) fn name(writer: &Writer) -> String {
    format!("tidemill-{}-{}", writer.query, writer.sink)
}

/// The metadata of the group's offset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    writer: String,
    epoch: u64,
    /// Which process wrote it. Older versions wrote none.
    #[serde(default)]
    process: String,
}

/// What a note says of an epoch whose transaction had an unclear end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its rows are there.
    Committed,
    /// Nothing of it is or will be there.
    Aborted,
    /// The group shows less than it has shown before: brokers that have just started, or have lost what they
    /// acknowledged. Proves nothing.
    Stale,
    /// Another process has written since we last looked: it has taken the query over.
    Overtaken,
}

impl Note {
    /// The note that goes with an epoch.
    pub(crate) fn new(writer: &Writer, epoch: Epoch, process: &str) -> Note {
        Note { writer: writer.id(), epoch: epoch.0, process: process.to_owned() }
    }

    /// The offset it lies at: the number of the next epoch, which group tools show.
    pub(crate) fn offset(&self) -> i64 {
        self.epoch.saturating_add(1) as i64
    }

    /// True for one that stood there before `known` did: of a process that we know, and of an earlier epoch.
    fn is_before(&self, known: &Note, ours: &Note) -> bool {
        let is_of_a_known_process = self.process == known.process || self.process == ours.process;
        is_of_a_known_process && self.epoch < known.epoch
    }

    /// Reads the metadata of our group's offset.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for what no process of this query wrote.
    pub(crate) fn parse(writer: &Writer, topic: &str, metadata: &str) -> Result<Note> {
        let note = serde_json::from_str::<Note>(metadata).ok();
        note.filter(|note| note.writer.starts_with(&writer.prefix())).ok_or_else(|| {
            let group = name(writer);
            Error::new(
                Kind::Invalid,
                format!("group '{group}' holds an offset of topic '{topic}' that is not of this query"),
            )
            .help("the group is written by Tidemill alone: rename the query or the sink, or delete the group")
        })
    }

    /// What the engine is told.
    pub(crate) fn marker(note: Option<&Note>, writer: &Writer) -> Marker {
        note.map_or(Marker::Absent, |note| marker::find(writer, [(note.writer.as_str(), note.epoch)]))
    }

    /// Judges what the group holds now (`found`), read after the broker has settled what was open: `known` is
    /// what it held before the epoch of `ours` was tried.
    pub(crate) fn judge(found: Option<&Note>, known: Option<&Note>, ours: &Note) -> Verdict {
        match (found, known) {
            (Some(found), _) if found == ours => Verdict::Committed,
            (found, known) if found == known => Verdict::Aborted,
            (None, _) => Verdict::Stale,
            (Some(found), Some(known)) if found.is_before(known, ours) => Verdict::Stale,
            _ => Verdict::Overtaken,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "epoch {} of process {}", self.epoch, self.process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::Incarnation;

    fn writer() -> Writer {
        Writer { query: "q".into(), sink: "s".into(), incarnation: Incarnation("one".into()) }
    }

    fn note(epoch: u64, process: &str) -> Note {
        Note::new(&writer(), Epoch(epoch), process)
    }

    #[test]
    fn only_our_own_note_of_the_epoch_proves_it() {
        let (before, ours) = (note(4, "earlier life"), note(5, "me"));
        let judge = |found: Option<&Note>, known: Option<&Note>| Note::judge(found, known, &ours);
        assert_eq!(judge(Some(&ours), Some(&before)), Verdict::Committed);
        assert_eq!(judge(Some(&before), Some(&before)), Verdict::Aborted);
        assert_eq!(judge(None, None), Verdict::Aborted);
        assert_eq!(judge(Some(&note(5, "zombie's heir")), Some(&before)), Verdict::Overtaken);
        assert_eq!(judge(Some(&note(4, "heir")), Some(&before)), Verdict::Overtaken);
        assert_eq!(judge(Some(&note(0, "heir")), None), Verdict::Overtaken);
        assert_eq!(judge(Some(&note(3, "heir")), Some(&before)), Verdict::Overtaken);
    }

    #[test]
    fn less_than_was_shown_before_proves_nothing() {
        let judge = |found: Option<&Note>, known: &Note| Note::judge(found, Some(known), &note(7, "me"));
        assert_eq!(judge(None, &note(6, "me")), Verdict::Stale);
        assert_eq!(judge(Some(&note(5, "me")), &note(6, "me")), Verdict::Stale);
        assert_eq!(judge(Some(&note(3, "earlier life")), &note(4, "earlier life")), Verdict::Stale);
    }

    #[test]
    fn a_note_is_read_back_and_so_is_one_of_an_older_version() {
        let text = serde_json::to_string(&note(7, "me")).unwrap();
        assert_eq!(Note::parse(&writer(), "t", &text).unwrap(), note(7, "me"));
        let old = r#"{"writer":"tidemill/q/s/one","epoch":7}"#;
        let old = Note::parse(&writer(), "t", old).unwrap();
        assert_eq!(Note::marker(Some(&old), &writer()), Marker::At(Epoch(7)));
        for foreign in ["", "{}", r#"{"writer":"tidemill/other/s/one","epoch":7}"#] {
            assert!(Note::parse(&writer(), "t", foreign).unwrap_err().to_string().contains("not of this query"));
        }
    }
}
