//! Group commit: all deliveries that wait become one append, and one sync tells all their senders.

use super::options::Keeping;
use super::queue::{Kept, Refusal, Shared, Waiting};
use super::seen::{self, Hashed, Seen};
use crate::log::{Append, LogReader, LogRecord, LogWriter};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::{Clock, Error, Kind, Result};
use tokio::sync::mpsc;

/// An append takes no more deliveries beyond so many bytes.
const GROUP_BYTES: usize = 8 << 20;
/// How long the lock of a predecessor that is going is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The topic, open for appending, and what has been seen.
pub(super) struct Keeper {
    log: LogWriter,
    seen: Seen,
    window_micros: i64,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    /// Records so far: where the next one without a key goes.
    turn: u64,
}

/// Opens the topic for appending. A predecessor in this process may hold it for a moment longer.
///
/// # Errors
/// As [`LogWriter::open`].
pub(super) async fn open(keeping: &Keeping, clock: &dyn Clock) -> Result<LogWriter> {
    let began = clock.elapsed();
    loop {
        let (root, topic, options) = (keeping.root.clone(), keeping.topic.clone(), keeping.topic_options.clone());
        let opened = tokio::task::spawn_blocking(move || LogWriter::open(&root, &topic, options)).await;
        match opened.unwrap_or_else(|_| Err(Error::bug("the thread that opens the log ended early"))) {
            Err(error) if error.kind() == Kind::Fenced && clock.elapsed().saturating_sub(began) < LOCK_PATIENCE => {
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            opened => return opened,
        }
    }
}

impl Keeper {
    /// Over an open topic.
    ///
    /// # Errors
    /// The keys in it cannot be read.
    pub(super) fn new(log: LogWriter, keeping: &Keeping, clock: Arc<dyn Clock>, shared: Arc<Shared>) -> Result<Keeper> {
        let window_micros = i64::try_from(keeping.window.as_micros()).unwrap_or(i64::MAX);
        let reader = LogReader::open(&keeping.root, &keeping.topic)?;
        let seen = Seen::load(&reader, keeping.keys_max, clock.now_micros().saturating_sub(window_micros))?;
        Ok(Keeper { log, seen, window_micros, clock, shared, turn: 0 })
    }

    /// Writes what comes through `queue` until its other end is gone.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Waiting>) {
        let mut keeper = self;
        while let Some(first) = queue.recv().await {
            let mut bytes = size(&first);
            let mut group = vec![first];
            while bytes < GROUP_BYTES
                && let Ok(next) = queue.try_recv()
            {
                bytes += size(&next);
                group.push(next);
            }
            let shared = keeper.shared.clone();
            let written = tokio::task::spawn_blocking(move || {
                keeper.write(group);
                keeper
            });
            match written.await {
                Ok(back) => keeper = back,
                Err(_) => return shared.fail(Error::bug("the thread that writes the log ended early")),
            }
        }
    }

    /// Writes a group, and tells its senders.
    fn write(&mut self, group: Vec<Waiting>) {
        if self.shared.has_failed() {
            return group.into_iter().for_each(|waiting| answer(waiting, Err(Refusal::Failed)));
        }
        let now = self.clock.now_micros();
        self.seen.forget(now.saturating_sub(self.window_micros));
        let mut fresh = HashSet::new();
        let mut append = self.log.begin(self.turn);
        let (mut repeats, mut bytes) = (Vec::with_capacity(group.len()), 0);
        let added = group.iter().try_for_each(|waiting| {
            let key = waiting.delivery.key.as_deref().map(Hashed::of);
            let is_repeat = key.is_some_and(|key| self.seen.holds(&key) || !fresh.insert(key));
            repeats.push(is_repeat);
            if is_repeat {
                return Ok(());
            }
            bytes += size(waiting) as u64;
            self.turn += waiting.delivery.records.len() as u64;
            add(&mut append, waiting, key)
        });
        let is_new = repeats.iter().any(|is_repeat| !is_repeat);
        let written = added.and_then(|()| if is_new { self.log.commit(append, None, now) } else { Ok(()) });
        if let Err(error) = written {
            self.shared.fail(error);
            return group.into_iter().for_each(|waiting| answer(waiting, Err(Refusal::Failed)));
        }
        fresh.into_iter().for_each(|key| self.seen.insert(key, now));
        let ends: Arc<[u64]> = self.log.ends().into();
        if is_new {
            self.shared.appended(&ends, bytes);
        }
        for (waiting, is_repeat) in group.into_iter().zip(repeats) {
            answer(waiting, Ok(Kept { is_repeat, ends: ends.clone() }));
        }
    }
}

fn add(append: &mut Append, waiting: &Waiting, key: Option<Hashed>) -> Result<()> {
    for record in &waiting.delivery.records {
        append.push_by_key(&LogRecord {
            key: record.key.as_deref(),
            value: Some(&record.value),
            timestamp: None,
            headers: record.headers.as_deref(),
        })?;
    }
    match key {
        Some(key) => {
            append.push_internal(seen::PARTITION, &LogRecord { value: Some(key.bytes()), ..LogRecord::default() })
        }
        None => Ok(()),
    }
}

/// Who has asked may be gone.
fn answer(waiting: Waiting, outcome: Result<Kept, Refusal>) {
    let _ = waiting.done.send(outcome);
}

fn size(waiting: &Waiting) -> usize {
    let of = |record: &super::queue::Pushed| {
        record.value.len()
            + record.key.as_ref().map_or(0, bytes::Bytes::len)
            + record.headers.as_ref().map_or(0, Vec::len)
    };
    waiting.delivery.records.iter().map(of).sum()
}
