//! `tidemill run FILE.sql`: runs a pipeline until it is done, stopped or fails.

use crate::isolation::OwnProcess;
use crate::progress::{ProgressKind, Shown};
use crate::{output, wiring};
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::options::GivenOption;
use tidemill_core::{Error, Faults, Kind, NoFaults, Result};
use tidemill_engine::case::runner::unshared;
use tidemill_engine::checkpoint::place::Place;
use tidemill_engine::pipeline::query::Query;
use tidemill_engine::pipeline::settings::Trigger;
use tidemill_engine::progress::Listener;
use tidemill_engine::start::{QueryHandle, StartOptions, start};
use tidemill_ops::{Listen, Monitor, PriceBook, Served};
use tokio::sync::watch;

/// Options of the verb.
#[derive(Debug, Args)]
pub struct Run {
    /// The pipeline.
    file: PathBuf,

    /// The checkpoint: a directory, or a folder in an object store (s3://bucket/path); default: the setting
    /// `checkpoint`, else `.tidemill/<pipeline>`.
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<String>,

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
            // from here on: one that comes while queries start is answered when they have
            let mut signals = wiring::Signals::new()?;
            let served = self.page(&monitor, quiet).await?;
            let stop = watch::Sender::new(false);
            let grace = queries.iter().map(|query| query.session.settings.shutdown_grace()).max();
            let several = queries.len() > 1;
            queries.iter().for_each(|query| monitor.announce(&query.name));
            let work = async {
                let mut handles = Vec::with_capacity(queries.len());
                for query in queries {
                    let listeners: [Arc<dyn Listener>; 2] = [shown.clone(), monitor.listener()];
                    let options = self.options(&query, several, accept_foreign, &registry, listeners.into())?;
                    let options = StartOptions { faults: faults.clone(), ..options };
                    let handle = Arc::new(start(query, options).await?);
                    monitor.control(&handle);
                    handles.push(handle);
                }
                ended(&handles, stop.subscribe()).await
            };
            let ended = stopped_by(&mut signals, work, &stop, &monitor, &shown, grace.unwrap_or_default());
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
        let faults = NoFaults;
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
        let checkpoint = checkpoint_of(self.checkpoint.as_deref(), query, several)?;
        let trigger = self.trigger.as_deref().or(settings.trigger());
        let trigger = trigger.map_or(Ok(Trigger::Asap), Trigger::parse)?;
        let (letters, mut given) = checkpoint.below("dead_letters");
        given.extend([GivenOption::new("path", letters), GivenOption::new("format", "parquet")]);
        let letters = wiring::sink_table(registry, "dead_letters", "files", &given)?;
        Ok(StartOptions {
            checkpoint,
            trigger,
            accept_foreign,
            dead_letter: Some(letters),
            clock: wiring::clock(),
            isolation: Some(Arc::new(OwnProcess { file: self.file.clone(), set: self.set.clone() })),
            faults: Arc::new(NoFaults),
            listeners,
        })
    }
}

/// Where the checkpoint of a query is: as the command line says, else the pipeline, else by its name. A pipeline of
/// several queries has one for each.
///
/// # Errors
/// The URL of no object store, or an option it does not know.
pub fn checkpoint_of(given: Option<&str>, query: &Query, several: bool) -> Result<Place> {
    let settings = &query.session.settings;
    let base = match given.or(settings.checkpoint()) {
        Some(location) => location.to_owned(),
        None => format!(".tidemill/{}", query.name.split('.').next().unwrap_or(&query.name)),
    };
    let own = if several { format!("{}/{}", base.trim_end_matches('/'), query.name) } else { base };
    Place::open(&own, &query.name, settings)
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

/// Waits until every query has ended; when `stop` turns true, each finishes its epoch.
async fn ended(handles: &[Arc<QueryHandle>], mut stop: watch::Receiver<bool>) -> Result<()> {
    let stop_all = || handles.iter().for_each(|handle| handle.stop());
    let outcomes = futures::future::join_all(handles.iter().map(|handle| async {
        let outcome = handle.ended().await;
        if outcome.is_err() {
            // one that fails takes the others with it: they belong to one pipeline
            stop_all();
        }
        outcome
    }));
    let stopped = async {
        // the sender outlives us
        let _ = stop.wait_for(|stop| *stop).await;
        stop_all();
        std::future::pending::<std::convert::Infallible>().await
    };
    let outcomes = tokio::select! {
        outcomes = outcomes => outcomes,
        never = stopped => match never {},
    };
    outcomes.into_iter().find_map(std::result::Result::err).map_or(Ok(()), |error| Err(unshared(error)))
}

/// Awaits the work. The first signal, also while queries start, drains; the second stops at once, and so does the end
/// of the grace.
async fn stopped_by(
    signals: &mut wiring::Signals,
    work: impl Future<Output = Result<()>>,
    stop: &watch::Sender<bool>,
    monitor: &Monitor,
    shown: &Shown,
    grace: Duration,
) -> Result<Ended> {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return done.map(|()| Ended::Done),
        () = signals.next() => {}
    }
    monitor.drain();
    shown.note("stopping after the running epoch; once more stops at once");
    stop.send_replace(true);
    tokio::select! {
        done = &mut work => return done.map(|()| Ended::Stopped),
        () = signals.next() => {}
        () = tokio::time::sleep(grace) => shown.note(&format!(
            "the running epoch took longer than shutdown_grace ({} s): stopped; the next start runs it again",
            grace.as_secs_f64()
        )),
    }
    std::process::exit(i32::from(Kind::Again.exit_code()))
}
