//! Reads one shard ahead of the epochs, in a task of its own, as long as there is room.
//!
//! It alone moves the iterator. An iterator that has expired is made anew after the last record that was read; a shard
//! that is asked too often is asked more slowly.

use super::buffer::Buffer;
use super::pace::Pace;
use super::position::{Mark, Place, order};
use super::record::UserRecord;
use super::shards::Shard;
use super::stream::{Begin, EXPIRED, GONE, Page, Stream, begin};
use std::cmp::Ordering;
use std::sync::atomic::{AtomicUsize, Ordering as Memory};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidemill_core::retry::{Class, Failure};
use tidemill_core::{Clock, Error, Result};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A mark older than what the stream keeps, less this, may have lost records.
const MARGIN_MILLIS: i64 = 300_000;
/// Size of a record while none has been seen.
const RECORD_BYTES_GUESS: usize = 1_000;

/// What a shard's task and the source share.
pub(super) struct Part {
    buffer: Mutex<Buffer>,
    /// Wakes the task: there is room.
    room: Notify,
}

impl Part {
    /// The buffer.
    pub fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the task go on after a reader has made room.
    pub fn make_room(&self) {
        self.room.notify_one();
    }
}

/// What all tasks of a source need.
#[derive(Clone)]
pub(super) struct Reading {
    pub stream: Stream,
    pub clock: Arc<dyn Clock>,
    /// Wakes the source.
    pub news: Arc<Notify>,
    pub poll_interval: Duration,
    pub fail_on_data_loss: bool,
    /// How long the stream keeps records, in milliseconds.
    pub retention: i64,
    /// About the bytes that each shard may have read ahead.
    pub shard_bytes: Arc<AtomicUsize>,
}

impl Reading {
    /// Milliseconds since 1970.
    pub fn now(&self) -> i64 {
        self.clock.now_micros() / 1000
    }

    /// True when the stream may have dropped records since the mark was made.
    pub fn may_be_lost(&self, mark: &Mark) -> bool {
        mark.seen().is_some_and(|seen| self.now().saturating_sub(seen) > self.retention - MARGIN_MILLIS)
    }

    /// The loss of records, which stops the query or is told.
    ///
    /// # Errors
    /// The loss, when it is to stop the query.
    pub fn lost<'s>(&self, shard: impl Into<Option<&'s str>>, what: &str) -> Result<()> {
        let shard = shard.into();
        let error = self.stream.lost(shard, what);
        if self.fail_on_data_loss {
            return Err(error);
        }
        tracing::warn!("{error}");
        Ok(())
    }
}

/// A shard that is being read; dropping it ends its task.
pub(super) struct Poll {
    pub part: Arc<Part>,
    task: JoinHandle<()>,
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Poll {
    /// Begins to read `shard` after `mark`, which is position `at`. A new query that begins with what comes next brings
    /// the iterator.
    pub fn start(reading: Reading, shard: Shard, at: u64, mark: Mark, iterator: Option<String>) -> Poll {
        let part = Arc::new(Part { buffer: Mutex::new(Buffer::at(at, reading.now())), room: Notify::new() });
        let pace = Pace::new(reading.poll_interval);
        let mut poller =
            Poller { part: part.clone(), reading, shard, mark, pace, first: None, record_bytes: RECORD_BYTES_GUESS };
        let task = tokio::spawn(async move {
            let news = poller.reading.news.clone();
            if let Err(error) = poller.run(iterator).await {
                poller.part.buffer().failure = Some(error);
            }
            news.notify_one();
        });
        Poll { part, task }
    }
}

struct Poller {
    part: Arc<Part>,
    reading: Reading,
    shard: Shard,
    /// What was read.
    mark: Mark,
    pace: Pace,
    /// The record that must come first.
    first: Option<Place>,
    /// Mean size of the records that came last.
    record_bytes: usize,
}

impl Poller {
    async fn run(&mut self, iterator: Option<String>) -> Result<()> {
        let mut next = match iterator {
            Some(iterator) => Some(iterator),
            None => self.open().await?,
        };
        let mut retry = self.reading.stream.patience.begin();
        while let Some(iterator) = next {
            let fitting = self.room().await / self.record_bytes;
            let begun = self.reading.clock.elapsed();
            let answer = self.reading.stream.records(&iterator, fitting).await;
            next = match answer {
                Ok(page) => {
                    retry = self.reading.stream.patience.begin();
                    self.pace.answered();
                    self.take(page, begun)?
                }
                Err(failure) if failure.code.as_deref() == Some(EXPIRED) => self.open().await?,
                Err(failure) if failure.class == Class::Throttled => {
                    self.pace.refused();
                    let pause_ms = self.pace.pause().as_millis() as u64;
                    tracing::info!(
                        shard = self.shard.id,
                        error = failure.error.chain(),
                        pause_ms,
                        "asked to read less"
                    );
                    Some(iterator)
                }
                Err(failure) if failure.code.as_deref() == Some(GONE) => self.gone(failure)?,
                Err(failure) => {
                    retry.wait(failure).await?;
                    Some(iterator)
                }
            };
            let took = self.reading.clock.elapsed().saturating_sub(begun);
            tokio::time::sleep(self.pace.pause().saturating_sub(took)).await;
        }
        self.part.buffer().end();
        Ok(())
    }

    /// Waits until there is room; gives how many bytes there is room for.
    async fn room(&self) -> usize {
        loop {
            let room = self.reading.shard_bytes.load(Memory::Relaxed).saturating_sub(self.part.buffer().bytes());
            if room > 0 {
                return room;
            }
            self.part.room.notified().await;
        }
    }

    /// An iterator where reading goes on; `None` when the shard is gone and that is no matter.
    async fn open(&mut self) -> Result<Option<String>> {
        let may_be_lost = self.reading.may_be_lost(&self.mark);
        if let (true, Mark::Since(since)) = (may_be_lost, &self.mark) {
            let what =
                format!("records that came after {since} ms since 1970 may be gone: the stream keeps them no longer");
            self.reading.lost(&*self.shard.id, &what)?;
        }
        let Some((from, first)) = begin(&self.mark, may_be_lost) else { return Ok(None) };
        self.first = first;
        let mut retry = self.reading.stream.patience.begin();
        loop {
            match self.reading.stream.iterator(&self.shard.id, &from).await {
                Ok(iterator) => return Ok(Some(iterator)),
                Err(failure) if failure.code.as_deref() == Some(GONE) => return self.gone(failure),
                Err(failure) => retry.wait(failure).await?,
            }
        }
    }

    fn gone(&self, failure: Failure) -> Result<Option<String>> {
        let what = format!("it is not there any more, and was read up to '{}' ({})", self.mark, failure.error);
        self.reading.lost(&*self.shard.id, &what).map(|()| None)
    }

    /// Takes what came; gives the next iterator.
    fn take(&mut self, page: Page, begun: Duration) -> Result<Option<String>> {
        let (count, bytes) =
            (page.records.len(), page.records.iter().map(|record| record.data().as_ref().len()).sum::<usize>());
        self.record_bytes = bytes.checked_div(count).map_or(self.record_bytes, |mean| mean.max(1));
        let is_last = page.next.is_none() || (page.records.is_empty() && page.behind == Some(0));
        let mut records: Vec<UserRecord> =
            page.records.into_iter().flat_map(|record| UserRecord::of(record, &self.shard)).collect();
        self.check_first(&mut records, is_last)?;
        if let Some(last) = records.last() {
            self.mark = Mark::After(last.end(), last.arrived);
        }
        let now = self.reading.now();
        if page.behind == Some(0) && records.is_empty() && self.mark.seen().is_some() {
            // an iterator that expires later has lost nothing until now
            self.mark = self.mark.followed(now);
        }
        let is_news = {
            let mut buffer = self.part.buffer();
            let is_news = !records.is_empty() || page.next.is_none();
            buffer.push(records);
            buffer.reached(page.behind, begun, now);
            if page.next.is_none() {
                buffer.end();
            }
            // whoever reads only what is there waits for that
            is_news || buffer.has_all()
        };
        if is_news {
            self.reading.news.notify_one();
        }
        Ok(page.next)
    }

    /// Takes away what was read already. The record that was read last has to be among what comes, or what came after
    /// it may be gone too.
    fn check_first(&mut self, records: &mut Vec<UserRecord>, is_last: bool) -> Result<()> {
        let Some(first) = &self.first else { return Ok(()) };
        let found = match records.first() {
            Some(record) => record.place.sequence == first.sequence,
            None if is_last => false,
            // what is there has not come yet
            None => return Ok(()),
        };
        if !found {
            let what = format!(
                "record {first} was the last one that was read and is gone: what came after it may be gone, too"
            );
            self.reading.lost(&*self.shard.id, &what)?;
        }
        let is_read = |record: &UserRecord| match order(&record.place.sequence, &first.sequence) {
            Ordering::Less => true,
            Ordering::Equal => first.sub.is_none_or(|read| record.place.sub.is_none_or(|sub| sub <= read)),
            Ordering::Greater => false,
        };
        records.retain(|record| !is_read(record));
        self.first = None;
        Ok(())
    }
}

/// The iterator of a shard for a query that begins with what comes next.
///
/// # Errors
/// Kinesis gives none.
pub(super) async fn latest(stream: &Stream, shard: &str) -> Result<String, Error> {
    let mut retry = stream.patience.begin();
    loop {
        match stream.iterator(shard, &Begin::Latest).await {
            Ok(iterator) => return Ok(iterator),
            Err(failure) => retry.wait(failure).await?,
        }
    }
}
