//! Regular expressions in Java's dialect: written anew in the notation of the regex crate, and searched
//! as `java.util.regex.Matcher` does.
//! Source: Java SE 17, `java.util.regex.Pattern`. Without the flag `u`, classes and `(?i)` know ASCII only.

use fancy_regex::{Captures, Regex, RegexBuilder};
use std::fmt::Write as _;
use tidemill_core::{Error, Kind, Result};

/// How much a search may go back before it is given up.
const BACKTRACK_MAX: usize = 10_000_000;

const LINE_ENDS: &str = r"\n\r\x{85}\x{2028}\x{2029}";

/// A pattern ready to be searched for.
#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    is_empty: bool,
}

/// A match: start, end and groups; group 0 is the whole.
pub type Found<'t> = Captures<'t>;

impl Pattern {
    /// Compiles Java's notation; the text says what is wrong with it.
    ///
    /// # Errors
    /// The pattern is not valid, or has what cannot be done here.
    pub fn compile(java: &str) -> std::result::Result<Pattern, String> {
        let translated = Translator { letters: java.chars().collect(), ..Translator::default() }.run()?;
        let regex = RegexBuilder::new(&translated).backtrack_limit(BACKTRACK_MAX).build();
        regex.map(|regex| Pattern { regex, is_empty: java.is_empty() }).map_err(|error| error.to_string())
    }

    /// True when the pattern is found in the text.
    ///
    /// # Errors
    /// The search goes back too often.
    pub fn is_in(&self, text: &str) -> Result<bool> {
        self.regex.is_match(text).map_err(gave_up)
    }

    /// True for the pattern without any letter.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Groups beside the whole.
    pub fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// The position of a named group.
    pub fn group_named(&self, name: &str) -> Option<usize> {
        self.regex.capture_names().position(|known| known == Some(name))
    }

    /// The first match.
    ///
    /// # Errors
    /// The search goes back too often.
    pub fn first<'t>(&self, text: &'t str) -> Result<Option<Found<'t>>> {
        self.regex.captures(text).map_err(gave_up)
    }

    /// All matches from left to right. After an empty one the search goes on a letter later; an empty
    /// one may stand right behind a match.
    ///
    /// # Errors
    /// The search goes back too often.
    pub fn all<'t>(&self, text: &'t str) -> Result<Vec<Found<'t>>> {
        let (mut list, mut from) = (vec![], Some(0));
        while let Some(start) = from {
            let Some(found) = self.regex.captures_from_pos(text, start).map_err(gave_up)? else { break };
            let Some(whole) = found.get(0) else { break };
            from = match whole.start() == whole.end() {
                false => Some(whole.end()),
                true => text[whole.end()..].chars().next().map(|letter| whole.end() + letter.len_utf8()),
            };
            list.push(found);
        }
        Ok(list)
    }
}

fn gave_up(error: fancy_regex::Error) -> Error {
    Error::new(Kind::Data, "a regular expression was given up: it tries too many ways on this text")
        .caused_by(error)
        .help("make the pattern simpler: no repetition inside a repetition")
}

type Valid<T> = std::result::Result<T, String>;

#[derive(Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    unicode_case: bool,
    unicode: bool,
    dot_all: bool,
    multi_line: bool,
    comments: bool,
}

#[derive(Default)]
struct Translator {
    letters: Vec<char>,
    at: usize,
    out: String,
    flags: Flags,
    groups: Vec<Flags>,
}

impl Translator {
    fn run(mut self) -> Valid<String> {
        while let Some(letter) = self.take() {
            self.piece(letter)?;
        }
        if self.groups.is_empty() { Ok(self.out) } else { Err("a group is not closed".into()) }
    }

    fn take(&mut self) -> Option<char> {
        let letter = self.letters.get(self.at).copied();
        self.at += usize::from(letter.is_some());
        letter
    }

    fn peek(&self) -> Option<char> {
        self.letters.get(self.at).copied()
    }

    fn ahead(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, letter)| self.letters.get(self.at + index) == Some(&letter))
    }

    fn piece(&mut self, letter: char) -> Valid<()> {
        match letter {
            '\\' => self.escape()?,
            '[' => self.class()?,
            '(' => self.group()?,
            ')' => {
                self.flags = self.groups.pop().ok_or("a closing parenthesis has no opening one")?;
                self.out.push(')');
            }
            '.' if self.flags.dot_all => self.out.push_str("(?s:.)"),
            '.' => {
                let _ = write!(self.out, "[^{LINE_ENDS}]");
            }
            '^' if self.flags.multi_line => {
                self.out.push_str(r"(?:\A|(?<=[\n\x{85}\x{2028}\x{2029}])(?!\z)|(?<=\r)(?!\n)(?!\z))");
            }
            '^' => self.out.push_str(r"\A"),
            '$' => self.line_end(),
            '{' => self.repetition()?,
            '}' => self.out.push_str(r"\}"),
            ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' if self.flags.comments => {}
            '#' if self.flags.comments => while self.take().is_some_and(|letter| letter != '\n') {},
            '*' | '+' | '?' | '|' => self.out.push(letter),
            other => self.literal(other),
        }
        Ok(())
    }

    /// The end, or before the line end there.
    fn line_end(&mut self) {
        let _ = match self.flags.multi_line {
            true => write!(self.out, r"(?:(?=[\r\x{{85}}\x{{2028}}\x{{2029}}])|(?<!\r)(?=\n)|\z)"),
            false => write!(self.out, r"(?=(?:\r\n|(?<!\r)\n|[\r\x{{85}}\x{{2028}}\x{{2029}}])?\z)"),
        };
    }

    /// A letter that stands for itself.
    fn literal(&mut self, letter: char) {
        let text = regex::escape(&letter.to_string());
        if !self.flags.ignore_case {
            self.out.push_str(&text);
        } else if self.flags.unicode_case {
            let _ = write!(self.out, "(?i:{text})");
        } else if letter.is_ascii_alphabetic() {
            let _ = write!(self.out, "[{}{}]", letter.to_ascii_lowercase(), letter.to_ascii_uppercase());
        } else {
            self.out.push_str(&text);
        }
    }

    /// After `(`.
    fn group(&mut self) -> Valid<()> {
        let outer = self.flags;
        if self.peek() != Some('?') {
            self.groups.push(outer);
            self.out.push('(');
            return Ok(());
        }
        self.at += 1;
        for start in [":", "=", "!", ">", "<=", "<!"] {
            if self.ahead(start) {
                self.at += start.len();
                self.groups.push(outer);
                let _ = write!(self.out, "(?{start}");
                return Ok(());
            }
        }
        if self.peek() == Some('<') {
            let rest: String = self.letters[self.at + 1..].iter().take_while(|letter| **letter != '>').collect();
            let valid = rest.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && rest.chars().all(|letter| letter.is_ascii_alphanumeric());
            if !valid {
                return Err("a group's name is letters and digits, a letter first".into());
            }
            self.at += rest.chars().count() + 2;
            self.groups.push(outer);
            let _ = write!(self.out, "(?<{rest}>");
            return Ok(());
        }
        let mut on = true;
        while let Some(letter) = self.take() {
            match letter {
                '-' => on = false,
                'i' => self.flags.ignore_case = on,
                's' => self.flags.dot_all = on,
                'm' => self.flags.multi_line = on,
                'x' => self.flags.comments = on,
                'u' => self.flags.unicode_case = on,
                'U' => (self.flags.unicode, self.flags.unicode_case) = (on, on),
                'd' => {}
                ':' => {
                    self.groups.push(outer);
                    self.out.push_str("(?:");
                    return Ok(());
                }
                ')' => return Ok(()),
                other => return Err(format!("there is no flag '{other}'")),
            }
        }
        Err("a group is not closed".into())
    }

    /// After `{`.
    fn repetition(&mut self) -> Valid<()> {
        let inner: String = self.letters[self.at..].iter().take_while(|letter| **letter != '}').collect();
        let (least, most) = inner.split_once(',').unwrap_or((&inner, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if least.is_empty() || !digits(least) || !digits(most) || self.at + inner.len() >= self.letters.len() {
            return Err("a { starts a repetition such as {2,5}".into());
        }
        self.at += inner.len() + 1;
        let _ = write!(self.out, "{{{inner}}}");
        Ok(())
    }

    /// After a backslash outside a class.
    fn escape(&mut self) -> Valid<()> {
        let letter = self.take().ok_or("a backslash stands at the end")?;
        match letter {
            'Q' => {
                while !self.ahead("\\E") {
                    match self.take() {
                        Some(letter) => self.literal(letter),
                        None => return Ok(()),
                    }
                }
                self.at += 2;
            }
            'E' => {}
            'A' => self.out.push_str(r"\A"),
            'z' => self.out.push_str(r"\z"),
            'Z' => {
                let multi_line = std::mem::take(&mut self.flags.multi_line);
                self.line_end();
                self.flags.multi_line = multi_line;
            }
            'b' | 'B' | 'G' => {
                let _ = write!(self.out, "\\{letter}");
            }
            'R' => self.out.push_str(r"(?>\r\n|[\n\x{B}\x{C}\r\x{85}\x{2028}\x{2029}])"),
            'X' => self.out.push_str(r"(?>\P{M}\p{M}*)"),
            '1'..='9' => {
                let _ = write!(self.out, "(?:\\{letter})");
            }
            'k' => {
                let name: String = self.letters[self.at..].iter().take_while(|letter| **letter != '>').collect();
                self.at += name.chars().count() + 1;
                let _ = write!(self.out, "\\k{name}>");
            }
            _ => match self.class_escape(letter)? {
                Part::Letter(letter) => self.literal(letter),
                Part::Set(set) => {
                    let _ = write!(self.out, "[{set}]");
                }
            },
        }
        Ok(())
    }

    /// After a backslash: a letter, or what goes into a class.
    fn class_escape(&mut self, letter: char) -> Valid<Part> {
        let unicode = self.flags.unicode;
        let set = |text: &str| Ok(Part::Set(text.to_owned()));
        match letter {
            'd' => set(if unicode { r"\d" } else { "0-9" }),
            'D' => set(if unicode { r"\D" } else { "[^0-9]" }),
            'w' => set(if unicode { r"\w" } else { "a-zA-Z0-9_" }),
            'W' => set(if unicode { r"\W" } else { "[^a-zA-Z0-9_]" }),
            's' => set(if unicode { r"\s" } else { r"\x20\t\n\x0B\x0C\r" }),
            'S' => set(if unicode { r"\S" } else { r"[^\x20\t\n\x0B\x0C\r]" }),
            'h' => set(r"\x20\t\xA0\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}"),
            'H' => set(r"[^\x20\t\xA0\x{1680}\x{180e}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}]"),
            'v' => set(r"\n\x0B\x0C\r\x{85}\x{2028}\x{2029}"),
            'V' => set(r"[^\n\x0B\x0C\r\x{85}\x{2028}\x{2029}]"),
            'p' | 'P' => self.property(letter == 'P').map(Part::Set),
            't' => Ok(Part::Letter('\t')),
            'n' => Ok(Part::Letter('\n')),
            'r' => Ok(Part::Letter('\r')),
            'f' => Ok(Part::Letter('\u{c}')),
            'a' => Ok(Part::Letter('\u{7}')),
            'e' => Ok(Part::Letter('\u{1b}')),
            '0' => self.number(3, 8),
            'x' if self.peek() == Some('{') => {
                let digits: String = self.letters[self.at + 1..].iter().take_while(|letter| **letter != '}').collect();
                self.at += digits.chars().count() + 2;
                code(&digits, 16)
            }
            'x' => self.number(2, 16),
            'u' => self.number(4, 16),
            'c' => {
                let control = self.take().ok_or("a control letter is missing")?;
                code(&format!("{:x}", u32::from(control) ^ 64), 16)
            }
            other if other.is_ascii_alphabetic() => Err(format!("\\{other} means nothing")),
            other => Ok(Part::Letter(other)),
        }
    }

    fn number(&mut self, digits_max: usize, base: u32) -> Valid<Part> {
        let digits: String =
            self.letters[self.at..].iter().take(digits_max).take_while(|letter| letter.is_digit(base)).collect();
        if digits.is_empty() || (base == 16 && digits.len() < digits_max) {
            return Err("a letter's number has too few digits".into());
        }
        self.at += digits.len();
        code(&digits, base)
    }

    /// After `\p`.
    fn property(&mut self, negated: bool) -> Valid<String> {
        let name: String = match self.take().ok_or("a property has no name")? {
            '{' => {
                let name: String = self.letters[self.at..].iter().take_while(|letter| **letter != '}').collect();
                self.at += name.chars().count() + 1;
                name
            }
            short => short.to_string(),
        };
        let ascii = match name.as_str() {
            _ if self.flags.unicode => None,
            "Lower" => Some("a-z"),
            "Upper" => Some("A-Z"),
            "ASCII" => Some(r"\x00-\x7F"),
            "Alpha" => Some("a-zA-Z"),
            "Digit" => Some("0-9"),
            "Alnum" => Some("a-zA-Z0-9"),
            "Punct" => Some(r"\x21-\x2F\x3A-\x40\x5B-\x60\x7B-\x7E"),
            "Graph" => Some(r"\x21-\x7E"),
            "Print" => Some(r"\x20-\x7E"),
            "Blank" => Some(r"\x20\t"),
            "Cntrl" => Some(r"\x00-\x1F\x7F"),
            "XDigit" => Some("0-9a-fA-F"),
            "Space" => Some(r"\x20\t\n\x0B\x0C\r"),
            _ => None,
        };
        if let Some(set) = ascii {
            return Ok(if negated { format!("[^{set}]") } else { set.to_owned() });
        }
        let plain = name.strip_prefix("Is").unwrap_or(&name);
        let plain = plain.strip_prefix("java").unwrap_or(plain).trim_end_matches("Case");
        let plain = plain.strip_prefix("script=").or_else(|| plain.strip_prefix("sc=")).unwrap_or(plain);
        let plain = match plain {
            "Lower" => "Lowercase",
            "Upper" => "Uppercase",
            "Alpha" => "Alphabetic",
            "Letter" => "L",
            "WhiteSpace" | "Whitespace" => "White_Space",
            "L1" => return Ok(if negated { r"[^\x00-\xFF]".into() } else { r"\x00-\xFF".into() }),
            other => other,
        };
        let word = if negated { 'P' } else { 'p' };
        let set = format!(r"\{word}{{{plain}}}");
        match regex::Regex::new(&format!("[{set}]")) {
            Ok(_) => Ok(set),
            Err(_) => Err(format!("there is no property '{name}' here")),
        }
    }

    /// After `[`: up to its `]`.
    fn class(&mut self) -> Valid<()> {
        self.out.push('[');
        if self.peek() == Some('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let letter = self.take().ok_or("a class is not closed")?;
            match letter {
                ']' if !first => {
                    self.out.push(']');
                    return Ok(());
                }
                '[' => self.class()?,
                '&' if self.peek() == Some('&') => {
                    self.at += 1;
                    self.out.push_str("&&");
                }
                '\\' if self.peek() == Some('Q') => {
                    self.at += 1;
                    while !self.ahead("\\E") {
                        let letter = self.take().ok_or("a quotation is not closed")?;
                        self.member(letter, letter);
                    }
                    self.at += 2;
                }
                ' ' | '\t' | '\n' | '\r' if self.flags.comments => {}
                letter => self.class_item(letter)?,
            }
            first = false;
        }
    }

    fn class_item(&mut self, letter: char) -> Valid<()> {
        let start = match self.class_letter(letter)? {
            Part::Set(set) => {
                self.out.push_str(&set);
                return Ok(());
            }
            Part::Letter(letter) => letter,
        };
        let is_range = self.peek() == Some('-') && !matches!(self.letters.get(self.at + 1), None | Some(']' | '['));
        if !is_range {
            self.member(start, start);
            return Ok(());
        }
        self.at += 1;
        let letter = self.take().ok_or("a class is not closed")?;
        match self.class_letter(letter)? {
            Part::Letter(end) if end >= start => self.member(start, end),
            _ => return Err("a range in a class is not valid".into()),
        }
        Ok(())
    }

    fn class_letter(&mut self, letter: char) -> Valid<Part> {
        if letter != '\\' {
            return Ok(Part::Letter(letter));
        }
        let letter = self.take().ok_or("a backslash stands at the end")?;
        self.class_escape(letter)
    }

    /// A range of letters in a class, in both cases when case does not count.
    fn member(&mut self, start: char, end: char) {
        let range = |out: &mut String, start: char, end: char| {
            let _ = write!(out, r"\x{{{:X}}}", u32::from(start));
            if end != start {
                let _ = write!(out, r"-\x{{{:X}}}", u32::from(end));
            }
        };
        range(&mut self.out, start, end);
        if !self.flags.ignore_case {
            return;
        }
        if self.flags.unicode_case && start == end {
            for other in start.to_lowercase().chain(start.to_uppercase()) {
                range(&mut self.out, other, other);
            }
            return;
        }
        for (first, last, shift) in [('a', 'z', -32), ('A', 'Z', 32)] {
            let (from, to) = (start.max(first), end.min(last));
            let moved = |letter: char| char::from_u32(u32::from(letter).wrapping_add_signed(shift)).unwrap_or(letter);
            if from <= to {
                range(&mut self.out, moved(from), moved(to));
            }
        }
    }
}

enum Part {
    Letter(char),
    Set(String),
}

fn code(digits: &str, base: u32) -> Valid<Part> {
    let letter = u32::from_str_radix(digits, base).ok().and_then(char::from_u32);
    letter.map(Part::Letter).ok_or_else(|| format!("{digits} is the number of no letter"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_patterns_find_what_java_finds() {
        for (pattern, text, found) in [
            (r"\d+", "a٣1", Some("1")),
            ("(?i)É", "é", None),
            ("(?iu)É", "é", Some("é")),
            ("(?i)[a-c]+x", "ABCX", Some("ABCX")),
            (r"(a)\1", "baab", Some("aa")),
            ("foo(?=bar)", "foobar", Some("foo")),
            (r"\Qa.b\E", "axb a.b", Some("a.b")),
            ("x$", "x\n", Some("x")),
            ("[a-z&&[^bc]]+", "bcad", Some("ad")),
            (r"[\w.-]+@", "me.x-y@", Some("me.x-y@")),
            (r"\p{Alpha}+", "éab", Some("ab")),
            (r"\p{IsAlphabetic}+", "éab", Some("éab")),
            (".", "\r", None),
            ("(?s).", "\r", Some("\r")),
            ("(?m)^b$", "a\nb\nc", Some("b")),
            ("[]a]", "]", Some("]")),
            (r"\x41B", "AB", Some("AB")),
        ] {
            let compiled = Pattern::compile(pattern).map_err(|why| format!("{pattern}: {why}"));
            let compiled =
                compiled.as_ref().map(|compiled| compiled.first(text).ok().flatten().map(|found| found[0].to_owned()));
            assert_eq!(compiled.ok(), Some(found.map(str::to_owned)), "{pattern}");
        }
        for pattern in ["(", "[", "*", "a{x}", "(?z)", r"\y", "a)"] {
            assert!(Pattern::compile(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn empty_matches_stand_behind_others() {
        let all = Pattern::compile("a*").ok().and_then(|pattern| {
            Some(pattern.all("aab").ok()?.iter().map(|found| found[0].to_owned()).collect::<Vec<_>>())
        });
        assert_eq!(all, Some(vec!["aa".to_owned(), String::new(), String::new()]));
    }
}
