//! How a query is, and whether it is ready. Decides only.
//!
//! Ready means: nothing that is to be done waits longer than it should. A query that fails, has
//! stopped, drains or has not started is not ready; one that waits for rows is; one with work to do is
//! while its last commit is younger than three triggers, at least a minute.

use std::time::Duration;
use tidemill_engine::pipeline::settings::Trigger;
use tidemill_engine::resilience::stall::Stall;

/// Least age of a commit that makes a query unready.
const COMMIT_AGE_MIN: Duration = Duration::from_secs(60);

/// How long a query must have had nothing to do to be called idle.
const IDLE_AFTER: Duration = Duration::from_secs(2);

/// How a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is being opened: state is restored, sources and sinks are reached.
    Starting,
    /// It has rows to process.
    Running,
    /// It waits for rows.
    Idle,
    /// It waits for something to be mended outside, and goes on by itself.
    Stalled,
    /// It finishes its epoch, then stops.
    Draining,
    /// It has ended as it should.
    Stopped,
    /// It has ended with an error.
    Failed,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 7] = [
        Status::Starting,
        Status::Running,
        Status::Idle,
        Status::Stalled,
        Status::Draining,
        Status::Stopped,
        Status::Failed,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Status::Starting => "starting",
            Status::Running => "running",
            Status::Idle => "idle",
            Status::Stalled => "stalled",
            Status::Draining => "draining",
            Status::Stopped => "stopped",
            Status::Failed => "failed",
        }
    }
}

/// What is known of a query's course; times are [`tidemill_core::Clock::elapsed`].
#[derive(Debug, Clone, Default)]
pub struct Course {
    /// When it was opened.
    pub started: Option<Duration>,
    /// When the epoch began that is not committed yet.
    pub epoch_began: Option<Duration>,
    /// When the last epoch was committed.
    pub committed: Option<Duration>,
    /// When it last found nothing to do; `None` after an epoch until it has looked again.
    pub idle: Option<Duration>,
    /// What it waits for, and since when.
    pub stall: Option<(Stall, Duration)>,
    /// It has been asked to stop.
    pub draining: bool,
    /// It has ended; true when with an error.
    pub ended: Option<bool>,
    /// Least time between two epochs that the trigger or the sinks ask for.
    pub interval: Duration,
}

impl Course {
    /// How the query is at `now`.
    pub fn status(&self, now: Duration) -> Status {
        match self.ended {
            Some(true) => return Status::Failed,
            Some(false) => return Status::Stopped,
            None => {}
        }
        let Some(started) = self.started else { return Status::Starting };
        if self.draining {
            return Status::Draining;
        }
        if self.stall.is_some() {
            return Status::Stalled;
        }
        let last_work = self.committed.unwrap_or(started);
        match (self.epoch_began, self.idle) {
            (None, Some(_)) if now.saturating_sub(last_work) >= IDLE_AFTER => Status::Idle,
            _ => Status::Running,
        }
    }

    /// Why the query is not ready at `now`; `None` when it is.
    pub fn unready(&self, now: Duration) -> Option<String> {
        match self.status(now) {
            Status::Starting => Some("it is starting".into()),
            Status::Draining => Some("it is draining".into()),
            Status::Stalled => self.stall.as_ref().map(|(stall, since)| {
                format!("it waits since {} s: {}", now.saturating_sub(*since).as_secs(), stall.message)
            }),
            Status::Stopped => Some("it has stopped".into()),
            Status::Failed => Some("it has failed".into()),
            Status::Idle => None,
            Status::Running if self.epoch_began.is_none() && self.idle.is_some() => None,
            Status::Running => {
                let limit = COMMIT_AGE_MIN.max(self.interval * 3);
                let since = self.committed.max(self.idle).max(self.started).unwrap_or_default();
                let age = now.saturating_sub(since);
                (age > limit)
                    .then(|| format!("nothing was committed for {} s (limit {} s)", age.as_secs(), limit.as_secs()))
            }
        }
    }
}

/// Least time between two epochs that a trigger asks for.
pub fn interval(trigger: Trigger, pace: Duration) -> Duration {
    match trigger {
        Trigger::ProcessingTime(interval) => interval,
        Trigger::Asap => pace,
        Trigger::AvailableNow | Trigger::Once => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_engine::resilience::stall::Reason;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_course_of_a_query() {
        let mut course = Course::default();
        assert_eq!(course.status(at(0)), Status::Starting);
        course.started = Some(at(1));
        assert_eq!(course.status(at(1)), Status::Running);
        course.idle = Some(at(1));
        assert_eq!(course.status(at(9)), Status::Idle);
        (course.idle, course.epoch_began) = (None, Some(at(10)));
        assert_eq!(course.status(at(50)), Status::Running);
        (course.epoch_began, course.committed, course.idle) = (None, Some(at(51)), Some(at(51)));
        assert_eq!(course.status(at(52)), Status::Running);
        course.draining = true;
        assert_eq!(course.status(at(53)), Status::Draining);
        course.ended = Some(false);
        assert_eq!(course.status(at(54)), Status::Stopped);
    }

    #[test]
    fn idleness_is_ready_and_a_hung_epoch_is_not() {
        let mut course = Course { started: Some(at(0)), idle: Some(at(0)), ..Course::default() };
        assert_eq!(course.unready(at(100_000)), None);
        (course.idle, course.epoch_began, course.committed) = (None, Some(at(100)), Some(at(100)));
        assert_eq!(course.unready(at(160)), None);
        assert_eq!(course.unready(at(170)).unwrap(), "nothing was committed for 70 s (limit 60 s)");
        course.interval = at(60);
        assert_eq!(course.unready(at(170)), None);
        course.ended = Some(true);
        assert_eq!(course.unready(at(170)).unwrap(), "it has failed");
        assert_eq!(Course::default().unready(at(1)).unwrap(), "it is starting");
    }

    #[test]
    fn a_stalled_query_says_what_it_waits_for() {
        let stall = Stall { reason: Reason::Disk, message: "the disk of ckpt is full".into() };
        let course = Course { started: Some(at(0)), stall: Some((stall, at(5))), ..Course::default() };
        assert_eq!(course.status(at(9)), Status::Stalled);
        assert_eq!(course.unready(at(9)).unwrap(), "it waits since 4 s: the disk of ckpt is full");
    }

    #[test]
    fn work_after_a_long_rest_is_not_late_at_once() {
        let mut course =
            Course { started: Some(at(0)), committed: Some(at(5)), idle: Some(at(500)), ..Course::default() };
        course.epoch_began = Some(at(501));
        assert_eq!(course.unready(at(502)), None);
        assert!(course.unready(at(600)).is_some());
    }
}
