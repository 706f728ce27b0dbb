//! The protocol holds in every world; each planted bug is found.

use super::search::search;
use super::world::SinkKind::{self, Idempotent, Marker};
use super::{Bounds, Bug};

const WIDE: Bounds = Bounds { epochs: 4, crashes: 2, lost_answers: 1, losses: 1 };
const THREE_EPOCHS: Bounds = Bounds { epochs: 3, crashes: 2, lost_answers: 1, losses: 1 };

fn holds(sinks: &[SinkKind], bounds: Bounds, worlds_min: usize) {
    let found = search(sinks, bounds, None);
    println!("{sinks:?}, {bounds:?}: {} worlds", found.worlds);
    if let Some((wrong, way)) = found.wrong {
        panic!("{wrong}\n  {}", way.join("\n  "));
    }
    assert!(found.worlds >= worlds_min, "only {} worlds: the search has become narrow", found.worlds);
}

#[test]
fn one_sink_with_a_marker() {
    holds(&[Marker], WIDE, 10_000);
}

#[test]
fn one_sink_without_a_marker_whose_rows_replace_themselves() {
    holds(&[Idempotent], THREE_EPOCHS, 10_000);
}

#[test]
fn two_sinks_of_which_one_may_have_the_epoch() {
    holds(&[Marker, Marker], THREE_EPOCHS, 10_000);
    holds(&[Marker, Idempotent], THREE_EPOCHS, 10_000);
}

#[test]
fn every_planted_bug_is_found() {
    for bug in Bug::ALL {
        let found = search(&[Marker], WIDE, Some(bug));
        let (wrong, way) = found.wrong.unwrap_or_else(|| panic!("{bug:?} is not found in {} worlds", found.worlds));
        println!("{bug:?}: {wrong}\n  {}", way.join("\n  "));
    }
}
