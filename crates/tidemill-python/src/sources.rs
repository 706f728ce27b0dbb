//! The user's data sources as sources of the engine. An offset is JSON that only the source understands: it stands in
//! the checkpoint as the position of the one split there is, and the number beside it only counts epochs.

use crate::from_python::fields_of;
use crate::functions::{call, fitting};
use arrow::array::{Array, ArrayRef, RecordBatchOptions};
use arrow::datatypes::{DataType, Fields, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3_arrow::PyRecordBatch;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::source::{Ask, Body, Chunk, Source, SourceConnector, SourceRequest};
use tidemill_core::{Error, Kind, Offsets, Result, ResultExt, SplitRange, types};

static DESCRIPTION: Description = Description {
    name: "python",
    role: Role::Source,
    summary: "a data source of the user's Python program (spark.dataSource.register)",
    guarantee: Guarantee::ExactlyOnce,
    options: &[OptionSpec::new(
        "source",
        OptionKind::Text,
        "the name it was registered by, and the \
                                table's",
    )
    .required()],
    example: "connector = 'python', source = 'python.source.numbers'",
};

/// Name of the one split.
const SPLIT: &str = "offset";

/// How often an idle source is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// The data sources of a query, by the names its tables call them by. Each is an object with `shown`, `columns` (DDL)
/// and `open()`, which gives a reader: see `tidemill.datasource.runner`.
pub struct PythonSources(HashMap<String, Py<PyAny>>);

impl PythonSources {
    /// Those among what Python describes.
    ///
    /// # Errors
    /// A description that is none.
    pub fn of(py: Python<'_>, described: &HashMap<String, Py<PyAny>>) -> PyResult<Self> {
        let mut sources = HashMap::new();
        for (name, described) in described {
            if described.bind(py).getattr("kind")?.extract::<String>()? == "source" {
                sources.insert(name.clone(), described.clone_ref(py));
            }
        }
        Ok(PythonSources(sources))
    }
}

#[async_trait]
impl SourceConnector for PythonSources {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        let name = request.options.required("source")?;
        let found = self.0.get(name).ok_or_else(|| {
            Error::invalid(format!("there is no data source '{name}' in this program"))
                .help("register its class with spark.dataSource.register before the query is started")
        })?;
        let described = call("a data source", |py| Ok(found.clone_ref(py)))?;
        let opened = tokio::task::spawn_blocking(move || Reader::open(&described, &request.schema)).await;
        let reader = opened.context(Kind::Bug, || "the thread that opens a data source ended early".into())??;
        let resumed = standing_of(&request.resume_from);
        Ok(Box::new(PythonSource {
            reader: Arc::new(reader),
            standing: resumed,
            newest: None,
            ahead: None,
            told: None,
        }))
    }
}

/// How far a query has planned.
#[derive(Debug, Clone, PartialEq)]
struct Standing {
    /// Epochs that brought something.
    count: u64,
    /// JSON.
    offset: String,
}

/// A reader of Python's, and what it gives.
struct Reader {
    what: String,
    reader: Py<PyAny>,
    takes_limits: bool,
    ends_itself: bool,
    /// All columns of its rows.
    columns: Fields,
    /// The columns that are asked for, and their places among all.
    wanted: SchemaRef,
    places: Vec<usize>,
}

impl Reader {
    fn open(described: &Py<PyAny>, wanted: &SchemaRef) -> Result<Reader> {
        let (shown, ddl) = call("a data source", |py| {
            let described = described.bind(py);
            Ok((described.getattr("shown")?.extract::<String>()?, described.getattr("columns")?.extract::<String>()?))
        })?;
        let columns = types::parse_schema(&ddl)?.fields;
        let place = |name: &str| {
            columns.iter().position(|field| field.name() == name).ok_or_else(|| {
                Error::invalid(format!("the data source {shown} has no column '{name}'"))
                    .help(format!("its columns are: {ddl}"))
            })
        };
        let places = wanted.fields().iter().map(|field| place(field.name())).collect::<Result<_>>()?;
        let what = format!("the data source {shown}");
        let (reader, takes_limits, ends_itself) = call(&what, |py| {
            let reader = described.bind(py).call_method0("open")?;
            let is = |name: &str| reader.getattr(name)?.extract::<bool>();
            Ok((reader.clone().unbind(), is("takes_limits")?, is("ends_itself")?))
        })?;
        Ok(Reader { what, reader, takes_limits, ends_itself, columns, wanted: wanted.clone(), places })
    }

    /// All rows between two offsets.
    fn rows(&self, start: &str, end: &str) -> Result<Vec<RecordBatch>> {
        call(&self.what, |py| {
            let mut batches = Vec::new();
            for given in self.reader.bind(py).call_method1("batches", (start, end))?.try_iter()? {
                batches.push(self.batch(&given?)?);
            }
            Ok(batches)
        })
    }

    fn batch(&self, given: &Bound<'_, PyAny>) -> PyResult<RecordBatch> {
        let (columns, rows) = match given.cast::<PyList>() {
            Ok(list) => {
                let rows: Vec<Bound<'_, PyAny>> = list.iter().collect();
                let all = fields_of(&rows, &self.columns, &DataType::Struct(self.columns.clone()))?;
                let picked: Vec<ArrayRef> = self.places.iter().map(|place| all[*place].clone()).collect();
                (picked, rows.len())
            }
            Err(_) => {
                let batch = given.extract::<PyRecordBatch>()?.into_inner();
                let picked = self.wanted.fields().iter().map(|field| {
                    let column = batch
                        .column_by_name(field.name())
                        .ok_or_else(|| PyTypeError::new_err(format!("a batch has no column '{}'", field.name())))?;
                    fitting(column, field.data_type())
                });
                (picked.collect::<PyResult<Vec<_>>>()?, batch.num_rows())
            }
        };
        let missing = self
            .wanted
            .fields()
            .iter()
            .zip(&columns)
            .find(|(field, column)| !field.is_nullable() && column.null_count() > 0);
        if let Some((field, _)) = missing {
            return Err(PyValueError::new_err(format!("a value of '{}' is None and must not be", field.name())));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.wanted.clone(), columns, &options)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // the query has ended, for good or ill: what stop raises changes nothing any more, and Python shows it
        Python::try_attach(|py| {
            if let Err(raised) = self.reader.call_method0(py, "stop") {
                raised.write_unraisable(py, None);
            }
        });
    }
}

struct PythonSource {
    reader: Arc<Reader>,
    /// Where the newest plan begins; `None` before the first of a new query.
    standing: Option<Standing>,
    /// The newest offset seen, for reports.
    newest: Option<String>,
    /// An offset that was asked for before the plan it is for.
    ahead: Option<String>,
    /// The newest offset that was told to be committed.
    told: Option<String>,
}

impl PythonSource {
    /// Calls the reader on a thread that may wait.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let reader = self.reader.clone();
        let done = tokio::task::spawn_blocking(move || work(&reader)).await;
        done.context(Kind::Bug, || "the thread that calls a data source ended early".into())?
    }

    /// Where the next plan begins.
    async fn begin(&mut self) -> Result<Standing> {
        if let Some(standing) = &self.standing {
            return Ok(standing.clone());
        }
        let initial = |reader: &Reader| call(&reader.what, |py| reader.reader.call_method0(py, "initial")?.extract(py));
        let offset: String = self.on_thread(initial).await?;
        Ok(self.standing.insert(Standing { count: 0, offset }).clone())
    }

    /// How far there is something after `start`.
    async fn ask(&self, start: &str, limited: bool) -> Result<Option<String>> {
        let start = start.to_owned();
        self.on_thread(move |reader| {
            call(&reader.what, |py| reader.reader.call_method1(py, "latest", (start, limited))?.extract(py))
        })
        .await
    }
}

fn standing_of(offsets: &Offsets) -> Option<Standing> {
    Some(Standing { count: offsets.get(SPLIT)?, offset: offsets.name(SPLIT)?.to_owned() })
}

#[async_trait]
impl Source for PythonSource {
    async fn latest(&mut self) -> Result<Offsets> {
        let begin = self.begin().await?;
        // users' sources are asked once an epoch, and not for every look
        if self.newest.is_none() {
            let end = self.ask(&begin.offset, false).await?;
            self.newest = Some(end.unwrap_or_else(|| begin.offset.clone()));
            self.ahead = self.newest.clone();
        }
        let newest = self.newest.clone().unwrap_or(begin.offset);
        let mut offsets = Offsets::default();
        offsets.set(SPLIT.into(), begin.count, newest);
        Ok(offsets)
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        let known = standing_of(from);
        if known.is_some() {
            self.standing.clone_from(&known);
        }
        let begin = self.begin().await?;
        let ahead = self.ahead.take();
        let end = match ask.until.as_ref().and_then(standing_of) {
            Some(until) if !self.reader.ends_itself => Some(until.offset).filter(|until| *until != begin.offset),
            _ => match ahead.filter(|_| !self.reader.takes_limits || !ask.rate_limited) {
                Some(ahead) => Some(ahead).filter(|ahead| *ahead != begin.offset),
                None => self.ask(&begin.offset, ask.rate_limited).await?,
            },
        };
        // a beginning that would be another one after a restart is pinned, even if nothing is there yet
        let (end, steps) = match end {
            Some(end) => (end, 1),
            None if known.is_none() => (begin.offset.clone(), 0),
            None => return Ok(Vec::new()),
        };
        self.newest = Some(end.clone());
        let range = SplitRange::new(SPLIT, begin.count, begin.count + steps);
        Ok(vec![SplitRange { from_name: begin.offset, to_name: end, ..range }])
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let (start, end) = (range.from_name.clone(), range.to_name.clone());
        let batches = self.on_thread(move |reader| reader.rows(&start, &end)).await?;
        let mut at = 0;
        let chunks = batches.into_iter().map(|rows| {
            let first = at;
            at += rows.num_rows() as u64;
            Chunk { split: range.split.clone(), body: Body::Rows { rows, at: first } }
        });
        Ok(chunks.collect())
    }

    async fn wait(&mut self) {
        tokio::time::sleep(PAUSE).await;
    }

    async fn release(&mut self, offsets: &Offsets) -> Result<()> {
        let Some(standing) = standing_of(offsets).filter(|standing| self.told.as_ref() != Some(&standing.offset))
        else {
            return Ok(());
        };
        let offset = standing.offset.clone();
        let commit = move |reader: &Reader| {
            call(&reader.what, |py| reader.reader.call_method1(py, "commit", (offset,)).map(drop))
        };
        self.on_thread(commit).await?;
        self.told = Some(standing.offset);
        Ok(())
    }
}
