//! What every request passes: who may call us, what we take, and the headers of every answer.

use crate::http::routes::PARALLELISM;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

/// Longest time an answer may take to make.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Nothing but our own files; no frame of another page; no form, no plug-in.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                                       connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 8] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Names under which we may be called. A web page of somebody else can have its own name resolve to our
/// address ("DNS rebinding") and then read our answers; it cannot make a browser send another `Host` than
/// that name. So addresses and `localhost` are taken, and of names only the one the user listens on.
#[derive(Debug)]
pub(super) struct Hosts {
    name: Option<String>,
    /// True when only this machine can reach us: then a query can be told something as well.
    is_loopback: bool,
}

impl Hosts {
    pub(super) fn new(name: Option<String>, is_loopback: bool) -> Self {
        Hosts { name, is_loopback }
    }

    fn allow(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        if let Some(rest) = host.strip_prefix('[') {
            return rest.split_once(']').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
        }
        let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
        let name = name.strip_suffix('.').unwrap_or(name);
        name.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.name.as_deref() == Some(name)
    }
}

/// Refuses what we do not take, and sets the headers.
pub(super) async fn check(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&hosts, &request) {
        Some((status, why)) => (status, why).into_response(),
        None => match tokio::time::timeout(ANSWER_TIME_MAX, next.run(request)).await {
            Ok(response) => response,
            Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the answer took too long\n").into_response(),
        },
    };
    let headers = response.headers_mut();
    for (name, value) in &HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if response.status().is_client_error() {
        // what may follow in a body that we do not read is no request
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn refusal(hosts: &Hosts, request: &Request) -> Option<(StatusCode, &'static str)> {
    let headers = request.headers();
    if *request.method() == Method::POST && request.uri().path() == PARALLELISM {
        if !hosts.is_loopback {
            return Some((StatusCode::FORBIDDEN, "only where the program listens on loopback\n"));
        }
        // a browser says so when a page makes it send something
        if headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site") {
            return Some((StatusCode::FORBIDDEN, "not from a web page\n"));
        }
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"));
    }
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_body {
        return Some((StatusCode::PAYLOAD_TOO_LARGE, "a request has no body here\n"));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match host {
        None => Some((StatusCode::BAD_REQUEST, "a request needs a Host header\n")),
        Some(host) if !hosts.allow(host) => Some((
            StatusCode::MISDIRECTED_REQUEST,
            "not known under this name: use the IP address, or start with --listen NAME:PORT\n",
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_refused() {
        let hosts = Hosts::new(Some("mill.example".into()), true);
        for host in [
            "127.0.0.1",
            "127.0.0.1:4040",
            "LOCALHOST:4040",
            "a.localhost",
            "[::1]:4040",
            "[::1]",
            "10.1.2.3:80",
            "mill.example:4040",
            "mill.example.",
        ] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in
            ["evil.example:4040", "localhost.evil.example", "127.0.0.1.evil.example", "", "[evil]:1", "xlocalhost"]
        {
            assert!(!hosts.allow(host), "{host}");
        }
        assert!(!Hosts::new(None, true).allow("mill.example"));
    }
}
