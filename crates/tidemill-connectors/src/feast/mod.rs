//! Feast's online store as a sink: features of entities, in Redis or SQLite, in the formats that Feast
//! itself reads (Feast 0.40 or newer, entity keys of version 3).
//!
//! `value` and `entity` are the formats, `rows` turns rows into them, `sqlite` is the one store and
//! `redis::epoch` the other. `repo` reads a repository's `feature_store.yaml`. Nothing here needs Feast or its
//! registry: the options, or a repository's `feature_store.yaml` (`repo`), name what it names.

mod entity;
mod protobuf;
mod repo;
mod rows;
mod sink;
mod sqlite;
mod value;

pub use sink::FeastSinkConnector;
