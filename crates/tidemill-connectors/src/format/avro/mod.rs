//! Avro: object container files, and single payloads whose schema is given, or named by what stands before them.
//!
//! | file | subject |
//! |---|---|
//! | `settings.rs` | options: which schemas, which framing |
//! | `container.rs` | files |
//! | `message.rs` | payloads to columns |
//! | `plan.rs`, `read.rs`, `input.rs` | a writer's schema against the columns, then the bytes |
//! | `encode.rs` | columns to payloads |
//!
//! Payloads are read by code of our own, files by arrow-avro: its decoder of payloads cannot leave out one record that
//! ends too early without losing those before it, and a bad record must not cost its neighbours.

mod container;
mod encode;
mod input;
mod message;
mod plan;
mod read;
mod settings;
#[cfg(test)]
mod tests;

use arrow::datatypes::SchemaRef;
use settings::Settings;
use tidemill_core::describe::{Description, Guarantee, Role};
use tidemill_core::format::{Decoder, Encoder, Format, Framing};
use tidemill_core::{Options, Result};

pub(crate) use message::MessageDecoder;
pub(crate) use settings::{FRAMING, OPTIONS_OF_CHANGES, SCHEMA, SCHEMA_FILE};

static DESCRIPTION: Description = Description {
    name: "avro",
    role: Role::Format,
    summary: "Apache Avro: object container files in files; elsewhere payloads written with a schema that is given, or \
              named by Confluent's framing (magic byte and id) or Avro's own (single objects, by fingerprint). Columns \
              are found by name; a field that a writer lacks has the default of the table's schema, or is NULL; numbers \
              are promoted; fields that nobody reads are passed over. A union of several types is a STRUCT of member0, \
              member1, ..., as in Spark.",
    guarantee: Guarantee::ExactlyOnce,
    options: settings::OPTIONS,
    example: "connector = 'kafka', bootstrap_servers = 'localhost:9092', topic = 'events', format = 'avro', \
              avro_framing = 'confluent', schema_registry = 'schemas'",
};

/// The format `avro`.
pub struct Avro;

impl Format for Avro {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn framing(&self) -> Framing {
        Framing::Whole
    }

    fn reads_registry(&self) -> bool {
        true
    }

    fn decoder(&self, schema: SchemaRef, options: &Options) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(MessageDecoder::of_payloads(schema, options)?))
    }

    fn encoder(&self, schema: SchemaRef, options: &Options) -> Result<Option<Box<dyn Encoder>>> {
        Ok(Some(Box::new(encode::AvroEncoder::new(schema, Settings::of(options)?, options)?)))
    }
}
