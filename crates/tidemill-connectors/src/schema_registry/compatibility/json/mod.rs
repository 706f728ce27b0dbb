//! JSON Schema: whether every document that one schema takes is taken by another, by Confluent's rules.
//!
//! | change, as seen by readers with the new schema | |
//! |---|---|
//! | a type, a branch of anyOf or oneOf, a value of an enum more | compatible |
//! | a limit wider or gone | compatible |
//! | a property more, in a closed content model (`additionalProperties: false`), optional or with a default | compatible |
//! | a property more, in an open content model | not: old data may hold anything under its name; a property that takes everything (`{}`) is compatible |
//! | a property less, into an open content model | compatible |
//! | a property less, into a closed one | not: old data may hold it |
//! | the same, where `additionalProperties` or `patternProperties` has a schema | by that schema |
//! | a property required that was not, without default | not |
//!
//! Compared are type, enum, const, the limits of numbers, texts, lists and objects, properties, patternProperties,
//! additionalProperties, required, items, prefixItems, additionalItems, allOf, anyOf, oneOf, not and $ref. Every other
//! keyword that constrains ([`OTHER`]) may stay as it is or go; one that changes is named as a difference.

mod limits;
mod objects;

use super::Difference;
use crate::schema_registry::json::{JsonSchema, Node};
use serde_json::Value;

/// Keywords that are not compared; they must stay as they are.
const OTHER: &[&str] = &[
    "$dynamicRef",
    "$recursiveRef",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "minContains",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// A schema that takes everything.
static OPEN: Value = Value::Bool(true);
const SUMS: [&str; 2] = ["anyOf", "oneOf"];

/// What keeps `reader` from taking what `writer` takes.
pub(super) fn unreadable(reader: &JsonSchema, writer: &JsonSchema, data: &'static str) -> Vec<Difference> {
    let mut pair = Pair { data, visited: Vec::new(), problems: Vec::new() };
    pair.check(reader.root(), writer.root(), "#");
    pair.problems
}

struct Pair {
    /// Whose data the reader gets, for messages.
    data: &'static str,
    /// Addresses of the schemas that are being or were compared.
    visited: Vec<(*const Value, *const Value)>,
    problems: Vec<Difference>,
}

impl Pair {
    fn check(&mut self, reader: Node<'_>, writer: Node<'_>, path: &str) {
        let (reader, writer) = match (reader.resolved(), writer.resolved()) {
            (Ok(reader), Ok(writer)) => (reader, writer),
            (Err(error), _) | (_, Err(error)) => return self.problem(path, error.to_string()),
        };
        let places = (std::ptr::from_ref(reader.value), std::ptr::from_ref(writer.value));
        if self.visited.contains(&places) {
            return;
        }
        self.visited.push(places);
        if reader.is_open() || writer.value == &Value::Bool(false) || is_same(reader.value, writer.value) {
            return;
        }
        if reader.value == &Value::Bool(false) {
            let what = format!("{} may hold something where nothing is taken", self.data);
            return self.problem(path, what);
        }
        if self.branches_of_writer(reader, writer, path) {
            return;
        }
        self.sums_of_reader(reader, writer, path);
        for (number, part) in reader.list("allOf").unwrap_or_default().into_iter().enumerate() {
            let parts = writer.list("allOf").unwrap_or_default();
            if !parts.into_iter().any(|other| self.fits(part, other)) {
                self.check(part, writer, &format!("{path}/allOf/{number}"));
            }
        }
        self.negation(reader, writer, path);
        self.values(reader, writer, path);
        let Some(common) = self.types(reader, writer, path) else { return };
        for keyword in OTHER {
            let (new, old) = (reader.get(keyword), writer.get(keyword));
            if new.is_some() && !matches!((new, old), (Some(new), Some(old)) if is_same(new, old)) {
                self.problem(path, format!("'{keyword}' is not compared by this registry and must stay as it is"));
            }
        }
        limits::check(self, reader, writer, &common, path);
        if common.contains(&"object") {
            objects::check(self, reader, writer, path);
        }
        if common.contains(&"array") {
            self.items(reader, writer, path);
        }
    }

    /// A writer that is nothing but a choice or a conjunction is compared branch by branch; true when that was done.
    fn branches_of_writer(&mut self, reader: Node<'_>, writer: Node<'_>, path: &str) -> bool {
        let Value::Object(keywords) = writer.value else { return false };
        let mut constraining = keywords.keys().filter(|key| crate::schema_registry::json::constrains(key));
        let (Some(only), None) = (constraining.next(), constraining.next()) else { return false };
        match (only.as_str(), writer.list(only)) {
            ("anyOf" | "oneOf", Some(branches)) if SUMS.iter().all(|sum| reader.get(sum).is_none()) => {
                branches.into_iter().for_each(|branch| self.check(reader, branch, path));
                true
            }
            ("allOf", Some(branches)) if reader.get("allOf").is_none() => {
                branches.into_iter().any(|branch| self.fits(reader, branch))
            }
            _ => false,
        }
    }

    fn sums_of_reader(&mut self, reader: Node<'_>, writer: Node<'_>, path: &str) {
        for sum in SUMS {
            let Some(branches) = reader.list(sum) else { continue };
            if branches.iter().any(|branch| self.fits(*branch, writer)) {
                continue;
            }
            let written = SUMS.iter().find_map(|sum| writer.list(sum)).unwrap_or_else(|| vec![writer]);
            for (number, other) in written.into_iter().enumerate() {
                if branches.iter().any(|branch| self.fits(*branch, other)) {
                    continue;
                }
                // the only branch there is says more than that none fits
                match branches.as_slice() {
                    [one] => self.check(*one, other, &format!("{path}/{sum}/0")),
                    _ => {
                        let what =
                            format!("{} may hold what branch {number} takes, and no branch takes here", self.data);
                        self.problem(&format!("{path}/{sum}"), what);
                    }
                }
            }
        }
    }

    fn negation(&mut self, reader: Node<'_>, writer: Node<'_>, path: &str) {
        let Some(refused) = reader.schema("not") else { return };
        let was_refused = writer.schema("not").is_some_and(|old| self.fits(old, refused));
        if !was_refused {
            self.problem(&format!("{path}/not"), format!("{} may hold what is refused", self.data));
        }
    }

    /// `enum` and `const`.
    fn values(&mut self, reader: Node<'_>, writer: Node<'_>, path: &str) {
        let Some(taken) = listed(reader) else { return };
        let keyword = if reader.get("enum").is_some() { "enum" } else { "const" };
        let path = format!("{path}/{keyword}");
        match listed(writer) {
            None => self.problem(&path, format!("{} may hold other values", self.data)),
            Some(written) => {
                let others: Vec<String> =
                    written.into_iter().filter(|value| !taken.contains(value)).map(Value::to_string).collect();
                if !others.is_empty() {
                    let what = format!("{} may hold {}, which is no longer listed", self.data, others.join(", "));
                    self.problem(&path, what);
                }
            }
        }
    }

    /// The types that both may hold; `None` when one of the writer's is not taken.
    fn types(&mut self, reader: Node<'_>, writer: Node<'_>, path: &str) -> Option<Vec<&'static str>> {
        let (taken, written) = (types_of(reader), types_of(writer));
        let takes = |one: &&str| taken.contains(one) || (*one == "integer" && taken.contains(&"number"));
        let refused: Vec<&str> = written.iter().filter(|one| !takes(one)).copied().collect();
        if refused.is_empty() {
            return Some(written);
        }
        let what =
            format!("{} may hold {}, which cannot be read as {}", self.data, refused.join(", "), taken.join(", "));
        self.problem(&format!("{path}/type"), what);
        None
    }

    fn items(&mut self, reader: Node<'_>, writer: Node<'_>, path: &str) {
        let (taken, written) = (Items::of(reader), Items::of(writer));
        for number in 0..taken.first.len().max(written.first.len()) {
            self.check(taken.at(number), written.at(number), &format!("{path}/items/{number}"));
        }
        self.check(taken.rest, written.rest, &format!("{path}/items"));
    }

    /// True when `check` finds nothing.
    fn fits(&mut self, reader: Node<'_>, writer: Node<'_>) -> bool {
        let (problems, visited) = (self.problems.len(), self.visited.len());
        self.check(reader, writer, "");
        let fits = self.problems.len() == problems;
        if !fits {
            self.problems.truncate(problems);
            self.visited.truncate(visited);
        }
        fits
    }

    fn problem(&mut self, path: &str, what: String) {
        self.problems.push(Difference { path: path.to_owned(), what });
    }
}

/// The items of lists: the first ones, each with its schema, and all others.
struct Items<'a> {
    first: Vec<Node<'a>>,
    rest: Node<'a>,
}

impl<'a> Items<'a> {
    fn of(node: Node<'a>) -> Items<'a> {
        // until draft 2019-09 a list in `items` is what `prefixItems` is now
        let old = node.list("items");
        let rest = if old.is_some() { "additionalItems" } else { "items" };
        let first = old.or_else(|| node.list("prefixItems")).unwrap_or_default();
        Items { first, rest: node.schema(rest).unwrap_or_else(|| node.at(&OPEN)) }
    }

    fn at(&self, number: usize) -> Node<'a> {
        self.first.get(number).copied().unwrap_or(self.rest)
    }
}

/// What a schema lists in `enum` or `const`.
fn listed(node: Node<'_>) -> Option<Vec<&Value>> {
    match (node.get("enum").and_then(Value::as_array), node.get("const")) {
        (Some(values), _) => Some(values.iter().collect()),
        (None, Some(value)) => Some(vec![value]),
        (None, None) => None,
    }
}

/// The types that a schema takes.
fn types_of(node: Node<'_>) -> Vec<&'static str> {
    const ALL: [&str; 6] = ["null", "boolean", "number", "string", "array", "object"];
    let known = |word: &str| ALL.into_iter().chain(["integer"]).find(|known| *known == word);
    match node.get("type") {
        Some(Value::String(word)) => known(word).into_iter().collect(),
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).filter_map(known).collect(),
        _ => match listed(node) {
            Some(values) => {
                let mut types: Vec<&str> = values.into_iter().map(type_of).collect();
                types.sort_unstable();
                types.dedup();
                types
            }
            None => ALL.to_vec(),
        },
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Equal, and without a `$ref`, which may mean something else on either side.
fn is_same(left: &Value, right: &Value) -> bool {
    left == right && !has_reference(left)
}

fn has_reference(value: &Value) -> bool {
    match value {
        Value::Object(object) => object.contains_key("$ref") || object.values().any(has_reference),
        Value::Array(items) => items.iter().any(has_reference),
        _ => false,
    }
}
