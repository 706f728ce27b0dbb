//! Intervals as text: `INTERVAL '1 02:03:04.5' DAY TO SECOND` and `INTERVAL '1-2' YEAR TO MONTH`, as
//! Spark prints them (its `ANSI_STYLE`), or what stands between the quotes alone.

use super::time::{DAY, SECOND, fraction};
use std::io::Write as _;

/// Reads an interval of days to seconds, in microseconds.
pub(crate) fn parse_day_time(text: &[u8]) -> Option<i64> {
    let (negative, body) = signed(unquoted(text, " DAY TO SECOND")?);
    let (days, rest) = body.split_once(' ')?;
    let mut parts = rest.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
    let (micros, end) = fraction(part.as_bytes(), 0)?;
    if end != part.len() {
        return None;
    }
    let clock = below(hours, 24)? * 3600 + below(minutes, 60)? * 60 + below(whole, 60)?;
    let size = below(days, i64::MAX)?.checked_mul(DAY)?.checked_add(clock * SECOND + micros)?;
    Some(if negative { -size } else { size })
}

/// Reads an interval of years to months, in months.
pub(crate) fn parse_year_month(text: &[u8]) -> Option<i32> {
    let (negative, body) = signed(unquoted(text, " YEAR TO MONTH")?);
    let (years, months) = body.split_once('-')?;
    let size = below(years, i64::from(i32::MAX))?.checked_mul(12)?.checked_add(below(months, 12)?)?;
    i32::try_from(if negative { -size } else { size }).ok()
}

/// Prints an interval of days to seconds.
pub(crate) fn write_day_time(micros: i64, out: &mut Vec<u8>) {
    let size = micros.unsigned_abs();
    let (day, second) = (DAY as u64, SECOND as u64);
    let clock = size % day / second;
    let sign = if micros < 0 { "-" } else { "" };
    // Writing to a vector cannot fail.
    let _ = write!(out, "INTERVAL '{sign}{} {:02}:{:02}:{:02}", size / day, clock / 3600, clock / 60 % 60, clock % 60);
    let part = size % second;
    if part > 0 {
        let digits = format!("{part:06}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
    out.extend_from_slice(b"' DAY TO SECOND");
}

/// Prints an interval of years to months.
pub(crate) fn write_year_month(months: i32, out: &mut Vec<u8>) {
    let sign = if months < 0 { "-" } else { "" };
    let size = months.unsigned_abs();
    let _ = write!(out, "INTERVAL '{sign}{}-{}' YEAR TO MONTH", size / 12, size % 12);
}

fn unquoted<'a>(text: &'a [u8], unit: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(text).ok()?;
    match text.strip_prefix("INTERVAL '") {
        Some(rest) => rest.strip_suffix(unit)?.strip_suffix('\''),
        None => Some(text),
    }
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn below(text: &str, limit: i64) -> Option<i64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| *number < limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn intervals_print_as_spark_prints_them() {
        let mut out = Vec::new();
        write_day_time(93_784_500_000, &mut out);
        assert_eq!(out, b"INTERVAL '1 02:03:04.5' DAY TO SECOND");
        out.clear();
        write_year_month(-14, &mut out);
        assert_eq!(out, b"INTERVAL '-1-2' YEAR TO MONTH");
    }

    #[test]
    fn the_short_form_is_read_too_and_nonsense_is_not() {
        assert_eq!(parse_day_time(b"-1 00:00:01"), Some(-DAY - SECOND));
        assert_eq!(parse_year_month(b"2-11"), Some(35));
        for text in ["", "1", "1 25:00:00", "1 00:00", "x 00:00:00", "1 00:00:00:00", "INTERVAL '1 00:00:00"] {
            assert_eq!(parse_day_time(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_year_month(b"1-12"), None);
    }

    proptest! {
        #[test]
        fn every_interval_reads_back(micros in -i64::MAX..i64::MAX, months in -i32::MAX..i32::MAX) {
            let mut out = Vec::new();
            write_day_time(micros, &mut out);
            prop_assert_eq!(parse_day_time(&out), Some(micros));
            out.clear();
            write_year_month(months, &mut out);
            prop_assert_eq!(parse_year_month(&out), Some(months));
        }
    }
}
