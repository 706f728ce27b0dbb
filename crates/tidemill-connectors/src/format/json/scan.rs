//! A cursor over the bytes of one JSON text: finds where values end, and checks the grammar (RFC 8259)
//! on the way. Must not know columns.
//!
//! Beyond the grammar the bare words `NaN`, `Infinity` and `INF` with an optional sign are values, as
//! in Spark (its option `allowNonNumericNumbers`, on by default).

use super::fault::Fault;
use crate::format::text::number::{Number, not_a_number};

/// Deepest nesting of objects and arrays in a record.
pub(super) const DEPTH_MAX: u32 = 64;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// A position in a JSON text.
pub(super) struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    depth: u32,
}

/// A position to come back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    at: usize,
    depth: u32,
}

impl Mark {
    /// In bytes.
    pub fn at(self) -> usize {
        self.at
    }
}

/// A string between its quotes.
#[derive(Clone, Copy)]
pub(super) struct Quoted<'a> {
    /// The bytes as written.
    pub raw: &'a [u8],
    /// True when there is a backslash among them.
    pub escaped: bool,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, at: 0, depth: 0 }
    }

    /// The position of the cursor.
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark { at: self.at, depth: self.depth }
    }

    /// Goes back to `mark`.
    pub fn rewind(&mut self, mark: Mark) {
        (self.at, self.depth) = (mark.at, mark.depth);
    }

    /// The byte at the cursor; 0, which begins no token, at the end.
    #[inline]
    pub fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    pub fn skip_space(&mut self) {
        if self.peek() > b' ' {
            return;
        }
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// Passes over `byte`.
    #[inline]
    pub fn expect(&mut self, byte: u8, what: &str) -> Result<(), Fault> {
        if self.peek() != byte {
            return Err(Fault::malformed(what, self.at));
        }
        self.at += 1;
        Ok(())
    }

    /// Enters the object or array whose bracket is at the cursor. True when it is empty, and then the
    /// cursor is behind it.
    #[inline]
    pub fn open(&mut self, close: u8) -> Result<bool, Fault> {
        if self.depth == DEPTH_MAX {
            return Err(Fault::malformed("no more than 64 levels of nesting", self.at));
        }
        self.at += 1;
        self.skip_space();
        let empty = self.peek() == close;
        if empty {
            self.at += 1;
        } else {
            self.depth += 1;
        }
        Ok(empty)
    }

    /// After an entry: true when another one follows, false when the object or array ended here.
    #[inline]
    pub fn more(&mut self, close: u8) -> Result<bool, Fault> {
        self.skip_space();
        let byte = self.peek();
        if byte == b',' {
            self.at += 1;
            self.skip_space();
            return Ok(true);
        }
        if byte == close {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        Err(Fault::malformed(if close == b'}' { "',' or '}'" } else { "',' or ']'" }, self.at))
    }

    /// Passes over the `:` after a key and the space around it.
    #[inline]
    pub fn colon(&mut self) -> Result<(), Fault> {
        self.skip_space();
        self.expect(b':', "':'")?;
        self.skip_space();
        Ok(())
    }

    /// Checks that nothing but space is left.
    pub fn end(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Fault::malformed("nothing after the object", self.at)) }
    }

    /// Reads the string whose quote is at the cursor.
    #[inline]
    pub fn string(&mut self) -> Result<Quoted<'a>, Fault> {
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            at = special(self.bytes, at);
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Quoted { raw: &self.bytes[start..at], escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    at = escape_end(self.bytes, at)?;
                }
                Some(_) => return Err(Fault::malformed("no control character in a string", at)),
                None => return Err(Fault::malformed("'\"' at the end of the string", at)),
            }
        }
    }

    /// Reads the number at the cursor.
    #[inline]
    pub fn number(&mut self) -> Result<Number<'a>, Fault> {
        match Number::scan(&self.bytes[self.at..]) {
            Some(number) => {
                self.at += number.text.len();
                Ok(number)
            }
            None => Err(Fault::malformed("a number", self.at)),
        }
    }

    /// Passes over the word `word`, whose first letter is at the cursor.
    #[inline]
    pub fn word(&mut self, word: &str) -> Result<(), Fault> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(Fault::malformed("a value", self.at));
        }
        self.at += word.len();
        Ok(())
    }

    /// Reads `NaN`, `-Infinity` and their like.
    pub fn not_a_number(&mut self) -> Result<f64, Fault> {
        let rest = &self.bytes[self.at..];
        let signed = usize::from(matches!(rest.first(), Some(b'-' | b'+')));
        let letters = rest.iter().skip(signed).take_while(|byte| byte.is_ascii_alphabetic()).count();
        let word = &rest[..signed + letters];
        let value = not_a_number(word).ok_or_else(|| Fault::malformed("a value", self.at))?;
        self.at += word.len();
        Ok(value)
    }

    /// True when a bare `NaN` or infinity may begin here, rather than a number.
    #[inline]
    pub fn at_not_a_number(&self) -> bool {
        match self.peek() {
            b'N' | b'I' | b'+' => true,
            b'-' => self.bytes.get(self.at + 1) == Some(&b'I'),
            _ => false,
        }
    }

    /// Passes over one value of any kind, checking it.
    pub fn skip_value(&mut self) -> Result<(), Fault> {
        match self.peek() {
            b'"' => self.string().map(drop),
            b'{' => self.skip_object(),
            b'[' => self.skip_array(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ if self.at_not_a_number() => self.not_a_number().map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            _ => Err(Fault::malformed("a value", self.at)),
        }
    }

    fn skip_object(&mut self) -> Result<(), Fault> {
        if self.open(b'}')? {
            return Ok(());
        }
        loop {
            self.key()?;
            self.skip_value()?;
            if !self.more(b'}')? {
                return Ok(());
            }
        }
    }

    fn skip_array(&mut self) -> Result<(), Fault> {
        if self.open(b']')? {
            return Ok(());
        }
        loop {
            self.skip_value()?;
            if !self.more(b']')? {
                return Ok(());
            }
        }
    }

    /// Reads a key and the colon behind it.
    pub fn key(&mut self) -> Result<Quoted<'a>, Fault> {
        if self.peek() != b'"' {
            return Err(Fault::malformed("a key in double quotes", self.at));
        }
        let key = self.string()?;
        self.colon()?;
        Ok(key)
    }
}

/// Position of the first quote, backslash or control character from `at` on, or the end. Eight bytes
/// at a time: a byte of `word - n` borrows its high bit from nothing exactly when it was below `n`
/// (the lowest such byte is always right, and only it is used).
#[inline]
fn special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..at + 8).and_then(|chunk| <[u8; 8]>::try_from(chunk).ok()) {
        let word = u64::from_le_bytes(chunk);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let found = ((quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word))
            & HIGHS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            break;
        }
        at += 1;
    }
    at
}

/// Checks the escape whose backslash is at `at`, and gives the position behind it.
fn escape_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') if bytes.get(at + 2..at + 6).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) => {
            Ok(at + 6)
        }
        _ => Err(Fault::malformed("an escape such as \\n or \\u00e9", at)),
    }
}

/// Appends the text of a string to `out`, its escapes resolved. `at` is where its quote stands, for
/// the message.
///
/// # Errors
/// Half a surrogate pair, which is no text.
pub(super) fn unescape(quoted: Quoted<'_>, at: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut rest = quoted.raw;
    while let Some(backslash) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..backslash]);
        let mut length = 2;
        match rest[backslash + 1] {
            b'b' => out.push(0x08),
            b'f' => out.push(0x0C),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (letter, used) = code_point(&rest[backslash..])
                    .ok_or_else(|| Fault::malformed("both halves of a surrogate pair", at))?;
                length = used;
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            same => out.push(same),
        }
        rest = &rest[backslash + length..];
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// The character that `\u0041` or a pair of them stands for, and how many bytes it took.
fn code_point(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = std::str::from_utf8(text.get(at + 2..at + 6)?).ok()?;
        text[at..].starts_with(b"\\u").then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let first = unit(0)?;
    if let Some(letter) = char::from_u32(u32::from(first)) {
        return Some((letter, 6));
    }
    let letter = char::decode_utf16([first, unit(6)?]).next()?.ok()?;
    Some((letter, 12))
}
