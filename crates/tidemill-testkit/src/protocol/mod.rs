//! The commit protocol as a model, searched through: two writers, every crash point, lost
//! acknowledgements, sinks that go back. What to do at a start is the engine's own
//! [`tidemill_engine::checkpoint::decide`], and the steps are those of [`tidemill_core::Step`].
//!
//! Must not do any input or output: a world is a value, a step makes new ones of it.

pub mod search;
pub mod world;
pub mod writer;

/// What is wrong with a model that the search must find something in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The commit is durable before any sink has the rows.
    CommitBeforeSink,
    /// Two processes may run on one checkpoint.
    NoFence,
    /// A planned epoch is planned anew after a crash, under its number.
    ReuseEpoch,
    /// An epoch without rows takes a number and is not logged.
    DropEmptyEpoch,
    /// What the journal and the sinks say is read before the checkpoint is taken.
    ProgressBeforeFence,
    /// A write whose acknowledgement was lost is made again without asking the sink.
    RetryBlindly,
    /// What was written to the journal may be lost with the machine.
    SkipFsync,
    /// The sink gets rows and marker in two writes.
    MarkerApart,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 8] = [
        Bug::CommitBeforeSink,
        Bug::NoFence,
        Bug::ReuseEpoch,
        Bug::DropEmptyEpoch,
        Bug::ProgressBeforeFence,
        Bug::RetryBlindly,
        Bug::SkipFsync,
        Bug::MarkerApart,
    ];
}

/// How far a search goes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Epochs that are run.
    pub epochs: u8,
    /// Processes that may crash, in all.
    pub crashes: u8,
    /// Commits of sinks that may be answered by an error, applied or not.
    pub lost_answers: u8,
    /// Times a sink may lose its newest epoch.
    pub losses: u8,
}

#[cfg(test)]
mod tests;
