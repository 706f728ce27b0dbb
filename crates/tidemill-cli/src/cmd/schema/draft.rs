//! A schema from a file, and registered schemas as JSON.

use clap::Args;
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use tidemill_connectors::schema_registry::schemas::SchemaKind;
use tidemill_connectors::schema_registry::{Draft, Reference, Registered};
use tidemill_core::{Error, Kind, Result, ResultExt as _};

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A schema in a file.
#[derive(Debug, Args)]
pub(super) struct Written {
    /// File with the schema; - for standard input.
    file: PathBuf,

    /// What it is, if neither its name (.avsc, .proto, .ddl, .sql) nor its content says so.
    #[arg(long = "type", value_enum)]
    kind: Option<Language>,

    /// A registered schema that it names: NAME=SUBJECT:VERSION.
    #[arg(long = "reference", value_name = "REFERENCE", value_parser = reference)]
    references: Vec<Reference>,
}

/// What a schema is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Language {
    Avro,
    Json,
    Protobuf,
    Ddl,
}

impl Written {
    /// The schema in a file whose name or content says what it is.
    pub(super) fn of(file: &Path) -> Written {
        Written { file: file.to_owned(), kind: None, references: Vec::new() }
    }

    /// The schema.
    pub(super) fn draft(&self, subject: &str) -> Result<Draft> {
        let text = self.text()?;
        let kind = match self.kind.unwrap_or_else(|| self.guess(&text)) {
            Language::Ddl => return Draft::ddl(subject, text.trim().trim_end_matches(';')),
            Language::Avro => SchemaKind::Avro,
            Language::Json => SchemaKind::Json,
            Language::Protobuf => SchemaKind::Protobuf,
        };
        Ok(Draft { kind, text, references: self.references.clone() })
    }

    fn text(&self) -> Result<String> {
        let mut text = String::new();
        if self.file.as_os_str() == "-" {
            std::io::stdin()
                .take(FILE_BYTES_MAX)
                .read_to_string(&mut text)
                .context(Kind::Io, || "cannot read the schema from standard input".into())?;
            return Ok(text);
        }
        let failed = |cause: std::io::Error| {
            let kind = if cause.kind() == std::io::ErrorKind::NotFound { Kind::Usage } else { Kind::Io };
            Error::new(kind, format!("cannot read the schema {}", self.file.display())).caused_by(cause)
        };
        let file = std::fs::File::open(&self.file).map_err(failed)?;
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        Ok(text)
    }

    fn guess(&self, text: &str) -> Language {
        match self.file.extension().and_then(|extension| extension.to_str()) {
            Some("avsc") => return Language::Avro,
            Some("proto") => return Language::Protobuf,
            Some("ddl" | "sql") => return Language::Ddl,
            _ => {}
        }
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(object))
                if ["$schema", "properties", "$ref"].iter().any(|key| object.contains_key(*key)) =>
            {
                Language::Json
            }
            Ok(_) => Language::Avro,
            Err(_)
                if ["syntax", "message", "package", "import", "edition"].iter().any(|word| text.contains(word))
                    && text.contains('{') =>
            {
                Language::Protobuf
            }
            Err(_) => Language::Ddl,
        }
    }
}

fn reference(text: &str) -> Result<Reference, String> {
    let parts = text.split_once('=').and_then(|(name, rest)| Some((name, rest.rsplit_once(':')?)));
    let parsed = parts.and_then(|(name, (subject, version))| Some((name, subject, version.parse().ok()?)));
    match parsed {
        Some((name, subject, version)) => Ok(Reference { name: name.to_owned(), subject: subject.to_owned(), version }),
        None => Err(format!("'{text}' is not NAME=SUBJECT:VERSION")),
    }
}

/// A registered schema, for programs.
pub(super) fn as_json(registered: &Registered) -> Value {
    json!({
        "id": registered.id,
        "subject": registered.subject,
        "version": registered.version,
        "schemaType": registered.kind.word(),
        "references": registered.references,
        "schema": registered.schema,
    })
}

/// A schema for people: JSON with line ends.
pub(super) fn pretty(kind: SchemaKind, text: &str) -> String {
    let value = serde_json::from_str::<Value>(text).ok().filter(|_| kind != SchemaKind::Protobuf);
    value.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| text.trim_end().to_owned())
}
