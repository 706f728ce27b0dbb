//! CloudEvents 1.0: structured and batched in JSON, and binary, with the attributes in headers. Attributes are columns
//! `ce_<name>`; the other columns are read from the data by a format of its own.
//!
//! | file | subject |
//! |---|---|
//! | `event.rs` | one event: from JSON, or from headers |
//! | `decode.rs` | events to columns |
//!
//! Sources: CloudEvents 1.0.2, "JSON Event Format", "Kafka Protocol Binding", "HTTP Protocol Binding".

mod decode;
mod event;
#[cfg(test)]
mod tests;

use super::avro::{self, MessageDecoder};
use super::json::Json;
use super::registered::SCHEMA_WAIT;
use super::reject::{BAD_FIELDS, bad_fields_are_null};
use arrow::datatypes::SchemaRef;
use decode::{Data, EventDecoder, Layout};
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::format::{Decoder, Format, Framing};
use tidemill_core::{Options, Result};

const DATA: OptionSpec = OptionSpec::new(
    "cloudevents_data",
    OptionKind::Choice(&["json", "avro", "raw"]),
    "how the data of an event is read: columns of a JSON object, or of an Avro record (with the options of format 'avro'), \
     or as it is, in a column 'data' of STRING or BINARY",
)
.default("json");

static DESCRIPTION: Description = Description {
    name: "cloudevents",
    role: Role::Format,
    summary: "CloudEvents 1.0, each record one event in JSON, or a batch (an array) of them, or binary, with attributes in \
              headers ce_... of Kafka (ce-... of other sources that keep headers). Columns ce_id, ce_source, ce_type, \
              ce_subject, ce_time (TIMESTAMP or STRING), ce_datacontenttype, ce_dataschema, ce_specversion and ce_<name> of \
              any extension are attributes; the others are columns of the data.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[DATA, BAD_FIELDS, avro::FRAMING.default("none"), avro::SCHEMA, avro::SCHEMA_FILE, SCHEMA_WAIT],
    example: "connector = 'kafka', bootstrap_servers = 'localhost:9092', topic = 'events', format = 'cloudevents'",
};

/// The format `cloudevents`.
pub struct CloudEvents;

impl Format for CloudEvents {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn framing(&self) -> Framing {
        Framing::Payloads
    }

    fn reads_registry(&self) -> bool {
        true
    }

    fn reads_headers(&self) -> bool {
        true
    }

    fn decoder(&self, schema: SchemaRef, options: &Options) -> Result<Box<dyn Decoder>> {
        let data = options.text(DATA.name).map(str::to_ascii_lowercase);
        let is_raw = data.as_deref() == Some("raw");
        let layout = Layout::new(schema, is_raw)?;
        let data = match data.as_deref() {
            Some("raw") => Data::Raw,
            // nobody reads it
            _ if layout.inner().fields().is_empty() => Data::Raw,
            Some("avro") => Data::Avro(Box::new(MessageDecoder::of_payloads(layout.inner(), options)?)),
            _ => Data::Json(Json.decoder(layout.inner(), options)?),
        };
        Ok(Box::new(EventDecoder { layout, data, bad_fields_are_null: bad_fields_are_null(options) }))
    }
}
