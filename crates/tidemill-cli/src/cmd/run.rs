//! `tidemill run FILE.sql`: runs a pipeline until it is done, stopped or fails.

use crate::progress::{ProgressKind, Shown};
use crate::{output, wiring};
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidemill_core::options::GivenOption;
use tidemill_core::{Error, Faults, Kind, NoFaults, Result};
use tidemill_engine::case::runner::unshared;
use tidemill_engine::pipeline::query::Query;
use tidemill_engine::pipeline::settings::Trigger;
use tidemill_engine::progress::Listener;
use tidemill_engine::start::{QueryHandle, StartOptions, start};
use tidemill_ops::{Listen, Monitor, PriceBook, Served};

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

    /// Address of the page, the metrics and the health checks: port 0 takes a free one, 'off' none.
    /// Default: 127.0.0.1:4040, or a free port when that is taken.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,

    /// What to show while it runs.
    #[arg(long, value_enum, default_value_t = ProgressKind::Bar)]
    progress: ProgressKind,

    /// Prices of the cost figures, a JSON file; default: the setting `price_book`, else list prices.
    #[arg(long, value_name = "FILE")]
    price_book: Option<PathBuf>,

    /// Write to sinks that hold rows this pipeline wrote from another checkpoint: append to them.
    #[arg(long, value_name = "append")]
    new_incarnation: Option<String>,

    /// Let state go that the changed pipeline does not have any more: `tidemill plan` says which.
    #[arg(long)]
    approve: bool,

    /// Break the program at a step of an epoch, to test what follows.
    #[cfg(debug_assertions)]
    #[arg(long, value_name = "[QUERY/]STEP:HIT:ACTION", hide = true)]
    fault: Vec<String>,
}

impl Run {
    /// Runs the pipeline. `quiet` when it is to say only errors.
    pub fn run(mut self, quiet: bool) -> Result<u8> {
        if quiet && self.progress == ProgressKind::Bar {
            self.progress = ProgressKind::Off;
        }
        if self.approve {
            self.set.push("state_loss=approve".into());
        }
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
        let faults = self.faults()?;
        let monitor = Monitor::new(wiring::clock(), self.prices(&queries)?);
        let shown = Arc::new(Shown::new(self.progress, wiring::clock()));
        let runtime = wiring::runtime()?;
        let ended = runtime.block_on(async {
            let served = self.page(&monitor, quiet).await?;
            let ended = async {
                let several = queries.len() > 1;
                queries.iter().for_each(|query| monitor.announce(&query.name));
                let mut handles = Vec::with_capacity(queries.len());
                for query in queries {
                    let listeners: [Arc<dyn Listener>; 2] = [shown.clone(), monitor.listener()];
                    let options = self.options(&query, several, accept_foreign, &registry, listeners.into())?;
                    let options = StartOptions { faults: faults.clone(), ..options };
                    handles.push(start(query, options).await?);
                }
                finish(handles, &monitor, &shown).await
            };
            let ended = ended.await;
            shown.finish();
            if let Some(served) = served {
                served.shutdown().await;
            }
            ended
        })?;
        if self.progress == ProgressKind::Bar {
            output::note(format!("{}: {}\n{}", spec.name, ended.word(), monitor.summary().text()));
        }
        Ok(0)
    }

    /// Those of the command line: a program that ships has none.
    fn faults(&self) -> Result<Arc<dyn Faults>> {
        #[cfg(debug_assertions)]
        let faults = crate::fault::Planned::parse(&self.fault)?;
        #[cfg(not(debug_assertions))]
        let faults = tidemill_core::NoFaults;
        Ok(Arc::new(faults))
    }

    /// What things cost: the option, else the setting, else the list prices.
    fn prices(&self, queries: &[Query]) -> Result<PriceBook> {
        let of_setting = queries.iter().find_map(|query| query.session.settings.price_book());
        match self.price_book.as_deref().or(of_setting.map(Path::new)) {
            Some(file) => PriceBook::read(file),
            None => PriceBook::list(),
        }
    }

    /// Serves the page and says where. A pipeline that did not ask for one runs without it as well.
    async fn page(&self, monitor: &Monitor, quiet: bool) -> Result<Option<Served>> {
        let served = match self.listen.as_deref() {
            Some("off") => return Ok(None),
            Some(address) => monitor.serve(&Listen::at(address)?).await?,
            None => match monitor.serve(&Listen::default()).await {
                Ok(served) => served,
                Err(error) => {
                    output::note(format!("no page: {}", error.chain()));
                    return Ok(None);
                }
            },
        };
        if !quiet {
            let moved = served.moved.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            output::note(format!("page: {}{moved}", served.url()));
        }
        Ok(Some(served))
    }

    fn options(
        &self,
        query: &Query,
        several: bool,
        accept_foreign: bool,
        registry: &tidemill_core::Registry,
        listeners: Vec<Arc<dyn Listener>>,
    ) -> Result<StartOptions> {
        let settings = &query.session.settings;
        let checkpoint = checkpoint_of(self.checkpoint.as_ref(), query, several);
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
            faults: Arc::new(NoFaults),
            listeners,
        })
    }
}

/// Where the checkpoint of a query is: as the command line says, else the pipeline, else by its name. A pipeline of
/// several queries has a directory for each.
pub fn checkpoint_of(given: Option<&PathBuf>, query: &Query, several: bool) -> PathBuf {
    let base = match (given, query.session.settings.checkpoint()) {
        (Some(directory), _) => directory.clone(),
        (None, Some(directory)) => PathBuf::from(directory),
        (None, None) => Path::new(".tidemill").join(query.name.split('.').next().unwrap_or(&query.name)),
    };
    if several { base.join(&query.name) } else { base }
}

/// How a run without an error ended.
#[derive(Debug, Clone, Copy)]
enum Ended {
    /// There was nothing more to do.
    Done,
    /// Somebody asked it to.
    Stopped,
}

impl Ended {
    fn word(self) -> &'static str {
        match self {
            Ended::Done => "done",
            Ended::Stopped => "stopped",
        }
    }
}

/// Waits until every query has ended. The first signal drains: each finishes its epoch; the second
/// stops at once.
async fn finish(handles: Vec<QueryHandle>, monitor: &Monitor, shown: &Shown) -> Result<Ended> {
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
    let mut how = Ended::Done;
    let failed = tokio::select! {
        failed = &mut ended => failed,
        () = signals.next() => {
            how = Ended::Stopped;
            monitor.drain();
            shown.note("stopping after the running epoch; once more stops at once");
            handles.iter().for_each(QueryHandle::stop);
            tokio::select! {
                failed = &mut ended => failed,
                () = signals.next() => std::process::exit(i32::from(Kind::Again.exit_code())),
            }
        }
    };
    failed.map_or(Ok(how), |error| Err(unshared(error)))
}
