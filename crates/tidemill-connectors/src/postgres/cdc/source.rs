//! Changes of a table as a source.

use super::super::errors::Failure;
use super::super::link::{Dialer, Link};
use super::buffer::Buffer;
use super::catalog;
use super::open::{self, Opened};
use super::position::{self, Position};
use super::rows::{batch, default_schema};
use super::settings::{DESCRIPTION, Settings};
use super::snapshot::{Copied, Folder};
use super::stream::{Shared, Stream};
use crate::retry::Patience;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidemill_core::describe::Description;
use tidemill_core::retry::Policy;
use tidemill_core::source::{Ask, Body, Chunk, Source, SourceConnector, SourceRequest};
use tidemill_core::{Clock, Error, Kind, Offsets, Options, Result, ResultExt as _, SplitRange, SystemClock};
use tokio::task::JoinHandle;

/// What the log calls the other side.
const SYSTEM: &str = "postgres";
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Rows of one batch.
const BATCH_ROWS: usize = 65_536;
/// A segment of the log, the least that the server can let go.
const SEGMENT_BYTES: u64 = 16 << 20;
/// How long to wait before looking again whether anything has come.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Least time between two moves that the server waits for.
const ASKED_INTERVAL: Duration = Duration::from_millis(500);
/// How long the newest position may take to be confirmed by the stream.
const CATCH_UP_TIME: Duration = Duration::from_millis(200);

/// Opens changes of a table of Postgres.
pub struct PostgresCdcConnector;

#[async_trait]
impl SourceConnector for PostgresCdcConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn schema(&self, options: &Options) -> Result<Option<SchemaRef>> {
        let settings = Settings::new(options.required("table")?, options)?;
        let with_before = options.boolean("include_before");
        // whoever plans a query need not have a runtime
        let looked = std::thread::scope(|scope| {
            let looking = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.context(Kind::Io, || "cannot start a runtime".into())?.block_on(look(&settings))
            };
            scope.spawn(looking).join()
        });
        let relation = looked.map_err(|_| Error::bug("the thread that looks at the table ended early"))??;
        Ok(Some(default_schema(&relation, with_before)))
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        if request.framing.is_some() {
            return Err(Error::invalid(format!("table '{}' makes its rows itself and takes no format", request.table))
                .help("leave the option 'format' out"));
        }
        Ok(Box::new(PostgresCdc::open(request).await?))
    }
}

/// The table as it is now, for a query that declares no columns.
async fn look(settings: &Settings) -> Result<super::message::Relation> {
    let attempt = async {
        let dialer = Dialer::new(&settings.target, "look")?;
        let link = dialer.connect_beside().await?;
        open::look(&link.client, settings).await
    };
    Ok(attempt.await.map_err(|failed: Failure| failed.error)?.1.relation)
}

struct PostgresCdc {
    table: String,
    settings: Arc<Settings>,
    schema: SchemaRef,
    dialer: Arc<Dialer>,
    patience: Patience,
    clock: Arc<dyn Clock>,
    control: Option<Link>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    /// Where this run began.
    start: Position,
    /// True until the first plan of a run that found no position.
    opened_new: bool,
    /// Where the newest epoch began.
    begun: Option<Position>,
    /// How far is planned.
    planned: Position,
    copy: Option<Copied>,
    folder: Option<Folder>,
    /// When the position of an idle table was moved last.
    moved: Duration,
    /// True after a plan of nothing.
    gave_nothing: bool,
    /// False while more can be planned.
    drained: bool,
    /// What was last said of the log that the slot keeps.
    wal_status: String,
}

impl Drop for PostgresCdc {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PostgresCdc {
    async fn open(request: SourceRequest) -> Result<Self> {
        let settings = Arc::new(Settings::new(&request.table, &request.options)?);
        let held = Position::find(&request.table, &settings.slot, &request.resume_from)?;
        let dialer = Arc::new(Dialer::new(&settings.target, &settings.slot)?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let policy = Policy::within(settings.retry_timeout).pauses(PAUSE_MIN, PAUSE_MAX);
        let patience = Patience::new(policy, SYSTEM, clock.clone());
        let mut retry = patience.begin();
        let Opened { table, start, copy } = loop {
            match open::open(&settings, &dialer, &request.schema, held, &*clock).await {
                Ok(opened) => break opened,
                Err(failed) => retry.wait(failed).await?,
            }
        };
        let buffer = Buffer::new(&start, table.relation.id, table.key, settings.buffer_bytes);
        // the slot of a new query stands where it begins
        let shared = Arc::new(Shared::new(buffer, held.map_or(0, |held| held.lsn), start.timeline));
        let stream = Stream {
            settings: settings.clone(),
            shared: shared.clone(),
            dialer: dialer.clone(),
            schema: request.schema.clone(),
            origin: start,
            relation: table.relation,
            patience: patience.clone(),
            clock: clock.clone(),
        };
        let (folder, copy) = copy.map_or((None, None), |(folder, copy)| (Some(folder), Some(copy)));
        Ok(PostgresCdc {
            table: request.table,
            schema: request.schema,
            dialer,
            patience,
            control: None,
            task: tokio::spawn(stream.run()),
            shared,
            start,
            opened_new: held.is_none(),
            begun: held,
            planned: start,
            copy,
            folder,
            moved: clock.elapsed(),
            clock,
            gave_nothing: false,
            drained: false,
            wal_status: String::new(),
            settings,
        })
    }

    /// What is before `position` is durable: the server may let it go, and the copy goes once it was read.
    fn let_go(&mut self, position: &Position) -> Result<()> {
        if self.shared.durable.fetch_max(position.lsn, Ordering::AcqRel) < position.lsn {
            self.shared.stir.notify_one();
        }
        if position.snapshot == position.snapshot_end
            && let Some(folder) = self.folder.take()
        {
            folder.remove()?;
        }
        Ok(())
    }

    /// How far an epoch reads from `at`. A bounded one waits for what is on its way.
    async fn reach(&mut self, at: &Position, ask: &Ask) -> Result<Position> {
        let slot = &self.settings.slot;
        if let Some(copy) = self.copy.as_ref().filter(|_| at.snapshot < at.snapshot_end) {
            let until = match &ask.until {
                Some(until) => position::snapshot_of(slot, until).unwrap_or(0),
                None => u64::MAX,
            };
            let snapshot = copy.reach(at.snapshot, until.min(at.snapshot_end), ask.bytes_max);
            return Ok(Position { snapshot, ..*at });
        }
        let until = ask.until.as_ref().map(|until| position::lsn_of(slot, until).unwrap_or(0));
        loop {
            {
                let mut buffer = self.shared.buffer();
                let to = buffer.next(at, until, ask.bytes_max);
                if to.rows > at.rows {
                    return Ok(to);
                }
                let is_over = until.is_none_or(|until| buffer.seen() >= until);
                if (!is_over || until.is_none())
                    && let Some(failure) = buffer.failure()
                {
                    return Err(failure);
                }
                if is_over {
                    let (idle, asked) = (buffer.idle(at, until), buffer.take_asked());
                    drop(buffer);
                    return Ok(self.idle(at, idle, asked, until.is_some()));
                }
            }
            self.shared.ping.store(true, Ordering::Release);
            self.shared.stir.notify_one();
            let _ = tokio::time::timeout(LOOK_INTERVAL, self.shared.arrived.notified()).await;
        }
    }

    /// A table without changes moves on with the log now and then, by an epoch without rows: what is confirmed to the
    /// server is never more than the checkpoint holds.
    fn idle(&mut self, at: &Position, idle: u64, asked: Option<u64>, is_bounded: bool) -> Position {
        let since = self.clock.elapsed().saturating_sub(self.moved);
        let is_due = is_bounded || since >= self.settings.heartbeat_interval;
        let frees = idle - at.lsn >= SEGMENT_BYTES && is_due;
        // a server that is being stopped waits until we have everything
        let awaited = asked.is_some() && idle > at.lsn && since >= ASKED_INTERVAL;
        if !frees && !awaited {
            return *at;
        }
        self.moved = self.clock.elapsed();
        Position { lsn: idle, inside: 0, ..*at }
    }

    /// End of the server's log now. Warns when the slot is about to lose what it keeps.
    async fn flushed(&mut self) -> Result<u64> {
        let mut retry = self.patience.begin();
        loop {
            let (control, dialer) = (self.control.take(), &self.dialer);
            let attempt = async {
                let link = match control.filter(|link| !link.client.is_closed()) {
                    Some(link) => link,
                    None => dialer.connect_beside().await?,
                };
                let flushed = catalog::flushed(&link.client).await?;
                let slot = catalog::slot(&link.client, &self.settings.slot).await?;
                Ok::<_, Failure>((link, flushed, slot))
            };
            match attempt.await {
                Ok((link, flushed, slot)) => {
                    self.control = Some(link);
                    let status = slot.map(|slot| slot.wal_status).unwrap_or_default();
                    if status != self.wal_status && matches!(status.as_str(), "unreserved" | "lost") {
                        let slot = &self.settings.slot;
                        tracing::warn!(
                            slot,
                            wal_status = status,
                            "the slot keeps more log than max_slot_wal_keep_size"
                        );
                    }
                    self.wal_status = status;
                    return Ok(flushed);
                }
                Err(failed) => retry.wait(failed).await?,
            }
        }
    }

    /// The rows of a range, once they are here.
    async fn rows(&self, range: &SplitRange) -> Result<Vec<super::buffer::Row>> {
        // with a position in the checkpoint the slot was checked; an epoch that was planned before there was one
        // names the slot it was planned from
        let is_first = self.opened_new && range.from == self.start.rows;
        if is_first && range.tag != self.start.tag() {
            let (slot, is, was) = (&self.settings.slot, self.start.tag(), &range.tag);
            return Err(Error::new(
                Kind::Data,
                format!("slot '{slot}' begins at {is}, and an epoch was planned from {was}"),
            )
            .help("the slot was made again since: start with a new checkpoint and a new slot"));
        }
        loop {
            {
                let mut buffer = self.shared.buffer();
                if let Some(rows) = buffer.rows(range.from..range.to) {
                    return Ok(rows);
                }
                if buffer.is_before(range.from) {
                    return Err(Error::new(Kind::Data, format!("{range} was read and confirmed before"))
                        .help("the server has let these changes go: start with a new checkpoint and a new slot"));
                }
                if let Some(failure) = buffer.failure() {
                    return Err(failure);
                }
                buffer.want(range.to);
            }
            self.shared.stir.notify_one();
            let _ = tokio::time::timeout(LOOK_INTERVAL, self.shared.arrived.notified()).await;
        }
    }
}

#[async_trait]
impl Source for PostgresCdc {
    async fn latest(&mut self) -> Result<Offsets> {
        let flushed = self.flushed().await?;
        let deadline = self.clock.elapsed() + CATCH_UP_TIME;
        let lsn = loop {
            if self.shared.buffer().idle(&self.planned, Some(flushed)) >= flushed {
                // nothing is new, whatever the log holds of other tables
                break self.planned.lsn;
            }
            let has_rows = self.shared.buffer().end() > self.planned.rows;
            if has_rows || self.clock.elapsed() >= deadline {
                break flushed;
            }
            self.shared.ping.store(true, Ordering::Release);
            self.shared.stir.notify_one();
            let _ = tokio::time::timeout(LOOK_INTERVAL / 4, self.shared.arrived.notified()).await;
        };
        Ok(position::newest(&self.settings.slot, lsn, self.start.snapshot_end))
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        let held = Position::find(&self.table, &self.settings.slot, from)?;
        self.opened_new = false;
        let at = held.unwrap_or(self.start);
        if held != self.begun {
            // an epoch that was planned after the one before was committed is committed itself
            if let Some(begun) = self.begun {
                self.let_go(&begun)?;
            }
            self.begun = held;
        } else if self.gave_nothing {
            // whoever gets nothing makes the last commit durable before it asks again
            self.let_go(&at)?;
        }
        self.shared.buffer().forget(at.rows);
        let mut to = self.reach(&at, ask).await?;
        to.timeline = self.shared.timeline.load(Ordering::Acquire);
        self.planned = to;
        self.drained = match to.snapshot < to.snapshot_end {
            true => false,
            false => self.shared.buffer().next(&to, None, u64::MAX).rows == to.rows,
        };
        let ranges = at.ranges(&self.settings.slot, &to, held.is_none());
        self.gave_nothing = ranges.is_empty();
        Ok(ranges)
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        let name = range.split.rsplit('.').next().unwrap_or_default();
        let chunk = |at: u64, rows: &[super::buffer::Row]| -> Result<Chunk> {
            let rows = batch(&self.schema, rows, self.settings.policies)?;
            Ok(Chunk { split: range.split.clone(), body: Body::Rows { rows, at } })
        };
        match name {
            position::ROWS if !range.is_empty() => {
                let rows = self.rows(range).await?;
                let starts = (range.from..).step_by(BATCH_ROWS);
                starts.zip(rows.chunks(BATCH_ROWS)).map(|(at, rows)| chunk(at, rows)).collect()
            }
            position::SNAPSHOT if !range.is_empty() => {
                let Some(copy) = self.copy.clone() else {
                    let message = format!("{range} was planned of a copy of the table that was read and removed");
                    return Err(Error::new(Kind::Data, message).help("start with a new checkpoint and a new slot"));
                };
                let (from, to) = (range.from, range.to);
                let blocks = tokio::task::spawn_blocking(move || copy.read(from, to)).await;
                let blocks = blocks.context(Kind::Bug, || "the thread that reads the copy ended early".into())??;
                blocks.iter().map(|(at, rows)| chunk(*at, rows)).collect()
            }
            _ => Ok(vec![]),
        }
    }

    async fn wait(&mut self) {
        if self.drained {
            // an idle table may have to move on
            let _ = tokio::time::timeout(Duration::from_secs(1), self.shared.arrived.notified()).await;
        }
    }

    async fn release(&mut self, offsets: &Offsets) -> Result<()> {
        match Position::find(&self.table, &self.settings.slot, offsets)? {
            Some(position) => self.let_go(&position),
            None => Ok(()),
        }
    }
}
