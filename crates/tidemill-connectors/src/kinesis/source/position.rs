//! Where a shard has been read to. Pure.
//!
//! Sequence numbers have up to 56 digits and gaps between them, so the position of a shard is the number of records
//! read from it, and its name says where that is: what is written here is in every checkpoint and must stay readable.
//!
//! | name | reading goes on |
//! |---|---|
//! | `horizon` | with the oldest record there is |
//! | `time 1764172800000` | with the first record from this time on, as the options ask, in milliseconds since 1970 |
//! | `since 1764172800000` | the same, where everything before is known to be read |
//! | `4957..12 seen 1764172800000` | after this record; everything until that time is known to be read |
//! | `4957..12/3 seen 1764172800000` | after the fourth user record of this aggregated record |
//! | `end` | nowhere: the shard is closed and read to its end |

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use tidemill_core::{Error, Result};

/// A record, or a user record inside of an aggregated one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The sequence number of the record.
    pub sequence: Arc<str>,
    /// The number of the user record; `None` for the record as a whole.
    pub sub: Option<u32>,
}

/// Where reading of a shard goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// With the oldest record there is.
    Horizon,
    /// With the first record from a time on, in milliseconds since 1970.
    Time(i64),
    /// The same, where everything before is known to be read.
    Since(i64),
    /// After a record; everything until a time is known to be read.
    After(Place, i64),
    /// Nowhere.
    End,
}

impl Place {
    /// Reads what `Display` has written.
    pub fn parse(text: &str) -> Option<Place> {
        let (sequence, sub) = match text.split_once('/') {
            Some((sequence, sub)) => (sequence, Some(sub.parse().ok()?)),
            None => (text, None),
        };
        is_sequence(sequence).then(|| Place { sequence: sequence.into(), sub })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sub {
            Some(sub) => write!(f, "{}/{sub}", self.sequence),
            None => f.write_str(&self.sequence),
        }
    }
}

impl Mark {
    /// Reads what `Display` has written.
    ///
    /// # Errors
    /// It has not.
    pub fn parse(split: &str, text: &str) -> Result<Mark> {
        let read = || match text.split(' ').collect::<Vec<_>>()[..] {
            ["horizon"] => Some(Mark::Horizon),
            ["end"] => Some(Mark::End),
            ["time", millis] => Some(Mark::Time(millis.parse().ok()?)),
            ["since", millis] => Some(Mark::Since(millis.parse().ok()?)),
            [place, "seen", millis] => Some(Mark::After(Place::parse(place)?, millis.parse().ok()?)),
            _ => None,
        };
        read().ok_or_else(|| {
            Error::invalid(format!("the checkpoint holds '{text}' for '{split}', which is no position of Kinesis"))
                .help("start with a new checkpoint, or with the version that wrote this one")
        })
    }

    /// The mark of a shard that was followed, without a record, up to a time.
    pub fn followed(&self, until: i64) -> Mark {
        // the clock of this machine is no more than an hour ahead of that of Kinesis
        const HOUR: i64 = 3_600_000;
        match self {
            Mark::After(place, seen) => Mark::After(place.clone(), until.saturating_sub(HOUR).max(*seen)),
            Mark::End => Mark::End,
            Mark::Since(since) => Mark::Since(until.saturating_sub(HOUR).max(*since)),
            Mark::Time(time) if *time > until.saturating_sub(HOUR) => Mark::Time(*time),
            Mark::Horizon | Mark::Time(_) => Mark::Since(until.saturating_sub(HOUR)),
        }
    }

    /// Until when everything is known to be read, in milliseconds since 1970; `None` where nothing is known.
    pub fn seen(&self) -> Option<i64> {
        match self {
            Mark::After(_, seen) | Mark::Since(seen) => Some(*seen),
            Mark::Horizon | Mark::Time(_) | Mark::End => None,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mark::Horizon => f.write_str("horizon"),
            Mark::Time(millis) => write!(f, "time {millis}"),
            Mark::Since(millis) => write!(f, "since {millis}"),
            Mark::After(place, seen) => write!(f, "{place} seen {seen}"),
            Mark::End => f.write_str("end"),
        }
    }
}

/// True for a sequence number.
pub(super) fn is_sequence(text: &str) -> bool {
    (1..=129).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The order of two sequence numbers of a shard.
pub(super) fn order(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let place = Place { sequence: "49590338271490256608559692538361571095921575989136588898".into(), sub: Some(3) };
        let whole = Place { sub: None, ..place.clone() };
        for mark in [
            Mark::Horizon,
            Mark::Time(1_764_172_800_000),
            Mark::Since(-1),
            Mark::After(place.clone(), 5),
            Mark::After(whole, 5),
            Mark::End,
        ] {
            assert_eq!(Mark::parse("s", &mark.to_string()).unwrap(), mark);
        }
        assert_eq!(Place::parse(&place.to_string()), Some(place));
        for wrong in ["", "12", "12 seen", "12/x seen 5", "x seen 5", "time x", "horizon 1"] {
            assert!(Mark::parse("s", wrong).unwrap_err().to_string().contains("no position of Kinesis"), "{wrong}");
        }
    }

    #[test]
    fn sequence_numbers_are_ordered_as_numbers() {
        assert_eq!(order("9", "10"), Ordering::Less);
        assert_eq!(order("10", "010"), Ordering::Equal);
        assert_eq!(order("49590338271490256608559692538361571095921575989136588899", "9"), Ordering::Greater);
    }

    #[test]
    fn a_shard_that_was_followed_needs_no_record_to_say_so() {
        let hour = 3_600_000;
        assert_eq!(Mark::Horizon.followed(10 * hour), Mark::Since(9 * hour));
        assert_eq!(Mark::Since(3).followed(10 * hour), Mark::Since(9 * hour));
        assert_eq!(Mark::Time(20 * hour).followed(10 * hour), Mark::Time(20 * hour), "a time to come");
        let after = |seen| Mark::After(Place { sequence: "7".into(), sub: None }, seen);
        assert_eq!(after(1).followed(10 * hour), after(9 * hour));
        assert_eq!(after(11 * hour).followed(10 * hour), after(11 * hour), "never back");
        assert_eq!((after(4).seen(), Mark::Horizon.seen()), (Some(4), None));
    }
}
