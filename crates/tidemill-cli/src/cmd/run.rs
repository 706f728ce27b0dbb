//! `tidemill run FILE.sql`: runs a pipeline until it is done, stopped or fails.

use crate::progress::{ProgressKind, Shown};
use crate::{output, wiring};
use clap::Args;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidemill_core::options::GivenOption;
use tidemill_core::{Error, Kind, Result};
use tidemill_engine::case::runner::unshared;
use tidemill_engine::pipeline::query::Query;
use tidemill_engine::pipeline::settings::Trigger;
use tidemill_engine::progress::Listener;
use tidemill_engine::start::{QueryHandle, StartOptions, start};

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Run {
    /// The pipeline.
    file: PathBuf,

    /// Directory of the checkpoint; default: the setting `checkpoint`, else `.tidemill/<pipeline>`.
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,

    /// When epochs start: available-now, once, 'processing-time 1s'; default: as soon as rows arrive.
    #[arg(long)]
    trigger: Option<String>,

    /// A setting, key=value; overrules the file's.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Address of the page, the metrics and the health checks; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4040")]
    listen: String,

    /// What to show while it runs.
    #[arg(long, value_enum, default_value_t = ProgressKind::Bar)]
    progress: ProgressKind,

    /// Write to sinks that hold rows this pipeline wrote from another checkpoint: append to them.
    #[arg(long, value_name = "append")]
    new_incarnation: Option<String>,
}

impl Run {
    /// Runs the pipeline.
    pub fn run(self) -> Result<u8> {
        let spec = wiring::read_pipeline(&self.file, &self.set)?;
        let registry = wiring::registry();
        let queries = spec.check(&registry)?;
        let accept_foreign = match self.new_incarnation.as_deref() {
            None => false,
            Some("append") => true,
            Some(other) => {
                return Err(Error::new(Kind::Usage, format!("--new-incarnation takes 'append', not '{other}'")));
            }
        };
        let runtime = wiring::runtime()?;
        runtime.block_on(async {
            let shown: Arc<dyn Listener> = Arc::new(Shown::new(self.progress, wiring::clock()));
            let mut handles = Vec::with_capacity(queries.len());
            let several = queries.len() > 1;
            for query in queries {
                let options = self.options(&query, several, accept_foreign, &registry, shown.clone())?;
                handles.push(start(query, options).await?);
            }
            finish(handles).await
        })?;
        Ok(0)
    }

    fn options(
        &self,
        query: &Query,
        several: bool,
        accept_foreign: bool,
        registry: &tidemill_core::Registry,
        listener: Arc<dyn Listener>,
    ) -> Result<StartOptions> {
        let settings = &query.session.settings;
        let base = match (&self.checkpoint, settings.checkpoint()) {
            (Some(directory), _) => directory.clone(),
            (None, Some(directory)) => PathBuf::from(directory),
            (None, None) => Path::new(".tidemill").join(query.name.split('.').next().unwrap_or(&query.name)),
        };
        let checkpoint = if several { base.join(&query.name) } else { base };
        let trigger = self.trigger.as_deref().or(settings.trigger());
        let trigger = trigger.map_or(Ok(Trigger::Asap), Trigger::parse)?;
        let letters = checkpoint.join("dead_letters").display().to_string();
        let letters = wiring::sink_table(
            registry,
            "dead_letters",
            "files",
            &[GivenOption::new("path", letters), GivenOption::new("format", "parquet")],
        )?;
        Ok(StartOptions {
            checkpoint,
            trigger,
            accept_foreign,
            dead_letter: Some(letters),
            clock: wiring::clock(),
            listeners: vec![listener],
        })
    }

    /// The address of the page.
    ///
    /// # Errors
    /// Text that is no address.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listen.parse().map_err(|_| {
            Error::new(Kind::Usage, format!("--listen takes an address such as 127.0.0.1:4040, not '{}'", self.listen))
        })
    }
}

/// Waits until every query has ended. The first signal drains: each finishes its epoch; the second
/// stops at once.
async fn finish(handles: Vec<QueryHandle>) -> Result<()> {
    let ended = async {
        let outcomes = futures::future::join_all(handles.iter().map(|handle| async {
            let outcome = handle.ended().await;
            if outcome.is_err() {
                // one that fails takes the others with it: they belong to one pipeline
                handles.iter().for_each(QueryHandle::stop);
            }
            outcome
        }));
        outcomes.await.into_iter().find_map(std::result::Result::err)
    };
    let mut ended = std::pin::pin!(ended);
    let mut signals = wiring::Signals::new()?;
    let failed = tokio::select! {
        failed = &mut ended => failed,
        () = signals.next() => {
            output::note("stopping after the running epoch; once more stops at once");
            handles.iter().for_each(QueryHandle::stop);
            tokio::select! {
                failed = &mut ended => failed,
                () = signals.next() => std::process::exit(i32::from(Kind::Again.exit_code())),
            }
        }
    };
    failed.map_or(Ok(()), |error| Err(unshared(error)))
}
