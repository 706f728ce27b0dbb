//! The options of format `avro` for payloads: schemas and framing.

use crate::format::registered::SCHEMA_WAIT;
use crate::format::reject::{BAD_FIELDS, bad_fields_are_null};
use crate::schema_registry::AvroSchema;
use arrow_avro::schema::{AvroSchema as Hashed, Fingerprint, FingerprintAlgorithm};
use std::fs;
use std::sync::Arc;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::{Error, Kind, Options, Result, ResultExt};

/// What stands before each payload.
pub(crate) const FRAMING: OptionSpec = OptionSpec::new(
    "avro_framing",
    OptionKind::Choice(&["none", "single-object", "confluent"]),
    "what stands before each payload: nothing; the fingerprint of its schema, as Avro's single-object encoding has it; or \
     a zero byte and the id of its schema in 'schema_registry', as Confluent's serializers write",
);
/// The schema.
pub(crate) const SCHEMA: OptionSpec = OptionSpec::new(
    "avro_schema",
    OptionKind::Text,
    "the schema, as JSON: what payloads are written with; with framing 'confluent' the reader's, whose defaults and \
     aliases stand in for fields that a writer lacks",
);
/// Where it is.
pub(crate) const SCHEMA_FILE: OptionSpec = OptionSpec::new(
    "avro_schema_file",
    OptionKind::Text,
    "a file that holds it, instead; with single-object framing several, with commas: all that payloads may be written \
     with, the last of which is the reader's and the one that is written",
);
const SUBJECT: OptionSpec = OptionSpec::new(
    "avro_subject",
    OptionKind::Text,
    "where a sink with framing 'confluent' registers its schema; default: 'schema_subject', else the topic and '-value'",
);
const RECORD_NAME: OptionSpec = OptionSpec::new(
    "avro_record_name",
    OptionKind::Text,
    "name of the record in a schema that a sink makes of its columns, when none is given",
)
.default("record");

/// The options of the format.
pub(super) const OPTIONS: &[OptionSpec] =
    &[FRAMING.default("none"), SCHEMA, SCHEMA_FILE, SUBJECT, RECORD_NAME, SCHEMA_WAIT, BAD_FIELDS];

/// The options of formats whose payloads are Avro, as a rule from a registry.
pub(crate) const OPTIONS_OF_CHANGES: &[OptionSpec] =
    &[FRAMING.default("confluent"), SCHEMA, SCHEMA_FILE, SCHEMA_WAIT, BAD_FIELDS];

/// What payloads are framed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AvroFraming {
    None,
    SingleObject,
    Confluent,
}

/// A schema that was given.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub text: String,
    pub schema: Arc<AvroSchema>,
}

/// What the options say.
pub(super) struct Settings {
    pub framing: AvroFraming,
    /// The last is the reader's.
    pub given: Vec<Given>,
    pub bad_fields_are_null: bool,
    pub subject: Option<String>,
    pub record_name: String,
}

impl Settings {
    /// # Errors
    /// A schema that is none, a file that cannot be read.
    pub fn of(options: &Options) -> Result<Settings> {
        let framing = match options.text(FRAMING.name).map(str::to_ascii_lowercase).as_deref() {
            Some("confluent") => AvroFraming::Confluent,
            Some("single-object") => AvroFraming::SingleObject,
            _ => AvroFraming::None,
        };
        let given = given(options)?;
        if given.len() > 1 && framing != AvroFraming::SingleObject {
            return Err(Error::invalid(format!("option '{}' names {} files", SCHEMA_FILE.name, given.len()))
                .help("several schemas go with avro_framing = 'single-object', whose payloads say which is theirs"));
        }
        let subject = [SUBJECT.name, "schema_subject"].iter().find_map(|name| options.text(name)).map(str::to_owned);
        Ok(Settings {
            framing,
            given,
            bad_fields_are_null: bad_fields_are_null(options),
            subject: subject.or_else(|| options.text("topic").map(|topic| format!("{topic}-value"))),
            record_name: options.text(RECORD_NAME.name).unwrap_or("record").to_owned(),
        })
    }

    /// The reader's schema.
    pub fn reader(&self) -> Option<&Given> {
        self.given.last()
    }
}

fn given(options: &Options) -> Result<Vec<Given>> {
    let parse = |name: &str, text: String| -> Result<Given> {
        let schema = AvroSchema::parse(&text);
        let schema = schema.map_err(|cause| Error::invalid(format!("'{name}' is no Avro schema")).caused_by(cause))?;
        Ok(Given { text, schema: Arc::new(schema) })
    };
    match (options.text(SCHEMA.name), options.text(SCHEMA_FILE.name)) {
        (Some(_), Some(_)) => {
            let (text, file) = (SCHEMA.name, SCHEMA_FILE.name);
            Err(Error::invalid(format!("'{text}' and '{file}' are both given")).help("leave one out"))
        }
        (Some(text), None) => Ok(vec![parse(SCHEMA.name, text.to_owned())?]),
        (None, Some(files)) => {
            let files = files.split(',').map(str::trim).filter(|file| !file.is_empty());
            let read = |file: &str| {
                let text = fs::read_to_string(file);
                text.map_err(|cause| Error::io(format!("cannot read the Avro schema '{file}'"), cause))
            };
            files.map(|file| parse(file, read(file)?)).collect()
        }
        (None, None) => Ok(Vec::new()),
    }
}

/// The fingerprint of a schema: CRC-64-AVRO of its canonical form.
///
/// # Errors
/// A schema without one.
pub(super) fn fingerprint(text: &str) -> Result<u64> {
    let of = Hashed::new(text.to_owned()).fingerprint(FingerprintAlgorithm::Rabin);
    match of.context(Kind::Invalid, || "an Avro schema has no fingerprint".into())? {
        Fingerprint::Rabin(fingerprint) => Ok(fingerprint),
        other => Err(Error::bug(format!("a fingerprint was asked for, and {other:?} came"))),
    }
}
