//! The source `webhook`.

use super::options::{OPTIONS, Settings};
use super::request::Taker;
use super::server;
use crate::intake::options::Keeping;
use crate::intake::source;
use crate::log::source::plain_rows;
use crate::topics::columns;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::sync::Arc;
use tidemill_core::describe::{Description, Guarantee, Role};
use tidemill_core::source::{Source, SourceConnector, SourceRequest};
use tidemill_core::{Clock, Kind, Options, Result, ResultExt as _, SystemClock};

static DESCRIPTION: Description = Description {
    name: "webhook",
    role: Role::Source,
    summary: "Takes HTTP requests (POST of JSON, JSON lines or bytes). A request is answered 202 when its records are durable \
              in the embedded log, from which the query reads them exactly once; with ?wait=commit it is answered 200 when \
              they are committed. A delivery that is repeated with its idempotency key is kept once, also across crashes. \
              Under pressure requests get 429 with Retry-After.",
    guarantee: Guarantee::ExactlyOnce,
    options: OPTIONS,
    example: "connector = 'webhook', log = 'data/log', listen = '127.0.0.1:4080', signature = 'hex', \
              signature_secret = '${WEBHOOK_SECRET}', format = 'json'",
};

/// Opens webhooks as a source.
pub struct WebhookSourceConnector {
    clock: Arc<dyn Clock>,
}

impl Default for WebhookSourceConnector {
    fn default() -> Self {
        WebhookSourceConnector { clock: Arc::new(SystemClock::new()) }
    }
}

#[async_trait]
impl SourceConnector for WebhookSourceConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn default_schema(&self, _options: &Options) -> Option<SchemaRef> {
        Some(columns::schema_with_headers())
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        let settings = Settings::new(&request.table, &request.options)?;
        let keeping = Keeping::new(&request.table, &request.options)?;
        let rows = match &request.framing {
            None => Some(plain_rows(&request.table, &request.schema)?),
            Some(_) => None,
        };
        let log = source::open_log(&keeping, &*self.clock).await?;
        let opened = source::open(log, &keeping, &request, rows, self.clock.clone())?;
        let listener = server::bind(&settings.listen, &*self.clock).await?;
        let address = listener.local_addr().context(Kind::Io, || "cannot tell the address of a webhook".into())?;
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        tracing::info!(table = request.table, url = %format!("{scheme}://{address}{}", settings.path), "webhook listens");
        let taker = Taker { settings, intake: opened.intake.clone(), clock: self.clock.clone() };
        Ok(Box::new(opened.with(tokio::spawn(server::serve(listener, Arc::new(taker))))))
    }
}
