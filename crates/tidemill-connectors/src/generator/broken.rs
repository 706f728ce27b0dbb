//! Payloads that are broken the way payloads break: cut off, of the wrong type, without a field that
//! must be there, not JSON at all, with a time that is none.

use super::random::Random;
use arrow::datatypes::{DataType, SchemaRef};
use serde_json::{Map, Value};

/// Which fields of a payload can be broken so that its reader notices.
pub(super) struct Breaker {
    /// Fields whose type is not text, so that text in them is wrong.
    typed: Vec<String>,
    /// Fields that must not be missing.
    required: Vec<String>,
    times: Vec<String>,
}

const NOT_JSON: &[&str] = &[
    "<html><body><h1>502 Bad Gateway</h1></body></html>",
    "ERROR 2026-01-01 connection reset by peer",
    "event_id,user_id,timestamp",
    "{'event_id': 'single quotes'}",
    "undefined",
];

const NO_TIMES: &[&str] = &["2026-13-45T99:99:99Z", "yesterday", "01/02/2026 10:00", "0000-00-00"];

impl Breaker {
    /// For payloads that are read as `schema`.
    pub fn new(schema: &SchemaRef) -> Self {
        let names = |wanted: fn(&DataType) -> bool| {
            let fields = schema.fields().iter().filter(|field| wanted(field.data_type()));
            fields.map(|field| field.name().clone()).collect::<Vec<_>>()
        };
        let required = schema.fields().iter().filter(|field| !field.is_nullable());
        Breaker {
            typed: names(|of| of.is_numeric() || *of == DataType::Boolean),
            required: required.map(|field| field.name().clone()).collect(),
            times: names(|of| matches!(of, DataType::Timestamp(..) | DataType::Date32)),
        }
    }

    /// A broken form of `payload`, a JSON object.
    pub fn broken(&self, payload: &[u8], random: &mut Random) -> Vec<u8> {
        let fields = serde_json::from_slice::<Map<String, Value>>(payload);
        match (random.below(5), fields) {
            (0, Ok(fields)) if !self.typed.is_empty() => set(fields, self.typed.as_slice(), "n/a", random),
            (1, Ok(mut fields)) if !self.required.is_empty() => {
                let name = &self.required[random.below(self.required.len() as u64) as usize];
                fields.shift_remove(name);
                text(fields)
            }
            (2, Ok(fields)) if !self.times.is_empty() => {
                let no_time = random.one_of(NO_TIMES);
                set(fields, self.times.as_slice(), no_time, random)
            }
            (3, _) => random.one_of(NOT_JSON).as_bytes().to_vec(),
            // Cut off somewhere before its last brace.
            _ => payload[..1 + random.below(payload.len().saturating_sub(2) as u64) as usize].to_vec(),
        }
    }
}

fn set(mut fields: Map<String, Value>, names: &[String], value: &str, random: &mut Random) -> Vec<u8> {
    let name = &names[random.below(names.len() as u64) as usize];
    fields.insert(name.clone(), Value::from(value));
    text(fields)
}

fn text(fields: Map<String, Value>) -> Vec<u8> {
    Value::Object(fields).to_string().into_bytes()
}
