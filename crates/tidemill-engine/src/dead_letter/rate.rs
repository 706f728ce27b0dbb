//! How many dead letters are too many. A change of the producer's schema makes every record bad: that
//! is not a poison record, and filling a table with all of them helps nobody.

use std::collections::VecDeque;
use tidemill_core::{Error, Kind, Result};

/// The span over which records are counted, in microseconds.
const WINDOW_MICROS: i64 = 60_000_000;

/// A share is not judged by fewer records than this.
const RECORDS_MIN: u64 = 100;

/// The limits a pipeline sets; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Largest share of bad records among all of a minute, 0 to 1.
    pub share: Option<f64>,
    /// Most bad records a minute.
    pub per_minute: Option<u64>,
}

/// What the epochs of the last minute brought. Forgotten by a restart.
#[derive(Debug, Default)]
pub struct Rate {
    limits: Limits,
    epochs: VecDeque<(i64, u64, u64)>,
}

impl Rate {
    /// Counts nothing yet.
    pub fn new(limits: Limits) -> Self {
        Rate { limits, epochs: VecDeque::new() }
    }

    /// Takes in an epoch at `instant` (microseconds) with `bad` of `records` set aside.
    ///
    /// # Errors
    /// A limit is passed: the epoch must not be committed. Its plan stays in the log, so that the same
    /// records are tried again by the next start.
    pub fn take(&mut self, instant: i64, records: u64, bad: u64) -> Result<()> {
        self.epochs.retain(|(then, ..)| instant.saturating_sub(*then) < WINDOW_MICROS);
        self.epochs.push_back((instant, records, bad));
        let records: u64 = self.epochs.iter().map(|(_, records, _)| records).sum();
        let bad: u64 = self.epochs.iter().map(|(.., bad)| bad).sum();
        if let Some(most) = self.limits.per_minute.filter(|most| bad > *most) {
            return Err(paused(format!(
                "{bad} dead letters in a minute, more than dead_letter_max_per_minute = {most}"
            )));
        }
        let exceeds = |share: &f64| records >= RECORDS_MIN && bad as f64 > share * records as f64;
        if let Some(share) = self.limits.share.filter(exceeds) {
            let found = format!("{bad} of the {records} records of the last minute are bad");
            return Err(paused(format!("{found}, more than dead_letter_max_rate = {share}")));
        }
        Ok(())
    }
}

fn paused(why: String) -> Error {
    Error::new(Kind::Data, format!("paused instead of filling the dead letters: {why}"))
        .class("DEAD_LETTER_RATE_EXCEEDED")
        .help("nothing of this epoch is written: mend the columns or the query and start again; or raise the limit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_judged_over_a_minute_and_not_by_a_handful() {
        let mut rate = Rate::new(Limits { share: Some(0.01), per_minute: None });
        assert!(rate.take(0, 10, 10).is_ok());
        assert!(rate.take(WINDOW_MICROS, 100, 1).is_ok());
        let error = rate.take(WINDOW_MICROS + 1, 100, 2).unwrap_err();
        assert_eq!((error.kind(), error.error_class()), (Kind::Data, Some("DEAD_LETTER_RATE_EXCEEDED")));
    }

    #[test]
    fn a_count_is_a_count() {
        let mut rate = Rate::new(Limits { share: None, per_minute: Some(3) });
        assert!(rate.take(0, 3, 3).is_ok());
        assert!(rate.take(1, 1, 1).is_err());
        assert!(Rate::default().take(0, 1_000_000, 1_000_000).is_ok());
    }
}
