//! Accepts connections, within bounds, until it is told to stop.

use crate::Monitor;
use crate::http::guard::{self, Hosts};
use crate::http::listen::Listen;
use crate::http::routes;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::{Kind, Result, ResultExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Most connections at a time; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 64;

/// Most answers that are made at a time.
const REQUESTS_MAX: usize = 8;

/// Longest time in which a client must send the head of its request; also between two requests.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Most header lines of a request.
const HEADERS_MAX: usize = 64;

/// Longest life of a connection.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(600);

/// Longest time that running answers get when the server is told to stop.
const STOP_TIME_MAX: Duration = Duration::from_secs(1);

/// How long to wait after a connection could not be accepted, as when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that runs. Dropping it stops it at once.
#[derive(Debug)]
pub struct Served {
    /// The address it listens on.
    pub addr: SocketAddr,
    /// Why it is not the address that was asked for, if it is not.
    pub moved: Option<String>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Served {
    /// The page's address, for a browser on this machine.
    pub fn url(&self) -> String {
        let mut addr = self.addr;
        if addr.ip().is_unspecified() {
            addr.set_ip(match addr {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{addr}")
    }

    /// Stops: answers that are being sent get a second.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(STOP_TIME_MAX, &mut self.task).await;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a server for a monitor.
pub(crate) async fn serve(monitor: Monitor, listen: &Listen) -> Result<Served> {
    let (listener, moved) = listen.bind().await?;
    let addr = listener.local_addr().context(Kind::Io, || "cannot tell the page's address".into())?;
    let hosts = Arc::new(Hosts::new(listen.name(), addr.ip().is_loopback()));
    let router = routes::router(monitor)
        .layer(tower::limit::ConcurrencyLimitLayer::new(REQUESTS_MAX))
        .layer(axum::middleware::from_fn_with_state(hosts, guard::check));
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(accept(listener, router, stopped));
    Ok(Served { addr, moved, stop, task })
}

async fn accept(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        match stream {
            Ok((stream, _)) => {
                let (router, stopped) = (router.clone(), stopped.clone());
                connections.spawn(async move {
                    connection(stream, router, stopped).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the page was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, router: Router, mut stopped: watch::Receiver<bool>) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX * 4);
    let service = TowerToHyperService::new(router);
    let mut served = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // a client that goes away or talks nonsense is no error of ours
        _ = served.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = tokio::time::sleep(CONNECTION_TIME_MAX) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(HEAD_TIME_MAX, served).await;
}
