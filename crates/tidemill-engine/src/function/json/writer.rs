//! JSON text: values in arrays and objects, compact or over several lines.

use super::lexer::{Lexer, Malformed, Token, double};
use crate::function::cast::printing;
use std::fmt::Write as _;

/// Puts together JSON text. Values in an array or at the top are separated as they are written.
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
    /// Open arrays and objects: is it an object, and how many values it has.
    frames: Vec<(bool, usize)>,
    after_name: bool,
    count: usize,
    pretty: bool,
    /// Letters beyond 16 bits are written as two escapes.
    escape_wide: bool,
}

impl Writer {
    /// A writer that breaks lines inside objects, or not.
    pub fn new(pretty: bool) -> Self {
        Writer { pretty, ..Writer::default() }
    }

    /// A writer as Spark has it where it writes bytes: letters beyond 16 bits become two escapes.
    pub fn of_bytes() -> Self {
        Writer { escape_wide: true, ..Writer::default() }
    }

    /// What was written.
    pub fn finish(self) -> String {
        self.out
    }

    /// Starts an array or object.
    pub fn open(&mut self, is_object: bool) {
        self.separate();
        self.out.push(if is_object { '{' } else { '[' });
        self.frames.push((is_object, 0));
    }

    /// Ends the innermost array or object.
    pub fn close(&mut self) {
        let Some((is_object, count)) = self.frames.pop() else { return };
        if self.pretty {
            match (is_object, count) {
                (true, 1..) => self.line(),
                _ => self.out.push(' '),
            }
        }
        self.out.push(if is_object { '}' } else { ']' });
    }

    /// The name of the next value of an object.
    pub fn name(&mut self, name: &str) {
        if let Some((_, count)) = self.frames.last_mut() {
            if *count > 0 {
                self.out.push(',');
            }
            *count += 1;
        }
        if self.pretty {
            self.line();
        }
        quote(name, self.escape_wide, &mut self.out);
        self.out.push_str(if self.pretty { " : " } else { ":" });
        self.after_name = true;
    }

    /// A text, in quotes.
    pub fn text(&mut self, text: &str) {
        self.separate();
        quote(text, self.escape_wide, &mut self.out);
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, json: &str) {
        self.separate();
        self.out.push_str(json);
    }

    /// Text without quotes and separators.
    pub fn plain(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// A double as Java prints it; what is no number in quotes.
    pub fn double(&mut self, value: f64) {
        let shown = printing::double(value);
        if value.is_finite() { self.raw(&shown) } else { self.text(&shown) }
    }

    /// The value the lexer stands at, with all that is in it.
    ///
    /// # Errors
    /// The text is malformed.
    pub fn copy(&mut self, lexer: &mut Lexer<'_>) -> Result<(), Malformed> {
        let mut depth = 0usize;
        loop {
            match lexer.token().ok_or(Malformed)? {
                Token::ObjectStart => {
                    self.open(true);
                    depth += 1;
                }
                Token::ArrayStart => {
                    self.open(false);
                    depth += 1;
                }
                Token::ObjectEnd | Token::ArrayEnd => {
                    self.close();
                    depth = depth.saturating_sub(1);
                }
                Token::Name => self.name(lexer.text()),
                Token::Text => self.text(lexer.text()),
                Token::Whole => self.raw(if lexer.text() == "-0" { "0" } else { lexer.text() }),
                Token::Real => self.double(double(lexer.text())),
                Token::True => self.raw("true"),
                Token::False => self.raw("false"),
                Token::Null => self.raw("null"),
            }
            if depth == 0 && lexer.token() != Some(Token::Name) {
                return Ok(());
            }
            lexer.advance()?;
        }
    }

    fn separate(&mut self) {
        if std::mem::take(&mut self.after_name) {
            return;
        }
        let (inside, count) = match self.frames.last_mut() {
            Some((_, count)) => (true, count),
            None => (false, &mut self.count),
        };
        *count += 1;
        let first = *count == 1;
        match (inside, self.pretty) {
            (true, true) => self.out.push_str(if first { " " } else { ", " }),
            (true, false) if !first => self.out.push(','),
            (false, _) if !first => self.out.push(' '),
            _ => {}
        }
    }

    fn line(&mut self) {
        self.out.push('\n');
        let deep = self.frames.iter().filter(|(is_object, _)| *is_object).count();
        for _ in 0..deep {
            self.out.push_str("  ");
        }
    }
}

/// A text in double quotes.
fn quote(text: &str, escape_wide: bool, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04X}", u32::from(control));
            }
            wide if escape_wide && wide.len_utf16() == 2 => {
                for unit in wide.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
