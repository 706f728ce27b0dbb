//! The parts every entry needs: components, clock, threads, JSON that comes from Python.

use serde::de::DeserializeOwned;
use std::sync::Arc;
use tidemill_core::{Clock, Error, Kind, Registry, Result, ResultExt, SystemClock};
use tidemill_engine::state::offline::source::StateStoreSource;

/// Adds every component the package knows, but for those that belong to a session.
pub fn register(registry: &mut Registry) {
    tidemill_connectors::register(registry);
    tidemill_guard::register(registry);
    tidemill_rocksdb::register(registry);
    let state = StateStoreSource::new(registry);
    registry.add_source(state);
}

/// The machine's clock.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// Threads for waiting; the engine has its own for computing.
///
/// # Errors
/// The operating system refuses a thread.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    let workers = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("tidemill")
        .enable_all()
        .build()
        .context(Kind::Io, || "cannot start threads".into())
}

/// What `text` says; `what` it is, for the message.
///
/// # Errors
/// Text that is not it.
pub fn json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::invalid(format!("cannot read {what}")).caused_by(error))
}
