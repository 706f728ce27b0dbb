//! Cuts a line into its values. Knows quotes and escapes, not types.

/// The three characters that mean something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub delimiter: u8,
    pub quote: u8,
    pub escape: u8,
}

/// One value of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Value<'a> {
    /// Without quotes and escapes.
    pub text: &'a [u8],
    /// It stood in quotes.
    pub quoted: bool,
    /// Where the next value begins; `None` after the last.
    pub next: Option<usize>,
}

impl Dialect {
    /// The value of `line` that begins at `at`. `scratch` takes its text when there are escapes in it.
    ///
    /// # Errors
    /// What is wrong with the line, and where.
    pub fn value<'a>(
        &self,
        line: &'a [u8],
        at: usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Value<'a>, (&'static str, usize)> {
        if line.get(at) == Some(&self.quote) {
            return self.quoted(line, at + 1, scratch);
        }
        let rest = &line[at..];
        let end = rest.iter().position(|byte| *byte == self.delimiter);
        Ok(Value { text: &rest[..end.unwrap_or(rest.len())], quoted: false, next: end.map(|end| at + end + 1) })
    }

    fn quoted<'a>(
        &self,
        line: &'a [u8],
        start: usize,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Value<'a>, (&'static str, usize)> {
        let (mut at, mut plain, mut escaped) = (start, start, false);
        scratch.clear();
        let close = loop {
            let following = line.get(at + 1);
            match line.get(at) {
                None => return Err(("a quote is not closed", start - 1)),
                // An escape counts before a quote or an escape; a doubled quote is one too.
                Some(byte)
                    if (*byte == self.escape
                        && following.is_some_and(|it| *it == self.quote || *it == self.escape))
                        || (*byte == self.quote && following == Some(&self.quote)) =>
                {
                    scratch.extend_from_slice(&line[plain..at]);
                    (plain, escaped) = (at + 1, true);
                    at += 2;
                }
                Some(byte) if *byte == self.quote => break at,
                Some(_) => at += 1,
            }
        };
        let next = match line.get(close + 1) {
            None => None,
            Some(byte) if *byte == self.delimiter => Some(close + 2),
            Some(_) => return Err(("there is text after a closing quote", close + 1)),
        };
        if !escaped {
            return Ok(Value { text: &line[start..close], quoted: true, next });
        }
        scratch.extend_from_slice(&line[plain..close]);
        Ok(Value { text: scratch, quoted: true, next })
    }
}
