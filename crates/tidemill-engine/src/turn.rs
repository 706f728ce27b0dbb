//! When an epoch may start: the trigger, and the pace the sinks like. Decides only; waiting is done by
//! the loop.

use crate::pipeline::settings::Trigger;
use std::collections::BTreeMap;
use std::time::Duration;
use tidemill_core::{Clock, Offsets};

/// Whether an epoch may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Now.
    Go,
    /// Not before this time has passed.
    Wait(Duration),
    /// Never again: the trigger has had its epochs.
    Over,
}

/// Keeps the turns of one query.
#[derive(Debug)]
pub struct Turns {
    trigger: Trigger,
    /// The sinks' pace, which holds only when the user sets no trigger.
    pace: Duration,
    bounds: BTreeMap<String, Offsets>,
    epochs: u64,
    last_start: Option<Duration>,
    /// By the clock that nobody sets.
    next_tick: Option<Duration>,
    /// The latest instant of an epoch, in microseconds since 1970.
    newest: i64,
}

impl Turns {
    /// Turns of a trigger; `pace` is the least time between two epochs when the trigger is as soon as
    /// possible.
    pub fn new(trigger: Trigger, pace: Duration) -> Self {
        Turns { trigger, pace, bounds: BTreeMap::new(), epochs: 0, last_start: None, next_tick: None, newest: 0 }
    }

    /// The instant an epoch would have now, in microseconds since 1970: the wall clock, but never before that of an epoch
    /// that has been. A clock that is set back stands still meanwhile.
    pub fn instant(&self, clock: &dyn Clock) -> i64 {
        clock.now_micros().max(self.newest)
    }

    /// An epoch has this instant.
    pub fn stamp(&mut self, instant: i64) {
        self.newest = self.newest.max(instant);
    }

    /// The sinks' pace.
    pub fn pace(&self) -> Duration {
        self.pace
    }

    /// Whether an epoch may start now. `hurried` when somebody waits for everything that is there.
    pub fn now(&mut self, clock: &dyn Clock, hurried: bool) -> Turn {
        match self.trigger {
            Trigger::Once if self.epochs > 0 => Turn::Over,
            Trigger::Once | Trigger::AvailableNow => Turn::Go,
            Trigger::Asap => {
                let since = self.last_start.map(|last| clock.elapsed().saturating_sub(last));
                match since {
                    Some(since) if since < self.pace && !hurried => Turn::Wait(self.pace - since),
                    _ => {
                        self.last_start = Some(clock.elapsed());
                        Turn::Go
                    }
                }
            }
            Trigger::ProcessingTime(Duration::ZERO) => Turn::Go,
            // to wait for the next multiple while somebody waits for us would be to spin
            Trigger::ProcessingTime(_) if hurried => Turn::Go,
            Trigger::ProcessingTime(interval) => self.tick(clock, interval),
        }
    }

    /// Multiples of the interval since 1970; a turn that comes late is taken at once. Between two of them time is
    /// measured by the clock that nobody sets: one that is put back must not stop the query.
    fn tick(&mut self, clock: &dyn Clock, interval: Duration) -> Turn {
        let elapsed = clock.elapsed();
        if let Some(next) = self.next_tick.filter(|next| elapsed < *next) {
            return Turn::Wait(next - elapsed);
        }
        let step = interval.as_micros().max(1) as i64;
        let left = step - clock.now_micros().rem_euclid(step);
        self.next_tick = Some(elapsed + Duration::from_micros(left as u64));
        Turn::Go
    }

    /// An epoch has run.
    pub fn ran(&mut self, _clock: &dyn Clock) {
        self.epochs += 1;
    }

    /// True when an epoch has run.
    pub fn has_run(&self) -> bool {
        self.epochs > 0
    }

    /// Goes on where the turns of a query were that was closed in between: what was there at its start stays fixed.
    pub fn go_on(&mut self, before: Turns) {
        *self = Turns { last_start: None, next_tick: None, ..before };
    }

    /// Nothing is new: true when the query is then done.
    pub fn nothing_new(&mut self, _clock: &dyn Clock) -> bool {
        // a turn that found nothing does not count against the pace
        self.last_start = None;
        self.is_bounded()
    }

    /// True when the query reads only what is there at its start.
    pub fn is_bounded(&self) -> bool {
        matches!(self.trigger, Trigger::AvailableNow | Trigger::Once)
    }

    /// True when rate limits hold.
    pub fn is_rate_limited(&self) -> bool {
        self.trigger != Trigger::Once
    }

    /// True when an epoch without rows may be run.
    pub fn allows_no_data(&self) -> bool {
        self.trigger != Trigger::Once
    }

    /// True when the end of a table is fixed.
    pub fn has_bound(&self, table: &str) -> bool {
        self.bounds.contains_key(table)
    }

    /// Fixes the end of a table.
    pub fn set_bound(&mut self, table: &str, offsets: Offsets) {
        self.bounds.insert(table.to_owned(), offsets);
    }

    /// The fixed end of a table.
    pub fn bound(&self, table: &str) -> Option<Offsets> {
        self.bounds.get(table).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::clock::ManualClock;

    #[test]
    fn ticks_are_multiples_of_the_interval_since_1970() {
        let clock = ManualClock::at(10_300_000);
        let mut turns = Turns::new(Trigger::ProcessingTime(Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(turns.now(&clock, false), Turn::Go);
        assert_eq!(turns.now(&clock, false), Turn::Wait(Duration::from_millis(700)));
        clock.advance(Duration::from_millis(2_800));
        assert_eq!(turns.now(&clock, false), Turn::Go);
        assert_eq!(turns.now(&clock, false), Turn::Wait(Duration::from_millis(900)));
    }

    #[test]
    fn a_clock_that_is_put_back_stops_nothing() {
        struct PutBack(ManualClock, i64);
        impl Clock for PutBack {
            fn now_micros(&self) -> i64 {
                self.0.now_micros() - self.1
            }
            fn elapsed(&self) -> Duration {
                self.0.elapsed()
            }
        }
        let mut clock = PutBack(ManualClock::at(10_300_000), 0);
        let mut turns = Turns::new(Trigger::ProcessingTime(Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(turns.now(&clock, false), Turn::Go);
        turns.stamp(turns.instant(&clock));
        clock.1 = 3_600_500_000;
        assert_eq!(turns.instant(&clock), 10_300_000, "instants of epochs never go back");
        assert_eq!(turns.now(&clock, false), Turn::Wait(Duration::from_millis(700)));
        clock.0.advance(Duration::from_millis(700));
        assert_eq!(turns.now(&clock, false), Turn::Go);
        assert_eq!(
            turns.now(&clock, false),
            Turn::Wait(Duration::from_millis(500)),
            "a multiple by the clock as it is"
        );
    }

    #[test]
    fn the_pace_of_a_sink_holds_unless_somebody_waits() {
        let clock = ManualClock::at(0);
        let mut turns = Turns::new(Trigger::Asap, Duration::from_secs(1));
        assert_eq!(turns.now(&clock, false), Turn::Go);
        assert_eq!(turns.now(&clock, false), Turn::Wait(Duration::from_secs(1)));
        assert_eq!(turns.now(&clock, true), Turn::Go);
        let mut turns = Turns::new(Trigger::ProcessingTime(Duration::ZERO), Duration::from_secs(1));
        assert_eq!(
            [turns.now(&clock, false), turns.now(&clock, false)],
            [Turn::Go, Turn::Go],
            "or a user overrules it"
        );
    }

    #[test]
    fn once_is_one_epoch() {
        let clock = ManualClock::at(0);
        let mut turns = Turns::new(Trigger::Once, Duration::ZERO);
        assert_eq!(turns.now(&clock, false), Turn::Go);
        turns.ran(&clock);
        assert_eq!(turns.now(&clock, false), Turn::Over);
    }
}
