//! What one session of the package owns: components, threads, tables in memory. Queries started in it keep
//! its threads alive.

use crate::arrow_data::Rows;
use crate::errors::OrRaise;
use crate::foreach::{self, ForeachBatch};
use crate::query::Query;
use crate::sources::PythonSources;
use crate::stdout::PythonStdout;
use crate::{evaluate, functions, parts, spec, write};
use arrow::record_batch::RecordBatch;
use pyo3::prelude::*;
use pyo3_arrow::PyTable;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use tidemill_connectors::console::Console;
use tidemill_connectors::memory::{MemorySink, MemoryStore};
use tidemill_core::options::GivenOption;
use tidemill_core::{Clock, Error, NoFaults, Options, Registry, Result};
use tidemill_engine::checkpoint::place::Place;
use tidemill_engine::pipeline::build::PipelineSpec;
use tidemill_engine::pipeline::explain;
use tidemill_engine::pipeline::extension::Extensions;
use tidemill_engine::pipeline::query::SinkTable;
use tidemill_engine::pipeline::settings::Trigger;
use tidemill_engine::start::{StartOptions, start};
use tidemill_ops::{Listen, Monitor, PriceBook, Served};

/// What queries and sessions share.
pub struct Shared {
    handle: tokio::runtime::Handle,
    /// Taken when the last holder goes.
    runtime: Option<tokio::runtime::Runtime>,
    /// Components.
    pub registry: Registry,
    /// Time.
    pub clock: Arc<dyn Clock>,
    memory: MemoryStore,
    monitor: Monitor,
    /// The page, while it is served.
    page: Mutex<Option<Served>>,
}

impl Shared {
    /// Runs `work` on this thread and waits for it.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.handle.block_on(work)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // waiting for a thread that wants the interpreter's lock, which we hold, would never end
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The components of a session and what its user's program brings.
pub type Known = (Registry, Extensions);

/// How a query is started.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    /// The checkpoint: a directory, or the URL of a folder in an object store.
    checkpoint: String,
    /// When epochs start; absent: as soon as rows arrive.
    #[serde(default)]
    trigger: Option<String>,
    /// Write to sinks that hold rows of another checkpoint of this query.
    #[serde(default)]
    accept_foreign: bool,
}

/// Components, threads and tables in memory of one session.
#[pyclass(frozen, module = "tidemill._tidemill")]
pub struct Engine {
    shared: Arc<Shared>,
}

type Given = HashMap<String, PyTable>;
/// What Python describes of its functions, by the names that plans call them by.
type Described = HashMap<String, Py<PyAny>>;

fn rows_of(given: Given) -> Result<HashMap<String, Rows>> {
    given.into_iter().map(|(name, table)| Ok((name, Rows::from_python(table)?))).collect()
}

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let runtime = parts::runtime().or_raise(py)?;
        let memory = MemoryStore::new();
        let mut registry = Registry::default();
        // of two components with one name the first is taken
        registry.add_sink(Console::new(Arc::new(Mutex::new(PythonStdout))));
        registry.add_sink(MemorySink::new(memory.clone()));
        parts::register(&mut registry);
        let handle = runtime.handle().clone();
        let clock = parts::clock();
        let monitor = Monitor::new(clock.clone(), PriceBook::list().or_raise(py)?);
        let page = Mutex::default();
        let shared = Shared { handle, runtime: Some(runtime), registry, clock, memory, monitor, page };
        Ok(Engine { shared: Arc::new(shared) })
    }

    /// Starts a pipeline of one query.
    ///
    /// `spec` is JSON: `{"name", "settings": {key: value}, "tables": [{"name", "columns": [[name, type, nullable]],
    /// "watermark": [column, delay] or null, "options": {key: value}}], "inserts": [{"table", "relation", "mode"}]}`.
    /// `given` are the rows of tables that are read once, by name. `options` is JSON: `checkpoint` (a
    /// directory), `trigger`, `accept_foreign`. `function` is called for a table with the connector
    /// `foreach_batch`.
    /// `functions` describes the Python functions that the plans call; see `functions::described`.
    #[pyo3(signature = (spec, given, options, function = None, functions = HashMap::new()))]
    fn start(
        &self,
        py: Python<'_>,
        spec: &str,
        given: Given,
        options: &str,
        function: Option<Py<PyAny>>,
        functions: Described,
    ) -> PyResult<Query> {
        let shared = self.shared.clone();
        let (mut registry, extensions) = self.registry(py, &functions)?;
        if let Some(function) = function {
            registry.add_sink(ForeachBatch::new(function));
        }
        py.detach(|| started(shared, (registry, extensions), spec, given, options)).or_raise(py)
    }

    /// Columns of the first plan of `spec`, as DDL.
    #[pyo3(signature = (spec, given, functions = HashMap::new()))]
    fn schema(&self, py: Python<'_>, spec: &str, given: Given, functions: Described) -> PyResult<String> {
        let known = self.registry(py, &functions)?;
        py.detach(|| evaluate::schema(known, spec, rows_of(given)?)).or_raise(py)
    }

    /// The first plan of `spec` as data flows.
    #[pyo3(signature = (spec, given, functions = HashMap::new()))]
    fn explain(&self, py: Python<'_>, spec: &str, given: Given, functions: Described) -> PyResult<String> {
        let known = self.registry(py, &functions)?;
        py.detach(|| evaluate::explained(known, spec, rows_of(given)?)).or_raise(py)
    }

    /// All rows of the first plan of `spec`, which reads no stream.
    #[pyo3(signature = (spec, given, functions = HashMap::new()))]
    fn evaluate(&self, py: Python<'_>, spec: &str, given: Given, functions: Described) -> PyResult<PyTable> {
        let known = self.registry(py, &functions)?;
        let rows = py.detach(|| evaluate::rows(&self.shared, known, spec, rows_of(given)?)).or_raise(py)?;
        PyTable::try_new(rows.batches, rows.schema)
    }

    /// Rows that the sink `memory` has put into a table; None when there are none yet.
    fn memory_table(&self, name: &str) -> PyResult<Option<PyTable>> {
        let batches: Vec<RecordBatch> =
            self.shared.memory.table(name).batches().into_iter().map(|(_, rows)| rows).collect();
        batches.first().map(RecordBatch::schema).map(|schema| PyTable::try_new(batches, schema)).transpose()
    }

    /// Writes rows to a Delta table. `write` is JSON: `path`, `mode` (append, overwrite, ignore, error),
    /// `partition_by`, `storage`, `transaction` ([application id, version] or null). Gives the table's
    /// version; None when nothing was to be written.
    fn write_delta(&self, py: Python<'_>, rows: PyTable, write: &str) -> PyResult<Option<u64>> {
        py.detach(|| write::delta(&self.shared, Rows::from_python(rows)?, write)).or_raise(py)
    }

    /// Writes rows to files in a directory. `write` is JSON: `path`, `mode`, `options` (with `format`),
    /// `writer` ([query, sink, incarnation]), `epoch`. False when nothing was to be written.
    fn write_files(&self, py: Python<'_>, rows: PyTable, write: &str) -> PyResult<bool> {
        py.detach(|| write::files(&self.shared, Rows::from_python(rows)?, write)).or_raise(py)
    }

    /// Serves the live page, `/metrics` and the health checks at `address`, and gives the page's URL; at the
    /// default address, or a free port, when none is named.
    #[pyo3(signature = (address = None))]
    fn serve(&self, py: Python<'_>, address: Option<&str>) -> PyResult<String> {
        py.detach(|| {
            let listen = address.map_or_else(|| Ok(Listen::default()), Listen::at)?;
            self.end_page();
            let served = self.shared.block_on(self.shared.monitor.serve(&listen))?;
            let url = served.url();
            *self.shared.page.lock().unwrap_or_else(PoisonError::into_inner) = Some(served);
            Ok(url)
        })
        .or_raise(py)
    }

    /// Serves it no more.
    fn stop_serving(&self, py: Python<'_>) {
        py.detach(|| self.end_page());
    }

    /// The metrics of its queries as OpenMetrics text.
    fn metrics(&self, py: Python<'_>) -> String {
        py.detach(|| self.shared.monitor.metrics())
    }

    /// What its queries have done and cost, for people.
    fn summary(&self, py: Python<'_>) -> String {
        py.detach(|| self.shared.monitor.summary().text())
    }

    /// Every source, sink and format as JSON.
    fn connectors(&self) -> String {
        serde_json::to_string(&self.shared.registry.descriptions()).unwrap_or_default()
    }
}

impl Engine {
    /// The session's components, and these functions.
    fn registry(&self, py: Python<'_>, described: &Described) -> PyResult<Known> {
        let mut registry = self.shared.registry.clone();
        let (functions, extensions) = functions::described(py, described)?;
        functions.into_iter().for_each(|function| registry.add_function(function));
        registry.add_source(PythonSources::of(py, described)?);
        Ok((registry, extensions))
    }

    fn end_page(&self) {
        let served = self.shared.page.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(served) = served {
            self.shared.block_on(served.shutdown());
        }
    }
}

fn started(
    shared: Arc<Shared>,
    (mut registry, extensions): Known,
    spec: &str,
    given: Given,
    options: &str,
) -> Result<Query> {
    let options: Start = parts::json("the start options", options)?;
    let trigger = options.trigger.as_deref().map_or(Ok(Trigger::Asap), Trigger::parse)?;
    let pipeline = PipelineSpec { extensions, ..spec::read(spec, rows_of(given)?, &mut registry)? };
    let mut queries = pipeline.check(&registry)?;
    let (Some(query), true) = (queries.pop(), queries.is_empty()) else {
        return Err(Error::invalid("the plans have no source in common, so they are several queries")
            .help("start each of them on its own"));
    };
    if query.sources.is_empty() {
        return Err(Error::invalid("nothing in this query streams")
            .class("WRITE_STREAM_NOT_ALLOWED")
            .help("use df.write to write rows that are there already"));
    }
    let checkpoint = Place::open(&options.checkpoint, &query.name, &query.session.settings)?;
    let letters = dead_letters(&registry, &checkpoint)?;
    let explained = explain::query(&query);
    let options = StartOptions {
        checkpoint,
        trigger,
        accept_foreign: options.accept_foreign,
        dead_letter: Some(letters),
        clock: shared.clock.clone(),
        isolation: None,
        faults: Arc::new(NoFaults),
        listeners: vec![shared.monitor.listener()],
    };
    let handle = Arc::new(shared.block_on(start(query, options))?);
    shared.monitor.control(&handle);
    let (running, held) = (handle.clone(), shared.clone());
    // a query that nobody holds runs on, and with it the threads it needs
    shared.handle.spawn(async move {
        let _ = running.ended().await;
        drop(held);
    });
    Ok(Query::new(handle, shared, explained))
}

/// Bad records become Parquet files in the checkpoint, unless the pipeline names a table for them.
fn dead_letters(registry: &Registry, checkpoint: &Place) -> Result<SinkTable> {
    let (path, mut given) = checkpoint.below("dead_letters");
    given.push(GivenOption::new("path", path));
    let connector = registry.sink("files")?;
    let options = Options::check("the dead letters", &[connector.describe().options], &given)?;
    Ok(SinkTable { name: "dead_letters".into(), connector, format: Some(registry.format("parquet")?), options })
}

/// Name of the sink that calls a Python function.
pub const FOREACH_BATCH: &str = foreach::NAME;

/// Options of a component, from Python.
pub type GivenOptions = BTreeMap<String, String>;
