//! Dates and times as text, ISO 8601 as Spark reads and prints it. The calendar is the proleptic
//! Gregorian one. Conversion after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".

use std::io::Write as _;

/// Microseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000;
/// Microseconds in a day.
pub(crate) const DAY: i64 = 86_400 * SECOND;

/// A time as written: a wall clock, and how far its zone is ahead of UTC if it names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// Microseconds from 1970-01-01T00:00:00 of the same wall clock.
    pub wall: i64,
    /// Seconds ahead of UTC.
    pub offset: Option<i32>,
}

impl Written {
    /// The instant, in microseconds since 1970-01-01T00:00:00Z. Without a zone it is UTC.
    #[inline]
    pub fn instant(self) -> Option<i64> {
        self.wall.checked_sub(i64::from(self.offset.unwrap_or(0)) * SECOND)
    }
}

/// Reads `2024-01-31`, `2024-01-31T12:30`, `2024-01-31 12:30:00.123456Z`, `...+01:00`, `...+0100`,
/// `...+01`. Month, day, hour, minute and second may have one digit, as in Spark; a fraction has up to
/// nine digits, of which six count. `None` when it is no such time.
#[inline]
pub(crate) fn parse(text: &[u8]) -> Option<Written> {
    let (days, at) = date(text)?;
    let midnight = i64::from(days).checked_mul(DAY)?;
    match text.get(at) {
        None => Some(Written { wall: midnight, offset: None }),
        Some(b'T' | b' ') => {
            let (micros, at) = time_of_day(text, at + 1)?;
            let offset = match &text[at..] {
                b"" => None,
                zone => Some(zone_offset(zone)?),
            };
            Some(Written { wall: midnight.checked_add(micros)?, offset })
        }
        Some(_) => None,
    }
}

/// Reads a date in days since 1970-01-01; a time after it is checked and left out.
pub(crate) fn parse_date(text: &[u8]) -> Option<i32> {
    match date(text)? {
        (days, end) if end == text.len() => Some(days),
        _ => i32::try_from(parse(text)?.wall.div_euclid(DAY)).ok(),
    }
}

/// `[+-]yyyy-[m]m-[d]d` at the start of `text`: days, and where it ends.
#[inline]
fn date(text: &[u8]) -> Option<(i32, usize)> {
    // Nearly all dates have the one form with all digits.
    if let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, ..] = text
        && let Some(year) = two(*y1, *y2).zip(two(*y3, *y4)).map(|(high, low)| high * 100 + low)
        && let (Some(month), Some(day)) = (two(*m1, *m2), two(*d1, *d2))
    {
        return Some((checked_days(year as i32, month, day)?, 10));
    }
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let (year, at) = number(text, sign, 4, 6)?;
    let (month, at) = number(text, after(text, at, b'-')?, 1, 2)?;
    let (day, at) = number(text, after(text, at, b'-')?, 1, 2)?;
    let year = if text[0] == b'-' { -(year as i32) } else { year as i32 };
    Some((checked_days(year, month, day)?, at))
}

/// `[h]h:[m]m[:[s]s[.fraction]]` from `at`: microseconds since midnight, and where it ends.
#[inline]
fn time_of_day(text: &[u8], at: usize) -> Option<(i64, usize)> {
    let (hour, at) = number(text, at, 1, 2)?;
    let (minute, at) = number(text, after(text, at, b':')?, 1, 2)?;
    if hour > 23 || minute > 59 {
        return None;
    }
    let minutes = i64::from(hour * 60 + minute);
    let Some(at) = after(text, at, b':') else { return Some((minutes * 60 * SECOND, at)) };
    let (second, at) = number(text, at, 1, 2)?;
    if second > 59 {
        return None;
    }
    let seconds = (minutes * 60 + i64::from(second)) * SECOND;
    let Some(at) = after(text, at, b'.') else { return Some((seconds, at)) };
    let (micros, at) = fraction(text, at)?;
    Some((seconds + micros, at))
}

/// Up to nine digits of a second, cut to microseconds.
#[inline]
pub(crate) fn fraction(text: &[u8], start: usize) -> Option<(i64, usize)> {
    let (mut micros, mut at) = (0i64, start);
    while let Some(digit @ b'0'..=b'9') = text.get(at) {
        if at - start < 6 {
            micros = micros * 10 + i64::from(digit - b'0');
        }
        at += 1;
    }
    let count = at - start;
    (count <= 9).then(|| (micros * 10i64.pow(6 - count.min(6) as u32), at))
}

/// `Z`, `+hh`, `+hhmm` or `+hh:mm`, in seconds.
#[inline]
fn zone_offset(zone: &[u8]) -> Option<i32> {
    let (hours, minutes) = match zone {
        b"Z" => return Some(0),
        [b'+' | b'-', h1, h2] => (two(*h1, *h2)?, 0),
        [b'+' | b'-', h1, h2, m1, m2] | [b'+' | b'-', h1, h2, b':', m1, m2] => (two(*h1, *h2)?, two(*m1, *m2)?),
        _ => return None,
    };
    // 18 hours is the most a zone can have in Java.
    if minutes > 59 || hours * 60 + minutes > 18 * 60 {
        return None;
    }
    let seconds = (hours * 60 + minutes) as i32 * 60;
    Some(if zone[0] == b'-' { -seconds } else { seconds })
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// The position after `byte`, if it is at `at`.
#[inline]
fn after(text: &[u8], at: usize, byte: u8) -> Option<usize> {
    (text.get(at) == Some(&byte)).then_some(at + 1)
}

/// A number of `least` to `most` digits from `start`, and where it ends.
#[inline]
fn number(text: &[u8], start: usize, least: usize, most: usize) -> Option<(u32, usize)> {
    let (mut value, mut at) = (0, start);
    while let Some(digit @ b'0'..=b'9') = text.get(at)
        && at - start < most
    {
        value = value * 10 + u32::from(digit - b'0');
        at += 1;
    }
    (at - start >= least).then_some((value, at))
}

#[inline]
fn checked_days(year: i32, month: u32, day: u32) -> Option<i32> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=length).contains(&day).then(|| days_from_civil(year, month, day))
}

fn days_from_civil(year: i32, month: u32, day: u32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month as i32 + if month > 2 { -3 } else { 9 }) + 2) / 5 + day as i32 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u32;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Prints `2024-01-31`.
pub(crate) fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil_from_days(days);
    let sign = match year {
        ..0 => "-",
        10_000.. => "+",
        _ => "",
    };
    out.extend_from_slice(sign.as_bytes());
    let year = year.unsigned_abs();
    if year > 9999 {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{year}");
    } else {
        push_two(year as u32 / 100, out);
        push_two(year as u32 % 100, out);
    }
    out.push(b'-');
    push_two(month, out);
    out.push(b'-');
    push_two(day, out);
}

/// Prints `2024-01-31`, `separator`, `12:30:05`: a wall clock without the fraction of its second.
pub(crate) fn write_seconds(micros: i64, separator: u8, out: &mut Vec<u8>) {
    write_date(micros.div_euclid(DAY), out);
    out.push(separator);
    let second = (micros.rem_euclid(DAY) / SECOND) as u32;
    push_two(second / 3600, out);
    out.push(b':');
    push_two(second / 60 % 60, out);
    out.push(b':');
    push_two(second % 60, out);
}

/// Prints `2024-01-31T12:30:05.000`, with six digits of the second when the last three are not zero.
pub(crate) fn write_iso(micros: i64, out: &mut Vec<u8>) {
    write_seconds(micros, b'T', out);
    let fraction = micros.rem_euclid(SECOND);
    // Writing to a vector cannot fail.
    let _ = match fraction % 1000 {
        0 => write!(out, ".{:03}", fraction / 1000),
        _ => write!(out, ".{fraction:06}"),
    };
}

fn push_two(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn instant(text: &str) -> Option<i64> {
        parse(text.as_bytes()).and_then(Written::instant)
    }

    #[test]
    fn every_written_form_gives_the_same_instant() {
        let noon = 1_704_110_400 * SECOND;
        for text in [
            "2024-01-01T12:00:00Z",
            "2024-01-01 12:00:00",
            "2024-01-01T12:00",
            "2024-1-1 12:0:0",
            "2024-01-01T12:00:00.",
            "2024-01-01T12:00:00.000000000Z",
            "2024-01-01T13:30:00+01:30",
            "2024-01-01T13:30:00+0130",
            "2024-01-01T04:00:00-08",
            "+2024-01-01T12:00:00Z",
        ] {
            assert_eq!(instant(text), Some(noon), "{text}");
        }
        assert_eq!(instant("2024-01-01"), Some(noon - 12 * 3600 * SECOND));
        assert_eq!(instant("2024-01-01T12:00:00.5Z"), Some(noon + 500_000));
        assert_eq!(instant("2024-01-01T12:00:00.123456789Z"), Some(noon + 123_456));
        assert_eq!(instant("1969-12-31T23:59:59.999999Z"), Some(-1));
        assert_eq!(instant("-0001-01-01T00:00:00Z"), Some(-62_198_755_200 * SECOND));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2024",
            "2024-01",
            "2024-13-01",
            "2023-02-29",
            "2024-01-32",
            "2024-00-01",
            "24-01-01",
            "2024-01-01T",
            "2024-01-01T24:00:00",
            "2024-01-01T12:60",
            "2024-01-01T12:00:60Z",
            "2024-01-01T12:00:00.1234567890Z",
            "2024-01-01T12:00:00X",
            "2024-01-01T12:00:00+1",
            "2024-01-01T12:00:00+19:00",
            "2024-01-01x",
            "20240101",
            "yesterday",
            "9999999-01-01",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_may_have_a_time_behind_it() {
        assert_eq!(parse_date(b"1970-01-02"), Some(1));
        assert_eq!(parse_date(b"1970-01-02T23:59:59+05:00"), Some(1));
        assert_eq!(parse_date(b"1970-01-02 nonsense"), None);
        assert_eq!(parse_date(b"1969-12-31"), Some(-1));
    }

    #[test]
    fn fractions_print_three_or_six_digits() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000"),
            (1_500_000, "1970-01-01T00:00:01.500"),
            (1, "1970-01-01T00:00:00.000001"),
            (-1, "1969-12-31T23:59:59.999999"),
            (253_402_300_800 * SECOND, "+10000-01-01T00:00:00.000"),
        ] {
            let mut out = Vec::new();
            write_iso(micros, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    proptest! {
        #[test]
        fn every_instant_of_a_million_years_reads_back(micros in -377_705_116_800 * SECOND..1_000_000_000_000 * SECOND) {
            let mut out = Vec::new();
            write_iso(micros, &mut out);
            prop_assert_eq!(parse(&out).unwrap().wall, micros);
        }
    }
}
