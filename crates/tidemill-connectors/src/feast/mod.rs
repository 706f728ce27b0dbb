//! Feast's online store as a sink: features of entities, in Redis or SQLite, in the formats that Feast
//! itself reads (Feast 0.40 or newer, entity keys of version 3).
//!
//! `value` and `entity` are the formats, `rows` turns rows into them, `sqlite` is the one store and
//! `redis::epoch` the other. Nothing here needs Feast or its registry: the options name what it names.

mod entity;
mod protobuf;
mod rows;
mod sink;
mod sqlite;
mod value;

pub use sink::FeastSinkConnector;
