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
    next_tick: Option<i64>,
}

impl Turns {
    /// Turns of a trigger; `pace` is the least time between two epochs when the trigger is as soon as
    /// possible.
    pub fn new(trigger: Trigger, pace: Duration) -> Self {
        Turns { trigger, pace, bounds: BTreeMap::new(), epochs: 0, last_start: None, next_tick: None }
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

    /// Multiples of the interval since 1970; a turn that comes late is taken at once.
    fn tick(&mut self, clock: &dyn Clock, interval: Duration) -> Turn {
        let (now, step) = (clock.now_micros(), interval.as_micros().max(1) as i64);
        let next = *self.next_tick.get_or_insert(now);
        if now < next {
            return Turn::Wait(Duration::from_micros((next - now) as u64));
        }
        self.next_tick = Some(now - now.rem_euclid(step) + step);
        Turn::Go
    }

    /// An epoch has run.
    pub fn ran(&mut self, _clock: &dyn Clock) {
        self.epochs += 1;
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
