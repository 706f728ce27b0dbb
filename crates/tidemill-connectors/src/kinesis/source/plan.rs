//! What an epoch reads, and reading it.

use super::again;
use super::follow::{Follower, pin};
use super::position::{Mark, Place};
use super::record::{UserRecord, payloads, rows};
use crate::topics::limit;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tidemill_core::source::{Ask, Body, Chunk, Source};
use tidemill_core::{Error, Offsets, Result, Split, SplitRange};

/// Size of a record while none has been seen.
const RECORD_BYTES_GUESS: u64 = 1_000;
/// About so many bytes of payload are decoded at once.
const CHUNK_BYTES: usize = 1 << 20;
/// An idle shard is noted to be read up to now so often, in milliseconds: well within what a stream keeps.
const NOTE_MILLIS: i64 = 3 * 3_600_000;
/// Whoever waits for shards looks again after so long, whatever was heard.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// An open stream.
pub(super) struct KinesisSource {
    follower: Follower,
    /// The columns of a table without a format.
    rows: Option<SchemaRef>,
    records_max: Option<u64>,
    /// When a query began that reads only what was there then.
    bound: Option<Duration>,
    /// False until a plan has taken all that was read ahead.
    drained: bool,
    /// The records of the range read last of each split.
    places: Mutex<BTreeMap<Split, (u64, Vec<Place>)>>,
}

impl KinesisSource {
    /// Of a stream whose shards are known.
    pub fn new(follower: Follower, rows: Option<SchemaRef>, records_max: Option<u64>) -> Self {
        KinesisSource { follower, rows, records_max, bound: None, drained: false, places: Mutex::default() }
    }

    /// Waits until every shard that is read has records, or has given all that was there when the query began, its end
    /// too when it had ended by then; with `whole` until all have given all of it.
    async fn await_bound(&mut self, until: &Offsets, whole: bool) {
        let bound = *self.bound.get_or_insert_with(|| self.follower.reading.clock.elapsed());
        if whole {
            self.follower.reading.shard_bytes.store(usize::MAX, Ordering::Relaxed);
        }
        let news = self.follower.reading.news.clone();
        loop {
            let is_settled = self.follower.polls.iter().all(|(id, poll)| {
                let mut buffer = poll.part.buffer();
                // one whose children are wanted too is read to its end, which they wait for
                let mut children = self.follower.shards.children(id);
                if !children.any(|child| until.get(&self.follower.split(&child.id)).is_some()) {
                    buffer.bound_at(bound);
                }
                let has_some = !whole && buffer.available() > 0;
                let has_all = buffer.has_all() || buffer.ended;
                until.get(&self.follower.split(id)).is_none() || has_some || has_all || buffer.failure.is_some()
            });
            if is_settled {
                return;
            }
            self.follower.polls.values().for_each(|poll| poll.part.make_room());
            let _ = tokio::time::timeout(LOOK_AGAIN, news.notified()).await;
        }
    }

    /// What there is of every shard, and the ends and notes of those that have none.
    fn available(&mut self, marks: &BTreeMap<String, Mark>, until: Option<&Offsets>) -> Result<Vec<SplitRange>> {
        let (mut ranges, mut ended, mut failed) = (Vec::new(), Vec::new(), None);
        for (id, poll) in &self.follower.polls {
            let split = self.follower.split(id);
            if until.is_some_and(|until| until.get(&split).is_none()) {
                continue;
            }
            let mut buffer = poll.part.buffer();
            let count = buffer.available();
            if count > 0 {
                ranges.push(buffer.range(&split, count));
                continue;
            }
            if let Some(failure) = buffer.failure.take() {
                failed = Some((id.clone(), failure));
                break;
            }
            let mark = marks.get(id).cloned().unwrap_or(Mark::Horizon);
            if buffer.ended && buffer.next() == buffer.front {
                ranges.push(pin(split, buffer.front, &Mark::End));
                ended.push(id.clone());
            } else if let Some(followed) = buffer.note(&mark, NOTE_MILLIS) {
                ranges.push(pin(split, buffer.front, &followed));
            }
        }
        if let Some((id, failure)) = failed {
            // whoever asks again begins afresh
            self.follower.polls.remove(&id);
            return Err(failure);
        }
        ended.iter().for_each(|id| self.follower.has_ended(id));
        Ok(ranges)
    }

    /// About how many records fit `bytes_max`, by the mean size of those that are here.
    fn records_in(&self, bytes_max: u64) -> u64 {
        let (mut bytes, mut records) = (0, 0);
        for poll in self.follower.polls.values() {
            let buffer = poll.part.buffer();
            bytes += buffer.bytes() as u64;
            records += buffer.next() - buffer.front;
        }
        let mean = bytes.checked_div(records).unwrap_or(RECORD_BYTES_GUESS).max(1);
        if bytes_max == 0 { u64::MAX } else { (bytes_max / mean).max(1) }
    }

    /// The range with the names of its ends after it was cut.
    fn named(&self, range: SplitRange) -> Result<SplitRange> {
        if range.is_empty() {
            return Ok(range);
        }
        let shard = self.follower.shard_of(&range.split)?.unwrap_or_default();
        let poll = self.follower.polls.get(shard);
        let poll = poll.ok_or_else(|| Error::bug(format!("shard '{shard}' is planned and not read")))?;
        Ok(poll.part.buffer().range(&range.split, range.len()))
    }

    /// The records of a planned range: those that were read ahead, or read once more.
    async fn records(&self, shard: &str, range: &SplitRange) -> Result<Vec<UserRecord>> {
        let (first, last) = again::ends(range).ok_or_else(|| {
            Error::invalid(format!("the plan reads {range} of Kinesis and does not say which records that is"))
                .help("start with a new checkpoint, or with the version that wrote this one")
        })?;
        if let Some(poll) = self.follower.polls.get(shard) {
            let taken = poll.part.buffer().take(range, &first);
            if let Some(taken) = taken {
                poll.part.make_room();
                return Ok(taken);
            }
        }
        let Some(known) = self.follower.shards.0.get(shard) else {
            let what = format!("it is not there any more, and {range} was planned to be read");
            return self.follower.reading.lost(shard, &what).map(|()| Vec::new());
        };
        again::read(&self.follower.reading, known, range, &first, &last).await
    }
}

#[async_trait]
impl Source for KinesisSource {
    async fn latest(&mut self) -> Result<Offsets> {
        let newest = |(id, poll): (&String, &super::poll::Poll)| {
            let newest = poll.part.buffer().newest()?;
            Some((self.follower.split(id), newest))
        };
        Ok(self.follower.polls.iter().filter_map(newest).collect())
    }

    async fn bound(&mut self) -> Result<Offsets> {
        self.follower.look().await?;
        self.bound = Some(self.follower.reading.clock.elapsed());
        // how many records there are is not known: each shard is read to where it is now
        Ok(self.follower.splits().into_iter().map(|split| (split, u64::MAX)).collect())
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        self.follower.refresh().await?;
        let mut pins = self.follower.pins(from);
        let mut pinned = from.clone();
        pinned.advance(&pins);
        let marks = self.follower.marks(&pinned)?;
        pins.extend(self.follower.follow(&pinned, &marks)?);
        if let Some(until) = &ask.until {
            self.await_bound(until, !ask.rate_limited).await;
        }
        let mut ranges = self.available(&marks, ask.until.as_ref())?;
        let fitting = self.records_in(ask.bytes_max);
        let most = self.records_max.filter(|_| ask.rate_limited).map_or(fitting, |most| most.min(fitting)).max(1);
        self.drained = ranges.iter().map(SplitRange::len).sum::<u64>() <= most;
        ranges = limit::share(ranges, most).into_iter().map(|range| self.named(range)).collect::<Result<_>>()?;
        // a shard that is read from where it begins needs no pin
        pins.retain(|pin| ranges.iter().all(|range| range.split != pin.split));
        ranges.extend(pins);
        Ok(ranges)
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        let Some(shard) = self.follower.shard_of(&range.split)? else { return Ok(Vec::new()) };
        let records = if range.is_empty() { Vec::new() } else { self.records(shard, range).await? };
        let (mut chunks, mut at) = (Vec::new(), range.from);
        for piece in pieces(&records) {
            let body = match &self.rows {
                None => Body::Records(payloads(piece, at)),
                Some(schema) => {
                    Body::Rows { rows: rows(schema, piece, &self.follower.reading.stream.name, shard)?, at }
                }
            };
            chunks.push(Chunk { split: range.split.clone(), body });
            at += piece.len() as u64;
        }
        let places = records.into_iter().map(|record| record.place).collect();
        let mut all = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(range.split.clone(), (range.from, places));
        Ok(chunks)
    }

    fn behind(&self) -> Vec<(Split, u64)> {
        let behind = |(id, poll): (&String, &super::poll::Poll)| {
            let behind = poll.part.buffer().behind()?;
            Some((self.follower.split(id), behind))
        };
        self.follower.polls.iter().filter_map(behind).collect()
    }

    fn place_of(&self, split: &str, position: u64) -> Option<String> {
        let all = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let (from, places) = all.get(split)?;
        let place = places.get(usize::try_from(position.checked_sub(*from)?).ok()?)?;
        Some(format!("{split}, sequence number {place}"))
    }

    async fn wait(&mut self) {
        if self.drained {
            let left = self.follower.time_to_refresh().max(Duration::from_millis(1));
            let _ = tokio::time::timeout(left, self.follower.reading.news.notified()).await;
        }
    }
}

/// Records in pieces of about [`CHUNK_BYTES`].
fn pieces(records: &[UserRecord]) -> Vec<&[UserRecord]> {
    let (mut pieces, mut rest) = (Vec::new(), records);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |record: &&UserRecord| {
            bytes += record.bytes();
            bytes <= CHUNK_BYTES
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (piece, after) = rest.split_at(count);
        pieces.push(piece);
        rest = after;
    }
    pieces
}
