//! The tokens of a `.proto` file one after the other, and what declarations of every kind are made of.

use super::tokens::{Token, tokens, wrong};
use tidemill_core::{Error, Result};

/// Reads tokens.
pub(super) struct Parser {
    pub(super) tokens: Vec<(Token, usize)>,
    pub(super) at: usize,
    pub(super) is_proto3: bool,
    pub(super) depth: usize,
}

impl Parser {
    /// At the first token.
    ///
    /// # Errors
    /// A comment or string without end.
    pub(super) fn new(text: &str) -> Result<Parser> {
        Ok(Parser { tokens: tokens(text)?, at: 0, is_proto3: false, depth: 0 })
    }

    pub(super) fn wrong(&self, what: impl AsRef<str>) -> Error {
        let line = self.tokens.get(self.at.saturating_sub(1)).or(self.tokens.last()).map_or(1, |(_, line)| *line);
        wrong(line, what)
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    pub(super) fn next(&mut self, expected: &str) -> Result<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token.ok_or_else(|| self.wrong(format!("it ends where {expected} is expected")))
    }

    pub(super) fn is(&self, sign: char) -> bool {
        self.peek() == Some(&Token::Sign(sign))
    }

    pub(super) fn takes(&mut self, sign: char) -> bool {
        let is = self.is(sign);
        self.at += usize::from(is);
        is
    }

    pub(super) fn sign(&mut self, sign: char) -> Result<()> {
        match self.next(&format!("'{sign}'"))? {
            Token::Sign(found) if found == sign => Ok(()),
            other => Err(self.wrong(format!("{} stands where '{sign}' is expected", other.shown()))),
        }
    }

    pub(super) fn word(&mut self) -> Result<String> {
        match self.next("a name")? {
            Token::Word(word) => Ok(word),
            other => Err(self.wrong(format!("{} stands where a name is expected", other.shown()))),
        }
    }

    pub(super) fn text(&mut self) -> Result<String> {
        let Token::Text(mut text) = self.next("a string")? else { return Err(self.wrong("a string is expected")) };
        while let Some(Token::Text(more)) = self.peek() {
            text.push_str(more);
            self.at += 1;
        }
        Ok(text)
    }

    /// The word that begins a declaration; `None` at the end of the file.
    pub(super) fn head(&mut self) -> Result<Option<String>> {
        while self.takes(';') {}
        if self.peek().is_none() { Ok(None) } else { self.word().map(Some) }
    }

    /// A name with dots.
    pub(super) fn path(&mut self) -> Result<String> {
        let mut path = if self.takes('.') { ".".to_owned() } else { String::new() };
        path.push_str(&self.word()?);
        while self.takes('.') {
            path.push('.');
            path.push_str(&self.word()?);
        }
        Ok(path)
    }

    pub(super) fn number(&mut self) -> Result<i32> {
        let is_negative = self.takes('-');
        let Token::Number(text) = self.next("a number")? else { return Err(self.wrong("a number is expected")) };
        let parsed = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
            Some(hex) => i64::from_str_radix(hex, 16),
            None if text.len() > 1 && text.starts_with('0') => i64::from_str_radix(&text, 8),
            None => text.parse(),
        };
        let number = parsed.ok().map(|number| if is_negative { -number } else { number });
        number
            .and_then(|number| i32::try_from(number).ok())
            .ok_or_else(|| self.wrong(format!("'{text}' is no number that fits")))
    }

    /// `name = value`; a value in braces is passed over.
    pub(super) fn option(&mut self) -> Result<(String, String)> {
        let mut name = String::new();
        while !self.is('=') {
            match self.next("'='")? {
                Token::Word(word) => name.push_str(&word),
                Token::Sign(sign @ ('(' | ')' | '.')) => name.push(sign),
                other => return Err(self.wrong(format!("{} stands in the name of an option", other.shown()))),
            }
        }
        self.sign('=')?;
        let is_negative = self.takes('-');
        let value = match self.peek() {
            Some(Token::Text(_)) => self.text()?,
            Some(Token::Sign('{')) => {
                self.braces()?;
                String::new()
            }
            _ => match self.next("a value")? {
                Token::Word(text) | Token::Number(text) => {
                    if is_negative {
                        format!("-{text}")
                    } else {
                        text
                    }
                }
                other => return Err(self.wrong(format!("{} is no value of an option", other.shown()))),
            },
        };
        Ok((name, value))
    }

    pub(super) fn braces(&mut self) -> Result<()> {
        let mut depth = 0_usize;
        loop {
            match self.next("'}'")? {
                Token::Sign('{') => depth += 1,
                Token::Sign('}') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Ranges, both ends within; `max` is the largest number.
    pub(super) fn ranges(&mut self, max: i32) -> Result<Vec<(i32, i32)>> {
        let mut ranges = Vec::new();
        loop {
            let from = self.number()?;
            let mut to = from;
            if self.peek() == Some(&Token::Word("to".into())) {
                self.at += 1;
                to = match self.peek() {
                    Some(Token::Word(word)) if word == "max" => {
                        self.at += 1;
                        max
                    }
                    _ => self.number()?,
                };
            }
            if to < from {
                return Err(self.wrong(format!("the range {from} to {to} is empty")));
            }
            ranges.push((from, to));
            if !self.takes(',') {
                return Ok(ranges);
            }
        }
    }

    pub(super) fn names(&mut self) -> Result<Vec<String>> {
        let mut names = vec![self.text()?];
        while self.takes(',') {
            names.push(self.text()?);
        }
        Ok(names)
    }
}
