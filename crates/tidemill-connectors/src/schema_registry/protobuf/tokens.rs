//! A `.proto` file as words, numbers, texts and signs, each with its line.

use tidemill_core::{Error, Result};

/// A piece of the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name or keyword.
    Word(String),
    /// A number as it is written, without its sign.
    Number(String),
    /// The content of a string.
    Text(String),
    /// Any other letter.
    Sign(char),
}

impl Token {
    /// The token as messages show it.
    pub(super) fn shown(&self) -> String {
        match self {
            Token::Word(text) | Token::Number(text) => format!("'{text}'"),
            Token::Text(text) => format!("\"{text}\""),
            Token::Sign(sign) => format!("'{sign}'"),
        }
    }
}

/// An error in a line, counted from 1.
pub(super) fn wrong(line: usize, what: impl AsRef<str>) -> Error {
    Error::invalid(format!("the schema is not valid: line {line} of the .proto file: {}", what.as_ref()))
}

/// The tokens of a file, comments left out.
///
/// # Errors
/// A comment or string without end.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>> {
    let mut reader = Reader { rest: text, line: 1 };
    let mut all = Vec::new();
    while let Some(first) = reader.after_space()? {
        let line = reader.line;
        let token = match first {
            'a'..='z' | 'A'..='Z' | '_' => Token::Word(reader.take(|one| one.is_ascii_alphanumeric() || one == '_')),
            '0'..='9' => {
                let mut number = reader.take(|one| one.is_ascii_alphanumeric() || matches!(one, '.' | '_'));
                // the sign of an exponent
                if number.ends_with(['e', 'E']) && !number.starts_with("0x") && reader.rest.starts_with(['+', '-']) {
                    number.push_str(&reader.take(|one| one.is_ascii_digit() || matches!(one, '+' | '-')));
                }
                Token::Number(number)
            }
            '"' | '\'' => Token::Text(reader.text(first)?),
            sign => {
                reader.skip(sign);
                Token::Sign(sign)
            }
        };
        all.push((token, line));
    }
    Ok(all)
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl Reader<'_> {
    fn skip(&mut self, letter: char) {
        self.line += usize::from(letter == '\n');
        self.rest = &self.rest[letter.len_utf8()..];
    }

    fn take(&mut self, is_part: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|one| !is_part(one)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.to_owned()
    }

    /// The first letter that is neither space nor comment.
    fn after_space(&mut self) -> Result<Option<char>> {
        loop {
            if let Some(comment) = self.rest.strip_prefix("//") {
                self.rest = comment.find('\n').map_or("", |end| &comment[end..]);
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else { return Err(wrong(self.line, "a comment without end")) };
                self.line += comment[..end].matches('\n').count();
                self.rest = &comment[end + 2..];
            } else {
                match self.rest.chars().next() {
                    Some(space) if space.is_whitespace() || space == '\u{feff}' => self.skip(space),
                    other => return Ok(other),
                }
            }
        }
    }

    fn text(&mut self, quote: char) -> Result<String> {
        let line = self.line;
        self.skip(quote);
        let mut text = String::new();
        loop {
            match self.rest.chars().next() {
                Some(end) if end == quote => {
                    self.skip(end);
                    return Ok(text);
                }
                None | Some('\n') => return Err(wrong(line, "a string without end")),
                Some('\\') => {
                    self.skip('\\');
                    let Some(escaped) = self.rest.chars().next() else {
                        return Err(wrong(line, "a string without end"));
                    };
                    self.skip(escaped);
                    match escaped {
                        'n' => text.push('\n'),
                        't' => text.push('\t'),
                        'r' => text.push('\r'),
                        '\\' | '\'' | '"' | '?' => text.push(escaped),
                        // bytes stay as they are written: nothing here looks at them
                        other => text.extend(['\\', other]),
                    }
                }
                Some(letter) => {
                    self.skip(letter);
                    text.push(letter);
                }
            }
        }
    }
}
