//! Java's date and time patterns (`yyyy-MM-dd HH:mm:ss.SSS`), both ways.
//! Source: Spark SQL reference, "Datetime Patterns for Formatting and Parsing".

use super::zone::{self, Zone};
use super::{DAY, SECOND, days_from_civil, wall_clock};
use chrono::{Datelike, Timelike};
use chrono_tz::Tz;
use std::fmt::Write as _;
use tidemill_core::{Error, Result};

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A pattern letter and how often it stands there.
    Field(char, usize),
    /// `[` and `]`.
    OptionalStart,
    OptionalEnd,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A letter Spark does not know, an open quote.
    pub fn compile(text: &str) -> Result<Pattern> {
        let mut pieces = Vec::new();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\'' => {
                    let mut quoted = String::new();
                    loop {
                        match letters.next() {
                            Some('\'') if letters.peek() == Some(&'\'') => quoted.extend(letters.next()),
                            Some('\'') => break,
                            Some(other) => quoted.push(other),
                            None => return Err(wrong(text, "a quote is not closed")),
                        }
                    }
                    pieces.push(Piece::Text(if quoted.is_empty() { "'".into() } else { quoted }));
                }
                '[' => pieces.push(Piece::OptionalStart),
                ']' => pieces.push(Piece::OptionalEnd),
                letter if letter.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while letters.next_if_eq(&letter).is_some() {
                        count += 1;
                    }
                    if !"yuMLdDHhKkmsSaEQqXxVzOZ".contains(letter) {
                        return Err(wrong(text, &format!("'{letter}' is not a letter it may have")));
                    }
                    pieces.push(Piece::Field(letter, count));
                }
                other => pieces.push(Piece::Text(other.to_string())),
            }
        }
        Ok(Pattern(pieces))
    }

    /// An instant as text in the session's zone.
    pub fn format(&self, instant: i64, session: Tz) -> String {
        let mut out = String::new();
        let Some(wall) = wall_clock(zone::to_wall_clock(instant, session)) else { return out };
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(letter, count) => format_field(*letter, *count, wall, instant, session, &mut out),
                Piece::OptionalStart | Piece::OptionalEnd => {}
            }
        }
        out
    }

    /// Text as an instant; text without a zone is in `session`. `None` when it does not fit.
    pub fn parse(&self, text: &str, session: Tz) -> Option<i64> {
        let mut parsed = Parsed { year: 1970, month: 1, day: 1, ..Parsed::default() };
        let rest = parse_pieces(&self.0, text, &mut parsed)?;
        if rest.is_empty() { parsed.instant(session) } else { None }
    }
}

fn wrong(pattern: &str, why: &str) -> Error {
    Error::invalid(format!("the datetime pattern '{pattern}' is not valid: {why}")).class("INVALID_DATETIME_PATTERN")
}

fn format_field(letter: char, count: usize, wall: chrono::NaiveDateTime, instant: i64, session: Tz, out: &mut String) {
    let padded = |out: &mut String, value: i64| {
        let _ = write!(out, "{value:0count$}");
    };
    match letter {
        'y' | 'u' if count == 2 => {
            let _ = write!(out, "{:02}", wall.year().rem_euclid(100));
        }
        'y' | 'u' => padded(out, i64::from(wall.year())),
        'M' | 'L' => match count {
            1 | 2 => padded(out, i64::from(wall.month())),
            3 => out.push_str(&MONTHS[wall.month0() as usize][..3]),
            _ => out.push_str(MONTHS[wall.month0() as usize]),
        },
        'd' => padded(out, i64::from(wall.day())),
        'D' => padded(out, i64::from(wall.ordinal())),
        'Q' | 'q' => padded(out, i64::from(wall.month0() / 3 + 1)),
        'E' => {
            let name = DAYS[wall.weekday().num_days_from_monday() as usize];
            out.push_str(if count < 4 { &name[..3] } else { name });
        }
        'a' => out.push_str(if wall.hour() < 12 { "AM" } else { "PM" }),
        'H' => padded(out, i64::from(wall.hour())),
        'k' => padded(out, i64::from(if wall.hour() == 0 { 24 } else { wall.hour() })),
        'K' => padded(out, i64::from(wall.hour() % 12)),
        'h' => padded(out, i64::from((wall.hour() + 11) % 12 + 1)),
        'm' => padded(out, i64::from(wall.minute())),
        's' => padded(out, i64::from(wall.second())),
        'S' => {
            let digits = format!("{:09}", wall.nanosecond() % 1_000_000_000);
            out.push_str(&digits[..count.min(9)]);
        }
        'V' => out.push_str(if session == Tz::UTC { "Z" } else { session.name() }),
        'z' => {
            let name = chrono::TimeZone::offset_from_utc_datetime(&session, &wall_clock(instant).unwrap_or_default());
            let _ = write!(out, "{name}");
        }
        _ => format_offset(letter, count, zone::offset_seconds(instant, session), out),
    }
}

/// `X` writes Z for UTC, `x` and `Z` never do, `O` writes GMT before it.
fn format_offset(letter: char, count: usize, seconds: i64, out: &mut String) {
    if seconds == 0 && letter == 'X' {
        out.push('Z');
        return;
    }
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    let sign = if seconds < 0 { '-' } else { '+' };
    let _ = match (letter, count) {
        ('O', _) if seconds == 0 => write!(out, "GMT"),
        ('O', 1) => write!(out, "GMT{sign}{hours}"),
        ('O', _) => write!(out, "GMT{sign}{hours:02}:{minutes:02}"),
        ('X' | 'x', 1) if minutes == 0 => write!(out, "{sign}{hours:02}"),
        ('X' | 'x', 1 | 2 | 4) | ('Z', 1..=3) => write!(out, "{sign}{hours:02}{minutes:02}"),
        _ => write!(out, "{sign}{hours:02}:{minutes:02}"),
    };
}

#[derive(Debug, Default, Clone)]
struct Parsed {
    year: i64,
    month: u32,
    day: u32,
    hour: i64,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    micros: i64,
    zone: Option<Zone>,
}

impl Parsed {
    fn instant(&self, session: Tz) -> Option<i64> {
        let hour = match self.afternoon {
            None => self.hour,
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
        };
        if hour > 23 || self.minute > 59 || self.second > 59 {
            return None;
        }
        let days = i64::from(days_from_civil(self.year, self.month, self.day)?);
        let wall = days * DAY + ((hour * 60 + self.minute) * 60 + self.second) * SECOND + self.micros;
        Some(self.zone.unwrap_or(Zone::Named(session)).from_wall_clock(wall))
    }
}

fn parse_pieces<'a>(pieces: &[Piece], mut text: &'a str, parsed: &mut Parsed) -> Option<&'a str> {
    let mut index = 0;
    while index < pieces.len() {
        match &pieces[index] {
            Piece::Text(expected) => text = text.strip_prefix(expected.as_str())?,
            Piece::OptionalEnd => {}
            Piece::OptionalStart => {
                let end = index + 1 + pieces[index + 1..].iter().position(|piece| *piece == Piece::OptionalEnd)?;
                let mut attempt = parsed.clone();
                if let Some(rest) = parse_pieces(&pieces[index + 1..end], text, &mut attempt) {
                    *parsed = attempt;
                    text = rest;
                }
                index = end;
            }
            Piece::Field(letter, count) => {
                let next_is_field = matches!(pieces.get(index + 1), Some(Piece::Field(..)));
                text = parse_field(*letter, *count, next_is_field, text, parsed)?;
            }
        }
        index += 1;
    }
    Some(text)
}

fn parse_field<'a>(letter: char, count: usize, fixed: bool, text: &'a str, parsed: &mut Parsed) -> Option<&'a str> {
    match letter {
        'y' | 'u' | 'M' | 'L' | 'd' | 'E' => parse_date_field(letter, count, fixed, text, parsed),
        _ => parse_time_field(letter, count, fixed, text, parsed),
    }
}

fn parse_date_field<'a>(
    letter: char,
    count: usize,
    fixed: bool,
    text: &'a str,
    parsed: &mut Parsed,
) -> Option<&'a str> {
    let exact = if fixed || count > 1 { count } else { 0 };
    match letter {
        'y' | 'u' if count == 2 => {
            let (year, rest) = number(text, 2, 2)?;
            parsed.year = 2000 + year;
            Some(rest)
        }
        'y' | 'u' => number(text, count.min(4), if fixed { count } else { 6 }).map(|(year, rest)| {
            parsed.year = year;
            rest
        }),
        'M' | 'L' if count >= 3 => {
            let position = MONTHS.iter().position(|name| {
                let name = if count == 3 { &name[..3] } else { name };
                text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            })?;
            parsed.month = position as u32 + 1;
            Some(&text[if count == 3 { 3 } else { MONTHS[position].len() }..])
        }
        'M' | 'L' => field(text, exact).map(|(value, rest)| {
            parsed.month = value as u32;
            rest
        }),
        'd' => field(text, exact).map(|(value, rest)| {
            parsed.day = value as u32;
            rest
        }),
        'E' => {
            let name = DAYS.iter().find(|name| {
                let name = if count < 4 { &name[..3] } else { name };
                text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            })?;
            Some(&text[if count < 4 { 3 } else { name.len() }..])
        }
        _ => None,
    }
}

fn parse_time_field<'a>(
    letter: char,
    count: usize,
    fixed: bool,
    text: &'a str,
    parsed: &mut Parsed,
) -> Option<&'a str> {
    let exact = if fixed || count > 1 { count } else { 0 };
    match letter {
        'H' | 'h' | 'K' | 'k' => field(text, exact).map(|(value, rest)| {
            parsed.hour = if letter == 'k' && value == 24 { 0 } else { value };
            rest
        }),
        'm' => field(text, exact).map(|(value, rest)| {
            parsed.minute = value;
            rest
        }),
        's' => field(text, exact).map(|(value, rest)| {
            parsed.second = value;
            rest
        }),
        'S' => {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count().min(9);
            if digits == 0 || (fixed && digits < count) {
                return None;
            }
            let digits = digits.min(count.max(1));
            let padded: String = text[..digits].chars().chain("000000".chars()).take(6).collect();
            parsed.micros = padded.parse().ok()?;
            Some(&text[digits..])
        }
        'a' => {
            let half = text.get(..2)?.to_ascii_uppercase();
            parsed.afternoon = Some(match half.as_str() {
                "AM" => false,
                "PM" => true,
                _ => return None,
            });
            Some(&text[2..])
        }
        'X' | 'x' | 'Z' | 'V' | 'z' | 'O' => {
            let end =
                text.find(|letter: char| !(letter.is_alphanumeric() || "+-:/_".contains(letter))).unwrap_or(text.len());
            parsed.zone = Some(Zone::parse(&text[..end])?);
            Some(&text[end..])
        }
        _ => None,
    }
}

/// `exact` digits, or one to two when it is 0.
fn field(text: &str, exact: usize) -> Option<(i64, &str)> {
    if exact == 0 { number(text, 1, 2) } else { number(text, exact, exact) }
}

fn number(text: &str, least: usize, most: usize) -> Option<(i64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count().min(most);
    if digits < least {
        return None;
    }
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_format_and_parse() {
        let instant = super::super::text::parse_timestamp("2024-01-05T10:07:08.120Z", Tz::UTC).unwrap();
        for (pattern, text) in [
            ("yyyy-MM-dd HH:mm:ss.SSS", "2024-01-05 10:07:08.120"),
            ("dd/MMM/yyyy:HH:mm:ss.SSS Z", "05/Jan/2024:10:07:08.120 +0000"),
            ("EEEE d MMMM yyyy, h:mm:ss.SSS a", "Friday 5 January 2024, 10:07:08.120 AM"),
            ("yyyyMMdd'T'HHmmssSSSX", "20240105T100708120Z"),
        ] {
            let compiled = Pattern::compile(pattern).unwrap();
            assert_eq!(compiled.format(instant, Tz::UTC), text);
            assert_eq!(compiled.parse(text, Tz::UTC), Some(instant), "{pattern}");
        }
        assert!(Pattern::compile("yyyy-bb").is_err());
        assert_eq!(Pattern::compile("yyyy-MM-dd").unwrap().parse("2024-13-01", Tz::UTC), None);
        assert_eq!(
            Pattern::compile("yyyy[-MM]").unwrap().parse("2024", Tz::UTC),
            Pattern::compile("yyyy-MM").unwrap().parse("2024-01", Tz::UTC)
        );
    }
}
