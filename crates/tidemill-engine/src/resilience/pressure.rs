//! What holds a query back: its memory, the time its epochs take, and the rates its sources may be read at.

use super::budget::Budget;
use super::flow::Flow;
use super::memory::{HARD, Memory, MemoryWatch, SOFT};
use crate::ingest::Read;
use crate::pipeline::query::Query;
use crate::run::Running;
use std::collections::BTreeMap;
use std::time::Duration;
use tidemill_core::{Epoch, Result, SplitRange};

/// Time between two attempts to get memory back.
const RELIEF_INTERVAL: Duration = Duration::from_secs(10);

/// Least time between two looks at the memory.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Time until records that were too few for an epoch are counted again.
const COUNT_AGAIN: Duration = Duration::from_millis(100);

/// The pressure on a query.
#[derive(Debug)]
pub struct Pressure {
    watch: MemoryWatch,
    budget: Budget,
    flows: BTreeMap<String, Flow>,
    relieved: Option<Duration>,
    /// What the last look saw, and when.
    seen: Option<(Duration, Option<Memory>)>,
    /// Until when nothing may be read, though something may be there.
    held: Option<Duration>,
}

impl Pressure {
    /// That of a query that has not run yet.
    pub fn of(query: &Query) -> Self {
        let settings = &query.session.settings;
        Pressure {
            watch: MemoryWatch::this(settings.memory_limit()),
            budget: Budget::new(settings.epoch_bytes_max(), settings.epoch_time_target()),
            flows: query.sources.iter().map(|table| (table.name.clone(), Flow::of(table))).collect(),
            relieved: None,
            seen: None,
            held: None,
        }
    }

    /// Bytes that an epoch may read of each source.
    pub fn epoch_bytes(&mut self, now: Duration) -> u64 {
        self.held = None;
        let memory = self.look(now);
        self.budget.next(memory) / (self.flows.len().max(1) as u64)
    }

    fn look(&mut self, now: Duration) -> Option<Memory> {
        if let Some((_, memory)) = self.seen.filter(|(then, _)| now.saturating_sub(*then) < LOOK_INTERVAL) {
            return memory;
        }
        let memory = self.watch.look();
        self.seen = Some((now, memory));
        memory
    }

    /// Bytes of these that the source of a table may be read by now; `None` while its rate holds it back.
    pub fn allow(&mut self, table: &str, now: Duration, bytes: u64) -> Option<u64> {
        let Some(flow) = self.flows.get_mut(table) else { return Some(bytes) };
        match flow.allow(now, bytes) {
            Ok(bytes) => Some(bytes),
            Err(wait) => {
                self.hold(wait);
                None
            }
        }
    }

    /// The ranges, or none when they are not worth an epoch yet.
    pub fn worth(&mut self, table: &str, now: Duration, ranges: Vec<SplitRange>) -> Vec<SplitRange> {
        let records = ranges.iter().map(SplitRange::len).sum();
        if self.flows.get_mut(table).is_none_or(|flow| flow.is_enough(now, records)) {
            return ranges;
        }
        self.hold(COUNT_AGAIN);
        vec![]
    }

    fn hold(&mut self, wait: Duration) {
        self.held = Some(self.held.map_or(wait, |held| held.min(wait)));
    }

    /// How long nothing may be read, though something may be there; `None` when everything was that is.
    pub fn held(&self) -> Option<Duration> {
        self.held
    }

    /// An epoch has run: what it read, and how long it took.
    pub fn ran(&mut self, now: Duration, reads: &[(String, Read)], took: Duration) {
        self.budget.ran(reads.iter().map(|(_, read)| read.bytes).sum(), took);
        for (table, read) in reads.iter().filter(|(_, read)| read.replay == 0) {
            if let Some(flow) = self.flows.get_mut(table) {
                flow.ran(now, read.row_count() + read.letters.len() as u64, read.bytes);
            }
        }
    }

    /// The memory, when much of it is in use; true when it is time to get some back.
    fn memory(&mut self, now: Duration) -> Option<(Memory, bool)> {
        let memory = self.look(now).filter(|memory| memory.share() >= SOFT)?;
        let due = self.relieved.is_none_or(|then| now.saturating_sub(then) >= RELIEF_INTERVAL);
        if due {
            self.relieved = Some(now);
        }
        Some((memory, due))
    }
}

impl Running {
    /// Gets memory back when it gets short.
    ///
    /// # Errors
    /// There is too little to go on with; what was committed is durable then.
    pub(crate) async fn spare_memory(&mut self, epoch: Epoch) -> Result<()> {
        let Some((mut memory, due)) = self.pressure.memory(self.clock.elapsed()) else { return Ok(()) };
        if due && let Some(home) = &self.resumed.home {
            tracing::warn!(used = memory.used, limit = memory.limit, "memory gets short: buffers of state are written");
            tokio::task::block_in_place(|| home.relieve())?;
            memory = self.pressure.watch.look().unwrap_or(memory);
        }
        if memory.share() < HARD {
            return Ok(());
        }
        self.flush().await?;
        Err(memory.exhausted(epoch))
    }
}
