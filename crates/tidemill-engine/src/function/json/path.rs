//! JSON paths such as `$.a.b[0]`, `$['a b'][*].c`, and what stands at them.
//! Source: Spark's `get_json_object`, which keeps Hive's rules for `[*]`; observed in `json_get`.

use super::lexer::{Lexer, Malformed, Rules, Token};
use super::writer::Writer;

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Into an object.
    Key,
    Named(String),
    /// Into an array.
    Subscript,
    Index(u64),
    Wildcard,
}

/// A path that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// The only match: text stands without quotes.
    Raw,
    /// One of several.
    Quoted,
    /// One of several, arrays taken apart.
    Flat,
}

impl Path {
    /// Reads a path; `None` when it is not valid.
    pub fn parse(text: &str) -> Option<Path> {
        let mut rest = text.strip_prefix('$')?;
        let mut steps = vec![];
        loop {
            if rest.is_empty() {
                return Some(Path(steps));
            }
            if let Some(after) = rest.strip_prefix(".*").or_else(|| rest.strip_prefix("['*']")) {
                steps.push(Step::Wildcard);
                rest = after;
            } else if let Some(after) = rest.strip_prefix('.') {
                let name = after;
                let end = name.find(['.', '[']).unwrap_or(name.len());
                if end == 0 {
                    return None;
                }
                steps.extend([Step::Key, Step::Named(name[..end].to_owned())]);
                rest = &name[end..];
            } else if let Some(after) = rest.strip_prefix("['") {
                let name = after;
                let end = name.find(['\'', '?'])?;
                rest = name[end..].strip_prefix("']").filter(|_| end > 0)?;
                steps.extend([Step::Key, Step::Named(name[..end].to_owned())]);
            } else {
                let inner = rest.strip_prefix('[')?;
                let end = inner.find(']')?;
                let word = &inner[..end];
                let digits = !word.is_empty() && word.bytes().all(|digit| digit.is_ascii_digit());
                steps.push(Step::Subscript);
                steps.push(match word {
                    "*" => Step::Wildcard,
                    number if digits => Step::Index(number.parse().ok()?),
                    _ => return None,
                });
                rest = &inner[end + 1..];
            }
        }
    }

    /// What stands at the path; `None` when nothing does or the text is no JSON.
    pub fn find(&self, text: &str) -> Option<String> {
        let mut lexer = Lexer::new(text, Rules::default());
        lexer.advance().ok()??;
        let mut writer = Writer::of_bytes();
        let found = evaluate(&mut lexer, &mut writer, Style::Raw, &self.0).ok()?;
        found.then(|| writer.finish())
    }
}

fn evaluate(lexer: &mut Lexer<'_>, out: &mut Writer, style: Style, path: &[Step]) -> Result<bool, Malformed> {
    let token = lexer.token().ok_or(Malformed)?;
    match (token, path) {
        (Token::Text, []) if style == Style::Raw => {
            out.plain(lexer.text());
            Ok(true)
        }
        (Token::ArrayStart, []) if style == Style::Flat => {
            let mut found = false;
            while next_element(lexer)? {
                found |= evaluate(lexer, out, style, &[])?;
            }
            Ok(found)
        }
        (_, []) => out.copy(lexer).map(|()| true),
        (Token::ObjectStart, [Step::Key, rest @ ..]) => {
            let mut found = false;
            while lexer.advance()?.ok_or(Malformed)? != Token::ObjectEnd {
                match found {
                    true => lexer.skip_children()?,
                    false => found = evaluate(lexer, out, style, rest)?,
                }
            }
            Ok(found)
        }
        (Token::ArrayStart, [Step::Subscript, Step::Wildcard, Step::Subscript, Step::Wildcard, rest @ ..]) => {
            all(lexer, out, Style::Flat, rest)
        }
        (Token::ArrayStart, [Step::Subscript, Step::Wildcard, rest @ ..]) if style != Style::Quoted => {
            let inner = if style == Style::Raw { Style::Quoted } else { Style::Flat };
            let mut buffer = Writer::default();
            buffer.open(false);
            let mut found = 0;
            while next_element(lexer)? {
                found += usize::from(evaluate(lexer, &mut buffer, inner, rest)?);
            }
            buffer.close();
            let buffer = buffer.finish();
            match found {
                0 => {}
                // a single match stands without an array around it
                1 => out.raw(&buffer[1..buffer.len() - 1]),
                _ => out.raw(&buffer),
            }
            Ok(found > 0)
        }
        (Token::ArrayStart, [Step::Subscript, Step::Wildcard, rest @ ..]) => all(lexer, out, Style::Quoted, rest),
        (Token::ArrayStart, [Step::Subscript, Step::Index(index), rest @ ..]) => {
            let several = matches!(rest, [Step::Subscript, Step::Wildcard, ..]);
            element(lexer, out, if several { Style::Quoted } else { style }, *index, rest)
        }
        (Token::Name, [Step::Named(name), rest @ ..]) if lexer.text() == name => {
            if lexer.advance()? == Some(Token::Null) { Ok(false) } else { evaluate(lexer, out, style, rest) }
        }
        (Token::Name, [Step::Wildcard, rest @ ..]) => {
            lexer.advance()?;
            evaluate(lexer, out, style, rest)
        }
        _ => {
            lexer.skip_children()?;
            Ok(false)
        }
    }
}

fn next_element(lexer: &mut Lexer<'_>) -> Result<bool, Malformed> {
    Ok(lexer.advance()?.ok_or(Malformed)? != Token::ArrayEnd)
}

fn all(lexer: &mut Lexer<'_>, out: &mut Writer, style: Style, path: &[Step]) -> Result<bool, Malformed> {
    let mut found = false;
    out.open(false);
    while next_element(lexer)? {
        found |= evaluate(lexer, out, style, path)?;
    }
    out.close();
    Ok(found)
}

fn element(
    lexer: &mut Lexer<'_>,
    out: &mut Writer,
    style: Style,
    index: u64,
    path: &[Step],
) -> Result<bool, Malformed> {
    for _ in 0..index {
        if !next_element(lexer)? {
            return Ok(false);
        }
        lexer.skip_children()?;
    }
    if !next_element(lexer)? {
        return Ok(false);
    }
    let found = evaluate(lexer, out, style, path)?;
    while next_element(lexer)? {
        lexer.skip_children()?;
    }
    Ok(found)
}

/// The values of several fields of an object, each as text; `None` where there is none. Text that is
/// no JSON object has none.
pub fn fields(text: &str, names: &[Option<&str>]) -> Vec<Option<String>> {
    let read = || -> Result<Vec<Option<String>>, Malformed> {
        let mut row = vec![None; names.len()];
        let mut lexer = Lexer::new(text, Rules::default());
        if lexer.advance()? != Some(Token::ObjectStart) {
            return Ok(row);
        }
        while lexer.advance()?.ok_or(Malformed)? != Token::ObjectEnd {
            if lexer.token() == Some(Token::Name) {
                let wanted: Vec<usize> =
                    (0..names.len()).filter(|position| names[*position] == Some(lexer.text())).collect();
                if !wanted.is_empty() && lexer.advance()? != Some(Token::Null) {
                    let value = match lexer.token() {
                        Some(Token::Text) => lexer.text().to_owned(),
                        _ => {
                            let mut writer = Writer::of_bytes();
                            writer.copy(&mut lexer)?;
                            writer.finish()
                        }
                    };
                    for position in wanted {
                        row[position] = Some(value.clone());
                    }
                }
            }
            lexer.skip_children()?;
        }
        Ok(row)
    };
    read().unwrap_or_else(|Malformed| vec![None; names.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_what_spark_finds() {
        let text = r#"{"a":[{"b":1},{"b":"x"},{"c":null}],"d e":{"f":1.50},"m":[[1,2],[3]]}"#;
        for (path, found) in [
            ("$.a[0].b", Some("1")),
            ("$.a[1].b", Some("x")),
            ("$.a[*].b", Some("[1,\"x\"]")),
            ("$['d e'].f", Some("1.5")),
            ("$.m[*][*]", Some("[1,2,3]")),
            ("$.m[*][0]", Some("[1,3]")),
            ("$.a[2].c", None),
            ("$.a[9]", None),
            ("$..a", None),
            ("a", None),
        ] {
            assert_eq!(Path::parse(path).and_then(|path| path.find(text)).as_deref(), found, "{path}");
        }
    }
}
