//! The narrowest type that takes all values seen. Pure.
//!
//! | values | column |
//! |---|---|
//! | true, false | BOOLEAN |
//! | whole numbers within 64 bits | BIGINT |
//! | other numbers, or both | DOUBLE |
//! | texts that are all dates, `2026-01-31` | DATE |
//! | texts that are all times, `2026-01-31T12:00:00Z`, with a space for the T or without a zone | TIMESTAMP |
//! | other texts, or values of several kinds | STRING |
//! | lists, objects | array, struct |
//! | nothing but null | STRING |

use arrow::datatypes::{DataType, Field, Fields, Schema};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde_json::Value;
use std::sync::Arc;
use tidemill_core::types::timestamp;
use tidemill_core::{Error, Result};

const DEPTH_MAX: usize = 32;
const FIELDS_MAX: usize = 2_000;

/// What the values of one place have in common.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Nothing,
    Boolean,
    Whole,
    Real,
    Date,
    Time,
    Text,
    List(Box<Guess>),
    Record(Columns),
}

/// A type, and whether there was a null.
#[derive(Debug, Clone, PartialEq)]
struct Guess {
    shape: Shape,
    has_null: bool,
}

/// The fields of the records of one place, in the order in which they were seen first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Columns {
    fields: Vec<(String, Guess, usize)>,
    records: usize,
}

impl Guess {
    fn new() -> Guess {
        Guess { shape: Shape::Nothing, has_null: false }
    }

    fn see(&mut self, value: &Value, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error::invalid(format!("a sample record is nested deeper than {DEPTH_MAX}")));
        }
        match (value, &mut self.shape) {
            (Value::Null, _) => self.has_null = true,
            (Value::Array(items), Shape::List(inner)) => {
                items.iter().try_for_each(|item| inner.see(item, depth + 1))?
            }
            (Value::Object(object), Shape::Record(columns)) => columns.see_within(object.iter(), depth + 1)?,
            (Value::Array(_), shape @ Shape::Nothing) => {
                *shape = Shape::List(Box::new(Guess::new()));
                self.see(value, depth)?;
            }
            (Value::Object(_), shape @ Shape::Nothing) => {
                *shape = Shape::Record(Columns::default());
                self.see(value, depth)?;
            }
            (value, shape) => *shape = wider(shape, scalar(value)),
        }
        Ok(())
    }

    fn data_type(&self) -> DataType {
        match &self.shape {
            Shape::Nothing | Shape::Text => DataType::Utf8,
            Shape::Boolean => DataType::Boolean,
            Shape::Whole => DataType::Int64,
            Shape::Real => DataType::Float64,
            Shape::Date => DataType::Date32,
            Shape::Time => timestamp(),
            Shape::List(inner) => {
                let has_null = inner.has_null || inner.shape == Shape::Nothing;
                DataType::List(Arc::new(Field::new(Field::LIST_FIELD_DEFAULT_NAME, inner.data_type(), has_null)))
            }
            Shape::Record(columns) => DataType::Struct(columns.fields()),
        }
    }
}

impl Columns {
    /// One more record.
    ///
    /// # Errors
    /// Nested too deep, or with too many fields.
    pub(super) fn see<'a>(&mut self, record: impl Iterator<Item = (&'a String, &'a Value)>) -> Result<()> {
        self.see_within(record, 0)
    }

    fn see_within<'a>(&mut self, record: impl Iterator<Item = (&'a String, &'a Value)>, depth: usize) -> Result<()> {
        self.records += 1;
        for (name, value) in record {
            let at = match self.fields.iter().position(|(known, _, _)| known == name) {
                Some(at) => at,
                None if self.fields.len() >= FIELDS_MAX => {
                    return Err(Error::invalid(format!("the sample records have more than {FIELDS_MAX} fields")));
                }
                None => {
                    self.fields.push((name.clone(), Guess::new(), 0));
                    self.fields.len() - 1
                }
            };
            let (_, guess, seen) = &mut self.fields[at];
            *seen += 1;
            guess.see(value, depth)?;
        }
        Ok(())
    }

    fn fields(&self) -> Fields {
        let field = |(name, guess, seen): &(String, Guess, usize)| {
            let is_nullable = guess.has_null || guess.shape == Shape::Nothing || *seen < self.records;
            Field::new(name, guess.data_type(), is_nullable)
        };
        self.fields.iter().map(field).collect()
    }

    /// The columns of the records.
    pub(super) fn schema(&self) -> Schema {
        Schema::new(self.fields())
    }
}

fn scalar(value: &Value) -> Shape {
    match value {
        Value::Bool(_) => Shape::Boolean,
        Value::Number(number) if number.is_i64() => Shape::Whole,
        Value::Number(_) => Shape::Real,
        Value::String(text) if is_date(text) => Shape::Date,
        Value::String(text) if is_time(text) => Shape::Time,
        Value::Null => Shape::Nothing,
        Value::String(_) | Value::Array(_) | Value::Object(_) => Shape::Text,
    }
}

fn wider(known: &Shape, seen: Shape) -> Shape {
    match (known, seen) {
        (Shape::Nothing, seen) => seen,
        (known, seen) if *known == seen => seen,
        (Shape::Whole | Shape::Real, Shape::Whole | Shape::Real) => Shape::Real,
        _ => Shape::Text,
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

fn is_time(text: &str) -> bool {
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    text.len() >= 19
        && (DateTime::parse_from_rfc3339(text).is_ok()
            || forms.iter().any(|form| NaiveDateTime::parse_from_str(text, form).is_ok()))
}

/// The value that a field of a CSV file stands for.
pub(super) fn of_text(text: &str) -> Value {
    match text {
        "" => Value::Null,
        "true" | "false" => Value::Bool(text == "true"),
        // a leading zero is a code, not a number
        _ if text.len() > 1 && text.starts_with('0') && !text.starts_with("0.") => Value::String(text.to_owned()),
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(whole), _) => Value::from(whole),
            (_, Ok(real)) if real.is_finite() => Value::from(real),
            _ => Value::String(text.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::types::schema_ddl;

    fn guessed(lines: &[&str]) -> String {
        let mut columns = Columns::default();
        for line in lines {
            let value: Value = serde_json::from_str(line).unwrap();
            columns.see(value.as_object().unwrap().iter()).unwrap();
        }
        schema_ddl(&columns.schema())
    }

    #[test]
    fn values_give_the_narrowest_type_that_takes_all() {
        let table: &[(&[&str], &str)] = &[
            (&[r#"{"a":1}"#, r#"{"a":2}"#], "a BIGINT NOT NULL"),
            (&[r#"{"a":1}"#, r#"{"a":2.5}"#], "a DOUBLE NOT NULL"),
            (&[r#"{"a":1}"#, r#"{"a":null}"#], "a BIGINT"),
            (&[r#"{"a":1}"#, r#"{"b":true}"#], "a BIGINT, b BOOLEAN"),
            (&[r#"{"a":1}"#, r#"{"a":"x"}"#], "a STRING NOT NULL"),
            (&[r#"{"a":18446744073709551615}"#], "a DOUBLE NOT NULL"),
            (&[r#"{"a":"2026-01-31"}"#], "a DATE NOT NULL"),
            (&[r#"{"a":"2026-01-31T10:00:00Z"}"#, r#"{"a":"2026-01-31 10:00:00.5"}"#], "a TIMESTAMP NOT NULL"),
            (&[r#"{"a":"2026-01-31"}"#, r#"{"a":"soon"}"#], "a STRING NOT NULL"),
            (&[r#"{"a":null}"#], "a STRING"),
            (&[r#"{"a":[1,null]}"#, r#"{"a":[]}"#], "a array<bigint> NOT NULL"),
            (&[r#"{"a":{"b":1}}"#, r#"{"a":{"b":2,"c":"x"}}"#], "a struct<b:bigint,c:string> NOT NULL"),
            (&[r#"{"a":{"b":1}}"#, r#"{"a":3}"#], "a STRING NOT NULL"),
        ];
        for (lines, expected) in table {
            assert_eq!(guessed(lines), *expected, "{lines:?}");
        }
    }

    #[test]
    fn fields_of_csv_are_values_unless_they_look_like_codes() {
        let table = [
            ("", "null"),
            ("true", "true"),
            ("12", "12"),
            ("-1.5", "-1.5"),
            ("007", "\"007\""),
            ("0", "0"),
            ("0.5", "0.5"),
            ("nan", "\"nan\""),
            ("x", "\"x\""),
        ];
        for (text, expected) in table {
            assert_eq!(of_text(text).to_string(), expected);
        }
    }
}
