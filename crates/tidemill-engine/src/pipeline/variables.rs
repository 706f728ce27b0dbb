//! `${NAME}` and `${NAME:-default}` in a pipeline's text, replaced before it is read. Only variables
//! the text names are looked up; comments are left alone.

use super::text::{Spot, Text};
use std::collections::BTreeSet;
use tidemill_core::{Error, Result};

/// Looks a variable up; the program passes the environment, tests pass a table.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The text with its variables replaced.
///
/// # Errors
/// Every variable that is not set and has no default, with the place of the first; a value with a
/// line break; an open `${`.
pub fn expand(content: &str, text: &Text, lookup: Lookup<'_>) -> Result<String> {
    let mut expanded = String::with_capacity(content.len());
    let mut missing: Vec<(String, Spot)> = Vec::new();
    let mut scanner = Scanner { rest: content, line: 1, column: 1, quote: None };
    while let Some(piece) = scanner.next_piece() {
        match piece {
            Piece::Text(plain) => expanded.push_str(plain),
            Piece::Variable { body, at } => {
                let (name, default) = match body.split_once(":-") {
                    Some((name, default)) => (name.trim(), Some(default)),
                    None => (body.trim(), None),
                };
                match lookup(name).or_else(|| default.map(str::to_owned)) {
                    Some(value) if value.contains('\n') => {
                        return Err(Error::invalid(format!("the value of variable {name} has a line break"))
                            .at_if_unplaced(text.place(at)));
                    }
                    Some(value) => expanded.push_str(&value),
                    None => missing.push((name.to_owned(), at)),
                }
            }
            Piece::Open(at) => {
                return Err(Error::invalid("a variable is opened with `${` and never closed with `}`")
                    .at_if_unplaced(text.place(at)));
            }
        }
    }
    match missing.first() {
        None => Ok(expanded),
        Some((_, at)) => {
            let names: BTreeSet<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
            let names: Vec<&str> = names.into_iter().collect();
            Err(Error::invalid(format!("these environment variables are not set: {}", names.join(", ")))
                .at_if_unplaced(text.place(*at))
                .help("set them, or give a default: ${NAME:-default}"))
        }
    }
}

enum Piece<'a> {
    Text(&'a str),
    Variable { body: &'a str, at: Spot },
    Open(Spot),
}

struct Scanner<'a> {
    rest: &'a str,
    line: u64,
    column: u64,
    quote: Option<char>,
}

impl<'a> Scanner<'a> {
    fn next_piece(&mut self) -> Option<Piece<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        if let Some(body) = self.rest.strip_prefix("${") {
            let at = Spot { line: self.line, column: self.column, length: 2 };
            let Some(end) = body.find('}') else { return Some(Piece::Open(at)) };
            self.take(end + 3);
            return Some(Piece::Variable { body: &body[..end], at: Spot { length: end as u64 + 3, ..at } });
        }
        let length = self.plain_length();
        Some(Piece::Text(self.take(length)))
    }

    /// Length of the text up to the next variable: a comment, or one character at a time.
    fn plain_length(&mut self) -> usize {
        if self.quote.is_none() && self.rest.starts_with("--") {
            return self.rest.find('\n').unwrap_or(self.rest.len());
        }
        if self.quote.is_none() && self.rest.starts_with("/*") {
            return self.rest.find("*/").map_or(self.rest.len(), |end| end + 2);
        }
        let mut letters = self.rest.chars();
        let letter = letters.next().unwrap_or_default();
        match (self.quote, letter) {
            (None, '\'' | '"' | '`') => self.quote = Some(letter),
            (Some(quote), _) if quote == letter => self.quote = None,
            (Some(quote), '\\') if quote != '`' => {
                return letter.len_utf8() + letters.next().filter(|next| *next != '$').map_or(0, char::len_utf8);
            }
            _ => {}
        }
        letter.len_utf8()
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        for letter in taken.chars() {
            if letter == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(content: &str) -> Result<String> {
        expand(content, &Text::new("p.sql", content), &|name| (name == "TOPIC").then(|| "events".to_owned()))
    }

    #[test]
    fn names_and_defaults_are_replaced_and_comments_are_not() {
        let text = "a '${TOPIC}' -- ${NOT_SET}\n'${GROUP:-g1}' /* ${NOT_SET} */";
        assert_eq!(expanded(text).unwrap(), "a 'events' -- ${NOT_SET}\n'g1' /* ${NOT_SET} */");
    }

    #[test]
    fn every_missing_name_is_listed_with_the_place_of_the_first() {
        let report = expanded("x\n  '${B_NOT_SET}' '${A_NOT_SET}'").unwrap_err().report();
        assert!(report.contains("A_NOT_SET, B_NOT_SET") && report.contains("p.sql:2:4"), "{report}");
    }
}
