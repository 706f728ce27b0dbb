//! Limits of numbers, texts, lists and objects: each may become wider or go.

use super::Pair;
use crate::schema_registry::json::Node;
use serde_json::Value;

/// Keyword, the types it is for, true when a smaller number is the narrower limit.
const COUNTS: &[(&str, &str, bool)] = &[
    ("maxLength", "string", true),
    ("minLength", "string", false),
    ("maxItems", "array", true),
    ("minItems", "array", false),
    ("maxProperties", "object", true),
    ("minProperties", "object", false),
];

/// Compares the limits for the types that both may hold.
pub(super) fn check(pair: &mut Pair, reader: Node<'_>, writer: Node<'_>, types: &[&str], path: &str) {
    for (keyword, of, is_most) in COUNTS {
        let Some(new) = reader.get(keyword).and_then(Value::as_f64).filter(|_| types.contains(of)) else { continue };
        let old = writer.get(keyword).and_then(Value::as_f64);
        if old.is_none_or(|old| if *is_most { old > new } else { old < new }) {
            narrower(pair, keyword, &Value::from(new as u64), writer.get(keyword), path);
        }
    }
    if types.contains(&"string") && reader.get("pattern").is_some() && reader.get("pattern") != writer.get("pattern") {
        let what = format!("{} may not match this pattern", pair.data);
        pair.problem(&format!("{path}/pattern"), what);
    }
    if types.contains(&"array")
        && reader.get("uniqueItems") == Some(&Value::Bool(true))
        && writer.get("uniqueItems") != Some(&Value::Bool(true))
    {
        let what = format!("{} may hold an item twice", pair.data);
        pair.problem(&format!("{path}/uniqueItems"), what);
    }
    if types.iter().any(|of| matches!(*of, "number" | "integer")) {
        numbers(pair, reader, writer, types, path);
    }
}

fn numbers(pair: &mut Pair, reader: Node<'_>, writer: Node<'_>, types: &[&str], path: &str) {
    for (keyword, exclusive, sign) in [("maximum", "exclusiveMaximum", 1.0), ("minimum", "exclusiveMinimum", -1.0)] {
        let Some(new) = bound(reader, keyword, exclusive, sign) else { continue };
        let old = bound(writer, keyword, exclusive, sign);
        // the tighter bound is the smaller one; of two equal ones the exclusive one
        let is_within = old.is_some_and(|old| old.0 < new.0 || (old.0 == new.0 && (old.1 || !new.1)));
        if !is_within {
            let shown = reader.get(keyword).or(reader.get(exclusive)).unwrap_or(&Value::Null);
            narrower(pair, keyword, shown, writer.get(keyword).or(writer.get(exclusive)), path);
        }
    }
    let Some(new) = reader.get("multipleOf").and_then(Value::as_f64) else { return };
    let whole = |value: f64| (value - value.round()).abs() < 1e-9;
    let old = writer.get("multipleOf").and_then(Value::as_f64);
    let old = old.or_else(|| (!types.contains(&"number")).then_some(1.0));
    if !old.is_some_and(|old| whole(old / new)) {
        narrower(pair, "multipleOf", &Value::from(new), writer.get("multipleOf"), path);
    }
}

/// The upper bound of `sign` times the value, and whether it is itself excluded.
fn bound(node: Node<'_>, keyword: &str, exclusive: &str, sign: f64) -> Option<(f64, bool)> {
    let inclusive = node.get(keyword).and_then(Value::as_f64).map(|value| (value * sign, false));
    match node.get(exclusive) {
        // drafts 3 and 4
        Some(Value::Bool(excludes)) => inclusive.map(|(value, _)| (value, *excludes)),
        Some(value) => {
            let excluded = value.as_f64().map(|value| (value * sign, true));
            match (inclusive, excluded) {
                (Some(inclusive), Some(excluded)) => Some(if excluded.0 <= inclusive.0 { excluded } else { inclusive }),
                (one, other) => one.or(other),
            }
        }
        None => inclusive,
    }
}

fn narrower(pair: &mut Pair, keyword: &str, new: &Value, old: Option<&Value>, path: &str) {
    let data = pair.data;
    let what = match old {
        Some(old) => format!("{data} may go up to the limit {old}, beyond {new}"),
        None => format!("{data} has no such limit, here it is {new}"),
    };
    pair.problem(&format!("{path}/{keyword}"), what);
}
