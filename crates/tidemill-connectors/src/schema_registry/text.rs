//! JSON as text that is equal for equal values.

use serde_json::Value;
use std::fmt::Write as _;

/// The same JSON without spaces, keys sorted; text that is no JSON stays.
pub(crate) fn canonical_json(text: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    let mut out = String::with_capacity(text.len());
    write_value(&value, &mut out);
    out
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<_> = object.iter().collect();
            keys.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (number, (key, value)) in keys.into_iter().enumerate() {
                let comma = if number > 0 { "," } else { "" };
                let _ = write!(out, "{comma}{}:", Value::String(key.clone()));
                write_value(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        other => _ = write!(out, "{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_the_order_of_keys_do_not_matter() {
        assert_eq!(
            canonical_json("{ \"b\": [1, {\"d\": 1, \"c\": null}],\n\"a\": \"x\" }"),
            r#"{"a":"x","b":[1,{"c":null,"d":1}]}"#
        );
        assert_eq!(canonical_json("no json"), "no json");
    }
}
