//! Records in the body of a request. Pure.
//!
//! What the log holds was checked to be JSON, so that a sender learns at once that it is not; columns are looked for
//! later, when the table's format reads the record.

use bytes::Bytes;
use serde_json::value::RawValue;

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A JSON value, or an array whose elements are records.
    Json,
    /// JSON values, one a line.
    Lines,
    /// Bytes, one record.
    Raw,
}

/// The records of `body`.
///
/// # Errors
/// Why it is not what `shape` says, or too deep.
pub(super) fn records(body: &Bytes, shape: Shape, depth_max: u64) -> Result<Vec<Bytes>, &'static str> {
    let records = match shape {
        Shape::Raw => vec![body.clone()],
        Shape::Json => {
            let text = checked(body, depth_max)?;
            match text.starts_with('[') {
                false => vec![body.slice_ref(text.as_bytes())],
                true => {
                    let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| NOT_JSON)?;
                    elements.into_iter().map(|element| body.slice_ref(element.get().as_bytes())).collect()
                }
            }
        }
        Shape::Lines => {
            let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
            let record = |line: &[u8]| checked(line, depth_max).map(|text| body.slice_ref(text.as_bytes()));
            lines.map(record).collect::<Result<_, _>>()?
        }
    };
    if records.is_empty() { Err("the body holds no record") } else { Ok(records) }
}

const NOT_JSON: &str = "the body is not JSON";

/// The one JSON value of `bytes`.
fn checked(bytes: &[u8], depth_max: u64) -> Result<&str, &'static str> {
    if depth(bytes) > depth_max {
        return Err("the JSON is nested too deep");
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "the body is not UTF-8")?;
    serde_json::from_str::<&RawValue>(text).map(RawValue::get).map_err(|_| NOT_JSON)
}

/// How deep arrays and objects are nested, found without recursion.
fn depth(bytes: &[u8]) -> u64 {
    let (mut depth, mut deepest) = (0_u64, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str, shape: Shape) -> Result<Vec<String>, &'static str> {
        let found = records(&Bytes::copy_from_slice(body.as_bytes()), shape, 4)?;
        Ok(found.iter().map(|record| String::from_utf8_lossy(record).into_owned()).collect())
    }

    #[test]
    fn values_arrays_lines_and_bytes() {
        assert_eq!(of(" {\"a\": [1]} \n", Shape::Json).unwrap(), ["{\"a\": [1]}"]);
        assert_eq!(of("[{\"a\":1}, 2 ,[3]]", Shape::Json).unwrap(), ["{\"a\":1}", "2", "[3]"]);
        assert_eq!(of("{}\r\n\n1\n", Shape::Lines).unwrap(), ["{}", "1"]);
        assert_eq!(of("no JSON", Shape::Raw).unwrap(), ["no JSON"]);
    }

    #[test]
    fn what_is_no_json_too_deep_or_empty_is_refused() {
        for wrong in ["", "{", "{} {}", "nul", "{\"a\":}", "\u{0}"] {
            assert_eq!(of(wrong, Shape::Json).unwrap_err(), NOT_JSON, "{wrong}");
        }
        assert!(records(&Bytes::from_static(b"\"\xff\""), Shape::Json, 4).is_err());
        assert!(of("[]", Shape::Json).is_err() && of("\n \n", Shape::Lines).is_err());
        assert!(of("{}\n{", Shape::Lines).is_err());
        assert!(of("[[[[1]]]]", Shape::Json).is_ok());
        assert_eq!(of("[[[[[1]]]]]", Shape::Json).unwrap_err(), "the JSON is nested too deep");
        assert!(of(&"[".repeat(1_000_000), Shape::Json).is_err());
        assert!(of(r#"{"a": "[[[[[{{{{{\"["}"#, Shape::Json).is_ok(), "brackets in a text are none");
    }
}
