//! How often the process has died in the same epoch: a note in the checkpoint, written when a start finds
//! an epoch that was planned and not committed. A death leaves no word, so the note says what was going on;
//! a query that fails and says so is no death. Losing the note costs two more deaths, and nothing else.

use super::search::Search;
use crate::checkpoint::durable;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tidemill_core::{Epoch, Error, Kind, Result, ResultExt};

/// After so many deaths in a row in one epoch its records are tried one by one.
const DEATHS_MAX: u32 = 2;

/// What was going on when the note was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// The epoch was run.
    Running,
    /// It failed, and the query ended as it should.
    Failed,
    /// Its records were tried in this very process.
    Trying,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    epoch: Epoch,
    deaths: u32,
    phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    search: Option<Search>,
}

/// The note of a checkpoint.
#[derive(Debug)]
pub struct Attempts {
    file: PathBuf,
    note: Option<Note>,
}

impl Attempts {
    /// Reads the note of the checkpoint in `checkpoint`, if there is one. One that cannot be read is none.
    pub fn read(checkpoint: &Path) -> Self {
        let file = checkpoint.join("attempts.json");
        let note = std::fs::read(&file).ok().and_then(|content| serde_json::from_slice(&content).ok());
        Attempts { file, note }
    }

    /// A start will run the epoch, which an earlier one has planned; `None` when there is none. True when its
    /// records are to be tried first.
    ///
    /// # Errors
    /// The disk.
    pub fn start(&mut self, epoch: Option<Epoch>) -> Result<bool> {
        let Some(epoch) = epoch else { return self.forget() };
        let note = after_start(self.note.take(), epoch);
        let suspicious = note.search.is_some() || note.deaths >= DEATHS_MAX;
        self.write(note)?;
        Ok(suspicious)
    }

    /// The search that a death has interrupted, or a new one.
    pub fn search(&self, records: usize) -> Search {
        let begun = self.note.as_ref().and_then(|note| note.search.clone());
        begun.filter(|search| search.records == records).unwrap_or_else(|| Search::over(records))
    }

    /// The next range is tried in this process.
    ///
    /// # Errors
    /// The disk.
    pub fn trying(&mut self, epoch: Epoch, search: &Search) -> Result<()> {
        self.write(Note { epoch, deaths: 0, phase: Phase::Trying, search: Some(search.clone()) })
    }

    /// The search is over: the epoch is run.
    ///
    /// # Errors
    /// The disk.
    pub fn searched(&mut self, epoch: Epoch) -> Result<()> {
        self.write(Note { epoch, deaths: 0, phase: Phase::Running, search: None })
    }

    /// The query fails in the epoch, and says so. That the note cannot be written is not said: the failure is.
    pub fn failed(&mut self, epoch: Epoch) {
        let _ = self.write(Note { epoch, deaths: 0, phase: Phase::Failed, search: None });
    }

    fn write(&mut self, note: Note) -> Result<()> {
        let content = serde_json::to_vec(&note).context(Kind::Bug, || "a note has no JSON".into())?;
        self.note = Some(note);
        durable::replace(&self.file, &content)
    }

    fn forget(&mut self) -> Result<bool> {
        self.note = None;
        match std::fs::remove_file(&self.file) {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io(format!("cannot remove {}", self.file.display()), error)),
        }
    }
}

/// The note of a start that will run `epoch`, from the one that was there.
fn after_start(before: Option<Note>, epoch: Epoch) -> Note {
    let of_epoch = before.filter(|note| note.epoch == epoch);
    let (deaths, search) = match of_epoch {
        // it ran for the first time, and nobody wrote that it failed
        None => (1, None),
        Some(note) => match note.phase {
            Phase::Running => (note.deaths + 1, note.search),
            Phase::Failed => (0, None),
            Phase::Trying => {
                let mut search = note.search;
                if let Some(search) = &mut search {
                    search.died("while records were tried at a start");
                }
                (note.deaths, search)
            }
        },
    };
    Note { epoch, deaths, phase: Phase::Running, search }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_start_after_two_deaths_in_a_row_looks_closer() {
        let directory = tempfile::tempdir().unwrap();
        let start = |epoch| Attempts::read(directory.path()).start(epoch).unwrap();
        assert!(!start(Some(Epoch(7))));
        assert!(start(Some(Epoch(7))));
        assert!(!start(Some(Epoch(8))), "another epoch begins anew");
        assert!(!start(None));
        assert!(!start(Some(Epoch(8))), "nothing was left to run in between");
    }

    #[test]
    fn a_failure_that_is_told_is_no_death() {
        let directory = tempfile::tempdir().unwrap();
        let read = || Attempts::read(directory.path());
        read().failed(Epoch(7));
        assert!(!read().start(Some(Epoch(7))).unwrap());
        read().failed(Epoch(7));
        assert!(!read().start(Some(Epoch(7))).unwrap());
        assert!(!read().start(Some(Epoch(7))).unwrap());
        assert!(read().start(Some(Epoch(7))).unwrap());
    }

    #[test]
    fn a_search_in_the_process_goes_on_where_it_died() {
        let directory = tempfile::tempdir().unwrap();
        let read = || Attempts::read(directory.path());
        let mut search = read().search(2);
        assert!(!read().start(Some(Epoch(7))).unwrap());
        assert!(read().start(Some(Epoch(7))).unwrap());
        read().trying(Epoch(7), &search).unwrap();
        let mut again = read();
        assert!(again.start(Some(Epoch(7))).unwrap());
        search.died("");
        assert_eq!(again.search(2).to_try(), search.to_try());
        assert_eq!(again.search(3).to_try(), Search::over(3).to_try(), "other records are searched anew");
        again.searched(Epoch(7)).unwrap();
        assert!(!read().start(Some(Epoch(7))).unwrap());
    }

    #[test]
    fn a_note_that_cannot_be_read_is_none() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("attempts.json"), "{").unwrap();
        assert!(!Attempts::read(directory.path()).start(Some(Epoch(7))).unwrap());
    }
}
