//! The schema argument of `from_json` and its kin: DDL, a type, or a schema as JSON.

use crate::function::{CallContext, constant};
use crate::pipeline::analysis::typed::Typed;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use serde_json::Value;
use std::sync::Arc;
use tidemill_core::{Error, Result, types};

/// The type an argument names; everything in it may be NULL.
///
/// # Errors
/// No constant text, or text that names no type.
pub fn of_argument(argument: &Typed, context: &CallContext<'_>) -> Result<DataType> {
    let not_text = || {
        Error::invalid(format!("the schema of {} must be a text literal, not {}", context.name, argument.name))
            .class("INVALID_SCHEMA.NON_STRING_LITERAL")
            .at_if_unplaced(context.text.place(context.at))
    };
    if argument.data_type != DataType::Utf8 {
        return Err(not_text());
    }
    let text = constant::text(argument, "schema", context).map_err(|_| not_text())?.ok_or_else(not_text)?;
    parse(&text).map(|of| nullable(&of)).map_err(|error| error.at_if_unplaced(context.text.place(context.at)))
}

/// Reads a type or schema.
fn parse(text: &str) -> Result<DataType> {
    let as_type = match types::parse_type(text) {
        Ok(of) => return Ok(of),
        Err(error) => error,
    };
    if text.trim_start().starts_with('{')
        && let Some(of) = serde_json::from_str(text).ok().as_ref().and_then(from_value)
    {
        return Ok(of);
    }
    match types::parse_schema(text) {
        Ok(schema) => Ok(DataType::Struct(schema.fields)),
        Err(_) if text.trim().chars().all(|letter| letter.is_alphanumeric() || letter == '_') => {
            Err(as_type.class("UNSUPPORTED_DATATYPE"))
        }
        Err(error) => Err(error.class("PARSE_SYNTAX_ERROR")),
    }
}

/// A schema as Spark writes it in JSON: `{"type":"struct","fields":[..]}`.
fn from_value(value: &Value) -> Option<DataType> {
    if let Value::String(name) = value {
        return types::parse_type(name).ok();
    }
    let part = |name: &str| value.get(name).and_then(from_value);
    match value.get("type")?.as_str()? {
        "struct" => {
            let fields = value.get("fields")?.as_array()?.iter().map(|field| {
                Some(Arc::new(Field::new(field.get("name")?.as_str()?, from_value(field.get("type")?)?, true)))
            });
            Some(DataType::Struct(fields.collect::<Option<Fields>>()?))
        }
        "array" => Some(types::array_of(part("elementType")?)),
        "map" => Some(types::map_of(part("keyType")?, part("valueType")?)),
        _ => None,
    }
}

/// The type with everything in it nullable, but the keys of maps.
pub fn nullable(of: &DataType) -> DataType {
    let open = |field: &FieldRef| Arc::new(Field::new(field.name(), nullable(field.data_type()), true));
    match of {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(open).collect()),
        DataType::List(element) => types::array_of(nullable(element.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                types::map_of(nullable(fields[0].data_type()), nullable(fields[1].data_type()))
            }
            _ => of.clone(),
        },
        other => other.clone(),
    }
}
