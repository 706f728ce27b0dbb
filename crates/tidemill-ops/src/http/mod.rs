//! The page, the metrics and the health checks over HTTP. Read-only; no cookies, no credentials. Shown are
//! figures, names, and the error of a query that has failed; no rows.
//!
//! | Route | Answer |
//! |---|---|
//! | `/` | the live page (`/page.css`, `/page.js`) |
//! | `/metrics` | OpenMetrics text |
//! | `/livez` | 200 while the process turns |
//! | `/readyz` | 200 when every query is ready, else 503; JSON with the reasons |
//! | `/queries` | process, cost, and every query: status, totals, rates |
//! | `/queries/{id}` | one query with the last five minutes, second by second |
//! | `/queries/{id}/progress` | its newest reports as in Spark, oldest first; `?last=N` for the last N |
//!
//! `{id}` is the query's name or the identity of its checkpoint.

mod guard;
mod listen;
mod routes;
mod server;
#[cfg(test)]
mod tests;
mod view;

pub use listen::Listen;
pub use server::Served;
pub(crate) use server::serve;
