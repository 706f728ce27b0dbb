//! What a dead letter shows without its values: the form of the record, so that one sees what is wrong with
//! it, and nothing of what it says.
//!
//! | record | shown |
//! |---|---|
//! | JSON | its names; a text as `<text, 12 characters>`, a number as `<number>`; true, false and null hide too little to hide |
//! | other text | letters as `x`, digits as `9`, all else as it is |
//! | bytes | how many |

use serde_json::Value;
use tidemill_core::Result;
use tidemill_guard::pii::Detector;

/// A record's bytes without its values.
pub fn value(bytes: &[u8]) -> String {
    if let Ok(mut json) = serde_json::from_slice::<Value>(bytes)
        && (json.is_object() || json.is_array())
    {
        hide(&mut json);
        return json.to_string();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().map(form).collect(),
        Err(_) => format!("<{} bytes>", bytes.len()),
    }
}

/// A reason without the personal data it may quote: each as its kind, such as `<EMAIL>`.
///
/// # Errors
/// A bug.
pub fn reason(text: &str) -> Result<String> {
    let (mut shown, mut kept) = (String::with_capacity(text.len()), 0);
    for find in Detector::new()?.find(text) {
        shown.push_str(&text[kept..find.range.start]);
        shown.extend(["<", find.kind.word(), ">"]);
        kept = find.range.end;
    }
    shown.push_str(&text[kept..]);
    Ok(shown)
}

fn hide(json: &mut Value) {
    match json {
        Value::Object(fields) => fields.values_mut().for_each(hide),
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::String(text) => *text = format!("<text, {} characters>", text.chars().count()),
        Value::Number(_) => *json = Value::String("<number>".into()),
        Value::Bool(_) | Value::Null => {}
    }
}

fn form(letter: char) -> char {
    match letter {
        _ if letter.is_numeric() => '9',
        _ if letter.is_alphabetic() => 'x',
        _ => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_and_values_go() {
        let shown = value(br#"{"id":7,"user":{"mail":"a@b.de","tags":["x",null,true]}}"#);
        assert_eq!(
            shown,
            r#"{"id":"<number>","user":{"mail":"<text, 6 characters>","tags":["<text, 1 characters>",null,true]}}"#
        );
    }

    #[test]
    fn what_is_no_json_shows_its_form() {
        assert_eq!(value(b"{\"id\": 30, \"name\": \"Zo\xc3\xab\""), "{\"xx\": 99, \"xxxx\": \"xxx\"");
        assert_eq!(value(b"17,2024-01-02"), "99,9999-99-99");
        assert_eq!(value(&[0, 255, 3]), "<3 bytes>");
        assert_eq!(value(b"4711"), "9999");
    }

    #[test]
    fn a_reason_loses_the_personal_data_it_quotes() {
        assert_eq!(reason("field 'n' is jane@example.com").unwrap(), "field 'n' is <EMAIL>");
        assert_eq!(reason("division by zero").unwrap(), "division by zero");
    }
}
