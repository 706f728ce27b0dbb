//! MQTT 5 as a source and as a sink.
//!
//! Both: `connection` (where the broker is), `errors` (what its refusals mean). The sink, read in this order: `options`,
//! `message` (rows become messages), `session` (messages are sent until the broker has acknowledged each), `sink` (an
//! epoch, and the retained message that remembers it). The source: `arrival` (messages become records, and records
//! rows), `listener` (messages are acknowledged when they are durable), `source`.

mod arrival;
mod connection;
mod errors;
mod listener;
mod message;
mod options;
mod session;
mod sink;
mod source;

pub use sink::MqttSinkConnector;
pub use source::MqttSourceConnector;
