//! Parts of a URL: `parse_url`, `try_parse_url`. What is no URL fails, or is NULL.
//! Source: Java SE 17, `java.net.URI`; RFC 2396.

use super::super::row::{self, Row};
use super::super::text::all_text;
use super::super::{CallContext, Entry};
use crate::function::datum::Datum;
use crate::pipeline::analysis::typed::Typed;
use arrow::datatypes::DataType;
use tidemill_core::{Error, Kind, Result};

pub const ENTRIES: &[Entry] = &[
    Entry { names: &["parse_url"], arguments: (2, 3), build: |context, arguments| parse_url(context, arguments, true) },
    Entry {
        names: &["try_parse_url"],
        arguments: (2, 3),
        build: |context, arguments| parse_url(context, arguments, false),
    },
];

fn parse_url(context: &CallContext<'_>, arguments: Vec<Typed>, fails: bool) -> Result<Typed> {
    let fails = fails && context.session.settings.ansi();
    let body = move |row: Row<'_>| {
        if (0..row.count()).any(|index| row.is_null(index)) {
            return Ok(Datum::Null);
        }
        let Some(url) = Url::parse(row.text(0)) else {
            let error = || {
                Error::new(Kind::Data, format!("parse_url: '{}' is no URL", row.text(0)))
                    .class("INVALID_URL")
                    .help("use try_parse_url to get NULL instead")
            };
            return if fails { Err(error()) } else { Ok(Datum::Null) };
        };
        let key = if row.count() == 3 { Some(row.text(2)) } else { None };
        Ok(match (row.text(1), key) {
            ("QUERY", Some(key)) => url.query.and_then(|query| value_of(query, key)).map(str::to_owned).into(),
            (_, Some(_)) => Datum::Null,
            (part, None) => url.part(part).into(),
        })
    };
    Ok(row::call(context, fails.to_string(), DataType::Utf8, all_text(context, arguments)?, body))
}

/// A URL taken apart; parts are as they stand.
#[derive(Debug)]
struct Url<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    user: Option<&'a str>,
    host: Option<&'a str>,
    /// `None` for an opaque one, such as `mailto:a@b.c`.
    path: Option<&'a str>,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Option<Url<'a>> {
        if !is_valid(text) {
            return None;
        }
        let (rest, fragment) = split(text, '#');
        let scheme_end = rest.find([':', '/', '?']).filter(|end| rest[*end..].starts_with(':'));
        let (scheme, rest) = match scheme_end {
            Some(end) => (Some(&rest[..end]), &rest[end + 1..]),
            None => (None, rest),
        };
        if let Some(scheme) = scheme {
            let valid = scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
            if !valid || rest.is_empty() {
                return None;
            }
        }
        let none = Url { scheme, authority: None, user: None, host: None, path: None, query: None, fragment };
        if scheme.is_some() && !rest.starts_with('/') {
            return Some(none);
        }
        let (rest, query) = split(rest, '?');
        let Some(after) = rest.strip_prefix("//") else { return Some(Url { path: Some(rest), query, ..none }) };
        let end = after.find('/').unwrap_or(after.len());
        let (authority, path) = (&after[..end], &after[end..]);
        if authority.is_empty() {
            return if path.is_empty() { None } else { Some(Url { path: Some(path), query, ..none }) };
        }
        let (user, host) = server(authority);
        Some(Url { authority: Some(authority), user, host, path: Some(path), query, ..none })
    }

    fn part(&self, part: &str) -> Option<String> {
        let found = match part {
            "HOST" => self.host,
            "PATH" => self.path,
            "QUERY" => self.query,
            "REF" => self.fragment,
            "PROTOCOL" => self.scheme,
            "AUTHORITY" => self.authority,
            "USERINFO" => self.user,
            "FILE" => {
                let path = self.path?;
                return Some(self.query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")));
            }
            _ => None,
        };
        found.map(str::to_owned)
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// User and host of an authority, when it is one of a server.
fn server(authority: &str) -> (Option<&str>, Option<&str>) {
    let (user, rest) = authority.rsplit_once('@').map_or((None, authority), |(user, rest)| (Some(user), rest));
    let (host, port) = match rest.find(']') {
        Some(end) if rest.starts_with('[') => (&rest[..=end], rest[end + 1..].strip_prefix(':').unwrap_or_default()),
        _ => split(rest, ':').0.split_at(split(rest, ':').0.len()),
    };
    let port = if port.is_empty() { split(rest, ':').1.unwrap_or_default() } else { port };
    let labels = host.trim_end_matches('.').split('.');
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_name = host
        .trim_end_matches('.')
        .rsplit('.')
        .next()
        .is_some_and(|last| last.starts_with(|letter: char| letter.is_ascii_alphabetic()));
    let is_address = host.split('.').count() == 4 && host.split('.').all(|part| part.parse::<u8>().is_ok());
    let is_host = host.starts_with('[') || is_address || (labels.clone().all(is_label) && last_is_name);
    let is_port = host.starts_with('[') || port.bytes().all(|byte| byte.is_ascii_digit());
    if is_host && is_port { (user, Some(host)) } else { (None, None) }
}

/// Letters a URL may have: those of RFC 2396, `%` before two hex digits, and letters beyond ASCII.
fn is_valid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ascii = |index: usize, byte: u8| match byte {
        b'%' => bytes.get(index + 1..index + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => false,
        other => other.is_ascii_graphic(),
    };
    let beyond = |letter: char| !letter.is_whitespace() && !letter.is_control();
    text.char_indices().all(|(index, letter)| match u8::try_from(u32::from(letter)) {
        Ok(byte) if byte.is_ascii() => ascii(index, byte),
        _ => beyond(letter),
    })
}

/// The value of a key in a query.
fn value_of<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parts = |text: &str, part: &str| Url::parse(text).and_then(|url| url.part(part));
        let text = "http://user:pw@spark.apache.org:8080/path/p.html?query=1&b=x%20y#Ref";
        for (part, expected) in [
            ("HOST", "spark.apache.org"),
            ("PATH", "/path/p.html"),
            ("QUERY", "query=1&b=x%20y"),
            ("REF", "Ref"),
            ("PROTOCOL", "http"),
            ("FILE", "/path/p.html?query=1&b=x%20y"),
            ("AUTHORITY", "user:pw@spark.apache.org:8080"),
            ("USERINFO", "user:pw"),
        ] {
            assert_eq!(parts(text, part).as_deref(), Some(expected), "{part}");
        }
        assert_eq!(parts("mailto:a@b.c", "HOST"), None);
        assert!(Url::parse("inva lid://x").is_none());
        assert_eq!(value_of("a=1&bc=2", "c"), None);
    }
}
