//! A Delta table as a stream: its rows as they are, then those of each new version. A planned epoch is a span of files
//! in the order of the log; what has been committed to the log never changes, so the span means the same rows for as
//! long as the files are there.

use super::admission::{Admission, Limits};
use super::change::Allowed;
use super::columns;
use super::log::Log;
use super::position::{Position, Span, Standing};
use super::scan::{DataFile, Scan};
use super::start::Start;
use crate::delta::errors::failed;
use crate::delta::home::Home;
use async_trait::async_trait;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::source::{Ask, Body, Chunk, Source, SourceRequest};
use tidemill_core::{Error, Kind, Offsets, Result, ResultExt, SplitRange};

/// Files that are read at once.
const FILES_AT_ONCE: usize = 4;

/// Versions that an epoch reads at most.
const VERSIONS_MAX: u64 = 1_000;

/// How often an idle stream looks for a new version on a local disk, and in an object store.
const LOOK_LOCAL: Duration = Duration::from_millis(100);
const LOOK_STORE: Duration = Duration::from_secs(1);

/// An open stream.
pub(super) struct DeltaStream {
    log: Log,
    scan: Arc<Scan>,
    limits: Limits,
    fail_on_data_loss: bool,
    /// Where it begins when the checkpoint holds no position.
    start: Standing,
    pause: Duration,
    /// False while a plan left something that was there.
    drained: bool,
}

impl DeltaStream {
    /// Opens the table at `home`.
    ///
    /// # Errors
    /// No table, one that cannot be read as a stream, or another one than the checkpoint knows; a beginning that is not
    /// there.
    pub async fn open(home: Home, request: SourceRequest) -> Result<DeltaStream> {
        let options = &request.options;
        let (start, limits) = (Start::of(options)?, Limits::of(options)?);
        let mut table = home.table()?;
        table.load().await.map_err(|error| failed("open", &home.place, error))?;
        let place = home.place.clone();
        let pause = if home.directory().is_some() { LOOK_LOCAL } else { LOOK_STORE };
        let ignores_columns = options.text("evolve") == Some("ignore");
        let log = Log::of(home, &table, Allowed::of(options), ignores_columns)?;
        columns::check_wanted(&request.schema, &log.columns, &place)?;
        let state = table.snapshot().map_err(|error| failed("read", &place, error))?;
        let scan = Scan {
            store: log.files_store(),
            wanted: request.schema,
            partition_by: columns::partition_by(state)?,
            place: place.clone(),
        };
        let fail_on_data_loss = options.boolean("fail_on_data_loss");
        let start = match Standing::of(&request.resume_from, &log.id, &place)? {
            Some(standing) => standing,
            None => start.standing(&log, fail_on_data_loss).await?,
        };
        Ok(DeltaStream {
            log,
            scan: Arc::new(scan),
            limits,
            fail_on_data_loss,
            start,
            pause: options.duration("poll_interval").unwrap_or(pause),
            drained: true,
        })
    }

    /// How far an epoch reads from `from`, and no further than `until`.
    async fn reach(&mut self, from: Standing, until: Option<Position>, ask: &Ask) -> Result<Position> {
        let mut admission = Admission::new(self.limits, ask);
        let mut at = from.at;
        self.drained = false;
        for _ in 0..VERSIONS_MAX {
            if until.is_some_and(|until| at >= until) {
                return Ok(at);
            }
            let Some(files) = self.log.files(at.version, from.log).await? else {
                match self.log.after_gap(at.version).await? {
                    Some(next) => {
                        self.lost(at.version, next)?;
                        at = Position { version: next, file: 0 };
                        continue;
                    }
                    None => {
                        self.drained = true;
                        return Ok(at);
                    }
                }
            };
            let count = files.len() as u64;
            let bound = until.filter(|until| until.version == at.version).map_or(count, |until| until.file.min(count));
            at.file += admission.take(&files[(at.file.min(bound) as usize)..(bound as usize)]);
            if at.file < count {
                return Ok(at);
            }
            at = Position { version: at.version + 1, file: 0 };
        }
        Ok(at)
    }

    /// Versions `from` to before `to` are gone from the log.
    fn lost(&self, from: u64, to: u64) -> Result<()> {
        let (place, last) = (&self.log.home.place, to - 1);
        if self.fail_on_data_loss {
            return Err(Error::new(
                Kind::Data,
                format!(
                    "versions {from} to {last} are gone from the log of the delta table at {place}, and were \
                         not read"
                ),
            )
            .class("DELTA_VERSIONS_NOT_CONTIGUOUS")
            .help(
                "keep the log for as long as a stream may be behind (delta.logRetentionDuration); set \
                   fail_on_data_loss = 'false' to go on with what is there, or start with a new checkpoint",
            ));
        }
        tracing::warn!(table = place, from, to = last, "versions are gone from the log and were not read");
        Ok(())
    }

    /// The files of a span, in order.
    async fn files(&self, span: Span) -> Result<Vec<DataFile>> {
        let (from, to) = (span.from.at, span.to);
        let mut all = Vec::new();
        for version in from.version..=to.version {
            let first = if version == from.version { from.file } else { 0 };
            if version == to.version && to.file <= first {
                break;
            }
            let Some(files) = self.log.files(version, span.from.log).await? else {
                self.lost(version, version + 1)?;
                continue;
            };
            let count = files.len() as u64;
            let last = if version == to.version { to.file } else { count };
            if last > count {
                let place = &self.log.home.place;
                return Err(Error::new(
                    Kind::Data,
                    format!(
                        "version {version} of the delta table at {place} has {count} files to read, and \
                             {last} were planned: its log was changed"
                    ),
                )
                .help(
                    "start with a new checkpoint; when options such as ignore_changes were changed, run the \
                       planned epoch with the old ones first",
                ));
            }
            all.extend_from_slice(&files[first as usize..last as usize]);
        }
        Ok(all)
    }

    /// A file of the log is not there.
    fn vacuumed(&self, path: &str) -> Result<()> {
        let place = &self.log.home.place;
        if self.fail_on_data_loss {
            return Err(Error::new(
                Kind::Data,
                format!(
                    "'{path}' of the delta table at {place} is gone, and was \
                                                       not read: VACUUM removed it"
                ),
            )
            .class("DELTA_FILE_NOT_FOUND")
            .help(
                "keep removed files for as long as a stream may be behind \
                       (delta.deletedFileRetentionDuration); set fail_on_data_loss = 'false' to go on without the \
                       file, or start with a new checkpoint",
            ));
        }
        tracing::warn!(table = place, file = path, "a file is gone and was not read");
        Ok(())
    }
}

#[async_trait]
impl Source for DeltaStream {
    async fn latest(&mut self) -> Result<Offsets> {
        let version = self.log.latest().await? + 1;
        Ok(Standing { at: Position { version, file: 0 }, log: self.start.log }.offsets(&self.log.id))
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        let (id, place) = (self.log.id.clone(), self.log.home.place.clone());
        let known = Standing::of(from, &id, &place)?;
        let standing = known.unwrap_or(self.start);
        let until = match &ask.until {
            Some(until) => Standing::of(until, &id, &place)?.map(|standing| standing.at),
            None => None,
        };
        self.log.forget_before(standing.at.version);
        let to = self.reach(standing, until, ask).await?;
        // a beginning that would be another one after a restart is pinned, even if nothing is there yet
        let is_new = known.is_none();
        Ok(if to > standing.at || is_new { Span { from: standing, to }.ranges(&id) } else { Vec::new() })
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        let Some(span) = Span::of(range, &self.log.id, &self.log.home.place)? else { return Ok(Vec::new()) };
        let files = self.files(span).await?;
        let reads = files.into_iter().map(|file| {
            let scan = self.scan.clone();
            // a task of its own, so that files are decoded on several threads
            let read = tokio::spawn(async move { (scan.rows(&file).await, file.path) });
            async { read.await.context(Kind::Bug, || "the task that reads a file ended early".into()) }
        });
        let mut reads = futures::stream::iter(reads).buffered(FILES_AT_ONCE);
        let (mut chunks, mut at) = (Vec::new(), 0);
        while let Some(read) = reads.next().await {
            let (rows, path) = read?;
            let Some(rows) = rows? else {
                self.vacuumed(&path)?;
                continue;
            };
            for rows in rows {
                let count = rows.num_rows() as u64;
                chunks.push(Chunk { split: range.split.clone(), body: Body::Rows { rows, at } });
                at += count;
            }
        }
        Ok(chunks)
    }

    async fn wait(&mut self) {
        if self.drained {
            tokio::time::sleep(self.pause).await;
        }
    }
}
