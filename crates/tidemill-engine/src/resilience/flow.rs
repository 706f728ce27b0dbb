//! How fast one source may be read: events and bytes a second, bytes an epoch, and how much is worth an epoch at all.
//! Decides only.

use super::bucket::Bucket;
use crate::pipeline::query::SourceTable;
use std::time::Duration;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::options::Options;

/// Options of every table that is read, after those of its connector.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new(
        "max_events_per_second",
        OptionKind::Integer,
        "events read a second at most, on average; default: no limit",
    ),
    OptionSpec::new("max_bytes_per_second", OptionKind::Bytes, "bytes read a second at most, on average"),
    OptionSpec::new("max_bytes_per_trigger", OptionKind::Bytes, "about how many bytes an epoch reads at most"),
    OptionSpec::new(
        "min_offsets_per_trigger",
        OptionKind::Integer,
        "wait until so many records are there, but no longer than max_trigger_delay",
    ),
    OptionSpec::new(
        "max_trigger_delay",
        OptionKind::Duration,
        "longest wait for min_offsets_per_trigger; default: 15m",
    ),
];

/// As in Spark.
const DELAY_MAX: Duration = Duration::from_secs(15 * 60);

/// What an event is taken for until one has been seen, in bytes: rather too little, so that the first epoch is not too large.
const EVENT_BYTES: f64 = 16.0;

/// The limits of one source. Times are [`tidemill_core::Clock::elapsed`].
#[derive(Debug)]
pub struct Flow {
    events: Option<Bucket>,
    bytes: Option<Bucket>,
    bytes_max: u64,
    records_min: u64,
    delay_max: Duration,
    event_bytes: f64,
    /// When it last was read, or first asked for.
    last: Option<Duration>,
}

impl Flow {
    /// Those of a table.
    pub fn of(table: &SourceTable) -> Self {
        Self::new(&table.options)
    }

    fn new(options: &Options) -> Self {
        Flow {
            events: options.integer("max_events_per_second").map(Bucket::new),
            bytes: options.bytes("max_bytes_per_second").map(Bucket::new),
            bytes_max: options.bytes("max_bytes_per_trigger").unwrap_or(u64::MAX),
            records_min: options.integer("min_offsets_per_trigger").unwrap_or(0),
            delay_max: options.duration("max_trigger_delay").unwrap_or(DELAY_MAX),
            event_bytes: EVENT_BYTES,
            last: None,
        }
    }

    /// How many bytes may be read now, of `most`.
    ///
    /// # Errors
    /// The time until anything may be.
    pub fn allow(&mut self, now: Duration, most: u64) -> Result<u64, Duration> {
        let mut most = most.min(self.bytes_max);
        let mut wait = Duration::ZERO;
        if let Some(events) = &mut self.events {
            wait = events.wait(now);
            most = most.min((events.tokens(now) * self.event_bytes) as u64);
        }
        if let Some(bytes) = &mut self.bytes {
            wait = wait.max(bytes.wait(now));
            most = most.min(bytes.tokens(now) as u64);
        }
        if wait.is_zero() { Ok(most.max(1)) } else { Err(wait) }
    }

    /// Whether `records` are worth an epoch.
    pub fn is_enough(&mut self, now: Duration, records: u64) -> bool {
        let last = *self.last.get_or_insert(now);
        records == 0 || records >= self.records_min || now.saturating_sub(last) >= self.delay_max
    }

    /// So much was read.
    pub fn ran(&mut self, now: Duration, events: u64, bytes: u64) {
        if events == 0 {
            return;
        }
        self.last = Some(now);
        self.event_bytes = (bytes as f64 / events as f64).max(1.0);
        if let Some(bucket) = &mut self.events {
            bucket.take(events);
        }
        if let Some(bucket) = &mut self.bytes {
            bucket.take(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::options::GivenOption;

    fn flow(given: &[(&str, &str)]) -> Flow {
        let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        Flow::new(&Options::check("table 't'", &[OPTIONS], &given).unwrap())
    }

    const AT: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn events_and_bytes_a_second_bound_what_an_epoch_may_read() {
        let mut none = flow(&[]);
        assert_eq!(none.allow(AT(0), 1 << 20), Ok(1 << 20));
        let mut limited = flow(&[("maxEventsPerSecond", "1000"), ("maxBytesPerTrigger", "8KiB")]);
        assert_eq!(limited.allow(AT(0), 1 << 20), Ok(8 << 10));
        limited.ran(AT(0), 2000, 40_000);
        assert_eq!(limited.allow(AT(0), 1 << 20), Err(AT(1100)), "a second of debt, and a tenth to read");
        assert_eq!(limited.allow(AT(1400), 1 << 20), Ok(400 * 20), "at 20 bytes an event");
        let mut bytes = flow(&[("maxBytesPerSecond", "10KiB")]);
        assert_eq!(bytes.allow(AT(0), 1 << 20), Ok(10 << 10));
    }

    #[test]
    fn few_records_wait_for_more_but_not_for_ever() {
        let mut flow = flow(&[("minOffsetsPerTrigger", "100"), ("maxTriggerDelay", "30s")]);
        assert!(flow.is_enough(AT(0), 0) && !flow.is_enough(AT(0), 99) && flow.is_enough(AT(0), 100));
        assert!(!flow.is_enough(AT(29_000), 1) && flow.is_enough(AT(30_000), 1));
        flow.ran(AT(30_000), 1, 1);
        assert!(!flow.is_enough(AT(31_000), 1));
    }
}
