//! Instants to text by a pattern.

use super::Piece;
use super::names::{DAYS, ERAS, MONTHS, QUARTERS, ZONES};
use crate::time::{wall_clock, zone};
use chrono::{Datelike, NaiveDateTime, Timelike};
use chrono_tz::Tz;
use std::fmt::Write as _;

/// An instant and its wall clock.
struct Moment {
    instant: i64,
    wall: NaiveDateTime,
    session: Tz,
    with_era: bool,
}

pub fn format(pieces: &[Piece], instant: i64, session: Tz) -> String {
    let mut out = String::new();
    let Some(wall) = wall_clock(zone::to_wall_clock(instant, session)) else { return out };
    let with_era = pieces.iter().any(|piece| matches!(piece, Piece::Field('G', _)));
    let moment = Moment { instant, wall, session, with_era };
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Field('G' | 'y' | 'M' | 'L' | 'd' | 'D' | 'Q' | 'q' | 'E' | 'F', _) => {
                date(piece, &moment, &mut out)
            }
            Piece::Field(letter, count) => time(*letter, *count, &moment, &mut out),
            Piece::OptionalStart | Piece::OptionalEnd => {}
        }
    }
    out
}

fn padded(out: &mut String, value: i64, count: usize) {
    let sign = if value < 0 { "-" } else { "" };
    let _ = write!(out, "{sign}{:0count$}", value.unsigned_abs());
}

fn date(piece: &Piece, moment: &Moment, out: &mut String) {
    let Piece::Field(letter, count) = piece else { return };
    let (wall, count) = (moment.wall, *count);
    match letter {
        'y' => {
            let year = i64::from(wall.year());
            let year = if moment.with_era && year <= 0 { 1 - year } else { year };
            match count {
                2 => padded(out, year.rem_euclid(100), 2),
                _ => {
                    if count >= 4 && year > 9999 {
                        out.push('+');
                    }
                    padded(out, year, count);
                }
            }
        }
        'G' => {
            let (short, long) = ERAS[usize::from(wall.year() > 0)];
            out.push_str(if count < 4 { short } else { long });
        }
        'M' | 'L' => match count {
            1 | 2 => padded(out, i64::from(wall.month()), count),
            3 => out.push_str(&MONTHS[wall.month0() as usize][..3]),
            _ => out.push_str(MONTHS[wall.month0() as usize]),
        },
        'd' => padded(out, i64::from(wall.day()), count),
        'D' => padded(out, i64::from(wall.ordinal()), count),
        'F' => padded(out, i64::from(wall.day0() % 7 + 1), count),
        'Q' | 'q' => {
            let quarter = wall.month0() as usize / 3;
            match count {
                1 | 2 => padded(out, quarter as i64 + 1, count),
                3 => {
                    let _ = write!(out, "Q{}", quarter + 1);
                }
                _ => out.push_str(QUARTERS[quarter]),
            }
        }
        _ => {
            let name = DAYS[wall.weekday().num_days_from_monday() as usize];
            out.push_str(if count < 4 { &name[..3] } else { name });
        }
    }
}

fn time(letter: char, count: usize, moment: &Moment, out: &mut String) {
    let wall = moment.wall;
    match letter {
        'a' => out.push_str(if wall.hour() < 12 { "AM" } else { "PM" }),
        'H' => padded(out, i64::from(wall.hour()), count),
        'k' => padded(out, i64::from(if wall.hour() == 0 { 24 } else { wall.hour() }), count),
        'K' => padded(out, i64::from(wall.hour() % 12), count),
        'h' => padded(out, i64::from((wall.hour() + 11) % 12 + 1), count),
        'm' => padded(out, i64::from(wall.minute()), count),
        's' => padded(out, i64::from(wall.second()), count),
        'S' => {
            let digits = format!("{:09}", wall.nanosecond() % 1_000_000_000);
            out.push_str(&digits[..count.min(9)]);
        }
        'V' => out.push_str(moment.session.name()),
        'z' => {
            let utc = wall_clock(moment.instant).unwrap_or_default();
            let short = chrono::TimeZone::offset_from_utc_datetime(&moment.session, &utc).to_string();
            let long = ZONES.iter().find(|(known, _, _)| *known == short).map(|(_, long, _)| *long);
            out.push_str(long.filter(|_| count == 4).unwrap_or(&short));
        }
        _ => offset(letter, count, zone::offset_seconds(moment.instant, moment.session), out),
    }
}

/// `X` writes Z for UTC, `x` never does, `O` and `ZZZZ` write GMT before it.
fn offset(letter: char, count: usize, seconds: i64, out: &mut String) {
    if seconds == 0 && (letter == 'X' || (letter == 'Z' && count == 5)) {
        out.push('Z');
        return;
    }
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    let sign = if seconds < 0 { '-' } else { '+' };
    let _ = match (letter, count) {
        ('O', _) | ('Z', 4) if seconds == 0 => write!(out, "GMT"),
        ('O', 1) if minutes == 0 => write!(out, "GMT{sign}{hours}"),
        ('O', 1) => write!(out, "GMT{sign}{hours}:{minutes:02}"),
        ('O', _) | ('Z', 4) => write!(out, "GMT{sign}{hours:02}:{minutes:02}"),
        ('X' | 'x', 1) if minutes == 0 => write!(out, "{sign}{hours:02}"),
        ('X' | 'x', 1 | 2 | 4) | ('Z', 1..=3) => write!(out, "{sign}{hours:02}{minutes:02}"),
        _ => write!(out, "{sign}{hours:02}:{minutes:02}"),
    };
}
