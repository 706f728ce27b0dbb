//! Starts a checked query and gives the handle by which it is watched and stopped.

use crate::checkpoint::place::Place;
use crate::dataflow::execute::Workers;
use crate::dataflow::lower::{LowerOptions, StaticTables, lower};
use crate::dataflow::{Dataflow, SourceColumns};
use crate::dead_letter::crash::attempts::Attempts;
use crate::dead_letter::crash::{Isolation, Suspects};
use crate::dead_letter::unplaced::LateRows;
use crate::dead_letter::{self, rate::Rate, replay::Replays};
use crate::deliver::Delivery;
use crate::faults::QueryFaults;
use crate::ingest::Ingest;
use crate::pipeline::plan::{Attribute, outer_schema};
use crate::pipeline::query::{Query, QueryOutput, SinkTable};
use crate::pipeline::settings::Trigger;
use crate::progress::{Listener, Progress, QueryStarted, TableName};
use crate::recover::{Checkpoint, Resumed};
use crate::report::{Recent, Reporter};
use crate::resilience::disk::Disks;
use crate::resilience::pressure::Pressure;
use crate::resilience::revive::keep_running;
use crate::run::Running;
use crate::state::limits::StateLimits;
use crate::tables::Tables;
use crate::turn::Turns;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidemill_core::sink::{OutputMode, Writer};
use tidemill_core::{Clock, Error, Faults, Kind, Result};
use tokio::sync::{Notify, watch};

/// How a query is to run.
#[derive(Clone)]
pub struct StartOptions {
    /// Where the checkpoint is.
    pub checkpoint: Place,
    /// When epochs start.
    pub trigger: Trigger,
    /// Write to sinks that hold rows of another incarnation of this query.
    pub accept_foreign: bool,
    /// Where bad records go when the pipeline names no table for them; `None` to stop at the first.
    pub dead_letter: Option<SinkTable>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where the records of an epoch are tried that the process has died in; `None` for this process.
    pub isolation: Option<Arc<dyn Isolation>>,
    /// Who may break a step; tests only.
    pub faults: Arc<dyn Faults>,
    /// Who hears of epochs.
    pub listeners: Vec<Arc<dyn Listener>>,
}

/// What the loop and the handle say to each other.
#[derive(Debug, Default)]
pub struct Signals {
    stop: AtomicBool,
    /// Times somebody asked to have everything processed, and the newest that has been.
    asked: AtomicU64,
    done: Option<watch::Sender<u64>>,
    /// The parallelism somebody wants; 0 when it is as wanted.
    wanted: AtomicUsize,
    rescaled: Option<watch::Sender<usize>>,
    wake: Notify,
}

impl Signals {
    fn new() -> Self {
        let (done, rescaled) = (Some(watch::Sender::new(0)), Some(watch::Sender::new(0)));
        Signals { done, rescaled, ..Signals::default() }
    }

    /// True when the query is to stop after its epoch.
    pub fn stop_asked(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// True when somebody waits for everything that is there.
    pub fn drain_asked(&self) -> bool {
        let done = self.done.as_ref().map_or(0, |done| *done.borrow());
        self.asked.load(Ordering::SeqCst) > done
    }

    /// Everything that was there has been processed. `asked` tells whether the round that found
    /// nothing began after somebody asked.
    pub fn drained(&self, asked: bool) {
        if let (true, Some(done)) = (asked, &self.done) {
            done.send_replace(self.asked.load(Ordering::SeqCst));
        }
    }

    /// Returns when something is asked.
    pub async fn wait(&self) {
        self.wake.notified().await;
    }

    /// The parallelism somebody has asked for.
    pub fn rescale_asked(&self) -> Option<usize> {
        Some(self.wanted.load(Ordering::SeqCst)).filter(|wanted| *wanted > 0)
    }

    /// The query has this parallelism now.
    pub fn rescaled(&self, parallelism: usize) {
        // somebody may have asked for another one meanwhile
        let _ = self.wanted.compare_exchange(parallelism, 0, Ordering::SeqCst, Ordering::SeqCst);
        if let Some(rescaled) = &self.rescaled {
            rescaled.send_replace(parallelism);
        }
    }

    /// Waits, or until something is asked.
    pub async fn sleep(&self, time: Duration) {
        if self.stop_asked() || self.drain_asked() || self.rescale_asked().is_some() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.wake.notified() => {}
        }
    }
}

/// A query that has been started.
pub struct QueryHandle {
    /// Identity of its checkpoint.
    pub id: String,
    /// Identity of this run.
    pub run_id: String,
    /// Its name.
    pub name: String,
    recent: Arc<Recent>,
    signals: Arc<Signals>,
    ended: watch::Receiver<bool>,
    error: Arc<Mutex<Option<Arc<Error>>>>,
}

impl QueryHandle {
    /// True while it runs.
    pub fn is_active(&self) -> bool {
        !*self.ended.borrow()
    }

    /// Asks it to stop after the epoch it is in; [`QueryHandle::ended`] tells when it has.
    pub fn stop(&self) {
        self.signals.stop.store(true, Ordering::SeqCst);
        self.signals.wake.notify_one();
    }

    /// Returns when it has ended.
    ///
    /// # Errors
    /// What made it fail.
    pub async fn ended(&self) -> Result<(), Arc<Error>> {
        let mut ended = self.ended.clone();
        // the sender goes only after it has said so
        let _ = ended.wait_for(|ended| *ended).await;
        match self.exception() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// What made it fail, if it has.
    pub fn exception(&self) -> Option<Arc<Error>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns when everything that is there now has been processed and committed.
    ///
    /// # Errors
    /// What made it fail.
    pub async fn process_all_available(&self) -> Result<(), Arc<Error>> {
        let target = self.signals.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.signals.wake.notify_one();
        let Some(done) = &self.signals.done else { return Ok(()) };
        let (mut done, mut ended) = (done.subscribe(), self.ended.clone());
        tokio::select! {
            _ = done.wait_for(|done| *done >= target) => {}
            _ = ended.wait_for(|ended| *ended) => {}
        }
        match self.exception() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Asks for another parallelism, which it has after the epoch it is in; [`QueryHandle::rescaled`] tells when.
    ///
    /// # Errors
    /// A parallelism that no query can have; the query has ended.
    pub fn rescale(&self, parallelism: usize) -> Result<()> {
        crate::rescale::check(parallelism)?;
        if !self.is_active() {
            let message = format!("the query {} has ended", self.name);
            return Err(Error::new(Kind::Usage, message).help("SET parallelism, and start it"));
        }
        self.signals.wanted.store(parallelism, Ordering::SeqCst);
        self.signals.wake.notify_one();
        Ok(())
    }

    /// Returns when it has the parallelism it was asked for, or has ended.
    ///
    /// # Errors
    /// What made it fail.
    pub async fn rescaled(&self) -> Result<(), Arc<Error>> {
        let Some(rescaled) = &self.signals.rescaled else { return Ok(()) };
        let (mut rescaled, mut ended) = (rescaled.subscribe(), self.ended.clone());
        tokio::select! {
            _ = rescaled.wait_for(|_| self.signals.rescale_asked().is_none()) => {}
            _ = ended.wait_for(|ended| *ended) => {}
        }
        match self.exception() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The newest report.
    pub fn last_progress(&self) -> Option<Progress> {
        self.recent.last()
    }

    /// The newest reports, oldest first.
    pub fn recent_progress(&self) -> Vec<Progress> {
        self.recent.all()
    }
}

/// Opens everything a query needs and starts its loop on the current tokio runtime, which must have
/// several threads.
///
/// # Errors
/// What cannot be opened or does not fit: the query has then done nothing.
pub async fn start(query: Query, options: StartOptions) -> Result<QueryHandle> {
    let kept = Kept { recent: Arc::default(), signals: Arc::new(Signals::new()), run_id: mint() };
    let running = open(&query, &options, &kept).await?;
    let (ended_sender, ended) = watch::channel(false);
    let error: Arc<Mutex<Option<Arc<Error>>>> = Arc::default();
    let handle = QueryHandle {
        id: running.reporter.id.clone(),
        run_id: kept.run_id.clone(),
        name: query.name.clone(),
        recent: kept.recent.clone(),
        signals: kept.signals.clone(),
        ended,
        error: error.clone(),
    };
    running.reporter.start(&started(&query, &options, &running));
    tokio::spawn(async move {
        let failed = keep_running(running, &query, &options, &kept).await.err().map(Arc::new);
        options.listeners.iter().for_each(|listener| listener.on_end(&query.name, failed.as_deref()));
        *error.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        ended_sender.send_replace(true);
    });
    Ok(handle)
}

fn started(query: &Query, options: &StartOptions, running: &Running) -> QueryStarted {
    let sinks = running.sinks.iter().map(|sink| TableName { table: sink.table.clone(), connector: sink.connector });
    let mut sinks: Vec<TableName> = sinks.collect();
    let vitals = running.sinks.iter().filter_map(|sink| Some((sink.table.clone(), sink.vitals()?))).collect();
    let dead_letters = (sinks.len() > query.outputs.len()).then(|| sinks.pop()).flatten();
    let sources = query.sources.iter();
    let sources = sources
        .map(|source| TableName { table: source.name.clone(), connector: source.connector.describe().name })
        .collect();
    QueryStarted {
        id: running.reporter.id.clone(),
        run_id: running.reporter.run_id.clone(),
        name: query.name.clone(),
        sources,
        sinks,
        vitals,
        dead_letters,
        trigger: options.trigger,
        pace: running.turns.pace(),
        memory_limit: query.session.settings.memory_limit(),
        disks: running.disks.places().to_vec(),
    }
}

/// What stays the same when a query is closed and opened again.
pub(crate) struct Kept {
    /// Its newest reports.
    pub recent: Arc<Recent>,
    /// What is asked of it.
    pub signals: Arc<Signals>,
    /// Identity of this run.
    pub run_id: String,
}

fn mint() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Opens everything; sinks first, sources last: nobody can send before there is a receiver.
///
/// # Errors
/// What cannot be opened or does not fit.
pub(crate) async fn open(query: &Query, options: &StartOptions, kept: &Kept) -> Result<Running> {
    let tables = Tables::read(query).await?;
    let mut flow = build(query, &tables)?;
    let mut checkpoint = Checkpoint::open(&options.checkpoint, query, &mut flow, &options.clock).await?;
    let sets_aside = query.session.settings.sets_aside();
    flow.parts.iter_mut().for_each(|part| part.sets_aside = sets_aside);
    let faults = QueryFaults::new(&query.name, options.faults.clone());
    let letters = query.dead_letter.as_ref().or(options.dead_letter.as_ref());
    let mut sinks = open_sinks(query, letters, &checkpoint).await?;
    let mut resumed = checkpoint.resume(&mut flow, &mut sinks, options.accept_foreign, &query.state, &faults).await?;
    let ingests = open_sources(query, &flow.sources, &mut resumed).await?;
    let attempts = if sinks.len() > query.outputs.len() {
        let suspects = Suspects {
            query,
            tables: &tables,
            sources: &ingests,
            checkpoint: &options.checkpoint.directory,
            isolation: options.isolation.as_deref(),
        };
        suspects.examine(&mut resumed).await?
    } else {
        Attempts::read(&options.checkpoint.directory)
    };
    let pace = query.outputs.iter().map(|output| output.sink.connector.commit_interval(&output.sink.options)).max();
    let connectors = query.sources.iter().map(|source| (source.name.clone(), source.connector.describe().name));
    let id = checkpoint.metadata.incarnation.to_string();
    let written = query.outputs.iter().map(|output| &output.sink);
    let local = written.chain(letters).filter_map(|sink| sink.connector.local_directory(&sink.options));
    let disks = Disks::new(&options.checkpoint.directory, local, query.session.settings.disk_limits());
    let reporter = Reporter::new(
        id,
        kept.run_id.clone(),
        query.name.clone(),
        connectors.collect::<BTreeMap<_, _>>(),
        kept.recent.clone(),
        options.listeners.clone(),
    );
    Ok(Running {
        query: query.clone(),
        limits: StateLimits::of(&query.session.settings),
        unreleased: false,
        name: query.name.clone(),
        session: query.session.clone(),
        sources: ingests,
        tables,
        flow,
        sinks,
        checkpoint,
        replays: Replays::new(&options.checkpoint.directory, resumed.replayed),
        resumed,
        workers: Workers::new(query.session.settings.parallelism())?,
        clock: options.clock.clone(),
        turns: Turns::new(options.trigger, pace.unwrap_or_default()),
        signals: kept.signals.clone(),
        faults,
        reporter,
        rate: Rate::new(query.session.settings.dead_letter_limits()),
        attempts,
        disks,
        pressure: Pressure::of(query),
        snapshot_from: 0,
        late: late_rows(query),
    })
}

/// The sources, where the query goes on.
async fn open_sources(query: &Query, columns: &[SourceColumns], resumed: &mut Resumed) -> Result<Vec<Ingest>> {
    let mut ingests = Vec::with_capacity(query.sources.len());
    for source in &query.sources {
        let columns = columns.iter().find(|columns| columns.table == source.name);
        let columns = columns.ok_or_else(|| Error::bug(format!("nothing reads the table {}", source.name)))?;
        let offsets = resumed.offsets.remove(&source.name).unwrap_or_default();
        let opened = Ingest::open(source, columns, offsets).await;
        ingests.push(opened.map_err(|error| query.placed(&source.name, error))?);
    }
    Ok(ingests)
}

/// The sinks of the outputs, and last that of dead letters.
async fn open_sinks(query: &Query, letters: Option<&SinkTable>, checkpoint: &Checkpoint) -> Result<Vec<Delivery>> {
    let incarnation = &checkpoint.metadata.incarnation;
    let writer =
        |sink: &str| Writer { query: query.name.clone(), sink: sink.to_owned(), incarnation: incarnation.clone() };
    let mut sinks = Vec::with_capacity(query.outputs.len() + 1);
    for output in &query.outputs {
        let schema = outer_schema(&output.plan.attributes);
        let opened = Delivery::open(&output.sink, schema, output.mode, writer(&output.sink.name)).await;
        sinks.push(opened.map_err(|error| query.placed(&output.sink.name, error))?);
    }
    if let Some(letters) = letters {
        let opened = Delivery::open(letters, dead_letter::schema(), OutputMode::Append, writer(&letters.name)).await;
        sinks.push(opened.map_err(|error| query.placed(&letters.name, error))?);
    }
    Ok(sinks)
}

/// The late rows that become dead letters.
fn late_rows(query: &Query) -> Vec<LateRows> {
    let schema = |output: &QueryOutput| outer_schema(&output.plan.attributes);
    let late = query.late_letters.iter();
    late.map(|output| LateRows { table: output.sink.name.clone(), schema: schema(output) }).collect()
}

/// The operators of a query, over its tables.
///
/// # Errors
/// An expression that fails on a row of a table.
pub fn build(query: &Query, tables: &Tables) -> Result<Dataflow> {
    lowered(query, &|name: &str, columns: &[usize], attributes: &[Attribute]| tables.rows(name, columns, attributes))
}

/// The operators of a query, over tables that somebody gives.
///
/// # Errors
/// An expression that fails on a row of a table.
pub fn lowered(query: &Query, tables: StaticTables<'_>) -> Result<Dataflow> {
    lowered_to(query, query.session.settings.parallelism(), tables)
}

/// The same with so many partitions.
///
/// # Errors
/// An expression that fails on a row of a table.
pub fn lowered_to(query: &Query, partitions: usize, tables: StaticTables<'_>) -> Result<Dataflow> {
    let roots: Vec<_> =
        query.outputs.iter().chain(&query.late_letters).map(|output| (output.plan.clone(), output.mode)).collect();
    let idle_after = query.sources.iter().filter_map(|source| {
        let micros = source.options.duration("idle_timeout")?.as_micros();
        Some((source.name.clone(), i64::try_from(micros).unwrap_or(i64::MAX)))
    });
    let options = LowerOptions {
        idle_after: &idle_after.collect(),
        partitions,
        use_max: query.session.settings.watermark_is_max(),
        max_future_skew: query.session.settings.max_future_skew(),
        tables,
    };
    let mut flow = lower(&roots, &options)?;
    flow.outputs = query.outputs.len();
    Ok(flow)
}

/// The columns a query reads of each source, for tools.
pub fn source_columns(flow: &Dataflow) -> &[SourceColumns] {
    &flow.sources
}
