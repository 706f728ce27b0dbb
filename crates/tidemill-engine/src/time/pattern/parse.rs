//! Text to instants by a pattern. Strict: a date must exist, a field must be within its bounds.

use super::Piece;
use super::names::{ERAS, MONTHS, ZONES};
use crate::time::zone::{Zone, parse_offset};
use crate::time::{DAY, SECOND, days_from_civil};
use chrono_tz::Tz;

/// The fields that were read.
#[derive(Debug, Default, Clone)]
struct Parsed {
    year: Option<i64>,
    before_christ: bool,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    /// 0 to 23.
    hour: i64,
    /// 0 to 11, of a clock of twelve hours.
    half_hour: Option<i64>,
    afternoon: bool,
    minute: i64,
    second: i64,
    micros: i64,
    zone: Option<Zone>,
}

pub fn parse(pieces: &[Piece], text: &str, session: Tz) -> Option<i64> {
    let mut parsed = Parsed::default();
    let rest = read(pieces, text, &mut parsed)?;
    if rest.is_empty() { parsed.instant(session) } else { None }
}

impl Parsed {
    fn instant(&self, session: Tz) -> Option<i64> {
        let hour = match self.half_hour {
            None => self.hour,
            Some(hour) => hour + if self.afternoon { 12 } else { 0 },
        };
        let year = self.year.unwrap_or(1970);
        let year = if self.before_christ { 1 - year } else { year };
        let days = match self.day_of_year {
            Some(day) => {
                let first = days_from_civil(year, 1, 1)?;
                let next = days_from_civil(year + 1, 1, 1)?;
                i64::from(first).checked_add(day - 1).filter(|found| *found < i64::from(next))?
            }
            None => {
                let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
                i64::from(days_from_civil(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?)
            }
        };
        let wall = days.checked_mul(DAY)? + ((hour * 60 + self.minute) * 60 + self.second) * SECOND + self.micros;
        Some(self.zone.unwrap_or(Zone::Named(session)).from_wall_clock(wall))
    }
}

fn read<'a>(pieces: &[Piece], mut text: &'a str, parsed: &mut Parsed) -> Option<&'a str> {
    let mut index = 0;
    while index < pieces.len() {
        match &pieces[index] {
            Piece::Text(expected) => text = without_prefix(text, expected)?,
            Piece::OptionalEnd => {}
            Piece::OptionalStart => {
                let end = index + closing(&pieces[index..])?;
                let mut attempt = parsed.clone();
                if let Some(rest) = read(&pieces[index + 1..end], text, &mut attempt) {
                    *parsed = attempt;
                    text = rest;
                }
                index = end;
            }
            Piece::Field(letter, count) => {
                let adjacent =
                    matches!(pieces.get(index + 1), Some(Piece::Field(next, width)) if is_number(*next, *width));
                text = field(*letter, *count, adjacent, text, parsed)?;
            }
        }
        index += 1;
    }
    Some(text)
}

/// How far from its start an optional part ends.
fn closing(pieces: &[Piece]) -> Option<usize> {
    let mut open = 0;
    pieces.iter().position(|piece| {
        match piece {
            Piece::OptionalStart => open += 1,
            Piece::OptionalEnd => open -= 1,
            _ => {}
        }
        open == 0
    })
}

/// True for a field that is read as digits.
fn is_number(letter: char, count: usize) -> bool {
    "ydDHhKkmsS".contains(letter) || ("ML".contains(letter) && count < 3)
}

/// Text that case does not matter in.
fn without_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let start = text.get(..prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// The first of several names that the text starts with.
fn one_of(text: &str, names: impl Iterator<Item = &'static str>) -> Option<(usize, &str)> {
    names.enumerate().find_map(|(index, name)| Some((index, without_prefix(text, name)?)))
}

fn field<'a>(letter: char, count: usize, adjacent: bool, text: &'a str, parsed: &mut Parsed) -> Option<&'a str> {
    if "GyMLdD".contains(letter) {
        return date_field(letter, count, adjacent, text, parsed);
    }
    let bounded = |least: i64, most: i64, into: &mut i64| -> Option<&'a str> {
        let (value, rest) = number(text, count, adjacent)?;
        *into = value;
        (least..=most).contains(&value).then_some(rest)
    };
    let mut hour = 0;
    match letter {
        'H' => bounded(0, 23, &mut parsed.hour),
        'm' => bounded(0, 59, &mut parsed.minute),
        's' => bounded(0, 59, &mut parsed.second),
        'k' => {
            let rest = bounded(1, 24, &mut hour)?;
            parsed.hour = hour % 24;
            Some(rest)
        }
        'K' => {
            let rest = bounded(0, 11, &mut hour)?;
            parsed.half_hour = Some(hour);
            Some(rest)
        }
        'h' => {
            let rest = bounded(1, 12, &mut hour)?;
            parsed.half_hour = Some(hour % 12);
            Some(rest)
        }
        'S' => fraction(count, text, parsed),
        'a' => {
            let (index, rest) = one_of(text, ["AM", "PM"].into_iter())?;
            parsed.afternoon = index == 1;
            Some(rest)
        }
        _ => zone_field(letter, count, text, parsed),
    }
}

fn date_field<'a>(letter: char, count: usize, adjacent: bool, text: &'a str, parsed: &mut Parsed) -> Option<&'a str> {
    let month = |name: &'static str| if count == 3 { &name[..3] } else { name };
    let (value, rest) = match letter {
        'G' => {
            let names = ERAS.into_iter().map(|(short, long)| if count < 4 { short } else { long });
            let (index, rest) = one_of(text, names)?;
            parsed.before_christ = index == 0;
            return Some(rest);
        }
        'M' | 'L' if count >= 3 => {
            let (index, rest) = one_of(text, MONTHS.into_iter().map(month))?;
            (index as i64 + 1, rest)
        }
        'y' => year(count, adjacent, text)?,
        'D' if count == 2 => digits(text, 2, 3)?,
        _ => number(text, count, adjacent)?,
    };
    let (into, bounds) = match letter {
        'y' => (&mut parsed.year, -999_999_999..=999_999_999),
        'd' => (&mut parsed.day, 1..=31),
        'D' => (&mut parsed.day_of_year, 1..=366),
        _ => (&mut parsed.month, 1..=12),
    };
    *into = Some(value);
    bounds.contains(&value).then_some(rest)
}

/// Two digits count from 2000; four and more need a sign when there are more digits than letters.
fn year(count: usize, adjacent: bool, text: &str) -> Option<(i64, &str)> {
    if count == 2 {
        let (year, rest) = digits(text, 2, 2)?;
        return Some((2000 + year, rest));
    }
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' if count >= 4 => (1, &text[1..]),
        _ => (0, text),
    };
    let most = match (adjacent, count, sign) {
        (true, _, _) => count,
        (false, 1, _) => 9,
        (false, _, 0) => count,
        (false, _, _) => 9,
    };
    let (year, rest) = digits(unsigned, count, most)?;
    Some((if sign < 0 { -year } else { year }, rest))
}

/// One letter: as many digits as there are; more: exactly as many as letters.
fn number(text: &str, count: usize, adjacent: bool) -> Option<(i64, &str)> {
    match (count, adjacent) {
        (1, false) => digits(text, 1, 9),
        _ => digits(text, count, count),
    }
}

fn digits(text: &str, least: usize, most: usize) -> Option<(i64, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count().min(most);
    if count < least {
        return None;
    }
    Some((text[..count].parse().ok()?, &text[count..]))
}

/// One digit to as many as there are letters.
fn fraction<'a>(count: usize, text: &'a str, parsed: &mut Parsed) -> Option<&'a str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count().min(count);
    if digits == 0 {
        return None;
    }
    let padded: String = text[..digits].chars().chain("000000".chars()).take(6).collect();
    parsed.micros = padded.parse().ok()?;
    Some(&text[digits..])
}

fn zone_field<'a>(letter: char, count: usize, text: &'a str, parsed: &mut Parsed) -> Option<&'a str> {
    let end = match letter {
        'V' | 'z' => text.find(|letter: char| !(letter.is_alphanumeric() || "+-:/_".contains(letter))),
        _ => text.find(|letter: char| !(letter.is_ascii_digit() || "+-:ZGMT".contains(letter))),
    };
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    parsed.zone = Some(match letter {
        'V' => Zone::parse(word)?,
        'z' => match ZONES.iter().find(|(short, _, _)| short.eq_ignore_ascii_case(word)) {
            Some((_, _, region)) => Zone::parse(region)?,
            None => Zone::parse(word)?,
        },
        _ => Zone::Fixed(offset(letter, count, word)?),
    });
    Some(rest)
}

/// An offset as the letter writes it.
fn offset(letter: char, count: usize, word: &str) -> Option<i64> {
    let is_utc = word == "Z";
    match letter {
        'X' if is_utc => return Some(0),
        'Z' if is_utc && count == 5 => return Some(0),
        'O' => {
            let signed = word.strip_prefix("GMT")?;
            return if signed.is_empty() { Some(0) } else { parse_offset(signed) };
        }
        'Z' if count == 4 => {
            let signed = word.strip_prefix("GMT")?;
            return if signed.is_empty() { Some(0) } else { parse_offset(signed) };
        }
        _ => {}
    }
    let unsigned = word.strip_prefix(['+', '-'])?;
    let shape: String = unsigned.chars().map(|letter| if letter.is_ascii_digit() { 'd' } else { letter }).collect();
    let fits = match (letter, count) {
        ('X' | 'x', 1) => matches!(shape.as_str(), "dd" | "dddd"),
        ('X' | 'x', 2) | ('Z', 1..=3) => shape == "dddd",
        ('X' | 'x', 3) => shape == "dd:dd",
        ('X' | 'x', 4) => matches!(shape.as_str(), "dddd" | "dddddd"),
        _ => matches!(shape.as_str(), "dd:dd" | "dd:dd:dd"),
    };
    if fits { parse_offset(word) } else { None }
}
