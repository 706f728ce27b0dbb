//! Dates and timestamps as text, by the lenient rules of Spark's CAST: `2024`, `2024-1-5`,
//! `2024-01-05T10:00:00.123+02:00`, `2024-01-05 10:00 Europe/Vienna`.
//! Source: Spark SQL reference, "Cast", string to date and timestamp.

use super::zone::{self, Zone};
use super::{DAY, SECOND, days_from_civil};
use chrono_tz::Tz;
use std::fmt::Write as _;

/// Text as an instant in microseconds; text without a zone is in `session`. `None` for no timestamp.
pub fn parse_timestamp(text: &str, session: Tz) -> Option<i64> {
    let (wall, zone) = parse_parts(text.trim())?;
    Some(match zone {
        None => zone::from_wall_clock(wall, session),
        Some(zone) => zone.from_wall_clock(wall),
    })
}

/// Text as a wall clock in microseconds; a zone in the text is passed over.
pub fn parse_timestamp_ntz(text: &str) -> Option<i64> {
    parse_parts(text.trim()).map(|(wall, _)| wall)
}

/// Text as a date, in days since 1970-01-01; what follows a `T` or space is passed over.
pub fn parse_date(text: &str) -> Option<i32> {
    let text = text.trim();
    let end = text.find([' ', 'T']).unwrap_or(text.len());
    let (days, rest) = date(&text[..end])?;
    rest.is_empty().then_some(days)
}

fn parse_parts(text: &str) -> Option<(i64, Option<Zone>)> {
    let end = text.find([' ', 'T']).unwrap_or(text.len());
    let (days, rest) = date(&text[..end])?;
    if !rest.is_empty() {
        return None;
    }
    let days = i64::from(days).checked_mul(DAY)?;
    if end == text.len() {
        return Some((days, None));
    }
    let (micros, rest) = time(&text[end + 1..])?;
    let rest = rest.trim();
    let zone = if rest.is_empty() { None } else { Some(Zone::parse(rest)?) };
    Some((days.checked_add(micros)?, zone))
}

/// `yyyy[-[m]m[-[d]d]]` and what is left of the text.
fn date(text: &str) -> Option<(i32, &str)> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (year, rest) = number(unsigned, 4, 6)?;
    let year = if negative { -year } else { year };
    let Some(rest) = rest.strip_prefix('-') else { return Some((days_from_civil(year, 1, 1)?, rest)) };
    let (month, rest) = number(rest, 1, 2)?;
    let Some(rest) = rest.strip_prefix('-') else { return Some((days_from_civil(year, month as u32, 1)?, rest)) };
    let (day, rest) = number(rest, 1, 2)?;
    Some((days_from_civil(year, month as u32, day as u32)?, rest))
}

/// `[h]h:[m]m[:[s]s[.f..]]` in microseconds, and what is left of the text.
fn time(text: &str) -> Option<(i64, &str)> {
    let (hour, rest) = number(text, 1, 2)?;
    let (minute, rest) = number(rest.strip_prefix(':')?, 1, 2)?;
    let (mut second, mut micros, mut rest) = (0, 0, rest);
    if let Some(after) = rest.strip_prefix(':') {
        (second, rest) = number(after, 1, 2)?;
        if let Some(after) = rest.strip_prefix('.') {
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            let padded: String = after[..digits].chars().chain("000000".chars()).take(6).collect();
            micros = padded.parse().ok()?;
            rest = &after[digits..];
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((((hour * 60 + minute) * 60 + second) * SECOND + micros, rest))
}

fn number(text: &str, digits_min: usize, digits_max: usize) -> Option<(i64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits < digits_min || digits > digits_max {
        return None;
    }
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

/// A wall clock as `2024-01-05 10:00:00.123`: trailing zeros of the fraction are cut.
pub fn format_wall_clock(micros: i64) -> String {
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (seconds, fraction) = (rest / SECOND, rest % SECOND);
    let mut text = format_date(days as i32);
    let _ = write!(text, " {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        let _ = write!(text, ".{}", format!("{fraction:06}").trim_end_matches('0'));
    }
    text
}

/// An instant as text in the session's zone.
pub fn format_timestamp(micros: i64, session: Tz) -> String {
    format_wall_clock(zone::to_wall_clock(micros, session))
}

/// A date as `2024-01-05`; years beyond 9999 carry a sign.
pub fn format_date(days: i32) -> String {
    use chrono::Datelike;
    match super::date_of(days) {
        Some(date) if (0..=9999).contains(&date.year()) => {
            format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
        }
        Some(date) => format!("{:+05}-{:02}-{:02}", date.year(), date.month(), date.day()),
        None => days.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lenient_forms_are_read() {
        let noon = parse_timestamp("2024-01-05 12:00:00", Tz::UTC).unwrap();
        for text in [
            "2024-1-5T12:00",
            " 2024-01-05 12:0:0.000 ",
            "2024-01-05T12:00:00Z",
            "2024-01-05T13:00:00+01:00",
            "2024-01-05 12:00:00 UTC",
        ] {
            assert_eq!(parse_timestamp(text, Tz::UTC), Some(noon), "{text}");
        }
        assert_eq!(parse_timestamp("2024-01-05 13:00:00 Europe/Vienna", Tz::UTC), Some(noon));
        assert_eq!(
            parse_timestamp("2024-01-05T10:00:00.123456789Z", Tz::UTC).map(|micros| micros % SECOND),
            Some(123_456)
        );
        assert_eq!(parse_date("2024-02-30"), None);
        assert_eq!(parse_timestamp("2024-01-05 25:00", Tz::UTC), None);
        assert_eq!(parse_date("2024"), days_from_civil(2024, 1, 1));
    }

    #[test]
    fn printing_cuts_zeros() {
        assert_eq!(format_wall_clock(1_704_448_800_120_000), "2024-01-05 10:00:00.12");
        assert_eq!(format_wall_clock(-1), "1969-12-31 23:59:59.999999");
    }
}
