//! Avro schemas in JSON, and the types Spark gives them.

use arrow::datatypes::{DataType, Field, Fields};
use serde_json::Value;
use std::collections::HashMap;
use tidemill_core::{Error, Result, types};

const TEXT_BYTES_MAX: usize = 1 << 20;
const DEPTH_MAX: usize = 32;

/// A schema with names looked up.
#[derive(Debug, Clone, PartialEq)]
pub enum Schema {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Date,
    /// A timestamp, with a zone or not: microseconds a unit.
    Timestamp {
        zone: bool,
        unit: i64,
    },
    Fixed(usize),
    Enum(Vec<String>),
    /// A decimal in bytes, or in so many.
    Decimal {
        precision: u8,
        scale: i8,
        size: Option<usize>,
    },
    Array(Box<Schema>),
    Map(Box<Schema>),
    Record(Vec<(String, Schema)>),
    Union(Vec<Schema>),
}

#[derive(Default)]
struct Names {
    /// `None` while a type is still being read.
    known: HashMap<String, Option<Schema>>,
    depth: usize,
}

fn wrong(why: impl Into<String>) -> Error {
    Error::invalid(format!("the Avro schema is not valid: {}", why.into())).class("INVALID_SCHEMA.PARSE_ERROR")
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// Text that is none, or has a type in itself.
    pub fn parse(text: &str) -> Result<Schema> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(wrong("it is longer than 1 MiB"));
        }
        let value: Value = serde_json::from_str(text).or_else(|error| match text.trim() {
            // a bare name, as in Spark
            name if name.bytes().all(|byte| byte.is_ascii_alphabetic()) => Ok(Value::String(name.to_owned())),
            _ => Err(wrong(error.to_string())),
        })?;
        read(&value, &mut Names::default())
    }

    /// True when NULL is one of its values.
    pub fn takes_null(&self) -> bool {
        matches!(self, Schema::Null) || matches!(self, Schema::Union(members) if members.contains(&Schema::Null))
    }

    /// The members of a union that are not NULL.
    pub fn members(union: &[Schema]) -> Vec<&Schema> {
        union.iter().filter(|member| **member != Schema::Null).collect()
    }

    /// The type of its values.
    ///
    /// # Errors
    /// None today: every schema that is read has one.
    pub fn data_type(&self) -> Result<DataType> {
        Ok(match self {
            Schema::Null => DataType::Null,
            Schema::Boolean => DataType::Boolean,
            Schema::Int => DataType::Int32,
            Schema::Long => DataType::Int64,
            Schema::Float => DataType::Float32,
            Schema::Double => DataType::Float64,
            Schema::Bytes | Schema::Fixed(_) => DataType::Binary,
            Schema::Text | Schema::Enum(_) => DataType::Utf8,
            Schema::Date => DataType::Date32,
            Schema::Timestamp { zone: true, .. } => types::timestamp(),
            Schema::Timestamp { zone: false, .. } => types::timestamp_ntz(),
            Schema::Decimal { precision, scale, .. } => DataType::Decimal128(*precision, *scale),
            Schema::Array(items) => types::array_of(items.data_type()?),
            Schema::Map(values) => types::map_of(DataType::Utf8, values.data_type()?),
            Schema::Record(fields) => {
                let fields = fields.iter().map(|(name, of)| Ok(Field::new(name, of.data_type()?, true)));
                DataType::Struct(fields.collect::<Result<Fields>>()?)
            }
            Schema::Union(members) => match Schema::members(members).as_slice() {
                [] => DataType::Null,
                [only] => only.data_type()?,
                [Schema::Int, Schema::Long] | [Schema::Long, Schema::Int] => DataType::Int64,
                [Schema::Float, Schema::Double] | [Schema::Double, Schema::Float] => DataType::Float64,
                several => {
                    let fields = several.iter().enumerate();
                    let fields = fields.map(|(at, of)| Ok(Field::new(format!("member{at}"), of.data_type()?, true)));
                    DataType::Struct(fields.collect::<Result<Fields>>()?)
                }
            },
        })
    }

    /// The schema Spark writes a type with; `None` when Avro has none for it.
    pub fn of_type(of: &DataType, nullable: bool) -> Option<Schema> {
        let schema = match of {
            DataType::Null => return Some(Schema::Null),
            DataType::Boolean => Schema::Boolean,
            DataType::Int8 | DataType::Int16 | DataType::Int32 => Schema::Int,
            DataType::Int64 => Schema::Long,
            DataType::Float32 => Schema::Float,
            DataType::Float64 => Schema::Double,
            DataType::Binary => Schema::Bytes,
            DataType::Utf8 => Schema::Text,
            DataType::Date32 => Schema::Date,
            DataType::Timestamp(_, zone) => Schema::Timestamp { zone: zone.is_some(), unit: 1 },
            DataType::Decimal128(precision, scale) => {
                let fits = |size: &usize| 8.0 * *size as f64 - 1.0 > f64::from(*precision) * 10f64.log2();
                let size = (1..=16).find(fits);
                Schema::Decimal { precision: *precision, scale: *scale, size: Some(size.unwrap_or(16)) }
            }
            DataType::List(element) => Schema::Array(Box::new(Schema::of_type(element.data_type(), true)?)),
            DataType::Map(entries, _) => match crate::pipeline::analysis::coerce::entry_types(entries)? {
                (DataType::Utf8, value) => Schema::Map(Box::new(Schema::of_type(&value, true)?)),
                _ => return None,
            },
            DataType::Struct(fields) => {
                let fields =
                    fields.iter().map(|field| Some((field.name().clone(), Schema::of_type(field.data_type(), true)?)));
                Schema::Record(fields.collect::<Option<Vec<_>>>()?)
            }
            _ => return None,
        };
        Some(if nullable { Schema::Union(vec![schema, Schema::Null]) } else { schema })
    }
}

fn read(value: &Value, names: &mut Names) -> Result<Schema> {
    if names.depth > DEPTH_MAX {
        return Err(wrong("its types are nested too deep"));
    }
    names.depth += 1;
    let read = match value {
        Value::String(name) => named(name, names),
        Value::Array(members) => {
            members.iter().map(|member| read(member, names)).collect::<Result<_>>().map(Schema::Union)
        }
        Value::Object(_) => complex(value, names),
        other => Err(wrong(format!("{other} is no type"))),
    };
    names.depth -= 1;
    read
}

fn named(name: &str, names: &Names) -> Result<Schema> {
    Ok(match name {
        "null" => Schema::Null,
        "boolean" => Schema::Boolean,
        "int" => Schema::Int,
        "long" => Schema::Long,
        "float" => Schema::Float,
        "double" => Schema::Double,
        "bytes" => Schema::Bytes,
        "string" => Schema::Text,
        other => match names.known.get(other.rsplit('.').next().unwrap_or(other)) {
            Some(Some(schema)) => schema.clone(),
            Some(None) => return Err(wrong(format!("the type {other} is part of itself"))),
            None => return Err(wrong(format!("there is no type {other}"))),
        },
    })
}

fn complex(value: &Value, names: &mut Names) -> Result<Schema> {
    let part = |name: &str| value.get(name).ok_or_else(|| wrong(format!("a type has no {name}")));
    let Some(kind) = part("type")?.as_str() else { return read(part("type")?, names) };
    let logical = value.get("logicalType").and_then(Value::as_str).unwrap_or_default();
    let own_name = || {
        let name = part("name")?.as_str().unwrap_or_default();
        Ok::<_, Error>(name.rsplit('.').next().unwrap_or(name).to_owned())
    };
    let decimal = |size: Option<usize>| {
        let number = |name: &str| value.get(name).and_then(Value::as_u64);
        let (precision, scale) = (number("precision")?, number("scale").unwrap_or(0));
        let valid = (1..=38).contains(&precision) && scale <= precision;
        valid.then_some(Schema::Decimal { precision: precision as u8, scale: scale as i8, size })
    };
    Ok(match (kind, logical) {
        ("array", _) => Schema::Array(Box::new(read(part("items")?, names)?)),
        ("map", _) => Schema::Map(Box::new(read(part("values")?, names)?)),
        ("record" | "error", _) => {
            let name = own_name()?;
            names.known.insert(name.clone(), None);
            let fields = part("fields")?.as_array().ok_or_else(|| wrong("fields are no list"))?;
            let fields = fields.iter().map(|field| {
                let of = field.get("type").ok_or_else(|| wrong("a field has no type"))?;
                let name = field.get("name").and_then(Value::as_str).ok_or_else(|| wrong("a field has no name"))?;
                Ok((name.to_owned(), read(of, names)?))
            });
            let record = Schema::Record(fields.collect::<Result<_>>()?);
            names.known.insert(name, Some(record.clone()));
            record
        }
        ("enum", _) => {
            let symbols = part("symbols")?.as_array().ok_or_else(|| wrong("symbols are no list"))?;
            let symbols = symbols.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            names.known.insert(own_name()?, Some(Schema::Enum(symbols)));
            return named(&own_name()?, names);
        }
        ("fixed", logical) => {
            let size = part("size")?.as_u64().and_then(|size| usize::try_from(size).ok());
            let size = size.ok_or_else(|| wrong("a size is no number"))?;
            let of = if logical == "decimal" { decimal(Some(size)) } else { None };
            names.known.insert(own_name()?, Some(of.unwrap_or(Schema::Fixed(size))));
            return named(&own_name()?, names);
        }
        ("int", "date") => Schema::Date,
        ("long", "timestamp-millis") => Schema::Timestamp { zone: true, unit: 1_000 },
        ("long", "timestamp-micros") => Schema::Timestamp { zone: true, unit: 1 },
        ("long", "local-timestamp-millis") => Schema::Timestamp { zone: false, unit: 1_000 },
        ("long", "local-timestamp-micros") => Schema::Timestamp { zone: false, unit: 1 },
        ("bytes", "decimal") => decimal(None).unwrap_or(Schema::Bytes),
        (other, _) => return named(other, names),
    })
}
