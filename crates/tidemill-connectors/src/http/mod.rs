//! Webhooks: rows as HTTP requests, one a row or in batches.
//!
//! The receiver cannot hold our marker, so an epoch that is run again is sent again. What makes that harmless is
//! the idempotency key of each request, which is the same whenever the same rows of the same epoch are sent.
//!
//! | file | subject |
//! |---|---|
//! | `options.rs` | options, checked |
//! | `codes.rs` | sets of status codes, as users write them |
//! | `key.rs` | idempotency keys |
//! | `body.rs` | an epoch's rows as requests |
//! | `sign.rs` | signatures of Standard Webhooks |
//! | `verdict.rs` | what an answer, or none, means |
//! | `courier.rs` | one request, tried until it is taken: budget, breaker, pauses |
//! | `sink.rs` | the sink |

mod body;
mod codes;
mod courier;
mod key;
mod options;
mod sign;
mod sink;
mod verdict;

pub use sink::HttpSinkConnector;
