//! A schema read and checked, whatever its language.

use super::avro::AvroSchema;
use super::json::JsonSchema;
use super::protobuf::ProtoSchema;
use super::schemas::{SchemaKind, SchemaText};
use super::text::canonical_json;
use tidemill_core::{Error, Result};

/// Longest schema, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// A schema that was understood.
#[derive(Debug)]
pub enum Parsed {
    /// Avro.
    Avro(AvroSchema),
    /// JSON Schema.
    Json(JsonSchema),
    /// Protobuf.
    Protobuf(Box<ProtoSchema>),
}

impl Parsed {
    /// Reads a schema and those it names.
    ///
    /// # Errors
    /// A schema that is not valid, or too large: says where and what was expected.
    pub fn of(schema: &SchemaText) -> Result<Parsed> {
        if schema.text.len() > TEXT_BYTES_MAX {
            let bytes = schema.text.len();
            return Err(Error::invalid(format!("a schema of {bytes} bytes is too large: at most {TEXT_BYTES_MAX}")));
        }
        Ok(match schema.kind {
            SchemaKind::Avro => Parsed::Avro(AvroSchema::of(schema)?),
            SchemaKind::Json => Parsed::Json(JsonSchema::of(schema)?),
            SchemaKind::Protobuf => Parsed::Protobuf(Box::new(ProtoSchema::of(schema)?)),
        })
    }

    /// The text to keep: as it was given, but a Protobuf descriptor in base64 as a `.proto` file.
    pub fn text(&self, given: &str) -> String {
        match self {
            Parsed::Protobuf(schema) => schema.text().to_owned(),
            _ => given.to_owned(),
        }
    }

    /// What is equal for equal schemas: spaces, comments and the order of keys do not matter.
    pub fn canonical(&self, given: &str) -> String {
        match self {
            Parsed::Protobuf(schema) => schema.canonical(),
            _ => canonical_json(given),
        }
    }
}
