//! Calendar arithmetic on instants: months and days move the wall clock of a zone, microseconds the instant.
//! As java.time's ZonedDateTime: a wall clock in a gap moves forward, one in an overlap keeps its offset.

use super::{DAY, SECOND, date_of, days_of, wall_clock, zone};
use chrono::{Datelike, Months, NaiveDate, Offset, TimeZone};
use chrono_tz::Tz;

/// A date some months later; the day is cut to the month's last. `None` beyond the calendar.
pub fn add_months(date: NaiveDate, months: i64) -> Option<NaiveDate> {
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months >= 0 { date.checked_add_months(count) } else { date.checked_sub_months(count) }
}

/// An instant some months, then days, then microseconds later. `None` beyond the calendar.
pub fn add(instant: i64, months: i64, days: i64, micros: i64, session: Tz) -> Option<i64> {
    let mut moved = instant;
    for (months, days) in [(months, 0), (0, days)] {
        if months == 0 && days == 0 {
            continue;
        }
        let offset = zone::offset_seconds(moved, session);
        let wall = zone::to_wall_clock(moved, session);
        let day = i32::try_from(wall.div_euclid(DAY)).ok()?;
        let date = add_months(date_of(day)?, months)?;
        let date = date.checked_add_signed(chrono::TimeDelta::try_days(days)?)?;
        let wall = i64::from(days_of(date)).checked_mul(DAY)?.checked_add(wall.rem_euclid(DAY))?;
        moved = from_wall_clock(wall, session, offset);
    }
    moved.checked_add(micros)
}

/// The instant of a wall clock; in an overlap the one with this offset, if it is one of the two.
fn from_wall_clock(wall: i64, session: Tz, offset: i64) -> i64 {
    let Some(local) = wall_clock(wall) else { return wall };
    match session.offset_from_local_datetime(&local) {
        chrono::LocalResult::Ambiguous(_, later) if i64::from(later.fix().local_minus_utc()) == offset => {
            wall - offset * SECOND
        }
        _ => zone::from_wall_clock(wall, session),
    }
}

/// The last day of the date's month.
pub fn last_of_month(date: NaiveDate) -> NaiveDate {
    let first = date.with_day(1).unwrap_or(date);
    add_months(first, 1).and_then(|next| next.pred_opt()).unwrap_or(date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::text::parse_timestamp;

    #[test]
    fn days_follow_the_wall_clock_and_offsets_are_kept() {
        let zone = Tz::America__New_York;
        let at = |text: &str| parse_timestamp(text, Tz::UTC).unwrap();
        // 2024-03-09 12:00 and a day: an hour less, the clocks went forward
        assert_eq!(add(at("2024-03-09 17:00:00"), 0, 1, 0, zone), Some(at("2024-03-10 16:00:00")));
        // 2024-11-04 01:30 -05:00 less a day is the later 01:30
        assert_eq!(add(at("2024-11-04 06:30:00"), 0, -1, 0, zone), Some(at("2024-11-03 06:30:00")));
        assert_eq!(add(at("2024-01-31 10:00:00"), 1, 0, 5, Tz::UTC), Some(at("2024-02-29 10:00:00") + 5));
    }
}
