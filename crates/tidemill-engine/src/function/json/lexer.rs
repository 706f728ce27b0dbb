//! JSON text as a row of tokens, with the liberties Spark's reader takes: single quotes, `NaN`, and on
//! request comments, names without quotes and the like. What follows the first value is not looked at.
//! Source: Jackson 2, `JsonReadFeature`, as Spark's JSON options name it.

use std::borrow::Cow;

/// Deepest nesting of arrays and objects.
const DEPTH_MAX: usize = 1_000;

/// What is allowed beyond the standard.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub comments: bool,
    pub unquoted_names: bool,
    pub single_quotes: bool,
    pub leading_zeros: bool,
    pub any_escape: bool,
    pub control_letters: bool,
    pub not_numbers: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            comments: false,
            unquoted_names: false,
            single_quotes: true,
            leading_zeros: false,
            any_escape: false,
            control_letters: false,
            not_numbers: true,
        }
    }
}

/// A token; names, texts and numbers are in [`Lexer::text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    Name,
    Text,
    Whole,
    Real,
    True,
    False,
    Null,
}

/// The text is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

struct Frame<'a> {
    is_object: bool,
    /// Values or names so far.
    count: usize,
    /// The name stands, its value does not yet.
    after_name: bool,
    name: Option<Cow<'a, str>>,
}

/// Reads tokens one by one.
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    rules: Rules,
    frames: Vec<Frame<'a>>,
    token: Option<Token>,
    value: Cow<'a, str>,
    failed: bool,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str, rules: Rules) -> Self {
        let value = Cow::Borrowed("");
        Lexer { text, at: 0, rules, frames: Vec::new(), token: None, value, failed: false }
    }

    /// The token read last.
    pub fn token(&self) -> Option<Token> {
        self.token
    }

    /// The text of the token read last: of a name or text without quotes, of a number as it stands.
    pub fn text(&self) -> &str {
        &self.value
    }

    /// The name the current token belongs to.
    pub fn name(&self) -> Option<&str> {
        let up = usize::from(matches!(self.token, Some(Token::ObjectStart | Token::ArrayStart)));
        let frame = self.frames.len().checked_sub(1 + up)?;
        self.frames[frame].name.as_deref()
    }

    /// The next token; `None` when the text ends.
    ///
    /// # Errors
    /// The text is malformed; from then on every call says so.
    pub fn advance(&mut self) -> Result<Option<Token>, Malformed> {
        if self.failed {
            return Err(Malformed);
        }
        let token = self.step();
        self.failed = token.is_err();
        self.token = token?;
        Ok(self.token)
    }

    /// After the start of an array or object: goes to its end.
    ///
    /// # Errors
    /// The text is malformed.
    pub fn skip_children(&mut self) -> Result<(), Malformed> {
        if !matches!(self.token, Some(Token::ObjectStart | Token::ArrayStart)) {
            return Ok(());
        }
        let depth = self.frames.len();
        while self.frames.len() >= depth {
            if self.advance()?.is_none() {
                return Err(Malformed);
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Token>, Malformed> {
        self.space()?;
        let first = self.peek();
        let Some(frame) = self.frames.last_mut() else {
            return if first.is_none() { Ok(None) } else { self.value().map(Some) };
        };
        let mut letter = first.ok_or(Malformed)?;
        if frame.after_name {
            frame.after_name = false;
            return self.value().map(Some);
        }
        let close = if frame.is_object { b'}' } else { b']' };
        if letter == close {
            let is_object = frame.is_object;
            self.at += 1;
            self.frames.pop();
            return Ok(Some(if is_object { Token::ObjectEnd } else { Token::ArrayEnd }));
        }
        frame.count += 1;
        let (is_object, first_in) = (frame.is_object, frame.count == 1);
        if !first_in {
            if letter != b',' {
                return Err(Malformed);
            }
            self.at += 1;
            self.space()?;
            letter = self.peek().ok_or(Malformed)?;
        }
        if !is_object {
            return self.value().map(Some);
        }
        let name = self.read_name(letter)?;
        self.space()?;
        if self.peek() != Some(b':') {
            return Err(Malformed);
        }
        self.at += 1;
        self.value = name.clone();
        if let Some(frame) = self.frames.last_mut() {
            frame.after_name = true;
            frame.name = Some(name);
        }
        Ok(Some(Token::Name))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) -> Result<(), Malformed> {
        while let Some(letter) = self.peek() {
            match letter {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'/' if self.rules.comments => self.comment()?,
                _ => break,
            }
        }
        Ok(())
    }

    fn comment(&mut self) -> Result<(), Malformed> {
        let rest = &self.text[self.at..];
        let length = if rest.starts_with("//") {
            rest.find(['\n', '\r']).unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").ok_or(Malformed)? + 2
        } else {
            return Err(Malformed);
        };
        self.at += length;
        Ok(())
    }

    fn value(&mut self) -> Result<Token, Malformed> {
        self.space()?;
        let rest = &self.text[self.at..];
        match self.peek().ok_or(Malformed)? {
            b'{' => self.open(true),
            b'[' => self.open(false),
            b'"' => self.quoted('"'),
            b'\'' if self.rules.single_quotes => self.quoted('\''),
            b'-' if self.rules.not_numbers && rest[1..].starts_with('I') => self.not_number(),
            b'+' | b'N' | b'I' if self.rules.not_numbers => self.not_number(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true", Token::True),
            b'f' => self.word("false", Token::False),
            b'n' => self.word("null", Token::Null),
            _ => Err(Malformed),
        }
    }

    fn open(&mut self, is_object: bool) -> Result<Token, Malformed> {
        if self.frames.len() >= DEPTH_MAX {
            return Err(Malformed);
        }
        self.at += 1;
        self.frames.push(Frame { is_object, count: 0, after_name: false, name: None });
        Ok(if is_object { Token::ObjectStart } else { Token::ArrayStart })
    }

    fn word(&mut self, word: &'static str, token: Token) -> Result<Token, Malformed> {
        let rest = self.text[self.at..].strip_prefix(word).ok_or(Malformed)?;
        if rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$') {
            return Err(Malformed);
        }
        self.at += word.len();
        self.value = Cow::Borrowed(word);
        Ok(token)
    }

    fn not_number(&mut self) -> Result<Token, Malformed> {
        const WORDS: [&str; 7] = ["NaN", "Infinity", "INF", "+Infinity", "+INF", "-Infinity", "-INF"];
        let rest = &self.text[self.at..];
        let word = WORDS.iter().find(|word| rest.starts_with(**word)).ok_or(Malformed)?;
        self.word(word, Token::Real)
    }

    fn quoted(&mut self, quote: char) -> Result<Token, Malformed> {
        self.at += 1;
        self.value = self.read_text(quote)?;
        Ok(Token::Text)
    }

    fn read_name(&mut self, first: u8) -> Result<Cow<'a, str>, Malformed> {
        match first {
            b'"' => {
                self.at += 1;
                self.read_text('"')
            }
            b'\'' if self.rules.single_quotes => {
                self.at += 1;
                self.read_text('\'')
            }
            _ if self.rules.unquoted_names => {
                let rest = &self.text[self.at..];
                let plain = |letter: char| {
                    letter.is_alphanumeric() || matches!(letter, '_' | '$' | '-' | '@' | '#' | '*' | '+')
                };
                let end = rest.find(|letter| !plain(letter)).unwrap_or(rest.len());
                if end == 0 {
                    return Err(Malformed);
                }
                self.at += end;
                Ok(Cow::Borrowed(&rest[..end]))
            }
            _ => Err(Malformed),
        }
    }

    /// After the opening quote: up to the closing one.
    fn read_text(&mut self, quote: char) -> Result<Cow<'a, str>, Malformed> {
        let text: &'a str = self.text;
        let start = self.at;
        let stops = |letter: char| letter == quote || letter == '\\' || letter < ' ';
        let mut owned: Option<String> = None;
        let mut from = start;
        loop {
            let found = text[from..].find(stops).ok_or(Malformed)? + from;
            match text.as_bytes()[found] {
                b'\\' => {
                    let out = owned.get_or_insert_with(String::new);
                    out.push_str(&text[from..found]);
                    self.at = found + 1;
                    self.escape(out)?;
                    from = self.at;
                }
                letter if char::from(letter) == quote => {
                    self.at = found + 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(&text[start..found]),
                        Some(out) => Cow::Owned(out + &text[from..found]),
                    });
                }
                _ if self.rules.control_letters => {
                    owned.get_or_insert_with(String::new).push_str(&text[from..=found]);
                    from = found + 1;
                }
                _ => return Err(Malformed),
            }
        }
    }

    /// After a backslash.
    fn escape(&mut self, out: &mut String) -> Result<(), Malformed> {
        let letter = self.text[self.at..].chars().next().ok_or(Malformed)?;
        self.at += letter.len_utf8();
        out.push(match letter {
            'b' => '\u{8}',
            't' => '\t',
            'n' => '\n',
            'f' => '\u{c}',
            'r' => '\r',
            '"' | '\\' | '/' => letter,
            '\'' if self.rules.single_quotes => letter,
            'u' => return self.code_point(out),
            other if self.rules.any_escape => other,
            _ => return Err(Malformed),
        });
        Ok(())
    }

    fn code_point(&mut self, out: &mut String) -> Result<(), Malformed> {
        let first = self.four_digits()?;
        let is_high = (0xD800..0xDC00).contains(&first);
        if is_high && self.text[self.at..].starts_with("\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.four_digits()?;
            if (0xDC00..0xE000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                out.push(char::from_u32(code).ok_or(Malformed)?);
                return Ok(());
            }
            self.at = back;
        }
        // half a surrogate pair is no character
        out.push(char::from_u32(first).unwrap_or('?'));
        Ok(())
    }

    fn four_digits(&mut self) -> Result<u32, Malformed> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Malformed)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Malformed);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Malformed)
    }

    fn number(&mut self) -> Result<Token, Malformed> {
        let text: &'a str = self.text;
        let bytes = text.as_bytes();
        let start = self.at;
        let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut at = start + usize::from(bytes[start] == b'-');
        let whole = digits(at);
        if whole == 0 || (whole > 1 && bytes[at] == b'0' && !self.rules.leading_zeros) {
            return Err(Malformed);
        }
        at += whole;
        let mut token = Token::Whole;
        if bytes.get(at) == Some(&b'.') {
            let fraction = digits(at + 1);
            if fraction == 0 {
                return Err(Malformed);
            }
            at += 1 + fraction;
            token = Token::Real;
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let exponent = digits((at + 1 + sign).min(bytes.len()));
            if exponent == 0 {
                return Err(Malformed);
            }
            at += 1 + sign + exponent;
            token = Token::Real;
        }
        self.at = at;
        self.value = Cow::Borrowed(&text[start..at]);
        // at the top, a number ends where space or the text's end is
        let ends = bytes.get(at).is_none_or(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        if self.frames.is_empty() && !ends { Err(Malformed) } else { Ok(token) }
    }
}

/// A number as a double: what stands for no number in JSON text is taken too.
pub fn double(text: &str) -> f64 {
    match text {
        "NaN" => f64::NAN,
        "Infinity" | "INF" | "+Infinity" | "+INF" => f64::INFINITY,
        "-Infinity" | "-INF" => f64::NEG_INFINITY,
        // a whole -0 is 0
        "-0" => 0.0,
        number => number.parse().unwrap_or(f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str, rules: Rules) -> Result<Vec<(Token, String)>, Malformed> {
        let mut lexer = Lexer::new(text, rules);
        let mut list = vec![];
        while let Some(token) = lexer.advance()? {
            list.push((token, lexer.text().to_owned()));
        }
        Ok(list)
    }

    #[test]
    fn standard_json_is_read() {
        let list = tokens(r#" {"a" : [1, -2.5e3, "x\né\u0041\ud835\udcb3"], "b":{}, "c":null} "#, Rules::default());
        let texts: Vec<String> = list.into_iter().flatten().map(|(_, text)| text).collect();
        assert!(texts.contains(&"x\néA𝒳".to_owned()));
        assert!(texts.contains(&"-2.5e3".to_owned()));
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in
            ["{", "[1,]", "{\"a\":1,}", "{a:1}", "01", "+1", ".5", "\"a\nb\"", "{\"a\" 1}", "[1 2]", "tru", "truex"]
        {
            assert!(tokens(text, Rules::default()).is_err(), "{text}");
        }
    }

    #[test]
    fn liberties_are_taken_on_request() {
        let all = Rules {
            comments: true,
            unquoted_names: true,
            leading_zeros: true,
            control_letters: true,
            ..Rules::default()
        };
        assert!(tokens("{a:01, /* no */ 'b':NaN, c:-INF} // end", all).is_ok());
        assert!(tokens("['a']", Rules { single_quotes: false, ..Rules::default() }).is_err());
    }
}
