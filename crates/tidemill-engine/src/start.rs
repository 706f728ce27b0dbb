//! Starts a checked query and gives the handle by which it is watched and stopped.

use crate::dataflow::execute::Workers;
use crate::dataflow::lower::{LowerOptions, StaticTables, lower};
use crate::dataflow::{Dataflow, SourceColumns};
use crate::dead_letter::{self, rate::Rate, replay::Replays};
use crate::deliver::Delivery;
use crate::faults::QueryFaults;
use crate::ingest::Ingest;
use crate::pipeline::plan::{Attribute, outer_schema};
use crate::pipeline::query::{Query, SinkTable};
use crate::pipeline::settings::Trigger;
use crate::progress::{Listener, Progress, QueryStarted, TableName};
use crate::recover::Checkpoint;
use crate::report::{Recent, Reporter};
use crate::run::Running;
use crate::tables::Tables;
use crate::turn::Turns;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidemill_core::sink::{OutputMode, Writer};
use tidemill_core::{Clock, Error, Faults, Offsets, Result};
use tokio::sync::{Notify, watch};

/// How a query is to run.
#[derive(Clone)]
pub struct StartOptions {
    /// Directory of the checkpoint.
    pub checkpoint: PathBuf,
    /// When epochs start.
    pub trigger: Trigger,
    /// Write to sinks that hold rows of another incarnation of this query.
    pub accept_foreign: bool,
    /// Where bad records go when the pipeline names no table for them; `None` to stop at the first.
    pub dead_letter: Option<SinkTable>,
    /// Time.
    pub clock: Arc<dyn Clock>,
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
    wake: Notify,
}

impl Signals {
    fn new() -> Self {
        Signals { done: Some(watch::Sender::new(0)), ..Signals::default() }
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

    /// Waits, or until something is asked.
    pub async fn sleep(&self, time: Duration) {
        if self.stop_asked() || self.drain_asked() {
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
    let running_parts = open(&query, &options).await?;
    let (running, id, recent, signals) = running_parts;
    let (ended_sender, ended) = watch::channel(false);
    let error: Arc<Mutex<Option<Arc<Error>>>> = Arc::default();
    let handle = QueryHandle {
        id,
        run_id: running.reporter.run_id.clone(),
        name: query.name.clone(),
        recent,
        signals,
        ended,
        error: error.clone(),
    };
    let (name, listeners) = (query.name.clone(), options.listeners.clone());
    running.reporter.start(&started(&query, &options, &running));
    tokio::spawn(async move {
        let outcome = match tokio::spawn(running.run()).await {
            Ok(outcome) => outcome,
            Err(panic) => Err(Error::bug(format!("the query {name} panicked")).caused_by(panic)),
        };
        let failed = outcome.err().map(Arc::new);
        listeners.iter().for_each(|listener| listener.on_end(&name, failed.as_deref()));
        *error.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        ended_sender.send_replace(true);
    });
    Ok(handle)
}

fn started(query: &Query, options: &StartOptions, running: &Running) -> QueryStarted {
    let sinks = running.sinks.iter().map(|sink| TableName { table: sink.table.clone(), connector: sink.connector });
    let mut sinks: Vec<TableName> = sinks.collect();
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
        dead_letters,
        trigger: options.trigger,
        pace: running.turns.pace(),
    }
}

type Opened = (Running, String, Arc<Recent>, Arc<Signals>);

/// Sinks first, sources last: nobody can send before there is a receiver.
async fn open(query: &Query, options: &StartOptions) -> Result<Opened> {
    let tables = Tables::read(query).await?;
    let mut flow = build(query, &tables)?;
    let checkpoint = Checkpoint::open(&options.checkpoint, query, &mut flow)?;
    let writer = |sink: &str| Writer {
        query: query.name.clone(),
        sink: sink.to_owned(),
        incarnation: checkpoint.metadata.incarnation.clone(),
    };
    let faults = QueryFaults::new(&query.name, options.faults.clone());
    let mut sinks = Vec::with_capacity(query.outputs.len() + 1);
    for output in &query.outputs {
        let schema = outer_schema(&output.plan.attributes);
        let opened = Delivery::open(&output.sink, schema, output.mode, writer(&output.sink.name)).await;
        sinks.push(opened.map_err(|error| query.placed(&output.sink.name, error))?);
    }
    if let Some(letters) = query.dead_letter.as_ref().or(options.dead_letter.as_ref()) {
        let opened = Delivery::open(letters, dead_letter::schema(), OutputMode::Append, writer(&letters.name)).await;
        sinks.push(opened.map_err(|error| query.placed(&letters.name, error))?);
    }
    let mut resumed = checkpoint.resume(&mut flow, &mut sinks, options.accept_foreign, &query.state, &faults).await?;
    let mut ingests = Vec::with_capacity(query.sources.len());
    for source in &query.sources {
        let columns = flow.sources.iter().find(|columns| columns.table == source.name);
        let columns = columns.ok_or_else(|| Error::bug(format!("nothing reads the table {}", source.name)))?;
        let offsets = resumed.offsets.remove(&source.name).unwrap_or_else(Offsets::default);
        let opened = Ingest::open(source, columns, offsets).await;
        ingests.push(opened.map_err(|error| query.placed(&source.name, error))?);
    }
    let pace = query.outputs.iter().map(|output| output.sink.connector.commit_interval(&output.sink.options)).max();
    let connectors = query.sources.iter().map(|source| (source.name.clone(), source.connector.describe().name));
    let id = checkpoint.metadata.incarnation.to_string();
    let (recent, signals) = (Arc::<Recent>::default(), Arc::new(Signals::new()));
    let reporter = Reporter::new(
        id.clone(),
        query.name.clone(),
        connectors.collect::<BTreeMap<_, _>>(),
        recent.clone(),
        options.listeners.clone(),
    );
    let replays = Replays::new(&options.checkpoint, resumed.replayed);
    let running = Running {
        name: query.name.clone(),
        session: query.session.clone(),
        sources: ingests,
        tables,
        flow,
        sinks,
        checkpoint,
        resumed,
        workers: Workers::new(query.session.settings.parallelism())?,
        clock: options.clock.clone(),
        turns: Turns::new(options.trigger, pace.unwrap_or_default()),
        signals: signals.clone(),
        faults,
        reporter,
        rate: Rate::new(query.session.settings.dead_letter_limits()),
        replays,
    };
    Ok((running, id, recent, signals))
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
    let roots: Vec<_> = query.outputs.iter().map(|output| (output.plan.clone(), output.mode)).collect();
    let idle_after = query.sources.iter().filter_map(|source| {
        let micros = source.options.duration("idle_timeout")?.as_micros();
        Some((source.name.clone(), i64::try_from(micros).unwrap_or(i64::MAX)))
    });
    let options = LowerOptions {
        idle_after: &idle_after.collect(),
        partitions: query.session.settings.parallelism(),
        use_max: query.session.settings.watermark_is_max(),
        tables,
    };
    lower(&roots, &options)
}

/// The columns a query reads of each source, for tools.
pub fn source_columns(flow: &Dataflow) -> &[SourceColumns] {
    &flow.sources
}
