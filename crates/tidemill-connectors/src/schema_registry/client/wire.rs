//! The JSON of Confluent's API, as clients and servers write it.

use super::kind;
use crate::schema_registry::draft::{Draft, Reference, Registered};
use crate::schema_registry::schemas::SchemaKind;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidemill_core::{Error, Result};

/// The content type of the API.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A schema in a request or an answer; what is absent is not known.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Body {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u32>,
    /// Absent for Avro.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) references: Option<Vec<Reference>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<String>,
}

impl Body {
    /// The registered schema of a subject.
    ///
    /// # Errors
    /// An answer without a schema, or of a kind that is not known here.
    pub(crate) fn registered(self, subject: &str, version: Option<u32>) -> Result<Registered> {
        let kind = kind(self.schema_type.as_deref())?;
        let (Some(id), Some(version), Some(schema)) = (self.id, version.or(self.version), self.schema) else {
            return Err(Error::invalid(format!(
                "the registry's answer on subject '{subject}' lacks id, version or schema"
            )));
        };
        Ok(Registered {
            id,
            subject: self.subject.unwrap_or_else(|| subject.to_owned()),
            version,
            kind,
            schema,
            references: self.references.unwrap_or_default(),
        })
    }

    /// The schema to be registered.
    ///
    /// # Errors
    /// A request without a schema, or of a kind that there is not.
    pub(crate) fn draft(self) -> Result<Draft> {
        let kind = kind(self.schema_type.as_deref())?;
        let text = self.schema.ok_or_else(|| Error::invalid("the request has no 'schema'"))?;
        Ok(Draft { kind, text, references: self.references.unwrap_or_default() })
    }

    /// An answer with everything.
    pub(crate) fn of(registered: Registered) -> Body {
        let Registered { id, subject, version, kind, schema, references } = registered;
        Body {
            subject: Some(subject),
            version: Some(version),
            id: Some(id),
            schema_type: (kind != SchemaKind::Avro).then(|| kind.word().to_owned()),
            references: (!references.is_empty()).then_some(references),
            schema: Some(schema),
        }
    }
}

/// A request to register, find or compare a schema. Avro is not named, for registries that know nothing else.
pub(super) fn of_draft(draft: &Draft) -> Value {
    let mut body = json!({"schema": draft.text});
    if let Some(body) = body.as_object_mut() {
        if draft.kind != SchemaKind::Avro {
            body.insert("schemaType".into(), draft.kind.word().into());
        }
        if !draft.references.is_empty() {
            body.insert("references".into(), json!(draft.references));
        }
    }
    body
}

/// What stands for itself in a part of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A subject as a part of a path.
pub(super) fn segment(subject: &str) -> String {
    utf8_percent_encode(subject, SEGMENT).to_string()
}

/// A part of a URL without its `%`.
pub(crate) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
