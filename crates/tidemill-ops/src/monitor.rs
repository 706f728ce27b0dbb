//! The monitor: one a process, shared by its queries, the HTTP server and whoever prints the summary.

use crate::cost::{Bill, PriceBook, Used};
use crate::http::{self, Listen, Served};
use crate::process::{ProcessMeter, Usage};
use crate::record::QueryRecord;
use crate::record::query::Moment;
use crate::summary::Summary;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tidemill_core::{Clock, Error, Result};
use tidemill_engine::progress::{EpochReport, Listener, QueryStarted};
use tidemill_engine::resilience::memory::{Memory, MemoryWatch};
use tidemill_engine::resilience::stall::Stall;
use tidemill_engine::start::QueryHandle;

/// Most queries that are remembered; of more, the oldest that have ended are forgotten. While none has ended,
/// more are not noted.
const QUERIES_MAX: usize = 64;

/// Hears of queries and answers about them. Cheap to clone; all clones are one.
///
/// ```no_run
/// # async fn example(clock: std::sync::Arc<dyn tidemill_core::Clock>) -> tidemill_core::Result<()> {
/// use tidemill_ops::{Listen, Monitor, PriceBook};
/// let monitor = Monitor::new(clock, PriceBook::list()?);
/// let listener = monitor.listener(); // into StartOptions::listeners of each query
/// let served = monitor.serve(&Listen::at("127.0.0.1:0")?).await?;
/// println!("page: {}", served.url());
/// served.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Monitor(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    prices: PriceBook,
    meter: ProcessMeter,
    /// When the monitor was made.
    began: Moment,
    /// What the process had used by then.
    before: Usage,
    queries: Mutex<Vec<QueryRecord>>,
    /// Queries that can be told something.
    handles: Mutex<Vec<Weak<QueryHandle>>>,
}

/// All that a monitor knows, at one moment.
pub(crate) struct Everything<'a> {
    pub now: Moment,
    pub began: Moment,
    pub queries: &'a [QueryRecord],
    pub usage: Usage,
    /// Memory in use and its limit.
    pub memory: Option<Memory>,
    /// Processor time since the monitor was made, in seconds.
    pub cpu_seconds: Option<f64>,
    pub bill: Bill,
    pub price_age_days: Option<i64>,
}

impl Monitor {
    /// A monitor of this process; what it costs counts from now.
    pub fn new(clock: Arc<dyn Clock>, prices: PriceBook) -> Self {
        Self::with_meter(clock, prices, ProcessMeter::this())
    }

    /// A monitor of the process that `meter` reads.
    pub fn with_meter(clock: Arc<dyn Clock>, prices: PriceBook, meter: ProcessMeter) -> Self {
        let (began, before) = (moment(&*clock), meter.read());
        let (queries, handles) = (Mutex::default(), Mutex::default());
        Monitor(Arc::new(Shared { clock, prices, meter, began, before, queries, handles }))
    }

    /// What queries tell; give it to [`tidemill_engine::start::StartOptions::listeners`].
    pub fn listener(&self) -> Arc<dyn Listener> {
        self.0.clone()
    }

    /// Says that a query of this name is about to be opened: until it is, it is shown as starting, and the
    /// process is not ready.
    pub fn announce(&self, name: &str) {
        self.0.query(name, |_| {});
    }

    /// Lets a query be told something over HTTP for as long as somebody holds it.
    pub fn control(&self, handle: &Arc<QueryHandle>) {
        let mut handles = self.0.handles.lock().unwrap_or_else(PoisonError::into_inner);
        handles.retain(|known| known.strong_count() > 0);
        handles.push(Arc::downgrade(handle));
    }

    /// Queries that run and can be told something: the one of this name or identity, or all.
    pub(crate) fn controlled(&self, query: Option<&str>) -> Vec<Arc<QueryHandle>> {
        let handles = self.0.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let running = handles.iter().filter_map(Weak::upgrade).filter(|handle| handle.is_active());
        running.filter(|handle| query.is_none_or(|query| query == handle.name || query == handle.id)).collect()
    }

    /// Says that all queries have been asked to stop.
    pub fn drain(&self) {
        self.0.queries().iter_mut().for_each(|query| query.course.draining = true);
    }

    /// Says that a query that was announced could not be opened, or has failed outside its loop.
    pub fn fail(&self, name: &str, error: &Error) {
        self.0.query(name, |query| query.end(Some(error)));
    }

    /// Answers over HTTP until [`Served::shutdown`]; on the current tokio runtime.
    ///
    /// # Errors
    /// An address that cannot be had.
    pub async fn serve(&self, listen: &Listen) -> Result<Served> {
        http::serve(self.clone(), listen).await
    }

    /// The metrics as OpenMetrics text.
    pub fn metrics(&self) -> String {
        self.with(crate::metrics::text)
    }

    /// What has happened since the monitor was made.
    pub fn summary(&self) -> Summary {
        self.with(Summary::of)
    }

    /// Time since the monitor's clock started.
    pub(crate) fn now(&self) -> Moment {
        moment(&*self.0.clock)
    }

    /// Reads everything at one moment. Queries wait meanwhile: `read` must only copy.
    pub(crate) fn with<T>(&self, read: impl FnOnce(&Everything<'_>) -> T) -> T {
        let (now, usage) = (self.now(), self.0.meter.read());
        let queries = self.0.queries();
        let used = self.0.used(now, usage, &queries);
        let (bill, cpu_seconds) = (Bill::of(&used, &self.0.prices), used.cpu_seconds);
        let memory = MemoryWatch::this(queries.iter().find_map(QueryRecord::memory_limit)).look();
        let price_age_days = self.0.prices.age_days(now.micros);
        read(&Everything {
            now,
            began: self.0.began,
            queries: &queries,
            usage,
            memory,
            cpu_seconds,
            bill,
            price_age_days,
        })
    }
}

impl Shared {
    fn queries(&self) -> MutexGuard<'_, Vec<QueryRecord>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a query; a new name is a new query.
    fn query(&self, name: &str, change: impl FnOnce(&mut QueryRecord)) {
        let mut queries = self.queries();
        if let Some(known) = queries.iter_mut().find(|query| query.name == name) {
            return change(known);
        }
        if queries.len() >= QUERIES_MAX {
            match queries.iter().position(|query| query.course.ended.is_some()) {
                Some(oldest) => drop(queries.remove(oldest)),
                None => return,
            }
        }
        let mut query = QueryRecord::announced(name);
        change(&mut query);
        queries.push(query);
    }

    fn used(&self, now: Moment, usage: Usage, queries: &[QueryRecord]) -> Used {
        let sum = |of: fn(&QueryRecord) -> u64| queries.iter().map(of).sum();
        Used {
            cpu_seconds: usage.cpu_seconds.map(|seconds| seconds - self.before.cpu_seconds.unwrap_or_default()),
            peak_bytes: usage.peak_bytes,
            elapsed: now.elapsed.saturating_sub(self.began.elapsed),
            rows_in: sum(|query| query.totals.rows_in),
            bytes_in: sum(|query| query.totals.bytes_in),
            bytes_out: sum(|query| query.totals.bytes_out),
        }
    }
}

impl Listener for Shared {
    fn on_start(&self, started: &QueryStarted) {
        let now = moment(&*self.clock);
        self.query(&started.name, |query| {
            // another run under a name starts from nothing
            if query.started.is_some() {
                *query = QueryRecord::announced(&started.name);
            }
            query.start(started, now);
        });
    }

    fn on_begin(&self, query: &str) {
        let now = moment(&*self.clock);
        self.query(query, |query| query.begin(now));
    }

    fn on_epoch(&self, report: &EpochReport) {
        let now = moment(&*self.clock);
        self.query(&report.progress.name, |query| query.epoch(report, now));
    }

    fn on_idle(&self, query: &str) {
        let now = moment(&*self.clock);
        self.query(query, |query| query.idle(now));
    }

    fn on_stall(&self, query: &str, stall: &Stall) {
        let now = moment(&*self.clock);
        self.query(query, |query| query.stall(stall, now));
    }

    fn on_resume(&self, query: &str) {
        self.query(query, QueryRecord::resume);
    }

    fn on_end(&self, query: &str, error: Option<&Error>) {
        self.query(query, |query| query.end(error));
    }
}

fn moment(clock: &dyn Clock) -> Moment {
    Moment { elapsed: clock.elapsed(), micros: clock.now_micros() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{clock, epoch, started};

    fn monitor() -> Monitor {
        Monitor::new(clock(), PriceBook { name: "none".into(), currency: "USD".into(), prices: vec![] })
    }

    #[test]
    fn a_name_that_starts_again_starts_from_nothing() {
        let monitor = monitor();
        for _ in 0..2 {
            monitor.announce("events.counts");
            monitor.listener().on_start(&started());
            monitor.listener().on_epoch(&epoch(0));
            monitor.listener().on_end("events.counts", None);
        }
        let summary = monitor.summary();
        assert_eq!((summary.rows_in, summary.epochs, summary.dead_letters, summary.late_rows), (100, 1, 2, 3));
        assert_eq!(summary.sinks, [("counts".to_owned(), "delta", 10)]);
        assert_eq!(summary.latency.map(|latency| latency.count), Some(3));
    }

    #[test]
    fn those_that_have_ended_make_place_and_those_that_run_stay() {
        let monitor = monitor();
        (0..QUERIES_MAX + 5).for_each(|number| monitor.announce(&format!("q{number}")));
        monitor.with(|everything| {
            assert_eq!(everything.queries.len(), QUERIES_MAX);
            assert_eq!(everything.queries[0].name, "q0");
        });
        monitor.listener().on_end("q3", None);
        monitor.announce("new");
        let names: Vec<String> =
            monitor.with(|everything| everything.queries.iter().map(|query| query.name.clone()).collect());
        assert!(names.len() == QUERIES_MAX && !names.contains(&"q3".into()) && names.contains(&"new".into()));
    }
}
