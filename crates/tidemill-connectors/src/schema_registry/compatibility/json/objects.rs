//! Properties, by the content model of the object: open, closed, or partly open.

use super::Pair;
use crate::schema_registry::json::Node;
use regex::Regex;
use serde_json::Value;

/// What an object may hold besides its properties.
enum Content<'a> {
    Open,
    Closed,
    /// Values of this schema.
    Partly(Node<'a>),
}

/// Compares properties, what may be beside them, and which must be there.
pub(super) fn check(pair: &mut Pair, reader: Node<'_>, writer: Node<'_>, path: &str) {
    patterns(pair, reader, writer, path);
    for (name, old) in writer.named("properties") {
        let path = format!("{path}/properties/{name}");
        match property(reader, name) {
            Some(new) => pair.check(new, old, &path),
            None => {
                let content = content(pair, reader, name);
                removed(pair, content, old, &path);
            }
        }
    }
    for (name, new) in reader.named("properties").filter(|(name, _)| property(writer, name).is_none()) {
        let content = content(pair, writer, name);
        added(pair, content, new, &format!("{path}/properties/{name}"));
    }
    required(pair, reader, writer, path);
    rest(pair, reader, writer, path);
}

fn property<'a>(node: Node<'a>, name: &str) -> Option<Node<'a>> {
    node.get("properties")?.get(name).map(|value| node.at(value))
}

/// What an object may hold under a name that is none of its properties.
fn content<'a>(pair: &mut Pair, node: Node<'a>, name: &str) -> Content<'a> {
    for (pattern, schema) in node.named("patternProperties") {
        match Regex::new(pattern) {
            Ok(regex) if regex.is_match(name) => return Content::Partly(schema),
            Ok(_) => {}
            Err(_) => pair.problem("", format!("the pattern '{pattern}' of patternProperties cannot be compared")),
        }
    }
    match node.schema("additionalProperties") {
        None => Content::Open,
        Some(schema) if schema.is_open() => Content::Open,
        Some(schema) if schema.value == &Value::Bool(false) => Content::Closed,
        Some(schema) => Content::Partly(schema),
    }
}

fn removed(pair: &mut Pair, content: Content<'_>, old: Node<'_>, path: &str) {
    match content {
        Content::Open => {}
        Content::Partly(schema) => pair.check(schema, old, path),
        Content::Closed if old.value == &Value::Bool(false) => {}
        Content::Closed => {
            let what = format!("{} may hold it, and nothing beside the properties is taken", pair.data);
            pair.problem(path, what);
        }
    }
}

fn added(pair: &mut Pair, content: Content<'_>, new: Node<'_>, path: &str) {
    match content {
        Content::Closed => {}
        Content::Partly(schema) => pair.check(new, schema, path),
        Content::Open if new.is_open() => {}
        Content::Open => {
            let what = format!(
                "{} may hold anything under this name, since its content model is open (no \"additionalProperties\": false)",
                pair.data
            );
            pair.problem(path, what);
        }
    }
}

fn required(pair: &mut Pair, reader: Node<'_>, writer: Node<'_>, path: &str) {
    let names = |node: Node<'_>| -> Vec<String> {
        let names = node.get("required").and_then(Value::as_array);
        names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let written = names(writer);
    for name in names(reader).into_iter().filter(|name| !written.contains(name)) {
        let schema = property(reader, &name).map(|schema| schema.resolved().unwrap_or(schema));
        if schema.is_none_or(|schema| schema.get("default").is_none()) {
            let what = format!("{} may lack it, and it has no default", pair.data);
            pair.problem(&format!("{path}/required/{name}"), what);
        }
    }
}

/// `additionalProperties` on both sides.
fn rest(pair: &mut Pair, reader: Node<'_>, writer: Node<'_>, path: &str) {
    let path = format!("{path}/additionalProperties");
    let Some(new) = reader.schema("additionalProperties").filter(|new| !new.is_open()) else { return };
    match writer.schema("additionalProperties") {
        Some(old) => pair.check(new, old, &path),
        None => {
            let what = format!("{} may hold other properties, of any kind", pair.data);
            pair.problem(&path, what);
        }
    }
}

fn patterns(pair: &mut Pair, reader: Node<'_>, writer: Node<'_>, path: &str) {
    for (pattern, new) in reader.named("patternProperties") {
        let path = format!("{path}/patternProperties/{pattern}");
        let same = writer.named("patternProperties").find(|(other, _)| *other == pattern);
        match (same, writer.schema("additionalProperties")) {
            (Some((_, old)), _) => pair.check(new, old, &path),
            (None, Some(old)) => pair.check(new, old, &path),
            (None, None) => pair.check(new, writer.at(&super::OPEN), &path),
        }
    }
    let Some(closed) = reader.schema("additionalProperties").filter(|new| !new.is_open()) else { return };
    for (pattern, old) in writer.named("patternProperties") {
        if !reader.named("patternProperties").any(|(other, _)| other == pattern) {
            pair.check(closed, old, &format!("{path}/patternProperties/{pattern}"));
        }
    }
}
