//! Breadth-first through all worlds; the first wrong one comes with the shortest way to it.

use super::world::{Sink, SinkKind, World};
use super::writer::{Writer, crashed, steps};
use super::{Bounds, Bug};
use std::collections::HashSet;

/// What a search has found.
#[derive(Debug)]
pub struct Found {
    /// Worlds that were seen.
    pub worlds: usize,
    /// What is wrong, with the steps that lead to it; `None` when nothing is.
    pub wrong: Option<(String, Vec<String>)>,
}

/// Searches every world within the bounds.
pub fn search(sinks: &[SinkKind], bounds: Bounds, bug: Option<Bug>) -> Found {
    let start = World {
        journal: vec![],
        unsynced: vec![],
        sinks: sinks.iter().map(|kind| Sink::new(*kind)).collect(),
        writers: [Writer::Down, Writer::Down],
        lock: None,
        crashes: bounds.crashes,
        lost_answers: bounds.lost_answers,
        losses: bounds.losses,
    };
    let mut seen = HashSet::from([start.clone()]);
    // each with where it came from, for the way back
    let mut worlds = vec![(start, 0, String::new())];
    let mut at = 0;
    while at < worlds.len() {
        for (told, next) in nexts(&worlds[at].0, bounds.epochs, bug) {
            let checked = next.and_then(|world| world.doubled().map_or(Ok(world), Err));
            match checked {
                Err(wrong) => {
                    let mut way = vec![told];
                    while at > 0 {
                        way.push(std::mem::take(&mut worlds[at].2));
                        at = worlds[at].1;
                    }
                    way.reverse();
                    return Found { worlds: worlds.len(), wrong: Some((wrong, way)) };
                }
                Ok(world) => {
                    if seen.insert(world.clone()) {
                        worlds.push((world, at, told));
                    }
                }
            }
        }
        at += 1;
    }
    Found { worlds: worlds.len(), wrong: None }
}

/// Every world one step away: of a process, a crash, or a sink that goes back.
fn nexts(world: &World, epochs: u8, bug: Option<Bug>) -> Vec<(String, Result<World, String>)> {
    let mut all = vec![];
    for who in 0..world.writers.len() {
        all.extend(steps(world, who, epochs, bug));
        if world.crashes > 0 && world.writers[who] != Writer::Down {
            let after = World { crashes: world.crashes - 1, ..crashed(world, who) };
            if !after.unsynced.is_empty() {
                let lost = World { unsynced: vec![], ..after.clone() };
                all.push((format!("process {who} crashes, the machine with it"), Ok(lost)));
            }
            all.push((format!("process {who} crashes"), Ok(after)));
        }
    }
    let none_runs = world.writers.iter().all(|writer| *writer == Writer::Down);
    for (number, sink) in world.sinks.iter().enumerate() {
        // one that has lost all is refused at the start, as one that was replaced
        if none_runs && world.losses > 0 && sink.kind == SinkKind::Marker && sink.writes.len() > 1 {
            let mut after = world.clone();
            after.losses -= 1;
            after.sinks[number].writes.pop();
            after.sinks[number].marker = after.sinks[number].writes.last().map(|plan| plan.epoch);
            all.push((format!("sink {number} loses its newest epoch"), Ok(after)));
        }
    }
    all
}
