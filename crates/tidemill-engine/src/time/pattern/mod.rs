//! Java's date and time patterns (`yyyy-MM-dd HH:mm:ss.SSS`), both ways.
//! Source: Spark SQL reference, "Datetime Patterns for Formatting and Parsing"; java.time's DateTimeFormatter.

mod format;
mod names;
mod parse;

use chrono_tz::Tz;
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

/// Letters and how often each may stand in a row.
const LETTERS: &[(char, usize)] = &[
    ('G', 4),
    ('y', 6),
    ('D', 3),
    ('M', 4),
    ('L', 4),
    ('d', 2),
    ('Q', 4),
    ('q', 4),
    ('E', 4),
    ('F', 1),
    ('a', 1),
    ('h', 2),
    ('K', 2),
    ('k', 2),
    ('H', 2),
    ('m', 2),
    ('s', 2),
    ('S', 9),
    ('V', 2),
    ('z', 4),
    ('O', 4),
    ('X', 5),
    ('x', 5),
    ('Z', 5),
];

/// Letters of the patterns Spark had before version 3: with these alone, Spark says that they changed.
const OLD_LETTERS: &str = "GyYMLwWDdFEuaHkKhmsSzZX";

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A letter Spark does not know or that stands too often, an open quote.
    pub fn compile(text: &str) -> Result<Pattern> {
        compile(text, false)
    }

    /// Reads a pattern that text is to be read by: `E`, `F`, `Q` and `q` cannot be in it.
    ///
    /// # Errors
    /// As [`Pattern::compile`].
    pub fn for_parsing(text: &str) -> Result<Pattern> {
        compile(text, true)
    }

    /// An instant as text in the session's zone.
    pub fn format(&self, instant: i64, session: Tz) -> String {
        format::format(&self.0, instant, session)
    }

    /// Text as an instant; text without a zone is in `session`. `None` when it does not fit.
    pub fn parse(&self, text: &str, session: Tz) -> Option<i64> {
        parse::parse(&self.0, text, session)
    }
}

fn compile(text: &str, parsing: bool) -> Result<Pattern> {
    let mut pieces = Vec::new();
    let mut open = 0;
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
                        None => return Err(wrong(text, "WITH_SUGGESTION", "a quote is not closed")),
                    }
                }
                pieces.push(Piece::Text(if quoted.is_empty() { "'".into() } else { quoted }));
            }
            '[' => {
                open += 1;
                pieces.push(Piece::OptionalStart);
            }
            ']' if open == 0 => return Err(wrong(text, "WITH_SUGGESTION", "']' closes nothing")),
            ']' => {
                open -= 1;
                pieces.push(Piece::OptionalEnd);
            }
            '#' | '{' | '}' => return Err(wrong(text, "WITH_SUGGESTION", &format!("'{letter}' is reserved"))),
            letter if letter.is_ascii_alphabetic() => {
                let mut count = 1;
                while letters.next_if_eq(&letter).is_some() {
                    count += 1;
                }
                check(text, letter, count, parsing)?;
                pieces.push(Piece::Field(letter, count));
            }
            other => pieces.push(Piece::Text(other.to_string())),
        }
    }
    pieces.extend((0..open).map(|_| Piece::OptionalEnd));
    Ok(Pattern(pieces))
}

fn check(text: &str, letter: char, count: usize, parsing: bool) -> Result<()> {
    if parsing && matches!(letter, 'E' | 'F' | 'Q' | 'q') {
        return Err(wrong(text, "ILLEGAL_CHARACTER", &format!("'{letter}' cannot be read from text")));
    }
    let Some((_, most)) = LETTERS.iter().find(|(known, _)| *known == letter) else {
        return Err(wrong(text, "ILLEGAL_CHARACTER", &format!("'{letter}' is not a letter it may have")));
    };
    let fits = match letter {
        'V' => count == 2,
        'O' => count == 1 || count == 4,
        _ => count <= *most,
    };
    if fits { Ok(()) } else { Err(wrong(text, "LENGTH", &format!("'{letter}' stands {count} times in a row"))) }
}

fn wrong(pattern: &str, class: &str, why: &str) -> Error {
    let error = Error::invalid(format!("the datetime pattern '{pattern}' is not valid: {why}"));
    if pattern.split('\'').step_by(2).any(|part| part.contains(['e', 'c'])) {
        return error.class("INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_WEEK_BASED_PATTERN");
    }
    let is_old = pattern.matches('\'').count().is_multiple_of(2)
        && pattern
            .split('\'')
            .step_by(2)
            .flat_map(str::chars)
            .all(|letter| !letter.is_ascii_alphabetic() || OLD_LETTERS.contains(letter));
    match is_old {
        true => error.class("INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION"),
        false => error.class(format!("INVALID_DATETIME_PATTERN.{class}")),
    }
}

#[cfg(test)]
mod tests;
