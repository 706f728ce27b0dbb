//! A running query as Python holds it. Waiting lets other threads run and answers Ctrl-C.

use crate::engine::Shared;
use crate::errors::{OrRaise, to_python};
use pyo3::prelude::*;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tidemill_engine::start::QueryHandle;

/// How long a wait may leave Ctrl-C unanswered.
const SLICE: Duration = Duration::from_millis(50);

/// A query that has been started.
#[pyclass(frozen, module = "tidemill._tidemill")]
pub struct Query {
    handle: Arc<QueryHandle>,
    shared: Arc<Shared>,
    explained: String,
}

impl Query {
    /// A started query and what `explain` says of it.
    pub fn new(handle: Arc<QueryHandle>, shared: Arc<Shared>, explained: String) -> Self {
        Query { handle, shared, explained }
    }

    /// What `work` gives; `None` when `limit` passes before.
    fn wait<T: Send>(
        &self,
        py: Python<'_>,
        limit: Option<Duration>,
        work: impl Future<Output = T> + Send,
    ) -> PyResult<Option<T>> {
        let mut work = Box::pin(work);
        let mut left = limit;
        loop {
            let slice = left.map_or(SLICE, |left| left.min(SLICE));
            let done = py.detach(|| self.shared.block_on(async { tokio::time::timeout(slice, &mut work).await }));
            if let Ok(result) = done {
                return Ok(Some(result));
            }
            py.check_signals()?;
            left = left.map(|left| left.saturating_sub(slice));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
        }
    }
}

#[pymethods]
impl Query {
    /// Identity of the checkpoint; stays over restarts.
    #[getter]
    fn id(&self) -> &str {
        &self.handle.id
    }

    /// Identity of this run.
    #[getter]
    fn run_id(&self) -> &str {
        &self.handle.run_id
    }

    /// Name of the pipeline.
    #[getter]
    fn name(&self) -> &str {
        &self.handle.name
    }

    /// True while it runs.
    #[getter]
    fn is_active(&self) -> bool {
        self.handle.is_active()
    }

    /// The plan as data flows, and the guarantee end to end.
    #[getter]
    fn explained(&self) -> &str {
        &self.explained
    }

    /// Asks it to stop after the epoch it is in. Does not wait.
    fn stop(&self) {
        self.handle.stop();
    }

    /// Waits until it has ended, at most `seconds`; True when it has. Does not raise its error.
    #[pyo3(signature = (seconds = None))]
    fn wait_ended(&self, py: Python<'_>, seconds: Option<f64>) -> PyResult<bool> {
        let limit = seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX));
        let handle = self.handle.clone();
        let ended = self.wait(py, limit, async move { handle.ended().await.is_ok() })?;
        Ok(ended.is_some())
    }

    /// Waits until everything that is there now is processed and committed, or the query has ended. Does
    /// not raise its error.
    fn process_all_available(&self, py: Python<'_>) -> PyResult<()> {
        let handle = self.handle.clone();
        self.wait(py, None, async move { handle.process_all_available().await.is_ok() }).map(|_| ())
    }

    /// Gives it another parallelism, and waits until it has it: after the epoch it is in.
    fn rescale(&self, py: Python<'_>, parallelism: usize) -> PyResult<()> {
        self.handle.rescale(parallelism).or_raise(py)?;
        let handle = self.handle.clone();
        self.wait(py, None, async move { handle.rescaled().await.is_ok() }).map(|_| ())
    }

    /// The error that ended it as a TidemillError that is not raised; None when there is none.
    fn exception(&self, py: Python<'_>) -> Option<PyErr> {
        self.handle.exception().map(|error| to_python(py, &error))
    }

    /// The newest report as JSON; None before the first epoch.
    fn last_progress(&self) -> Option<String> {
        self.handle.last_progress().and_then(|progress| serde_json::to_string(&progress).ok())
    }

    /// The newest reports as JSON, oldest first, at most 100.
    fn recent_progress(&self) -> Vec<String> {
        self.handle.recent_progress().iter().filter_map(|progress| serde_json::to_string(progress).ok()).collect()
    }
}
