//! Schemas before and after they are registered: what a registry is given, and what it has.

use super::arrow::ddl_to_avro;
use super::schemas::SchemaKind;
use serde::{Deserialize, Serialize};
use std::fmt;
use tidemill_core::{Error, Result};

/// A schema that another one names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// What the schema calls it: an import path, a full name, a URI.
    pub name: String,
    /// The subject it is registered under.
    pub subject: String,
    /// Its version there.
    pub version: u32,
}

/// A schema to be registered or checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its language.
    pub kind: SchemaKind,
    /// The schema.
    pub text: String,
    /// Registered schemas that it names.
    pub references: Vec<Reference>,
}

/// A registered schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its number among all schemas; what a message carries.
    pub id: u32,
    /// Its subject.
    pub subject: String,
    /// Its number within the subject, from 1.
    pub version: u32,
    /// Its language.
    pub kind: SchemaKind,
    /// The schema.
    pub schema: String,
    /// Registered schemas that it names.
    pub references: Vec<Reference>,
}

impl Draft {
    /// A schema without references.
    pub fn new(kind: SchemaKind, text: impl Into<String>) -> Draft {
        Draft { kind, text: text.into(), references: Vec::new() }
    }

    /// An Avro schema, as JSON.
    pub fn avro(text: impl Into<String>) -> Draft {
        Draft::new(SchemaKind::Avro, text)
    }

    /// The Avro record of a subject with the columns that the DDL names.
    ///
    /// # Errors
    /// Text that is no DDL, or a column that Avro cannot have.
    pub fn ddl(subject: &str, ddl: &str) -> Result<Draft> {
        Ok(Draft::avro(ddl_to_avro(ddl, &record_name(subject))?))
    }
}

impl Registered {
    /// The schema as it would be registered again.
    pub fn draft(&self) -> Draft {
        Draft { kind: self.kind, text: self.schema.clone(), references: self.references.clone() }
    }
}

impl SchemaKind {
    /// Every kind.
    pub const ALL: [SchemaKind; 3] = [SchemaKind::Avro, SchemaKind::Json, SchemaKind::Protobuf];

    /// The word for it in Confluent's API.
    pub fn word(self) -> &'static str {
        match self {
            SchemaKind::Avro => "AVRO",
            SchemaKind::Json => "JSON",
            SchemaKind::Protobuf => "PROTOBUF",
        }
    }

    /// Reads the word; letters may be small.
    ///
    /// # Errors
    /// Another word.
    pub fn parse(word: &str) -> Result<SchemaKind> {
        let known = SchemaKind::ALL.into_iter().find(|kind| kind.word().eq_ignore_ascii_case(word));
        known.ok_or_else(|| {
            Error::invalid(format!("there is no schema type '{word}'")).help("types: AVRO, JSON, PROTOBUF")
        })
    }
}

impl fmt::Display for SchemaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SchemaKind::Avro => "Avro",
            SchemaKind::Json => "JSON Schema",
            SchemaKind::Protobuf => "Protobuf",
        })
    }
}

/// A record's name for a subject: `orders-value` gives `orders_value`.
pub(crate) fn record_name(subject: &str) -> String {
    let name: String =
        subject.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}
