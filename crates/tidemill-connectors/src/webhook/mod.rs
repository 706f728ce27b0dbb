//! HTTP requests as a source: what is posted is in the embedded log before the sender gets its `202`.
//!
//! Read in this order: `options`, `server` (connections, within bounds), `request` (one request: who may send, how much,
//! and what it is answered), `signature`, `body` (records in it), `answer`, `source`.

mod answer;
mod body;
mod options;
mod request;
mod server;
mod signature;
mod source;

pub use source::WebhookSourceConnector;
