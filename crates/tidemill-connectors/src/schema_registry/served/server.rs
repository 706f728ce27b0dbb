//! Accepts connections, within bounds.

use super::request::Desk;
use crate::schema_registry::store::SchemaRegistry;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::secret::Secret;
use tidemill_core::{Error, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Longest time in which a client must send the head of its request; also between two requests.
const HEAD_TIME_MAX: Duration = Duration::from_secs(60);
/// Most bytes that are held of a head.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;
/// Most connections at a time; more wait.
const CONNECTIONS_MAX: usize = 256;
/// How long to wait after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a registry is served.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Address and port, such as `127.0.0.1:8081`; port 0 takes a free one.
    pub listen: String,
    /// Users and their passwords. Without them everybody may ask, and only on this machine.
    pub users: Vec<(String, Secret)>,
}

/// A registry that takes connections.
pub struct Served {
    listener: TcpListener,
    address: SocketAddr,
    desk: Arc<Desk>,
}

impl Served {
    /// Takes the address.
    ///
    /// # Errors
    /// Another program has it; or it is not of this machine alone, and there are no users.
    pub async fn bind(registry: SchemaRegistry, options: &ServeOptions) -> Result<Served> {
        let listen = &options.listen;
        let failed = |cause| {
            Error::io(format!("cannot listen on {listen}"), cause)
                .help("give a free port with --listen, such as 127.0.0.1:8081")
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() && options.users.is_empty() {
            return Err(Error::invalid(format!(
                "{listen} can be reached from other machines, and nobody has to name a user"
            ))
            .help("name users with --users FILE, or listen on 127.0.0.1"));
        }
        let desk = Arc::new(Desk::new(registry, &options.users));
        Ok(Served { listener, address, desk })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped.
    pub async fn run(self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let desk = self.desk.clone();
                    connections.spawn(async move {
                        requests(stream, desk).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the schema registry was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

/// A client that goes away or talks nonsense is no error of ours.
async fn requests(stream: TcpStream, desk: Arc<Desk>) {
    let _ = stream.set_nodelay(true);
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    let service = service_fn(|request: Request<Incoming>| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(desk.answer(request).await) }
    });
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}
