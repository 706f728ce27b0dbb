//! A live table as a sink: an epoch is taken in, made durable, and shown, in this order.

use super::kept::{Change, Kept};
use super::options::{Access, OPTIONS, rules};
use super::server::{Place, Server};
use super::table::Content;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tidemill_core::describe::{Description, Guarantee, Role};
use tidemill_core::sink::{Marker, OutputMode, Sink, SinkConnector, SinkRequest, Writer};
use tidemill_core::{Epoch, Error, Kind, Options, Result, ResultExt as _};

static DESCRIPTION: Description = Description {
    name: "live",
    role: Role::Sink,
    summary: "Serves the current rows over the wire protocol of Postgres, to psql, dashboards and drivers: append keeps the \
              newest max_rows, update replaces by key, complete replaces everything. A reader sees whole epochs only.",
    guarantee: Guarantee::ExactlyOnce,
    options: OPTIONS,
    example: "connector = 'live', listen = '127.0.0.1:5433', primary_key = 'user_id', path = '/var/lib/tidemill/top_users'",
};

/// Opens live tables; those with the same address share a server.
#[derive(Default)]
pub struct LiveSinkConnector {
    servers: tokio::sync::Mutex<HashMap<String, Weak<Server>>>,
}

impl LiveSinkConnector {
    /// The server of an address, started when there is none.
    async fn server(&self, table: &str, access: Access) -> Result<Arc<Server>> {
        let mut servers = self.servers.lock().await;
        servers.retain(|_, server| server.strong_count() > 0);
        if let Some(server) = servers.get(&access.listen).and_then(Weak::upgrade) {
            if server.access != access {
                return Err(Error::invalid(format!(
                    "table '{table}' shares the address '{}' with another live table, but not its options",
                    access.listen
                ))
                .help("user, password, ssl_cert_file, ssl_key_file, max_connections, statement_timeout and query_memory are of \
                       the server: write the same to all its tables, or use another address"));
            }
            return Ok(server);
        }
        let listen = access.listen.clone();
        let server = Arc::new(Server::start(access).await?);
        servers.insert(listen, Arc::downgrade(&server));
        Ok(server)
    }
}

#[async_trait]
impl SinkConnector for LiveSinkConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn guarantee(&self, options: &Options) -> Guarantee {
        // in memory only: after a restart rows of earlier epochs are missing until they change
        if options.text("path").is_some() { Guarantee::ExactlyOnce } else { Guarantee::None }
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let access = Access::new(&request.table, &request.options)?;
        let rules = rules(&request)?;
        let path = request.options.text("path").map(PathBuf::from);
        let (mode, writer) = (request.mode, request.writer.clone());
        let (state, marker, first) = blocking(move || {
            let mut content = Content::new(rules.clone())?;
            let (kept, marker) = match path {
                Some(path) => {
                    let (kept, marker) = Kept::open(&path, &rules, &mut content, &writer)?;
                    (Some(kept), marker)
                }
                None => (None, Marker::Unsupported),
            };
            let first = content.snapshot();
            Ok((State { content, kept, writer, replace: mode == OutputMode::Complete }, marker, first))
        })
        .await?;
        let name = request.options.text("table").unwrap_or(&request.table);
        let server = self.server(&request.table, access).await?;
        let place = Place::new(server, name, mode, first)?;
        Ok(Box::new(LiveSink { state: Arc::new(Mutex::new(state)), marker, place }))
    }
}

struct LiveSink {
    state: Arc<Mutex<State>>,
    marker: Marker,
    place: Place,
}

/// What only the writer touches.
struct State {
    content: Content,
    kept: Option<Kept>,
    writer: Writer,
    replace: bool,
}

#[async_trait]
impl Sink for LiveSink {
    async fn marker(&mut self) -> Result<Marker> {
        Ok(self.marker.clone())
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let (state, table, rows) = (self.state.clone(), self.place.table.clone(), rows.to_vec());
        let is_kept = blocking(move || {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let State { content, kept, writer, replace } = &mut *state;
            content.apply(epoch, &rows, *replace, i64::MIN)?;
            let snapshot = content.snapshot();
            if let Some(kept) = kept {
                let change = Change { writer, epoch, rows: &rows, replace: *replace, newest: content.newest() };
                kept.commit(&change, &snapshot)?;
            }
            table.show(snapshot);
            Ok(kept.is_some())
        })
        .await?;
        if is_kept {
            self.marker = Marker::At(epoch);
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context(Kind::Bug, || "the thread of a live table ended early".into())?
}
