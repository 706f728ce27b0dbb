//! The table of decisions.

use super::*;
use tidemill_core::Incarnation;

fn facts(committed: Option<u64>, planned: Option<u64>, sinks: &[(Option<u64>, Marker)]) -> Facts {
    Facts {
        committed: committed.map(Epoch),
        planned: planned.map(Epoch),
        oldest_replayable: Some(Epoch(3)),
        sinks: sinks
            .iter()
            .enumerate()
            .map(|(number, (expected, marker))| SinkFacts {
                name: format!("sink{number}"),
                expected: expected.map(Epoch),
                marker: marker.clone(),
            })
            .collect(),
        accept_foreign: false,
    }
}

fn at(epoch: u64) -> Marker {
    Marker::At(Epoch(epoch))
}

fn run(from: u64, holds: &[Option<u64>]) -> Decision {
    Decision::Run { from: Epoch(from), holds: holds.iter().map(|epoch| epoch.map(Epoch)).collect() }
}

fn stops(facts: &Facts) -> Option<Kind> {
    match decide(facts) {
        Decision::Stop { kind, .. } => Some(kind),
        Decision::Run { .. } => None,
    }
}

#[test]
fn clean_starts_go_on() {
    assert_eq!(decide(&facts(None, None, &[(None, Marker::Absent)])), run(0, &[None]));
    assert_eq!(decide(&facts(Some(7), Some(7), &[(Some(7), at(7))])), run(8, &[Some(7)]));
    assert_eq!(decide(&facts(Some(7), Some(8), &[(Some(5), at(5))])), run(8, &[Some(5)]));
    assert_eq!(decide(&facts(Some(7), Some(8), &[(Some(5), Marker::Unsupported)])), run(8, &[Some(7)]));
    assert_eq!(decide(&facts(None, Some(0), &[(None, Marker::Absent)])), run(0, &[None]));
}

#[test]
fn an_epoch_some_sinks_have_is_written_only_to_the_others() {
    assert_eq!(decide(&facts(Some(7), Some(8), &[(Some(7), at(8)), (Some(7), at(7))])), run(8, &[Some(8), Some(7)]));
    assert_eq!(decide(&facts(None, Some(0), &[(None, at(0))])), run(0, &[Some(0)]));
}

#[test]
fn a_sink_that_went_back_is_caught_up_if_that_is_possible() {
    assert_eq!(decide(&facts(Some(7), Some(7), &[(Some(7), at(4)), (Some(7), at(7))])), run(5, &[Some(4), Some(7)]));
    assert_eq!(stops(&facts(Some(7), Some(7), &[(Some(7), at(1))])), Some(Kind::Data));
}

#[test]
fn what_cannot_be_is_never_guessed() {
    for impossible in [
        facts(Some(7), Some(7), &[(Some(7), at(8))]),
        facts(Some(7), Some(8), &[(Some(7), at(9))]),
        facts(Some(7), Some(8), &[(Some(5), at(6))]),
        facts(Some(7), Some(7), &[(Some(7), Marker::Absent)]),
        facts(None, None, &[(None, at(3))]),
        facts(Some(7), Some(9), &[(Some(7), at(7))]),
        facts(None, None, &[(None, Marker::Foreign(Incarnation("x".into())))]),
        facts(Some(7), Some(7), &[(Some(7), Marker::Foreign(Incarnation("x".into())))]),
    ] {
        assert_eq!(stops(&impossible), Some(Kind::Invalid), "{impossible:?}");
    }
}

#[test]
fn another_incarnation_is_accepted_only_for_a_new_checkpoint() {
    let foreign = Marker::Foreign(Incarnation("x".into()));
    let fresh = Facts { accept_foreign: true, ..facts(None, None, &[(None, foreign.clone())]) };
    assert_eq!(decide(&fresh), run(0, &[None]));
    let taken_over = Facts { accept_foreign: true, ..facts(Some(7), Some(7), &[(Some(7), foreign)]) };
    assert_eq!(stops(&taken_over), Some(Kind::Invalid));
}
