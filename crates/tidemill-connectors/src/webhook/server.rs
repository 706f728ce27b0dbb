//! Accepts connections, within bounds, until its source ends.

use super::request::Taker;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::{Clock, Error, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Longest time in which a client must send the head of its request, or agree on TLS; also between two requests.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most header lines of a request.
const HEADERS_MAX: usize = 100;
/// Longest life of a connection.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(3600);
/// How long to wait after a connection could not be accepted, as when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a port that a predecessor lets go of is waited for.
const BIND_PATIENCE: Duration = Duration::from_secs(5);
const BIND_PAUSE: Duration = Duration::from_millis(50);

/// Takes an address.
///
/// # Errors
/// Another program has it, or it is none of this machine.
pub(super) async fn bind(listen: &str, clock: &dyn Clock) -> Result<TcpListener> {
    let began = clock.elapsed();
    loop {
        match TcpListener::bind(listen).await {
            Ok(listener) => return Ok(listener),
            Err(error)
                if error.kind() == std::io::ErrorKind::AddrInUse
                    && clock.elapsed().saturating_sub(began) < BIND_PATIENCE =>
            {
                tokio::time::sleep(BIND_PAUSE).await;
            }
            Err(error) => {
                let help = match error.kind() {
                    std::io::ErrorKind::AddrInUse => "another program has this port: see option 'listen'",
                    std::io::ErrorKind::PermissionDenied => "ports below 1024 are for root: see option 'listen'",
                    _ => "the host must be an address or a name of this machine: see option 'listen'",
                };
                return Err(Error::io(format!("cannot listen on {listen}"), error).help(help));
            }
        }
    }
}

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, taker: Arc<Taker>) {
    let places = Arc::new(Semaphore::new(taker.settings.connections_max));
    let tls = taker.settings.tls.clone().map(TlsAcceptor::from);
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (taker, tls) = (taker.clone(), tls.clone());
                connections.spawn(async move {
                    connection(stream, tls, taker).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the webhook was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// A client that goes away or talks nonsense is no error of ours.
async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, taker: Arc<Taker>) {
    let _ = stream.set_nodelay(true);
    match tls {
        None => requests(stream, taker).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIME_MAX, tls.accept(stream)).await {
                requests(stream, taker).await;
            }
        }
    }
}

async fn requests(stream: impl AsyncRead + AsyncWrite + Unpin, taker: Arc<Taker>) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX * 4);
    let service = service_fn(|request: Request<Incoming>| {
        let taker = taker.clone();
        async move { Ok::<_, Infallible>(taker.answer(request).await) }
    });
    let mut served = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = served.as_mut() => return,
        () = tokio::time::sleep(CONNECTION_TIME_MAX) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(HEAD_TIME_MAX, served).await;
}
