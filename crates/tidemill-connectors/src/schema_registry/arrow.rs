//! Avro schemas as columns, and columns as Avro schemas.
//!
//! | Avro | column |
//! |---|---|
//! | null, boolean, int, long, float, double | Null, Boolean, Int32, Int64, Float32, Float64 |
//! | bytes, fixed | Binary |
//! | string, enum (and uuid) | Utf8 |
//! | decimal | Decimal128 |
//! | date | Date32 |
//! | timestamp-millis, timestamp-micros | Timestamp(Microsecond, UTC) |
//! | local-timestamp-millis, local-timestamp-micros | Timestamp(Microsecond) |
//! | array, map, record | List, Map, Struct |
//! | union of null and a type | that type, nullable |

use super::avro::{AvroSchema, Logical, Named, Primitive, Type, is_name};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use serde_json::{Value, json};
use std::sync::Arc;
use tidemill_core::types::{name, parse_schema, timestamp, timestamp_ntz};
use tidemill_core::{Error, Result};

const DEPTH_MAX: usize = 32;

/// The columns of a record schema.
///
/// # Errors
/// A schema that is no record, a union of several types, a record within itself.
pub fn avro_to_arrow(schema: &AvroSchema) -> Result<Schema> {
    let fields = match &schema.root {
        Type::Named(name) => match schema.named.get(name) {
            Some(Named::Record { fields, .. }) => fields,
            _ => return Err(no_record(schema)),
        },
        _ => return Err(no_record(schema)),
    };
    let mut path = Vec::new();
    let fields = fields.iter().map(|field| column(schema, &field.name, &field.of, &mut path));
    Ok(Schema::new(fields.collect::<Result<Vec<_>>>()?))
}

fn no_record(schema: &AvroSchema) -> Error {
    Error::invalid(format!("the avro schema is {}, and columns need a record", schema.describe(&schema.root)))
}

fn column<'a>(schema: &'a AvroSchema, field: &'a str, of: &'a Type, path: &mut Vec<&'a str>) -> Result<FieldRef> {
    path.push(field);
    let (of, nullable) = nullable(schema, of, path)?;
    let column = Field::new(field, data_type(schema, of, path)?, nullable);
    path.pop();
    Ok(Arc::new(column))
}

/// The type beside null in a union.
fn nullable<'a>(schema: &AvroSchema, of: &'a Type, path: &[&str]) -> Result<(&'a Type, bool)> {
    let is_null = |of: &Type| matches!(of, Type::Primitive(Primitive::Null, _));
    match of {
        Type::Union(branches) => {
            let others: Vec<&Type> = branches.iter().filter(|branch| !is_null(branch)).collect();
            match (others.as_slice(), branches.first()) {
                ([one], _) => Ok((one, others.len() < branches.len())),
                ([], Some(null)) => Ok((null, true)),
                _ => Err(Error::invalid(format!(
                    "field '{}' is {}; only unions of null and one type can be a column",
                    path.join("."),
                    schema.describe(of)
                ))),
            }
        }
        other => Ok((other, is_null(other))),
    }
}

fn data_type<'a>(schema: &'a AvroSchema, of: &'a Type, path: &mut Vec<&'a str>) -> Result<DataType> {
    if path.len() > DEPTH_MAX {
        return Err(Error::invalid(format!("field '{}': a record within itself cannot be a column", path.join("."))));
    }
    Ok(match of {
        Type::Primitive(_, Some(logical)) => meaning(*logical),
        Type::Primitive(primitive, None) => match primitive {
            Primitive::Null => DataType::Null,
            Primitive::Boolean => DataType::Boolean,
            Primitive::Int => DataType::Int32,
            Primitive::Long => DataType::Int64,
            Primitive::Float => DataType::Float32,
            Primitive::Double => DataType::Float64,
            Primitive::Bytes => DataType::Binary,
            Primitive::String => DataType::Utf8,
        },
        Type::Array(items) => DataType::List(column(schema, Field::LIST_FIELD_DEFAULT_NAME, items, path)?),
        Type::Map(values) => {
            let entries =
                vec![Arc::new(Field::new("key", DataType::Utf8, false)), column(schema, "value", values, path)?];
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into()), false)), false)
        }
        Type::Union(_) => {
            let (inner, _) = nullable(schema, of, path)?;
            data_type(schema, inner, path)?
        }
        Type::Named(name) => match schema.named.get(name) {
            Some(Named::Record { fields, .. }) => {
                let fields = fields.iter().map(|field| column(schema, &field.name, &field.of, path));
                DataType::Struct(fields.collect::<Result<Fields>>()?)
            }
            Some(Named::Enum { .. }) => DataType::Utf8,
            Some(Named::Fixed { logical: Some(logical), .. }) => meaning(*logical),
            Some(Named::Fixed { .. }) => DataType::Binary,
            None => return Err(Error::bug(format!("the avro type '{name}' is used and not declared"))),
        },
    })
}

fn meaning(logical: Logical) -> DataType {
    match logical {
        Logical::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
        Logical::Date => DataType::Date32,
        Logical::TimestampMillis | Logical::TimestampMicros => timestamp(),
        Logical::LocalTimestampMillis | Logical::LocalTimestampMicros => timestamp_ntz(),
    }
}

/// A record schema, called `record`, with these columns.
///
/// # Errors
/// A column whose name or type Avro has not.
pub fn arrow_to_avro(schema: &Schema, record: &str) -> Result<String> {
    Ok(record_of(schema.fields(), record)?.to_string())
}

/// A record schema, called `record`, with the columns that the DDL names: `id BIGINT NOT NULL, at TIMESTAMP`.
///
/// # Errors
/// As [`parse_schema`] and [`arrow_to_avro`].
pub fn ddl_to_avro(ddl: &str, record: &str) -> Result<String> {
    arrow_to_avro(&parse_schema(ddl)?, record)
}

fn record_of(fields: &Fields, record: &str) -> Result<Value> {
    let fields = fields.iter().map(|field| -> Result<Value> {
        if !is_name(field.name()) {
            return Err(Error::invalid(format!("column '{}' cannot be a field of an avro record", field.name()))
                .help("rename it: avro allows letters, digits and '_', with no digit in front"));
        }
        let of = type_of(field, &format!("{record}_{}", field.name()))?;
        Ok(match field.is_nullable() && field.data_type() != &DataType::Null {
            true => json!({"name": field.name(), "type": ["null", of], "default": null}),
            false => json!({"name": field.name(), "type": of}),
        })
    });
    Ok(json!({"type": "record", "name": record, "fields": fields.collect::<Result<Vec<_>>>()?}))
}

/// The Avro type of a column without its null; records in it are called `record`.
fn type_of(field: &Field, record: &str) -> Result<Value> {
    let unsupported =
        |what: &str| Err(Error::invalid(format!("column '{}' is {what}, which avro has not", field.name())));
    Ok(match field.data_type() {
        DataType::Null => json!("null"),
        DataType::Boolean => json!("boolean"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => json!("string"),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => json!("bytes"),
        DataType::Date32 => json!({"type": "int", "logicalType": "date"}),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            json!({"type": "long", "logicalType": "timestamp-micros"})
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            json!({"type": "long", "logicalType": "local-timestamp-micros"})
        }
        DataType::Decimal128(precision, scale) => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
        }
        DataType::List(items) => json!({"type": "array", "items": inner(items, record)?}),
        DataType::Struct(fields) => record_of(fields, record)?,
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 && pair[0].data_type() == &DataType::Utf8 => {
                json!({"type": "map", "values": inner(&pair[1], record)?})
            }
            _ => return unsupported("a map without text keys"),
        },
        other => return unsupported(&name(other)),
    })
}

fn inner(field: &Field, record: &str) -> Result<Value> {
    let of = type_of(field, record)?;
    Ok(if field.is_nullable() && field.data_type() != &DataType::Null { json!(["null", of]) } else { of })
}
