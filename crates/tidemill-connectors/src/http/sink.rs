//! The sink `http`.

use super::body::Bodies;
use super::courier::Courier;
use super::options::{self, OPTIONS, Settings, Shape};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tidemill_core::describe::{Description, Guarantee, Role};
use tidemill_core::retry::Vitals;
use tidemill_core::sink::{Marker, REFUSED_ROWS_MAX, Refused, Sink, SinkConnector, SinkRequest};
use tidemill_core::{Clock, Epoch, Result, SystemClock};

static DESCRIPTION: Description = Description {
    name: "http",
    role: Role::Sink,
    summary: "Requests to a webhook, one a row or in batches, tried again within a retry budget and behind a circuit \
              breaker. A request that is sent again has the same idempotency key: a receiver that ignores keys it has \
              seen takes each row once.",
    guarantee: Guarantee::AtLeastOnce,
    options: OPTIONS,
    example: "connector = 'http', url = 'https://example.com/hooks/alerts', body = 'array', batch_rows = '100'",
};

/// Opens a webhook as a sink.
pub struct HttpSinkConnector {
    clock: Arc<dyn Clock>,
}

impl HttpSinkConnector {
    /// With the clock of pauses, of the breaker and of signatures.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        HttpSinkConnector { clock }
    }
}

impl Default for HttpSinkConnector {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock::new()))
    }
}

#[async_trait]
impl SinkConnector for HttpSinkConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let options = &request.options;
        let shape = options::shape(options)?;
        let bodies = Bodies::new(&request, shape)?;
        bodies.prepare().await?;
        let format = request.format.as_ref().map_or("json", |format| format.describe().name);
        let settings = Settings::new(&request.table, options, shape, format)?;
        let parallelism = options.integer("parallelism").unwrap_or(1).max(1);
        let courier = Courier::new(settings, self.clock.clone());
        courier.knock().await?;
        Ok(Box::new(HttpSink {
            bodies,
            courier,
            parallelism: usize::try_from(parallelism).unwrap_or(usize::MAX),
            names_rows: shape == Shape::Row,
            progress: Progress::default(),
        }))
    }
}

struct HttpSink {
    bodies: Bodies,
    courier: Courier,
    parallelism: usize,
    /// A request is one row, so that a refused request tells which row is refused.
    names_rows: bool,
    progress: Progress,
}

#[async_trait]
impl Sink for HttpSink {
    fn vitals(&self) -> Option<Arc<Vitals>> {
        Some(self.courier.vitals())
    }

    async fn marker(&mut self) -> Result<Marker> {
        Ok(Marker::Unsupported)
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let letters = self.bodies.letters(epoch, rows)?;
        let (courier, progress) = (&self.courier, &mut self.progress);
        progress.begin(epoch, letters.len());
        let open: Vec<_> = letters.into_iter().enumerate().filter(|(at, _)| !progress.taken[*at]).collect();
        let is_over = AtomicBool::new(false);
        let sent = open.into_iter().take_while(|_| !is_over.load(Ordering::Relaxed));
        let sent = sent.map(|(at, letter)| async move { (at, courier.deliver(&letter).await) });
        let mut sent = futures::stream::iter(sent).buffer_unordered(self.parallelism);
        let mut refusal = None;
        while let Some((at, outcome)) = sent.next().await {
            let Some(failure) = outcome? else {
                progress.taken[at] = true;
                continue;
            };
            let code = failure.code.unwrap_or_default();
            let reason = format!("the receiver answered {code}");
            progress.refused.push(Refused { row: at, code, reason });
            refusal = refusal.or(Some(failure.error));
            if !progress.sets_aside || progress.refused.len() > REFUSED_ROWS_MAX {
                // what is under way is waited for: it need not be sent again
                is_over.store(true, Ordering::Relaxed);
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    async fn refused(&mut self, _epoch: Epoch, _rows: &[RecordBatch]) -> Result<Vec<Refused>> {
        // what is left of a batch would be sent with a key that nobody has seen
        let are_known = self.names_rows && self.progress.refused.len() <= REFUSED_ROWS_MAX;
        Ok(if are_known { self.progress.set_aside() } else { vec![] })
    }
}

/// How far an epoch is, whose refused rows may be set aside.
#[derive(Debug, Default)]
struct Progress {
    epoch: Option<Epoch>,
    /// By number of the request: that it was taken.
    taken: Vec<bool>,
    /// What was refused since the commit began.
    refused: Vec<Refused>,
    /// The query sets refused rows aside: all of an epoch are looked for, not only the first.
    sets_aside: bool,
}

impl Progress {
    /// An epoch of so many requests is sent, perhaps again without what was set aside.
    fn begin(&mut self, epoch: Epoch, requests: usize) {
        if self.epoch != Some(epoch) || self.taken.len() != requests {
            self.taken = vec![false; requests];
        }
        self.epoch = Some(epoch);
        self.refused.clear();
    }

    /// Forgets the requests that were refused; gives them.
    fn set_aside(&mut self) -> Vec<Refused> {
        self.sets_aside = true;
        let mut refused = std::mem::take(&mut self.refused);
        refused.sort_by_key(|refused| refused.row);
        for refused in refused.iter().rev() {
            self.taken.remove(refused.row);
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_known_after_rows_were_set_aside() {
        let mut progress = Progress::default();
        progress.begin(Epoch(1), 4);
        progress.taken = vec![true, false, true, false];
        for row in [3, 1] {
            progress.refused.push(Refused { row, code: "422".into(), reason: String::new() });
        }
        assert_eq!(progress.set_aside().iter().map(|refused| refused.row).collect::<Vec<_>>(), [1, 3]);
        progress.begin(Epoch(1), 2);
        assert_eq!((progress.taken.clone(), progress.refused.len()), (vec![true, true], 0));
        progress.begin(Epoch(2), 2);
        assert_eq!(progress.taken, [false, false]);
    }
}
