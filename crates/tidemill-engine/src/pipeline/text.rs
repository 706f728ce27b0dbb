//! The text a user wrote, and positions in it. Everything that can be wrong carries a [`Spot`]; the
//! text turns it into the place an error prints.

use serde::{Deserialize, Serialize};
use tidemill_core::Place;

/// A position in a text: line and column count from 1, length is in characters. Line 0 means the
/// thing stands in no text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Spot {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
    /// Length in characters.
    pub length: u64,
}

impl Spot {
    /// True for a thing that stands in no text.
    pub fn is_nowhere(&self) -> bool {
        self.line == 0
    }
}

/// A text with the name people know it by: a file, or `<sql>` for a string.
#[derive(Debug, Clone, Default)]
pub struct Text {
    name: String,
    lines: Vec<String>,
}

impl Text {
    /// The text `content` of the file `name`.
    pub fn new(name: impl Into<String>, content: &str) -> Self {
        Text { name: name.into(), lines: content.lines().map(str::to_owned).collect() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where `spot` is, for an error; `None` when it stands in no text.
    pub fn place(&self, spot: Spot) -> Option<Place> {
        if spot.is_nowhere() {
            return None;
        }
        let text = self.lines.get(spot.line as usize - 1).map(|line| without_secrets(line)).unwrap_or_default();
        Some(Place::Text {
            file: self.name.clone(),
            line: spot.line,
            column: spot.column,
            length: spot.length.min(text.chars().count() as u64 + 1),
            text,
        })
    }
}

/// Ends of option names whose values are secret.
const SECRET: [&str; 10] = [
    "password",
    "passphrase",
    "secret",
    "token",
    "account_key",
    "access_key",
    "hmac_key",
    "key.pem",
    "connection_string",
    "credentials",
];

/// A line as errors may show it: stars for the values of secret options, as long as they are. A reference such as
/// `${PASSWORD}` stays.
fn without_secrets(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\'') {
        shown.push_str(before);
        shown.push('\'');
        let (value, tail) = after.split_once('\'').map_or((after, None), |(value, tail)| (value, Some(tail)));
        match is_secret(&shown) && !value.starts_with("${") {
            true => shown.extend(value.chars().map(|_| '*')),
            false => shown.push_str(value),
        }
        let Some(tail) = tail else { return shown };
        shown.push('\'');
        rest = tail;
    }
    shown.push_str(rest);
    shown
}

/// True when what is before a value, its opening quote with it, ends in the name of a secret option.
fn is_secret(before: &str) -> bool {
    let quotes = |letter: char| matches!(letter, '\'' | '"' | '`') || letter.is_whitespace();
    let Some(name) = before.trim_end_matches('\'').trim_end().strip_suffix('=') else { return false };
    let name = name.trim_end_matches(quotes).to_lowercase();
    SECRET.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_no_secret() {
        for (line, shown) in [
            ("WITH (password = 'hunter2', table = 'a')", "WITH (password = '*******', table = 'a')"),
            ("'storage.azure_storage_account_key'='abc=='", "'storage.azure_storage_account_key'='*****'"),
            ("password = '${PGPASSWORD}', primary_key = 'id'", "password = '${PGPASSWORD}', primary_key = 'id'"),
            ("SET token = 'open", "SET token = '****"),
            ("SELECT 'password' FROM t", "SELECT 'password' FROM t"),
        ] {
            assert_eq!(without_secrets(line), shown);
        }
    }
}
