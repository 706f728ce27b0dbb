//! A line of CSV taken apart into cells, and cells as they stand in a line.

use crate::function::{CallContext, constant};
use crate::pipeline::analysis::typed::Typed;
use tidemill_core::Result;

/// How cells are separated and quoted.
#[derive(Debug, Clone)]
pub struct Dialect {
    pub separator: String,
    quote: char,
    escape: char,
    /// What stands for NULL.
    pub null: String,
    trim_read: (bool, bool),
    trim_write: (bool, bool),
}

impl Dialect {
    /// The dialect in the options given, or Spark's.
    ///
    /// # Errors
    /// Options that are no map of text.
    pub fn of(given: Option<&Typed>, context: &CallContext<'_>) -> Result<Dialect> {
        let map = given.map(|given| constant::options(given, context)).transpose()?.unwrap_or_default();
        let letter =
            |name: &str, otherwise: char| map.get(name).map_or(otherwise, |text| text.chars().next().unwrap_or('\0'));
        let flag = |name: &str| map.get(name).map(|text| text.eq_ignore_ascii_case("true"));
        let (leading, trailing) = (flag("ignoreleadingwhitespace"), flag("ignoretrailingwhitespace"));
        Ok(Dialect {
            separator: map.get("sep").or_else(|| map.get("delimiter")).map_or(",", String::as_str).to_owned(),
            quote: letter("quote", '"'),
            escape: letter("escape", '\\'),
            null: map.get("nullvalue").cloned().unwrap_or_default(),
            trim_read: (leading.unwrap_or(false), trailing.unwrap_or(false)),
            trim_write: (leading.unwrap_or(true), trailing.unwrap_or(true)),
        })
    }

    /// The cells of a line; `None` where one is empty or stands for NULL.
    pub fn split(&self, line: &str) -> Vec<Option<String>> {
        let mut cells = vec![];
        let mut rest = line;
        loop {
            if self.trim_read.0 {
                rest = rest.trim_start_matches(' ');
            }
            let (cell, after) = match rest.strip_prefix(self.quote) {
                Some(inner) => self.quoted_cell(rest, inner),
                None => {
                    let end = rest.find(&self.separator).unwrap_or(rest.len());
                    let cell = &rest[..end];
                    let cell = if self.trim_read.1 { cell.trim_end_matches(' ') } else { cell };
                    (Some(cell.to_owned()).filter(|cell| !cell.is_empty()), &rest[end..])
                }
            };
            cells.push(cell.filter(|cell| self.null.is_empty() || *cell != self.null));
            match after.strip_prefix(&self.separator) {
                Some(next) => rest = next,
                None => return cells,
            }
        }
    }

    /// A cell in quotes. When a quote in it is not escaped, the cell stands as it is up to the separator.
    fn quoted_cell<'a>(&self, whole: &'a str, inner: &'a str) -> (Option<String>, &'a str) {
        let mut out = String::new();
        let mut letters = inner.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            if letter == self.escape && letters.peek().is_some_and(|(_, next)| *next == self.quote) {
                out.push(self.quote);
                letters.next();
                continue;
            }
            if letter != self.quote {
                out.push(letter);
                continue;
            }
            let after = &inner[at + letter.len_utf8()..];
            let spaces = if self.trim_read.1 { after.trim_start_matches(' ') } else { after };
            if spaces.is_empty() || spaces.starts_with(&self.separator) {
                return (Some(out), spaces);
            }
            let end = whole.find(&self.separator).unwrap_or(whole.len());
            return (Some(whole[..end].to_owned()), &whole[end..]);
        }
        (Some(out), "")
    }

    /// A cell as it stands in a line: in quotes when it has to be.
    pub fn quoted(&self, text: &str) -> String {
        let text = if self.trim_write.0 { text.trim_start_matches(' ') } else { text };
        let text = if self.trim_write.1 { text.trim_end_matches(' ') } else { text };
        if text.is_empty() {
            return format!("{0}{0}", self.quote);
        }
        let needs = text.contains(&self.separator) || text.contains(['\n', '\r', self.quote]);
        if !needs {
            return text.to_owned();
        }
        let mut out = String::from(self.quote);
        for letter in text.chars() {
            if letter == self.quote {
                out.push(self.escape);
            }
            out.push(letter);
        }
        out.push(self.quote);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Dialect {
        Dialect {
            separator: ",".into(),
            quote: '"',
            escape: '\\',
            null: String::new(),
            trim_read: (false, false),
            trim_write: (true, true),
        }
    }

    #[test]
    fn lines_are_split_as_spark_does() {
        let split = |line: &str| -> Vec<String> {
            plain().split(line).into_iter().map(|cell| cell.unwrap_or("NULL".into())).collect()
        };
        assert_eq!(split("1,abc,2.5"), ["1", "abc", "2.5"]);
        assert_eq!(split("\"1\",\"a \"\"q\"\" b\",3"), ["1", "\"a \"\"q\"\" b\"", "3"]);
        assert_eq!(split("\"a\\\"b\",\"x,y\""), ["a\"b", "x,y"]);
        assert_eq!(split("1,\"unclosed,2"), ["1", "unclosed,2"]);
        assert_eq!(split(",,"), ["NULL", "NULL", "NULL"]);
        assert_eq!(split(" 1 , x"), [" 1 ", " x"]);
    }

    #[test]
    fn cells_are_quoted_when_they_have_to_be() {
        assert_eq!(plain().quoted("a,b"), "\"a,b\"");
        assert_eq!(plain().quoted("q\"t"), "\"q\\\"t\"");
        assert_eq!(plain().quoted(""), "\"\"");
        assert_eq!(plain().quoted(" a "), "a");
    }
}
