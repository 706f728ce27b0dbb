//! The source and sink of cases: batches are pushed in by the runner, rows are caught for it.

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::sink::{Marker, Sink, SinkConnector, SinkRequest};
use tidemill_core::source::{Ask, Body, Chunk, Source, SourceConnector, SourceRequest};
use tidemill_core::{Epoch, Error, Kind, Offsets, Result, SplitRange};
use tokio::sync::Notify;

/// What the runner and the connectors share.
#[derive(Debug, Default)]
pub struct Stage {
    inner: Mutex<Inner>,
    pushed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    files: BTreeMap<String, Vec<RecordBatch>>,
    /// Files of each stream that the sources may see.
    published: BTreeMap<String, usize>,
    /// The same for the round in which every source is asked once, so that all see the same moment.
    shown: BTreeMap<String, usize>,
    /// The streams that have been asked in this round.
    round: BTreeSet<String>,
    out: BTreeMap<Epoch, Vec<RecordBatch>>,
    written: Option<Epoch>,
    fail_next: bool,
    /// The checkpoint, and where it is copied to at every commit.
    kept: Option<(PathBuf, PathBuf)>,
}

impl Stage {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a file to a stream; it appears with [`Stage::publish`].
    pub fn push(&self, stream: &str, rows: RecordBatch) {
        self.lock().files.entry(stream.to_owned()).or_default().push(rows);
    }

    /// Everything that has been added appears, in all streams at once.
    pub fn publish(&self) {
        let mut inner = self.lock();
        inner.published = inner.files.iter().map(|(stream, files)| (stream.clone(), files.len())).collect();
        drop(inner);
        self.pushed.notify_one();
    }

    /// How many files of a stream are there in this round.
    fn shown(&self, stream: &str) -> usize {
        let mut inner = self.lock();
        if inner.round.is_empty() || inner.round.contains(stream) {
            inner.round.clear();
            inner.shown = inner.published.clone();
        }
        inner.round.insert(stream.to_owned());
        inner.shown.get(stream).copied().unwrap_or(0)
    }

    /// Rows that have come out since this was last called.
    pub fn take_out(&self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.lock().out).into_values().flatten().collect()
    }

    /// From now on `copy` is the checkpoint as a kill would leave it that comes right after the sink has an
    /// epoch: planned, in the sink, not committed.
    pub fn keep_as_killed(&self, checkpoint: PathBuf, copy: PathBuf) {
        self.lock().kept = Some((checkpoint, copy));
    }

    /// The next commit fails.
    pub fn fail_next(&self) {
        self.lock().fail_next = true;
    }
}

/// Name of the source in a case's tables.
pub const SOURCE: &str = "case";
/// Name of the sink.
pub const SINK: &str = "caught";

const SOURCE_OPTIONS: &[OptionSpec] =
    &[OptionSpec::new("max_files_per_trigger", OptionKind::Integer, "files an epoch reads at most")];

static SOURCE_DESCRIPTION: Description = Description {
    name: SOURCE,
    role: Role::Source,
    summary: "input batches of a case",
    guarantee: Guarantee::ExactlyOnce,
    options: SOURCE_OPTIONS,
    example: "",
};

static SINK_DESCRIPTION: Description = Description {
    name: SINK,
    role: Role::Sink,
    summary: "output rows of a case",
    guarantee: Guarantee::ExactlyOnce,
    options: &[],
    example: "",
};

/// The source.
pub struct CaseSource(pub Arc<Stage>);

#[async_trait]
impl SourceConnector for CaseSource {
    fn describe(&self) -> &'static Description {
        &SOURCE_DESCRIPTION
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        let columns = request.schema.fields().iter().map(|field| field.name().clone()).collect();
        let files_max = request.options.integer("max_files_per_trigger").map_or(usize::MAX, |count| count as usize);
        Ok(Box::new(Pushed { stage: self.0.clone(), stream: request.table, columns, files_max }))
    }
}

struct Pushed {
    stage: Arc<Stage>,
    stream: String,
    columns: Vec<String>,
    files_max: usize,
}

impl Pushed {
    fn ranges(&self) -> Vec<SplitRange> {
        let inner = self.stage.lock();
        let files = inner.files.get(&self.stream).map_or(&[][..], Vec::as_slice);
        let range = |(number, rows): (usize, &RecordBatch)| {
            SplitRange::new(format!("file-{number:06}"), 0, rows.num_rows() as u64)
        };
        let published = inner.published.get(&self.stream).copied().unwrap_or(0);
        files.iter().take(published).enumerate().map(range).collect()
    }
}

#[async_trait]
impl Source for Pushed {
    async fn latest(&mut self) -> Result<Offsets> {
        let mut offsets = Offsets::default();
        offsets.advance(&self.ranges());
        Ok(offsets)
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        let shown = self.stage.shown(&self.stream);
        let most = if ask.rate_limited { self.files_max } else { usize::MAX };
        let in_bound = |range: &SplitRange| ask.until.as_ref().is_none_or(|until| until.get(&range.split).is_some());
        let new = self.ranges().into_iter().filter(|range| from.get(&range.split).is_none() && in_bound(range));
        Ok(new.take_while(|range| number_of(range).is_some_and(|number| number < shown)).take(most).collect())
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        let number = number_of(range).ok_or_else(|| Error::bug("a split of another source"))?;
        let rows = self.stage.lock().files.get(&self.stream).and_then(|files| files.get(number)).cloned();
        let rows = rows.ok_or_else(|| Error::bug("a file that was never pushed"))?;
        let columns = self.columns.iter().map(|name| rows.schema().index_of(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(vec![Chunk { split: range.split.clone(), body: Body::Rows { rows: rows.project(&columns)?, at: 0 } }])
    }

    async fn wait(&mut self) {
        self.stage.pushed.notified().await;
    }
}

/// The sink.
pub struct CaseSink(pub Arc<Stage>);

#[async_trait]
impl SinkConnector for CaseSink {
    fn describe(&self) -> &'static Description {
        &SINK_DESCRIPTION
    }

    fn names_columns(&self) -> bool {
        false
    }

    fn every_epoch(&self) -> bool {
        true
    }

    async fn open(&self, _request: SinkRequest) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Caught(self.0.clone())))
    }
}

struct Caught(Arc<Stage>);

#[async_trait]
impl Sink for Caught {
    async fn marker(&mut self) -> Result<Marker> {
        Ok(self.0.lock().written.map_or(Marker::Absent, Marker::At))
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let mut inner = self.0.lock();
        if std::mem::take(&mut inner.fail_next) {
            return Err(Error::new(Kind::Again, "the sink fails, as the case asks"));
        }
        inner.written = Some(epoch);
        inner.out.insert(epoch, rows.to_vec());
        match inner.kept.clone() {
            Some((checkpoint, copy)) => copied(&checkpoint, &copy),
            None => Ok(()),
        }
    }
}

/// Makes `copy` a copy of a directory; what was there is gone.
fn copied(directory: &Path, copy: &Path) -> Result<()> {
    let failed = |error| Error::io(format!("cannot copy {}", directory.display()), error);
    if copy.exists() {
        std::fs::remove_dir_all(copy).map_err(failed)?;
    }
    std::fs::create_dir_all(copy).map_err(failed)?;
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (from, to) = (entry.path(), copy.join(entry.file_name()));
        if from.is_dir() {
            copied(&from, &to)?;
        } else {
            std::fs::copy(&from, &to).map_err(failed)?;
        }
    }
    Ok(())
}

fn number_of(range: &SplitRange) -> Option<usize> {
    range.split.trim_start_matches("file-").parse().ok()
}
