//! Columns as a JSON Schema, draft 7. The content model is closed, so that versions to come may add properties.

use arrow::datatypes::{DataType, Field, Fields, Schema};
use serde_json::{Map, Value, json};
use tidemill_core::types::name;
use tidemill_core::{Error, Result};

/// The schema of the JSON objects with these columns.
///
/// # Errors
/// A column whose type JSON has not.
pub fn arrow_to_json_schema(schema: &Schema, title: &str) -> Result<String> {
    let mut root = Map::new();
    root.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    root.insert("title".into(), title.into());
    root.extend(object(schema.fields())?);
    Ok(Value::Object(root).to_string())
}

fn object(fields: &Fields) -> Result<Map<String, Value>> {
    let mut properties = Map::new();
    for field in fields {
        properties.insert(field.name().clone(), of(field)?);
    }
    let required: Vec<&str> =
        fields.iter().filter(|field| !field.is_nullable()).map(|field| field.name().as_str()).collect();
    let mut object = Map::new();
    object.insert("type".into(), "object".into());
    object.insert("properties".into(), Value::Object(properties));
    if !required.is_empty() {
        object.insert("required".into(), json!(required));
    }
    object.insert("additionalProperties".into(), false.into());
    Ok(object)
}

fn of(field: &Field) -> Result<Value> {
    let mut schema = match field.data_type() {
        DataType::Null => return Ok(json!({"type": "null"})),
        DataType::Boolean => json!({"type": "boolean"}),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => json!({"type": "integer"}),
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => json!({"type": "number"}),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => json!({"type": "string"}),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            json!({"type": "string", "contentEncoding": "base64"})
        }
        DataType::Date32 => json!({"type": "string", "format": "date"}),
        DataType::Timestamp(..) => json!({"type": "string", "format": "date-time"}),
        DataType::List(items) | DataType::LargeList(items) => json!({"type": "array", "items": of(items)?}),
        DataType::Struct(fields) => Value::Object(object(fields)?),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                json!({"type": "object", "additionalProperties": of(&pair[1])?})
            }
            _ => return Err(unknown(field)),
        },
        _ => return Err(unknown(field)),
    };
    if field.is_nullable()
        && let Some(kind) = schema.get_mut("type")
    {
        *kind = json!([kind.take(), "null"]);
    }
    Ok(schema)
}

fn unknown(field: &Field) -> Error {
    Error::invalid(format!("column '{}' is {}, which JSON Schema has not", field.name(), name(field.data_type())))
}
