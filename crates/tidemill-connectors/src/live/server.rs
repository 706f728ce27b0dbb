//! An address that clients connect to, and the tables behind it.
//!
//! Connections and queries run on threads of their own, so that a heavy query of a client does not take the threads
//! that move epochs. What they may take is bounded: connections, time and memory of queries.

use super::access::{self, Doorman};
use super::catalog::{Pinned, World};
use super::options::Access;
use super::query::Planner;
use super::session::Service;
use super::table::Snapshot;
use super::types;
use pgwire::api::auth::StartupHandler;
use pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::{ConnectionManager, ErrorHandler, NoopHandler, PgWireServerHandlers};
use pgwire::tokio::{TlsAcceptor, process_socket};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tidemill_core::sink::OutputMode;
use tidemill_core::{Error, Kind, Result, ResultExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// Threads for connections and their queries.
const THREADS: usize = 2;
/// Numbers of tables begin here, as those of users' objects in Postgres.
const FIRST_OID: u32 = 16_384;
/// The address may be held for a moment by the server before.
const BIND_TRIES: u32 = 30;
const BIND_PAUSE: Duration = Duration::from_millis(100);

/// How long a client is listened to that is sent away, and how much it may say.
const REFUSAL_TIME: Duration = Duration::from_secs(5);
const STARTUP_BYTES_MAX: u32 = 10_000;
/// Source: PostgreSQL 15, chapter "Message Formats", SSLRequest and GSSENCRequest.
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// A table that can be read.
#[derive(Debug)]
pub(super) struct LiveTable {
    pub(super) oid: u32,
    pub(super) name: String,
    pub(super) mode: OutputMode,
    current: RwLock<Arc<Snapshot>>,
}

impl LiveTable {
    /// What readers see from now on.
    pub(super) fn show(&self, snapshot: Snapshot) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }

    fn current(&self) -> Arc<Snapshot> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The tables of a server.
#[derive(Debug, Default)]
pub(super) struct Tables {
    by_name: Mutex<BTreeMap<String, Arc<LiveTable>>>,
    added: Mutex<u32>,
}

impl Tables {
    /// Everything as it is now: each table after its newest whole epoch.
    pub(super) fn world(&self, user: &str) -> Arc<World> {
        let tables: Vec<_> = held(&self.by_name).values().cloned().collect();
        let pin = |table: Arc<LiveTable>| {
            let snapshot = table.current();
            // the types were checked when the table was added
            let columns = types::shown(&snapshot.schema).unwrap_or_default();
            Arc::new(Pinned { table, snapshot, columns })
        };
        Arc::new(World { tables: tables.into_iter().map(pin).collect(), user: user.to_owned() })
    }

    fn add(&self, name: &str, mode: OutputMode, snapshot: Snapshot) -> Result<Arc<LiveTable>> {
        types::shown(&snapshot.schema)?;
        let mut tables = held(&self.by_name);
        if tables.contains_key(name) {
            return Err(Error::invalid(format!("there is a live table '{name}' at this address already"))
                .help("give one of them another name with option 'table', or another address with 'listen'"));
        }
        let mut added = held(&self.added);
        let table = Arc::new(LiveTable {
            oid: FIRST_OID.saturating_add(*added),
            name: name.to_owned(),
            mode,
            current: RwLock::new(Arc::new(snapshot)),
        });
        *added = added.saturating_add(1);
        tables.insert(name.to_owned(), table.clone());
        Ok(table)
    }

    fn remove(&self, name: &str) {
        held(&self.by_name).remove(name);
    }
}

/// A table of a server; gone from it when dropped.
pub(super) struct Place {
    pub(super) table: Arc<LiveTable>,
    server: Arc<Server>,
}

impl Place {
    /// Puts a table into `server`.
    ///
    /// # Errors
    /// There is one of that name; a column of a type that Postgres has nothing for.
    pub(super) fn new(server: Arc<Server>, name: &str, mode: OutputMode, snapshot: Snapshot) -> Result<Self> {
        let table = server.tables.add(name, mode, snapshot)?;
        Ok(Place { table, server })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.tables.remove(&self.table.name);
    }
}

/// A server that listens until it is dropped.
pub(super) struct Server {
    pub(super) access: Access,
    tables: Arc<Tables>,
    runtime: Option<Runtime>,
}

impl Server {
    /// Listens.
    ///
    /// # Errors
    /// The address is taken or not ours; TLS cannot be set up.
    pub(super) async fn start(access: Access) -> Result<Self> {
        let listener = bind(&access.listen).await?;
        let (tls, certificate) = match &access.tls {
            Some((certificate, key)) => {
                let (tls, pem) = access::tls(certificate, key)?;
                (Some(tls), Some(pem))
            }
            None => (None, None),
        };
        let tables = Arc::new(Tables::default());
        let connections = Arc::new(ConnectionManager::new());
        let planner = Planner::new(tables.clone(), access.statement_timeout, access.query_bytes_max)?;
        let handlers = Arc::new(Handlers {
            doorman: Arc::new(Doorman::new(&access, connections.clone(), certificate.as_deref())?),
            service: Arc::new(Service::new(planner)),
            cancel: Arc::new(DefaultCancelHandler::new(connections)),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("tidemill-live")
            .enable_all()
            .build()
            .map_err(|error| Error::io("cannot start the threads of a live table's server", error))?;
        let seats = Arc::new(Semaphore::new(access.connections_max));
        runtime.spawn(accept(listener, tls, handlers, seats));
        tracing::info!(listen = access.listen, "live tables are served");
        Ok(Server { access, tables, runtime: Some(runtime) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Takes the address. The listener belongs to no runtime yet.
async fn bind(listen: &str) -> Result<std::net::TcpListener> {
    let mut tries = 0;
    loop {
        match TcpListener::bind(listen).await.and_then(TcpListener::into_std) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && tries < BIND_TRIES => {
                tries += 1;
                tokio::time::sleep(BIND_PAUSE).await;
            }
            Err(error) => {
                return Err(Error::io(format!("cannot listen on '{listen}' for a live table"), error)
                    .help("end what listens there, or choose another address with option 'listen'"));
            }
        }
    }
}

async fn accept(
    listener: std::net::TcpListener,
    tls: Option<TlsAcceptor>,
    handlers: Arc<Handlers>,
    seats: Arc<Semaphore>,
) {
    let listener = match TcpListener::from_std(listener).context(Kind::Io, || "cannot listen for a live table".into()) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "live tables are not served"),
    };
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                // such as too many open files, which may pass
                tracing::warn!(%error, "a client of a live table could not connect");
                tokio::time::sleep(BIND_PAUSE).await;
                continue;
            }
        };
        let Ok(seat) = seats.clone().try_acquire_owned() else {
            tokio::spawn(refuse(socket));
            continue;
        };
        let (tls, handlers) = (tls.clone(), handlers.clone());
        tokio::spawn(async move {
            if let Err(error) = process_socket(socket, tls, handlers).await {
                tracing::debug!(%error, "the connection of a client of a live table ended");
            }
            drop(seat);
        });
    }
}

/// Tells a client that there are too many, once it listens: first it may ask for encryption, which it does not get.
async fn refuse(mut socket: TcpStream) {
    let fields = b"SFATAL\0VFATAL\0C53300\0Msorry, too many clients already: max_connections is reached\0\0";
    let mut message = vec![b'E'];
    // a constant of a hundred bytes
    message.extend((fields.len() as u32 + 4).to_be_bytes());
    message.extend(fields);
    let told = async {
        while wants_encryption(&mut socket).await? {
            socket.write_all(b"N").await?;
        }
        socket.write_all(&message).await?;
        socket.shutdown().await
    };
    // whether the client hears it is its own matter
    let _ = tokio::time::timeout(REFUSAL_TIME, told).await;
}

/// Reads a client's first message; true when it asks for TLS or GSSAPI before it says who it is.
async fn wants_encryption(socket: &mut TcpStream) -> std::io::Result<bool> {
    let (length, code) = (socket.read_u32().await?, socket.read_u32().await?);
    let rest = u64::from(length.clamp(8, STARTUP_BYTES_MAX)) - 8;
    tokio::io::copy(&mut socket.take(rest), &mut tokio::io::sink()).await?;
    Ok(matches!(code, SSL_REQUEST | GSS_REQUEST))
}

struct Handlers {
    doorman: Arc<Doorman>,
    service: Arc<Service>,
    cancel: Arc<DefaultCancelHandler>,
}

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        self.service.clone()
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        self.service.clone()
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        self.doorman.clone()
    }

    fn error_handler(&self) -> Arc<impl ErrorHandler> {
        Arc::new(NoopHandler)
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        self.cancel.clone()
    }
}

/// What a lock holds. Every change behind it is one step.
fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
