//! Routes as a client sees them, over a real connection.

use crate::http::Listen;
use crate::record::tests::{clock, epoch, started};
use crate::{Monitor, PriceBook};
use serde_json::Value;
use std::time::Duration;
use tidemill_core::clock::ManualClock;
use tidemill_core::{Error, Kind};
use tidemill_engine::progress::QueryStarted;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Answer {
    status: u16,
    head: String,
    body: String,
}

async fn send(addr: std::net::SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

async fn get(addr: std::net::SocketAddr, path: &str) -> Answer {
    send(addr, &format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n")).await
}

async fn json(addr: std::net::SocketAddr, path: &str) -> Value {
    serde_json::from_str(&get(addr, path).await.body).unwrap()
}

fn monitor() -> (Monitor, std::sync::Arc<ManualClock>) {
    let clock = clock();
    (Monitor::new(clock.clone(), PriceBook::list().unwrap()), clock)
}

#[tokio::test]
async fn every_route_answers() {
    let (monitor, clock) = monitor();
    monitor.listener().on_start(&started());
    (0..3).for_each(|number| monitor.listener().on_epoch(&epoch(number)));
    clock.advance(Duration::from_secs(1));
    let served = monitor.serve(&Listen::at("127.0.0.1:0").unwrap()).await.unwrap();
    let addr = served.addr;
    assert_eq!(served.url(), format!("http://{addr}"));
    for (path, kind) in [
        ("/", "text/html"),
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
        ("/charts.js", "text/javascript"),
        ("/icon.svg", "image/svg+xml"),
        ("/metrics", "application/openmetrics-text"),
        ("/livez", "text/plain"),
        ("/readyz", "application/json"),
        ("/queries", "application/json"),
        ("/queries/events.counts", "application/json"),
        ("/queries/0b54/progress", "application/json"),
    ] {
        let answer = get(addr, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(answer.head.contains(&format!("content-type: {kind}")), "{path}: {}", answer.head);
        for header in ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff", "no-store"] {
            assert!(answer.head.contains(header), "{path}: {}", answer.head);
        }
    }
    let queries = json(addr, "/queries").await;
    let query = &queries["queries"][0];
    assert_eq!((query["name"].as_str(), query["status"].as_str()), (Some("events.counts"), Some("running")));
    assert_eq!((query["rowsIn"].as_u64(), query["lagRecords"].as_u64()), (Some(300), Some(7)));
    let progress = json(addr, "/queries/events.counts/progress?last=2").await;
    let batches: Vec<_> = progress.as_array().unwrap().iter().map(|one| one["batchId"].as_u64()).collect();
    assert_eq!(batches, [Some(1), Some(2)]);
    assert!(progress[0]["durationMs"]["triggerExecution"].is_number());
    let history = &json(addr, "/queries/0b54").await["history"];
    let rows: Vec<_> = history["rowsIn"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert_eq!(rows, [300, 0]);
    assert_eq!(history["watermarkDelaySeconds"], serde_json::json!([60.0, 61.0]));
    assert_eq!(get(addr, "/queries/none/progress").await.status, 404);
    assert_eq!(get(addr, "/nothing").await.status, 404);
    served.shutdown().await;
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn others_are_refused() {
    let served = monitor().0.serve(&Listen::at("127.0.0.1:0").unwrap()).await.unwrap();
    for (request, status) in [
        ("GET /queries HTTP/1.1\r\nHost: evil.example:4040\r\n\r\n", 421),
        ("GET /queries HTTP/1.1\r\n\r\n", 400),
        ("POST /queries HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi", 405),
        ("GET /queries HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi", 413),
        ("nonsense\r\n\r\n", 400),
    ] {
        let answer = send(served.addr, request).await;
        assert_eq!(answer.status, status, "{request}\n{}", answer.body);
        assert!(!answer.body.contains("queries\":"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let served = monitor().0.serve(&Listen::at("127.0.0.1:0").unwrap()).await.unwrap();
    let mut stream = TcpStream::connect(served.addr).await.unwrap();
    let long = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    // the server may close while we still write
    let _ = stream.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn readiness_tells_why_not() {
    let (monitor, clock) = monitor();
    let served = monitor.serve(&Listen::at("127.0.0.1:0").unwrap()).await.unwrap();
    let addr = served.addr;
    let reason = async || {
        let answer = get(addr, "/readyz").await;
        let found: Value = serde_json::from_str(&answer.body).unwrap();
        (answer.status, found["reasons"][0]["reason"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(reason().await, (503, String::new()));
    monitor.announce("events.counts");
    assert_eq!(reason().await, (503, "it is starting".into()));
    monitor.listener().on_start(&started());
    assert_eq!(reason().await.0, 200);
    monitor.listener().on_begin("events.counts");
    clock.advance(Duration::from_secs(61));
    assert_eq!(reason().await, (503, "nothing was committed for 61 s (limit 60 s)".into()));
    monitor.listener().on_epoch(&epoch(0));
    monitor.listener().on_idle("events.counts");
    clock.advance(Duration::from_secs(10_000));
    assert_eq!(reason().await.0, 200);
    monitor.drain();
    assert_eq!(reason().await, (503, "it is draining".into()));
    let error = Error::new(Kind::Again, "the broker is gone").help("start it");
    monitor.listener().on_end("events.counts", Some(&error));
    assert_eq!(reason().await, (503, "it has failed".into()));
    monitor.listener().on_end("events.counts", None);
    assert_eq!(reason().await, (503, "it has stopped".into()));
    let another = QueryStarted { name: "another".into(), ..started() };
    monitor.listener().on_start(&another);
    assert_eq!(reason().await, (200, String::new()));
    monitor.listener().on_end("events.counts", Some(&error));
    let query = &json(addr, "/queries").await["queries"][0];
    assert_eq!(query["failure"]["exitCode"], 75);
    assert!(query["failure"]["message"].as_str().unwrap().contains("start it"));
    assert_eq!(get(addr, "/livez").await.status, 200);
}

#[tokio::test]
async fn a_taken_port_is_an_error_unless_nobody_asked_for_it() {
    let (monitor, _) = monitor();
    let first = monitor.serve(&Listen::at("127.0.0.1:0").unwrap()).await.unwrap();
    let error = monitor.serve(&Listen::at(&first.addr.to_string()).unwrap()).await.unwrap_err();
    assert!(error.kind() == Kind::Io && error.report().contains("'off' for no page"), "{}", error.report());
    // one of these two finds the default port taken, whoever has it
    let second = monitor.serve(&Listen::default()).await.unwrap();
    let third = monitor.serve(&Listen::default()).await.unwrap();
    assert_ne!(second.addr, third.addr);
    assert_eq!(third.moved.as_deref(), Some("port 4040 is taken"));
}

#[tokio::test]
async fn a_silent_client_does_not_stop_the_server_from_stopping() {
    let served = monitor().0.serve(&Listen::at("127.0.0.1:0").unwrap()).await.unwrap();
    let _silent = TcpStream::connect(served.addr).await.unwrap();
    assert_eq!(get(served.addr, "/livez").await.status, 200);
    tokio::time::timeout(Duration::from_secs(5), served.shutdown()).await.unwrap();
}
