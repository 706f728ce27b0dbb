//! Puts the crates together: here engine and connectors meet.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use tidemill_core::options::GivenOption;
use tidemill_core::{Clock, Error, Kind, Options, Registry, Result, ResultExt, SystemClock};
use tidemill_engine::pipeline::build::PipelineSpec;
use tidemill_engine::pipeline::query::SinkTable;
use tidemill_engine::pipeline::text::Text;
use tidemill_engine::pipeline::variables;
use tidemill_engine::state::offline::source::StateStoreSource;

/// Every component the program knows.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    tidemill_connectors::register(&mut registry);
    tidemill_guard::register(&mut registry);
    tidemill_rocksdb::register(&mut registry);
    #[cfg(debug_assertions)]
    registry.add_function(crate::fault::DieOn::new());
    let state = StateStoreSource::new(&registry);
    registry.add_source(state);
    registry
}

/// Two providers of cryptography for TLS are in the tree; clients that ask for none in particular get this one.
pub fn choose_cryptography() {
    // it fails only where one has been chosen already
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The machine's clock.
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// Threads for waiting; the engine has its own for computing.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    let workers = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .context(Kind::Io, || "cannot start the program's threads".into())
}

/// Logs to standard error; `TIDEMILL_LOG` overrules the flags.
pub fn start_logging(verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    // what goes wrong in a library comes back as an error of ours, which says it once
    let libraries = if verbose == 0 { "off" } else { "error" };
    let filter = std::env::var("TIDEMILL_LOG").unwrap_or_else(|_| {
        format!("{libraries},tidemill={level},tidemill_engine={level},tidemill_connectors={level},tidemill_ops={level}")
    });
    let filter = tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_default();
    // a second subscriber in one process is a test's; the first one stays
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
}

/// Reads a pipeline file; `set` are settings of the command line, which come last.
pub fn read_pipeline(path: &Path, set: &[String]) -> Result<PipelineSpec> {
    let content = std::fs::read_to_string(path).map_err(|error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::Usage } else { Kind::Io };
        Error::new(kind, format!("cannot read the pipeline {}", path.display())).caused_by(error)
    })?;
    let shown = path.display().to_string();
    let text = Text::new(shown, &content);
    let expanded = variables::expand(&content, &text, &|name| std::env::var(name).ok())?;
    let name = path.file_stem().map_or_else(|| "pipeline".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let mut spec = PipelineSpec::from_sql(&name, &expanded, text)?;
    for setting in set {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(Error::new(Kind::Usage, format!("--set takes key=value, not '{setting}'")));
        };
        spec.settings.push(GivenOption::new(key.trim(), value.trim()));
    }
    Ok(spec)
}

/// A sink that the program itself adds to a pipeline.
///
/// # Errors
/// Options the connector does not take.
pub fn sink_table(registry: &Registry, name: &str, connector: &str, options: &[GivenOption]) -> Result<SinkTable> {
    let connector = registry.sink(connector)?;
    let format = match options.iter().find(|option| option.key == "format") {
        Some(format) => Some(registry.format(&format.value)?),
        None => None,
    };
    let mut groups = vec![connector.describe().options];
    groups.extend(format.as_ref().map(|format| format.describe().options));
    let own = [tidemill_core::describe::OptionSpec::new("format", tidemill_core::describe::OptionKind::Text, "")];
    groups.push(&own);
    let options = Options::check(&format!("table '{name}'"), &groups, options)?;
    Ok(SinkTable { name: name.to_owned(), connector, format, options })
}

/// Ctrl-C and SIGTERM, one after the other.
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes the signals over.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let taken = |kind| signal(kind).context(Kind::Io, || "cannot listen for signals".into());
        Ok(Signals { interrupt: taken(SignalKind::interrupt())?, terminate: taken(SignalKind::terminate())? })
    }

    /// Returns at the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
