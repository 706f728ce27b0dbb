//! What keeps a query alive, or ends it well, when what it needs runs short: disk, memory, time.
//!
//! A query that cannot go on now but will be able to is *stalled*: it holds what it has, says so, and goes on by
//! itself. Must not contain: what an epoch does; that is `run.rs`.

pub mod ballast;
pub mod bucket;
pub mod budget;
pub mod disk;
pub mod flow;
pub mod memory;
pub mod pressure;
pub mod revive;
pub mod settings;
pub mod stall;
