//! Routes and their answers.

use crate::Monitor;
use crate::http::view;
use crate::metrics;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

/// Where a query is told another parallelism.
pub(super) const PARALLELISM: &str = "/parallelism";

/// All routes of a monitor.
pub(super) fn router(monitor: Monitor) -> Router {
    Router::new()
        .route("/", get(|| file("text/html; charset=utf-8", include_str!("page/page.html"))))
        .route("/page.css", get(|| file("text/css; charset=utf-8", include_str!("page/page.css"))))
        .route("/page.js", get(|| file("text/javascript; charset=utf-8", include_str!("page/page.js"))))
        .route("/charts.js", get(|| file("text/javascript; charset=utf-8", include_str!("page/charts.js"))))
        .route("/icon.svg", get(|| file("image/svg+xml", include_str!("page/icon.svg"))))
        .route("/metrics", get(metrics_text))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/queries", get(queries))
        .route("/queries/{id}", get(query))
        .route("/queries/{id}/progress", get(progress))
        .route(PARALLELISM, post(parallelism))
        .fallback(|| async { not_found("there is no such page") })
        .with_state(monitor)
}

async fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn not_found(what: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "error": what }))).into_response()
}

async fn metrics_text(State(monitor): State<Monitor>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], monitor.metrics()).into_response()
}

async fn ready(State(monitor): State<Monitor>) -> Response {
    let readiness = monitor.with(view::readiness);
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn queries(State(monitor): State<Monitor>) -> Response {
    Json(monitor.with(view::queries)).into_response()
}

async fn query(State(monitor): State<Monitor>, Path(id): Path<String>) -> Response {
    match monitor.with(|everything| view::query(everything, &id)) {
        Some(found) => Json(found).into_response(),
        None => not_found("there is no such query"),
    }
}

/// How many reports.
#[derive(Debug, Deserialize)]
struct Last {
    last: Option<usize>,
}

async fn progress(
    State(monitor): State<Monitor>,
    Path(id): Path<String>,
    Query(Last { last }): Query<Last>,
) -> Response {
    let last = last.unwrap_or(usize::MAX);
    match monitor.with(|everything| view::progress(everything, &id, last)) {
        Some(found) => Json(found).into_response(),
        None => not_found("there is no such query"),
    }
}

/// A parallelism, and the query it is for; without a name all of them.
#[derive(Debug, Deserialize)]
struct Wanted {
    parallelism: usize,
    query: Option<String>,
}

/// Asks queries for another parallelism; they have it after the epoch they are in.
async fn parallelism(State(monitor): State<Monitor>, Query(wanted): Query<Wanted>) -> Response {
    let queries = monitor.controlled(wanted.query.as_deref());
    if queries.is_empty() {
        return not_found("there is no such query that runs");
    }
    for query in &queries {
        if let Err(error) = query.rescale(wanted.parallelism) {
            return (StatusCode::BAD_REQUEST, Json(json!({ "error": error.report() }))).into_response();
        }
    }
    let names: Vec<&str> = queries.iter().map(|query| query.name.as_str()).collect();
    (StatusCode::ACCEPTED, Json(json!({ "parallelism": wanted.parallelism, "queries": names }))).into_response()
}
