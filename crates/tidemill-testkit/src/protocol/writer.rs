//! A process that runs the query: the steps of a start and of an epoch, in the engine's order.

use super::Bug;
use super::world::{Known, Plan, Record, SinkKind, World};
use tidemill_core::sink::Marker;
use tidemill_core::{Epoch, Step};
use tidemill_engine::checkpoint::decide::{Decision, Facts, SinkFacts, decide};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Writer {
    /// There is none.
    Down,
    /// It has read, and does not hold the checkpoint: only a bug has it so.
    HasRead(Known),
    /// It holds the checkpoint.
    Holds,
    /// It runs epochs.
    Runs(Box<Running>),
}

/// What a process keeps in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Running {
    at: At,
    next: u8,
    /// The row after the last one behind it.
    offset: u8,
    recorded: Vec<Plan>,
    committed: Option<u8>,
    held: Vec<Option<u8>>,
    last: Vec<Option<u8>>,
    pending: Vec<Record>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum At {
    Between,
    Planned(Plan),
    Logged(Plan),
    Executed(Plan),
    /// Before sink `usize`; true when it has the rows and not yet their marker.
    Staging(Plan, usize, bool),
}

/// What happened in a step, and the world after it or what is wrong.
pub type Next = (String, Result<World, String>);

/// Every world one step of process `who` can lead to, crashes not counted.
pub fn steps(world: &World, who: usize, epochs: u8, bug: Option<Bug>) -> Vec<Next> {
    let takes = || world.lock.is_none() || bug == Some(Bug::NoFence);
    match &world.writers[who] {
        Writer::Down if bug == Some(Bug::ProgressBeforeFence) => {
            vec![says(who, "reads", Ok(with(world, who, Writer::HasRead(world.known()))))]
        }
        Writer::Down | Writer::HasRead(_) if !takes() => vec![],
        Writer::Down => vec![says(who, "takes the checkpoint", Ok(locked(world, who, Writer::Holds)))],
        Writer::HasRead(known) => {
            let running = recover(known, world);
            vec![says(who, Step::Recovering.word(), running.map(|running| locked(world, who, running)))]
        }
        Writer::Holds => {
            let running = recover(&world.known(), world);
            vec![says(who, Step::Recovering.word(), running.map(|running| with(world, who, running)))]
        }
        Writer::Runs(running) => match running.at {
            At::Between => running.plan(world, who, epochs, bug),
            At::Planned(plan) => running.log(world, who, plan, bug),
            At::Logged(plan) => running.moved(world, who, Step::Executing, At::Executed(plan)),
            At::Executed(plan) => running.moved(world, who, Step::StatePut, At::Staging(plan, 0, false)),
            At::Staging(plan, sink, half) => running.stage(world, who, plan, (sink, half), bug),
        },
    }
}

/// The world without process `who`.
pub fn crashed(world: &World, who: usize) -> World {
    let mut world = with(world, who, Writer::Down);
    if world.lock == Some(who) {
        world.lock = None;
    }
    world
}

fn says(who: usize, what: &str, then: Result<World, String>) -> Next {
    (format!("process {who}: {what}"), then)
}

fn with(world: &World, who: usize, writer: Writer) -> World {
    let mut world = world.clone();
    world.writers[who] = writer;
    world
}

fn locked(world: &World, who: usize, writer: Writer) -> World {
    World { lock: Some(who), ..with(world, who, writer) }
}

/// A start: the engine decides.
fn recover(known: &Known, world: &World) -> Result<Writer, String> {
    for epochs in [known.plans.keys().copied().collect::<Vec<_>>(), known.commits.keys().copied().collect()] {
        if let Some(pair) = epochs.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
            return Err(format!("the start stops: the journal has a gap after epoch {}", pair[0]));
        }
    }
    let committed = known.commits.keys().next_back().copied();
    let none = vec![None; world.sinks.len()];
    let last = known.commits.values().next_back().unwrap_or(&none).clone();
    let epoch = |epoch: u8| Epoch(u64::from(epoch));
    let sinks = world.sinks.iter().zip(&known.markers).zip(&last).enumerate();
    let facts = Facts {
        committed: committed.map(epoch),
        planned: known.plans.keys().next_back().copied().map(epoch),
        oldest_replayable: known.plans.keys().next().copied().map(epoch),
        sinks: sinks
            .map(|(number, ((sink, marker), expected))| SinkFacts {
                name: number.to_string(),
                expected: expected.map(epoch),
                marker: match (sink.kind, marker) {
                    (SinkKind::Idempotent, _) => Marker::Unsupported,
                    (SinkKind::Marker, None) => Marker::Absent,
                    (SinkKind::Marker, Some(at)) => Marker::At(epoch(*at)),
                },
            })
            .collect(),
        accept_foreign: false,
    };
    let (next, held) = match decide(&facts) {
        Decision::Run { from, holds } => (from.0 as u8, holds),
        Decision::Stop { reason, .. } => return Err(format!("the start stops: {reason}")),
    };
    let before = next.checked_sub(1).and_then(|before| known.plans.get(&before));
    Ok(Writer::Runs(Box::new(Running {
        at: At::Between,
        next,
        offset: before.map_or(0, |plan| plan.to),
        recorded: known.plans.range(next..).map(|(_, plan)| *plan).collect(),
        committed,
        held: held.into_iter().map(|epoch| epoch.map(|epoch| epoch.0 as u8)).collect(),
        last,
        pending: vec![],
    })))
}

impl Running {
    fn is_committed(&self, epoch: u8) -> bool {
        self.committed.is_some_and(|committed| epoch <= committed)
    }

    fn to(&self, at: At) -> Running {
        Running { at, ..self.clone() }
    }

    fn into(self, world: &World, who: usize) -> World {
        with(world, who, Writer::Runs(Box::new(self)))
    }

    fn moved(&self, world: &World, who: usize, step: Step, at: At) -> Vec<Next> {
        vec![says(who, step.word(), Ok(self.to(at).into(world, who)))]
    }

    /// The next epoch: that of the journal, or one that reads a row or none. Or the last commit is settled.
    fn plan(&self, world: &World, who: usize, epochs: u8, bug: Option<Bug>) -> Vec<Next> {
        if let (Some(plan), false) = (self.recorded.first(), bug == Some(Bug::ReuseEpoch)) {
            let next = Running { recorded: self.recorded[1..].to_vec(), ..self.to(At::Planned(*plan)) };
            return vec![says(who, &format!("{} again: {plan:?}", Step::Planned), Ok(next.into(world, who)))];
        }
        if let Some(lost) = world.lost(self.offset) {
            return vec![says(who, Step::Planned.word(), Err(lost))];
        }
        let mut all = vec![];
        if !self.pending.is_empty() {
            let after = Running { pending: vec![], ..self.clone() };
            all.extend(self.flushed(world, who, &self.pending, after, "settles", bug));
        }
        for rows in 0..=1 {
            let plan = Plan { epoch: self.next, from: self.offset, to: self.offset + rows };
            if self.next >= epochs {
                break;
            }
            let next = if rows == 0 && bug == Some(Bug::DropEmptyEpoch) {
                Running { next: self.next + 1, ..self.clone() }
            } else {
                Running { recorded: vec![], ..self.to(At::Planned(plan)) }
            };
            all.push(says(who, &format!("{}: {plan:?}", Step::Planned), Ok(next.into(world, who))));
        }
        all
    }

    fn log(&self, world: &World, who: usize, plan: Plan, bug: Option<Bug>) -> Vec<Next> {
        if self.is_committed(plan.epoch) {
            return self.moved(world, who, Step::PlanLogged, At::Logged(plan));
        }
        let mut records = self.pending.clone();
        records.push(Record::Plan(plan));
        if bug == Some(Bug::CommitBeforeSink) {
            let has = |last: &Option<u8>| if plan.has_rows() { Some(plan.epoch) } else { *last };
            records.push(Record::Commit(plan.epoch, self.last.iter().map(has).collect()));
        }
        let after = Running { pending: vec![], ..self.to(At::Logged(plan)) };
        self.flushed(world, who, &records, after, Step::PlanLogged.word(), bug)
    }

    /// One write of some records: all of them, or some and a crash.
    fn flushed(
        &self,
        world: &World,
        who: usize,
        records: &[Record],
        after: Running,
        what: &str,
        bug: Option<Bug>,
    ) -> Vec<Next> {
        let written = |world: World, count: usize| {
            let mut world = world;
            let to = if bug == Some(Bug::SkipFsync) { &mut world.unsynced } else { &mut world.journal };
            to.extend_from_slice(&records[..count]);
            world
        };
        let mut all = vec![says(who, what, Ok(written(after.into(world, who), records.len())))];
        for count in (0..records.len()).filter(|_| world.crashes > 0) {
            let torn = if matches!(records[count], Record::Plan(_)) { Step::PlanTorn } else { Step::CommitTorn };
            let mut world = written(crashed(world, who), count);
            world.crashes -= 1;
            all.push(says(who, &format!("{torn}, crashes"), Ok(world)));
        }
        all
    }

    fn stage(
        &self,
        world: &World,
        who: usize,
        plan: Plan,
        (number, half): (usize, bool),
        bug: Option<Bug>,
    ) -> Vec<Next> {
        if number == self.held.len() {
            return vec![says(who, "commits", Ok(self.commit(plan).into(world, who)))];
        }
        let mut after = self.to(At::Staging(plan, number + 1, false));
        if plan.has_rows() {
            after.last[number] = Some(plan.epoch);
        }
        if !plan.has_rows() || self.held[number].is_some_and(|held| held >= plan.epoch) {
            return vec![says(who, &format!("has nothing for sink {number}"), Ok(after.into(world, who)))];
        }
        let sink = &world.sinks[number];
        if sink.kind == SinkKind::Marker && sink.marker.is_some_and(|marker| marker >= plan.epoch) {
            return vec![says(who, &format!("is refused by sink {number}, stops"), Ok(crashed(world, who)))];
        }
        let apart = bug == Some(Bug::MarkerApart);
        let apply = |world: World| {
            let mut world = world;
            let sink = &mut world.sinks[number];
            if !half {
                sink.writes.push(plan);
            }
            if half || !apart {
                sink.marker = Some(plan.epoch);
            }
            world
        };
        if apart && !half {
            let halfway = self.to(At::Staging(plan, number, true)).into(world, who);
            return vec![says(who, &format!("{} {number}: rows alone", Step::SinkStaging), Ok(apply(halfway)))];
        }
        let mut all = vec![says(who, &format!("{} {number}", Step::SinkCommitted), Ok(apply(after.into(world, who))))];
        if world.lost_answers > 0 {
            for (applied, told) in [(true, "applied"), (false, "not applied")] {
                let mut failed = if bug == Some(Bug::RetryBlindly) {
                    let mut retried = apply(self.clone().into(world, who));
                    retried.sinks[number].marker = world.sinks[number].marker;
                    retried
                } else {
                    crashed(world, who)
                };
                if applied && bug != Some(Bug::RetryBlindly) {
                    failed = apply(failed);
                }
                failed.lost_answers -= 1;
                all.push(says(who, &format!("{} {number}: no answer, {told}", Step::SinkStaging), Ok(failed)));
            }
        }
        all
    }

    fn commit(&self, plan: Plan) -> Running {
        let mut after = Running { next: plan.epoch + 1, offset: plan.to, ..self.to(At::Between) };
        if !self.is_committed(plan.epoch) {
            after.pending.push(Record::Commit(plan.epoch, self.last.clone()));
        }
        after
    }
}
