//! What to do at a start, from facts alone. No file is read here and none is written; the table of
//! DESIGN ("The life of an epoch") is the specification, and the tests are that table.
//!
//! With C the newest committed epoch, P the newest planned one, E the newest epoch in which a sink
//! got rows as our log says, and L what the sink itself says:
//!
//! | facts | decision |
//! |---|---|
//! | no checkpoint, no sink holds anything of ours | start at epoch 0 |
//! | no checkpoint, a sink holds another incarnation | stop (78) unless the user says so |
//! | L = E in every sink | go on after C; run P again if it is not committed |
//! | L = P = C + 1 in some sinks | run P again, write only to the sinks that lack it |
//! | L < E | the sink went back: run again from L + 1 if what that needs is kept, else stop (65) |
//! | L > P, or between E and C | stop (78): another checkpoint wrote there, or the sink was changed |
//! | E known, no marker in the sink | stop (78): the table was replaced or the marker has expired |

use std::fmt;
use tidemill_core::sink::Marker;
use tidemill_core::{Epoch, Error, Kind};

/// What is known at a start.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Newest committed epoch.
    pub committed: Option<Epoch>,
    /// Newest planned epoch.
    pub planned: Option<Epoch>,
    /// Oldest epoch that can be run again: its plan is kept, and the state before it can be rebuilt.
    pub oldest_replayable: Option<Epoch>,
    /// The sinks.
    pub sinks: Vec<SinkFacts>,
    /// The user accepts that a sink holds rows of another incarnation.
    pub accept_foreign: bool,
}

/// What is known of one sink.
#[derive(Debug, Clone)]
pub struct SinkFacts {
    /// Its name.
    pub name: String,
    /// The newest epoch in which it got rows, as the log says.
    pub expected: Option<Epoch>,
    /// What it says itself.
    pub marker: Marker,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Run the epochs from `from` on; plans that are in the log are run as they are there. The state
    /// before `from` is rebuilt first. `holds[i]` is the newest epoch sink i has already: what it has
    /// is not written again.
    Run { from: Epoch, holds: Vec<Option<Epoch>> },
    /// Stop, and say why.
    Stop { kind: Kind, reason: String, help: String },
}

impl Decision {
    /// The decision as a result.
    ///
    /// # Errors
    /// The reason to stop.
    pub fn into_result(self) -> tidemill_core::Result<(Epoch, Vec<Option<Epoch>>)> {
        match self {
            Decision::Run { from, holds } => Ok((from, holds)),
            Decision::Stop { kind, reason, help } => Err(Error::new(kind, reason).help(help)),
        }
    }
}

/// Decides.
pub fn decide(facts: &Facts) -> Decision {
    let after_committed = facts.committed.map_or(Epoch(0), Epoch::next);
    if facts.planned.is_some_and(|planned| planned != after_committed && Some(planned) != facts.committed) {
        return stop(
            Kind::Invalid,
            format!(
                "the checkpoint has a gap: the newest plan is that of epoch {}, the newest commit that of {}",
                shown(facts.planned),
                shown(facts.committed)
            ),
            "restore the journal from a copy, or start over with a new checkpoint directory",
        );
    }
    let mut from = after_committed;
    let mut holds = Vec::with_capacity(facts.sinks.len());
    for sink in &facts.sinks {
        match look(sink, facts) {
            Look::Holds(epoch) => holds.push(epoch),
            Look::WentBack(to) => {
                from = from.min(to.map_or(Epoch(0), Epoch::next));
                holds.push(to);
            }
            Look::Stop(decision) => return decision,
        }
    }
    if from < after_committed && facts.oldest_replayable.is_none_or(|oldest| from < oldest) {
        let last = facts.committed.unwrap_or(Epoch(0));
        return stop(
            Kind::Data,
            format!("a sink has lost epochs {from} to {last}, and the checkpoint can no longer run them again"),
            "restore the sink, or accept the loss by starting with a new checkpoint directory",
        );
    }
    Decision::Run { from, holds }
}

enum Look {
    Holds(Option<Epoch>),
    WentBack(Option<Epoch>),
    Stop(Decision),
}

fn look(sink: &SinkFacts, facts: &Facts) -> Look {
    let name = &sink.name;
    match (&sink.marker, sink.expected) {
        (Marker::Unsupported, _) => Look::Holds(facts.committed),
        (Marker::Absent, None) => Look::Holds(None),
        (Marker::Absent, Some(expected)) => Look::Stop(stop(
            Kind::Invalid,
            format!("the sink {name} holds no marker of this query, but epoch {expected} was written to it"),
            "the table was replaced or its marker has expired: restore it, or start with a new checkpoint directory",
        )),
        (Marker::Foreign(_), _) if facts.accept_foreign && sink.expected.is_none() => Look::Holds(None),
        (Marker::Foreign(incarnation), None) => Look::Stop(stop(
            Kind::Invalid,
            format!(
                "the sink {name} holds rows this pipeline wrote from another checkpoint (incarnation {incarnation})"
            ),
            "use that checkpoint again, empty the sink, or append to it with --new-incarnation append",
        )),
        (Marker::Foreign(incarnation), Some(_)) => Look::Stop(stop(
            Kind::Invalid,
            format!("another checkpoint (incarnation {incarnation}) has taken over the sink {name}"),
            "stop the other query, or give one of the two a sink of its own",
        )),
        (Marker::At(at), expected) if Some(*at) == expected => Look::Holds(expected),
        (Marker::At(at), expected) if expected.is_some_and(|expected| *at < expected) => Look::WentBack(Some(*at)),
        (Marker::At(at), _) if facts.planned == Some(*at) && facts.committed < Some(*at) => Look::Holds(Some(*at)),
        (Marker::At(at), expected) => Look::Stop(stop(
            Kind::Invalid,
            format!("the sink {name} holds epoch {at}, but {}", known(expected, facts.planned)),
            "the checkpoint was copied or restored, or the sink was changed: use the checkpoint that wrote it",
        )),
    }
}

fn stop(kind: Kind, reason: String, help: &str) -> Decision {
    Decision::Stop { kind, reason, help: help.to_owned() }
}

/// What the checkpoint knows of a sink that says something else.
fn known(expected: Option<Epoch>, planned: Option<Epoch>) -> String {
    match (expected, planned) {
        (_, None) => "this checkpoint has planned no epoch yet".into(),
        (None, Some(planned)) => format!("this checkpoint has written nothing there and has planned up to {planned}"),
        (Some(expected), Some(planned)) => {
            format!("this checkpoint knows epoch {expected} as the newest there and has planned up to {planned}")
        }
    }
}

fn shown(epoch: Option<Epoch>) -> impl fmt::Display {
    epoch.map_or_else(|| "none".to_owned(), |epoch| epoch.to_string())
}

#[cfg(test)]
mod tests;
