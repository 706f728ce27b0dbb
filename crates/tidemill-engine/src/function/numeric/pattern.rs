//! The number formats of `to_char` and `to_number`, such as `S$99,999.00`.
//! Source: Spark SQL reference, "Number Pattern"; observed in the golden cases `number_format_*`.

use tidemill_core::{Error, Result};

/// One piece of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// Places for digits; as many as stand there when the first is 0, at most so many when it is 9.
    Digits(usize, bool),
    Separator,
    Point,
    Dollar,
    /// `S`: plus or minus.
    Sign,
    /// `MI`: minus or a space.
    Minus,
    /// `PR`: angle brackets around a negative number.
    Open,
    Close,
}

/// A format that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

impl Format {
    /// Reads a format.
    ///
    /// # Errors
    /// Text that is none.
    pub fn parse(text: &str) -> Result<Format> {
        let text = text.to_uppercase();
        let wrong = |class: &str, why: &str| {
            Error::invalid(format!("the number format '{text}' is not valid: {why}"))
                .class(format!("INVALID_FORMAT.{class}"))
                .help("write one such as S999,999.00 or $0.99")
        };
        let unexpected = || wrong("UNEXPECTED_TOKEN", "its parts are [MI|S] [$] digits [. digits] [$] [PR|MI|S]");
        if text.is_empty() {
            return Err(wrong("EMPTY", "it is empty"));
        }
        if !text.contains(['0', '9']) {
            return Err(wrong("WRONG_NUM_DIGIT", "it has no 0 or 9"));
        }
        let mut pieces = vec![];
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let mut used = 1;
            let piece = match first {
                '0' | '9' => {
                    used = rest.len() - rest.trim_start_matches(['0', '9']).len();
                    Piece::Digits(used, first == '0')
                }
                ',' | 'G' => Piece::Separator,
                '.' | 'D' => Piece::Point,
                '$' => Piece::Dollar,
                'S' => Piece::Sign,
                'M' if rest.starts_with("MI") => {
                    used = 2;
                    Piece::Minus
                }
                'P' if rest == "PR" => {
                    used = 2;
                    pieces.insert(0, Piece::Open);
                    Piece::Close
                }
                _ => return Err(unexpected()),
            };
            pieces.push(piece);
            rest = &rest[used..];
        }
        check(&pieces).map_err(|(class, why)| wrong(class, why))?;
        Ok(Format(pieces))
    }

    /// Digits before and after the point.
    pub fn digits(&self) -> (usize, usize) {
        let point = self.0.iter().position(|piece| *piece == Piece::Point).unwrap_or(self.0.len());
        let count = |pieces: &[Piece]| {
            pieces.iter().map(|piece| if let Piece::Digits(count, _) = piece { *count } else { 0 }).sum()
        };
        (count(&self.0[..point]), count(&self.0[point..]))
    }

    /// A number as text; `#` for every digit when it has more than the format. `whole` and `fraction`
    /// are its digits, without zeros in front or behind.
    pub fn print(&self, negative: bool, whole: &str, fraction: &str) -> String {
        let (before, after) = self.digits();
        if whole.len() > before || fraction.len() > after {
            return self.laid_out(negative, &mut std::iter::repeat('#'), &mut std::iter::repeat('#'));
        }
        let mut zeros = 0;
        let mut seen_zero = false;
        for piece in self.0.iter().take_while(|piece| **piece != Piece::Point) {
            if let Piece::Digits(count, exact) = piece {
                seen_zero |= *exact;
                zeros += if seen_zero { *count } else { 0 };
            }
        }
        let padded = format!("{whole:0>zeros$}");
        let mut whole = format!("{padded:>before$}").chars().collect::<Vec<_>>().into_iter();
        let mut fraction = fraction.chars().chain(std::iter::repeat('0'));
        self.laid_out(negative, &mut whole, &mut fraction)
    }

    fn laid_out(
        &self,
        negative: bool,
        whole: &mut dyn Iterator<Item = char>,
        fraction: &mut dyn Iterator<Item = char>,
    ) -> String {
        let mut out = String::new();
        let mut after_point = false;
        for piece in &self.0 {
            match piece {
                Piece::Digits(count, _) if after_point => (0..*count).for_each(|_| out.extend(fraction.next())),
                Piece::Digits(count, _) => (0..*count).for_each(|_| out.extend(whole.next())),
                Piece::Separator => out.push(if out.ends_with(|last: char| last.is_ascii_digit()) { ',' } else { ' ' }),
                Piece::Point => {
                    if out.ends_with(' ') {
                        out.pop();
                        out.push('0');
                    }
                    out.push('.');
                    after_point = true;
                }
                Piece::Dollar => out.push('$'),
                Piece::Sign => sign(&mut out, if negative { '-' } else { '+' }),
                Piece::Minus if negative && out.is_empty() => out.push('-'),
                Piece::Minus if out.is_empty() => out.push(' '),
                Piece::Minus if negative => sign(&mut out, '-'),
                Piece::Minus => out.push(' '),
                Piece::Open if negative => out.push('<'),
                Piece::Open => {}
                Piece::Close if negative => sign(&mut out, '>'),
                Piece::Close => out.push_str("  "),
            }
        }
        if out.ends_with('.') {
            out.pop();
        }
        out
    }

    /// Text as a number: its sign and its digits as decimal text; `None` when it does not fit.
    pub fn read(&self, text: &str) -> Option<String> {
        let letters: Vec<char> = text.chars().collect();
        let (mut at, mut negative, mut opened, mut closed) = (0, false, false, false);
        let (mut number, mut after_point) = (String::new(), false);
        let mut index = 0;
        while index < self.0.len() {
            let next = letters.get(at).copied();
            match self.0[index] {
                Piece::Digits(..) | Piece::Separator => {
                    let end = self.0[index..].iter().take_while(|piece| is_digits(piece)).count() + index;
                    at = read_digits(&self.0[index..end], &letters, at, after_point, &mut number)?;
                    index = end;
                    continue;
                }
                Piece::Point => {
                    after_point = next == Some('.');
                    at += usize::from(after_point);
                    if after_point {
                        number.push('.');
                    }
                }
                Piece::Dollar if next == Some('$') => at += 1,
                Piece::Dollar => return None,
                Piece::Sign => {
                    negative |= next == Some('-');
                    at += usize::from(matches!(next, Some('-' | '+')));
                }
                Piece::Minus => {
                    negative |= next == Some('-');
                    at += usize::from(next == Some('-'));
                }
                Piece::Open => {
                    opened = next == Some('<');
                    at += usize::from(opened);
                }
                Piece::Close => {
                    closed = next == Some('>');
                    negative |= closed;
                    at += usize::from(closed);
                }
            }
            index += 1;
        }
        let digits = number.trim_end_matches('.');
        let complete = at >= letters.len() && opened == closed && !digits.is_empty();
        let zero = if digits.starts_with('.') { "0" } else { "" };
        complete.then(|| format!("{}{zero}{digits}", if negative { "-" } else { "" }))
    }
}

/// A sign behind the digits; a point without digits behind it goes.
fn sign(out: &mut String, letter: char) {
    if out.ends_with('.') {
        out.pop();
    }
    out.push(letter);
}

fn is_digits(piece: &Piece) -> bool {
    matches!(piece, Piece::Digits(..) | Piece::Separator)
}

/// Reads digits and thousands separators; groups are compared from the right. Gives where it stopped.
fn read_digits(
    pieces: &[Piece],
    letters: &[char],
    start: usize,
    after_point: bool,
    number: &mut String,
) -> Option<usize> {
    let mut groups = vec![0usize];
    let mut at = start;
    while let Some(letter) = letters.get(at) {
        match letter {
            digit if digit.is_ascii_digit() => {
                number.push(*digit);
                *groups.last_mut()? += 1;
            }
            ',' if !after_point => groups.push(0),
            space if space.is_whitespace() => {}
            _ => break,
        }
        at += 1;
    }
    let expected: Vec<(usize, bool)> = pieces
        .iter()
        .filter_map(|piece| if let Piece::Digits(count, exact) = piece { Some((*count, *exact)) } else { None })
        .collect();
    if groups.len() > expected.len() {
        return None;
    }
    let mut given = groups.iter().rev();
    let fits = expected.iter().rev().all(|(count, exact)| {
        let digits = given.next().copied().unwrap_or(0);
        if *exact && !after_point { digits == *count } else { digits <= *count }
    });
    fits.then_some(at)
}

fn check(pieces: &[Piece]) -> std::result::Result<(), (&'static str, &'static str)> {
    let count = |wanted: Piece| pieces.iter().filter(|piece| **piece == wanted).count();
    let signs = count(Piece::Sign) + count(Piece::Minus) + count(Piece::Close);
    if count(Piece::Point) > 1 || count(Piece::Dollar) > 1 || signs > 1 {
        return Err(("WRONG_NUM_TOKEN", "a point, a $ and a sign stand at most once"));
    }
    let point = pieces.iter().position(|piece| *piece == Piece::Point).unwrap_or(pieces.len());
    let first_digit = pieces.iter().position(is_digits).unwrap_or(0);
    if pieces[point..].contains(&Piece::Separator) {
        return Err(("THOUSANDS_SEPS_MUST_BEFORE_DEC", "a thousands separator stands before the point"));
    }
    if let Some(dollar) = pieces.iter().position(|piece| *piece == Piece::Dollar) {
        if dollar > point {
            return Err(("CUR_MUST_BEFORE_DEC", "the $ stands before the point"));
        }
        if dollar > first_digit {
            return Err(("CUR_MUST_BEFORE_DIGIT", "the $ stands before the digits"));
        }
    }
    for (index, _) in pieces.iter().enumerate().filter(|(_, piece)| **piece == Piece::Separator) {
        let digits = |at: Option<usize>| {
            at.and_then(|at| pieces.get(at)).is_some_and(|piece| matches!(piece, Piece::Digits(..)))
        };
        if !digits(index.checked_sub(1)) || !digits(Some(index + 1)) {
            return Err(("CONT_THOUSANDS_SEPS", "a thousands separator stands between digits"));
        }
    }
    // the order: sign, $, digits, point, digits, sign
    let rank = |index: usize, piece: &Piece| match piece {
        Piece::Open => 0,
        Piece::Sign | Piece::Minus if index == 0 => 0,
        Piece::Dollar => 1,
        Piece::Digits(..) | Piece::Separator if index < point => 2,
        Piece::Point => 3,
        Piece::Digits(..) | Piece::Separator => 4,
        Piece::Sign | Piece::Minus | Piece::Close => 5,
    };
    let ranks: Vec<i32> = pieces.iter().enumerate().map(|(index, piece)| rank(index, piece)).collect();
    let ordered =
        ranks.windows(2).all(|pair| pair[0] <= pair[1]) && ranks.iter().filter(|rank| **rank == 5).count() <= 1;
    let last_sign = !ranks.contains(&5) || ranks.last() == Some(&5);
    if ordered && last_sign {
        Ok(())
    } else {
        Err(("UNEXPECTED_TOKEN", "its parts are [MI|S] [$] digits [. digits] [PR|MI|S]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_by_format() {
        for (format, negative, whole, fraction, expected) in [
            ("99999", false, "7", "", "    7"),
            ("999.99", false, "", "05", "  0.05"),
            ("$99,999.00", false, "1234", "56", "$ 1,234.56"),
            ("$99,999.00", false, "99999999", "99", "$## ###.##"),
            ("99,999.9S", true, "12454", "8", "12,454.8-"),
            ("0000.000", false, "1", "5", "0001.500"),
            ("9PR", true, "5", "", "<5>"),
            ("9PR", false, "5", "", "5  "),
            ("MI9", false, "1", "", " 1"),
            ("0G9D9", false, "7", "", "0,7.0"),
        ] {
            let printed = Format::parse(format).map(|format| format.print(negative, whole, fraction));
            assert_eq!(printed.ok().as_deref(), Some(expected), "{format}");
        }
    }

    #[test]
    fn texts_are_read_by_format() {
        for (format, text, expected) in [
            ("$99.99", "$78.12", Some("78.12")),
            ("99,999.9S", "12,454.8-", Some("-12454.8")),
            ("9PR", "<5>", Some("-5")),
            ("9.9", ".5", Some("0.5")),
            ("99", "1234", None),
            ("9", "1.5", None),
            ("000", "12", None),
        ] {
            let read = Format::parse(format).ok().and_then(|format| format.read(text));
            assert_eq!(read.as_deref(), expected, "{format} {text}");
        }
    }

    #[test]
    fn formats_are_checked() {
        for (format, class) in [
            ("", "EMPTY"),
            ("abc", "WRONG_NUM_DIGIT"),
            ("$S999", "UNEXPECTED_TOKEN"),
            ("9..9", "WRONG_NUM_TOKEN"),
            (",9", "CONT_THOUSANDS_SEPS"),
            ("9.9,9", "THOUSANDS_SEPS_MUST_BEFORE_DEC"),
        ] {
            let error = Format::parse(format).err().and_then(|error| error.error_class().map(str::to_owned));
            assert_eq!(error, Some(format!("INVALID_FORMAT.{class}")), "{format}");
        }
    }
}
