//! The lives of a sink's producer: an epoch is tried until its end is known.
//!
//! A producer is thrown away at any error that leaves the end of a transaction open. The next life fences it,
//! which has the brokers settle what it left, and only then the group's note is read and decides. Before that
//! the note is looked at without fencing: a process that was overtaken must not throw out its heir.
//!
//! Blocking; callers move it to a blocking thread.

use super::note::{Note, Verdict};
use super::transaction::{Ending, Session, Settings};
use crate::topics::payload::Encoded;
use rdkafka::error::KafkaError;
use std::thread;
use std::time::Duration;
use tidemill_core::sink::Marker;
use tidemill_core::{Epoch, Error, Kind, Result, ResultExt};

/// An epoch is tried at least this often, however long a try takes.
const TRIES_MIN: u32 = 3;
/// First pause between two tries; each is twice as long as the one before.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The longest transaction that brokers allow unless told otherwise.
const TRANSACTION_TIMEOUT_MAX: Duration = Duration::from_secs(15 * 60);

/// The producer of a sink, and what its group held when it was last known.
pub(crate) struct Lives {
    settings: Settings,
    /// Absent after an unclear error.
    session: Option<Session>,
    known: Option<Note>,
    /// The transaction timeout that the brokers are known to allow.
    allowed: Duration,
}

/// How one try ended.
enum Try {
    Committed,
    Unclear(KafkaError),
}

impl Lives {
    /// Begins the first life.
    ///
    /// # Errors
    /// The brokers do not answer, or do not let us write.
    pub(crate) fn begin(settings: Settings) -> Result<Lives> {
        let session = Session::open(&settings)?;
        let allowed = settings.transaction_timeout;
        Ok(Lives { settings, session: Some(session), known: None, allowed })
    }

    /// What the group holds of this query.
    pub(crate) fn marker(&mut self) -> Result<Marker> {
        if !self.settings.is_transactional {
            return Ok(Marker::Unsupported);
        }
        let session = self.session()?;
        let note = session.note()?;
        let marker = Note::marker(note.as_ref(), &self.settings.writer);
        self.known = note;
        Ok(marker)
    }

    /// Writes without a transaction.
    pub(crate) fn write(&mut self, records: &[Encoded]) -> Result<()> {
        self.session()?.write(records)
    }

    /// Writes the epoch in one transaction. While the brokers are away it is tried again, for `write_timeout`.
    ///
    /// # Errors
    /// [`Kind::Again`] when that time is over, [`Kind::Fenced`] when another process writes, [`Kind::Data`] for a
    /// record that the brokers refuse.
    pub(crate) fn commit(&mut self, epoch: Epoch, records: &[Encoded]) -> Result<()> {
        let (begun, mut pause) = (self.settings.clock.elapsed(), PAUSE_MIN);
        let ours = Note::new(&self.settings.writer, epoch, &self.settings.process);
        for tries in 1.. {
            let trouble = match self.try_once(&ours, epoch, records) {
                Ok(Try::Committed) => {
                    self.known = Some(ours);
                    return Ok(());
                }
                Ok(Try::Unclear(error)) => {
                    Error::new(Kind::Again, "the end of a transaction is unclear").caused_by(error)
                }
                Err(error) if error.kind() == Kind::Again => error,
                Err(error) => return Err(error),
            };
            let took = self.settings.clock.elapsed().saturating_sub(begun);
            if tries >= TRIES_MIN && took >= self.settings.write_timeout {
                return Err(trouble).context(Kind::Again, || self.gave_up(epoch, records, tries, took));
            }
            let (table, error) = (&self.settings.table, trouble.chain());
            tracing::warn!(table, %epoch, tries, error, "an epoch is not in Kafka yet, trying again with a new producer");
            thread::park_timeout(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Err(Error::bug("an epoch was tried for ever"))
    }

    fn try_once(&mut self, ours: &Note, epoch: Epoch, records: &[Encoded]) -> Result<Try> {
        // taken out, so that an error leaves no session behind whose state is unknown
        let session = match self.session.take() {
            Some(session) => session,
            None => {
                let session = self.next_life()?;
                if self.is_committed(session.note()?.as_ref(), ours, epoch)? {
                    self.session = Some(session);
                    return Ok(Try::Committed);
                }
                session
            }
        };
        match session.commit(ours, records)? {
            Ending::Committed => {
                self.session = Some(session);
                Ok(Try::Committed)
            }
            Ending::Unclear { error, is_late } => {
                // no answer is no matter, nor one that proves nothing: the next life asks again
                if let Ok(note) = session.peek()
                    && let Err(error) = self.is_committed(note.as_ref(), ours, epoch)
                    && error.kind() != Kind::Again
                {
                    return Err(error);
                }
                if is_late {
                    self.give_more_time();
                }
                Ok(Try::Unclear(error))
            }
        }
    }

    /// True when the epoch is there; an error when another process has taken over.
    fn is_committed(&self, found: Option<&Note>, ours: &Note, epoch: Epoch) -> Result<bool> {
        match Note::judge(found, self.known.as_ref(), ours) {
            Verdict::Committed => Ok(true),
            Verdict::Aborted => Ok(false),
            Verdict::Stale => {
                let (now, before) = self.shown(found);
                Err(Error::new(Kind::Again, format!("the group holds {now}, and held {before} before"))
                    .help("brokers that have just started may need a moment; after that, they have lost what they had"))
            }
            Verdict::Overtaken => {
                let (now, before) = self.shown(found);
                Err(self.settings.fenced().help(format!(
                    "epoch {epoch} was not written from here: the group holds {now}, and held {before} before; the \
                     other process goes on from what it found in Kafka"
                )))
            }
        }
    }

    /// What the group holds, and what it held when it was last known.
    fn shown(&self, found: Option<&Note>) -> (String, String) {
        let said = |note: Option<&Note>| note.map_or_else(|| "nothing".to_owned(), Note::to_string);
        (said(found), said(self.known.as_ref()))
    }

    /// A transaction that the brokers ended for lateness would be late again.
    fn give_more_time(&mut self) {
        let more = (self.settings.transaction_timeout * 2).min(TRANSACTION_TIMEOUT_MAX);
        let more = more.max(self.settings.transaction_timeout);
        let seconds = more.as_secs_f64();
        tracing::warn!(table = self.settings.table, seconds, "a transaction took too long, the next may take longer");
        self.settings.set_transaction_timeout(more);
    }

    /// A new producer, with the time it was given or, where the brokers allow less, with what they allowed before.
    fn next_life(&mut self) -> Result<Session> {
        let opened = match Session::open(&self.settings) {
            Err(error) if error.kind() == Kind::Invalid && self.settings.transaction_timeout > self.allowed => {
                self.settings.set_transaction_timeout(self.allowed);
                Session::open(&self.settings)
            }
            opened => opened,
        }?;
        self.allowed = self.settings.transaction_timeout;
        Ok(opened)
    }

    fn gave_up(&self, epoch: Epoch, records: &[Encoded], tries: u32, took: Duration) -> String {
        let count: usize = records.iter().map(|batch| batch.count).sum();
        let (brokers, seconds) = (&self.settings.brokers, took.as_secs());
        format!(
            "epoch {epoch} ({count} records) could not be written to Kafka at {brokers} in {tries} tries and {seconds} s"
        )
    }

    fn session(&mut self) -> Result<&Session> {
        let opened = self.session_taken()?;
        Ok(self.session.insert(opened))
    }

    /// The session, for one who puts it back when its state is known.
    pub(super) fn session_taken(&mut self) -> Result<Session> {
        match self.session.take() {
            Some(open) => Ok(open),
            None => self.next_life(),
        }
    }

    /// Puts a session back that has no open transaction.
    pub(super) fn put_back(&mut self, session: Session) {
        self.session = Some(session);
    }
}
