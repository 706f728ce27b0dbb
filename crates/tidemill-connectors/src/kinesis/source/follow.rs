//! The shards of the stream, and the tasks that read those that may be read.

use super::poll::{Poll, Reading, latest};
use super::position::Mark;
use super::shards::{Shard, Shards};
use super::starting::Starting;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidemill_core::{Error, Kind, Offsets, Result, ResultExt, Split, SplitRange};
use tokio::task::JoinHandle;

/// What is known of the stream, and who reads it.
pub(super) struct Follower {
    pub reading: Reading,
    pub shards: Shards,
    /// The shards that are being read, by id.
    pub polls: BTreeMap<String, Poll>,
    /// Positions to pin before anything is read: those of a new query, or of a stream that was made again.
    pins: Vec<SplitRange>,
    /// Iterators for shards of a new query that begin with what comes next, and the mark that this is in the pins.
    latest: BTreeMap<String, (Mark, String)>,
    buffer_bytes: usize,
    refresh_interval: Duration,
    /// When the shards were last looked for; `None` when it is to be done at once.
    refreshed: Option<Duration>,
    refreshing: Option<JoinHandle<Result<Shards>>>,
}

impl Follower {
    /// Looks for the shards.
    ///
    /// # Errors
    /// AWS does not answer.
    pub async fn new(reading: Reading, buffer_bytes: usize, refresh_interval: Duration) -> Result<Follower> {
        let refreshed = Some(reading.clock.elapsed());
        Ok(Follower {
            shards: reading.stream.shards().await?,
            polls: BTreeMap::new(),
            pins: Vec::new(),
            latest: BTreeMap::new(),
            buffer_bytes,
            refresh_interval,
            refreshed,
            refreshing: None,
            reading,
        })
    }

    /// The split that stands for the stream; its position is when the stream was made, in milliseconds since 1970.
    fn stream_split(&self) -> &str {
        &self.reading.stream.name
    }

    /// The split of a shard.
    pub fn split(&self, shard: &str) -> Split {
        format!("{}/{shard}", self.reading.stream.name).into()
    }

    /// The shard of a split; `None` for the split of the stream.
    ///
    /// # Errors
    /// It is a split of another stream.
    pub fn shard_of<'s>(&self, split: &'s str) -> Result<Option<&'s str>> {
        let name = self.stream_split();
        let rest = split.strip_prefix(name);
        match (rest, rest.and_then(|rest| rest.strip_prefix('/'))) {
            (Some(""), _) => Ok(None),
            (_, Some(shard)) => Ok(Some(shard)),
            _ => Err(Error::invalid(format!("'{split}' is not of Kinesis stream '{name}'"))),
        }
    }

    /// Finds out where the query begins, or whether it can go on where it was.
    ///
    /// # Errors
    /// It cannot.
    pub async fn begin(&mut self, table: &str, from: &Offsets, starting: &Starting, created: u64) -> Result<()> {
        for split in from.0.keys() {
            self.shard_of(split).context(Kind::Invalid, || {
                format!("the checkpoint holds a position of '{split}', which table '{table}' no longer reads")
            })?;
        }
        self.marks(from)?;
        let stream = self.stream_split().to_owned();
        let Some(was) = from.get(&stream) else { return self.begin_anew(starting, created).await };
        if was == 0 || created == 0 || was == created {
            return Ok(());
        }
        let what = "the stream was made again since the checkpoint was written: what it held before is gone";
        self.reading.lost(None::<&str>, what)?;
        self.pins = vec![SplitRange::new(stream, created, created)];
        for (split, position) in &from.0 {
            let Some(shard) = self.shard_of(split)? else { continue };
            let mark = if self.shards.0.contains_key(shard) { Mark::Horizon } else { Mark::End };
            self.pins.push(pin(split.clone(), *position, &mark));
        }
        Ok(())
    }

    async fn begin_anew(&mut self, starting: &Starting, created: u64) -> Result<()> {
        let marks = starting.marks(&self.reading.stream.name, &self.shards, self.reading.now())?;
        self.pins = vec![SplitRange::new(self.stream_split(), created, created)];
        for (id, mark) in marks {
            self.pins.push(pin(self.split(&id), 0, &mark));
            if *starting == Starting::Latest {
                let iterator = latest(&self.reading.stream, &id).await?;
                self.latest.insert(id, (mark, iterator));
            }
        }
        Ok(())
    }

    /// What has to be pinned before anything is read from `from` on.
    pub fn pins(&mut self, from: &Offsets) -> Vec<SplitRange> {
        // that of the stream is the first one: the others have gone with it, or a plan that was run again has pinned them
        if self.pins.first().is_some_and(|stream| from.get(&stream.split) == Some(stream.to)) {
            self.pins.clear();
        }
        self.pins.clone()
    }

    /// How far each shard is read.
    ///
    /// # Errors
    /// What the checkpoint holds is no position.
    pub fn marks(&self, from: &Offsets) -> Result<BTreeMap<String, Mark>> {
        let mut marks = BTreeMap::new();
        for split in from.0.keys() {
            if let Some(shard) = self.shard_of(split)? {
                marks.insert(shard.to_owned(), Mark::parse(split, from.name(split).unwrap_or_default())?);
            }
        }
        Ok(marks)
    }

    /// Reads the shards that may be read, each from its position on, and no others. Gives those that are gone before
    /// they were read to their end, which is told or an error.
    ///
    /// # Errors
    /// Records are lost.
    pub fn follow(&mut self, from: &Offsets, marks: &BTreeMap<String, Mark>) -> Result<Vec<SplitRange>> {
        let readable: BTreeMap<String, Shard> = self
            .shards
            .readable(|id| marks.get(id).cloned())
            .into_iter()
            .map(|shard| (shard.id.clone(), shard.clone()))
            .collect();
        self.polls.retain(|id, _| readable.contains_key(id));
        let shard_bytes = (self.buffer_bytes / readable.len().max(1)).max(1);
        self.reading.shard_bytes.store(shard_bytes, Ordering::Relaxed);
        for (id, shard) in readable {
            let at = from.get(&self.split(&id)).unwrap_or(0);
            if self.polls.get(&id).is_some_and(|poll| poll.part.buffer().front == at) {
                continue;
            }
            let mark = marks.get(&id).cloned().unwrap_or(Mark::Horizon);
            let latest = self.latest.remove(&id).filter(|(pinned, _)| *pinned == mark).map(|(_, iterator)| iterator);
            let poll = Poll::start(self.reading.clone(), shard, at, mark, latest);
            self.polls.insert(id, poll);
        }
        let mut gone = Vec::new();
        for (id, mark) in marks.iter().filter(|(id, mark)| **mark != Mark::End && !self.shards.0.contains_key(*id)) {
            let what = format!("it is not there any more, and was read up to '{mark}'");
            self.reading.lost(id.as_str(), &what)?;
            let split = self.split(id);
            let at = from.get(&split).unwrap_or(0);
            gone.push(pin(split, at, &Mark::End));
        }
        Ok(gone)
    }

    /// Looks for new shards when it is time, in the background.
    ///
    /// # Errors
    /// A bug.
    pub async fn refresh(&mut self) -> Result<()> {
        if let Some(task) = self.refreshing.take_if(|task| task.is_finished()) {
            match task.await.context(Kind::Bug, || "the task that looks for new shards ended early".into())? {
                Ok(found) => self.shards = found,
                Err(error) => {
                    tracing::warn!(error = error.chain(), "cannot look for new Kinesis shards, trying again later");
                }
            }
        }
        let now = self.reading.clock.elapsed();
        let is_due = self.refreshed.is_none_or(|refreshed| now.saturating_sub(refreshed) >= self.refresh_interval);
        if self.refreshing.is_none() && is_due {
            self.refreshed = Some(now);
            let (stream, news) = (self.reading.stream.clone(), self.reading.news.clone());
            self.refreshing = Some(tokio::spawn(async move {
                let found = stream.shards().await;
                news.notify_one();
                found
            }));
        }
        Ok(())
    }

    /// Looks for new shards, now.
    ///
    /// # Errors
    /// AWS does not answer.
    pub async fn look(&mut self) -> Result<()> {
        self.shards = self.reading.stream.shards().await?;
        Ok(())
    }

    /// A shard has come to its end: its children are looked for at once.
    pub fn has_ended(&mut self, shard: &str) {
        let knows_children = self.shards.0.values().any(|other| other.parents.iter().any(|parent| parent == shard));
        if !knows_children {
            self.refreshed = None;
        }
    }

    /// Until the shards are to be looked for again.
    pub fn time_to_refresh(&self) -> Duration {
        let since = |refreshed| self.reading.clock.elapsed().saturating_sub(refreshed);
        self.refreshed.map_or(Duration::ZERO, |refreshed| self.refresh_interval.saturating_sub(since(refreshed)))
    }

    /// The splits of all shards.
    pub fn splits(&self) -> BTreeSet<Split> {
        let shards = self.shards.0.keys().map(|id| self.split(id));
        shards.chain([self.stream_split().into()]).collect()
    }
}

/// A range without records that puts a shard at a mark.
pub(super) fn pin(split: Split, at: u64, mark: &Mark) -> SplitRange {
    SplitRange { to_name: mark.to_string(), ..SplitRange::new(split, at, at) }
}
