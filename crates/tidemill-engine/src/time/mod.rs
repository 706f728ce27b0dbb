//! Instants, zones and intervals as Spark reads and prints them: arithmetic only, no clock.

pub mod calendar;
pub mod interval;
pub mod pattern;
pub mod text;
pub mod zone;

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in a day.
pub const DAY: i64 = 86_400 * SECOND;

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar; `None` for no such date.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> Option<i32> {
    let year = i32::try_from(year).ok()?;
    let date = chrono::NaiveDate::from_ymd_opt(year, month, day)?;
    Some(days_of(date))
}

/// Days since 1970-01-01 of a date.
pub fn days_of(date: chrono::NaiveDate) -> i32 {
    date.signed_duration_since(chrono::NaiveDate::default()).num_days() as i32
}

/// The date `days` after 1970-01-01.
pub fn date_of(days: i32) -> Option<chrono::NaiveDate> {
    chrono::NaiveDate::default().checked_add_signed(chrono::TimeDelta::try_days(i64::from(days))?)
}

/// The wall clock `micros` after 1970-01-01T00:00.
pub fn wall_clock(micros: i64) -> Option<chrono::NaiveDateTime> {
    chrono::DateTime::from_timestamp_micros(micros).map(|instant| instant.naive_utc())
}
