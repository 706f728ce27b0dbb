//! Protobuf: payloads that are one message each, by a descriptor set that `protoc` has written.
//!
//! | file | subject |
//! |---|---|
//! | `descriptor.rs` | descriptor sets |
//! | `plan.rs` | the fields of a message against the columns |
//! | `wire.rs` | the bytes of a message, field by field |
//! | `read.rs` | messages to columns |
//!
//! Source: Protocol Buffers, "Encoding", "Field Presence"; Confluent, "Wire format".

mod descriptor;
mod plan;
mod read;
#[cfg(test)]
mod tests;
mod wire;

use super::reject::{BAD_FIELDS, bad_fields_are_null};
use arrow::datatypes::SchemaRef;
use descriptor::Descriptors;
use plan::Plan;
use read::MessageDecoder;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::format::{Decoder, Format, Framing};
use tidemill_core::{Options, Result};

const DESCRIPTOR: OptionSpec = OptionSpec::new(
    "protobuf_descriptor",
    OptionKind::Text,
    "the file of the descriptor set: protoc --include_imports --descriptor_set_out=FILE",
)
.required();
const MESSAGE: OptionSpec =
    OptionSpec::new("protobuf_message", OptionKind::Text, "name of the message, with its package: shop.v1.Order")
        .required();
const FRAMING: OptionSpec = OptionSpec::new(
    "protobuf_framing",
    OptionKind::Choice(&["none", "confluent"]),
    "what stands before each payload: nothing, or a zero byte, a schema id and the place of the message in its file, as \
     Confluent's serializers write; the id is not looked up, the place must be that of 'protobuf_message'",
)
.default("none");

static DESCRIPTION: Description = Description {
    name: "protobuf",
    role: Role::Format,
    summary: "Protobuf messages by a descriptor set. Columns are found by name; fields that nobody reads are passed over. A \
              field without presence that is not there has its default, one with presence (optional, oneof, messages) is \
              NULL. Enums are STRING (or INT), uint64 also DECIMAL(20,0), google.protobuf.Timestamp is TIMESTAMP, Duration \
              INTERVAL DAY TO SECOND, wrappers are their value or NULL.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[DESCRIPTOR, MESSAGE, FRAMING, BAD_FIELDS],
    example: "connector = 'kafka', bootstrap_servers = 'localhost:9092', topic = 'orders', format = 'protobuf', \
              protobuf_descriptor = 'shop.pb', protobuf_message = 'shop.v1.Order'",
};

/// The format `protobuf`.
pub struct Protobuf;

impl Format for Protobuf {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn framing(&self) -> Framing {
        Framing::Payloads
    }

    fn decoder(&self, schema: SchemaRef, options: &Options) -> Result<Box<dyn Decoder>> {
        let descriptors = Descriptors::read(options.required(DESCRIPTOR.name)?)?;
        let message = options.required(MESSAGE.name)?;
        let plan = Plan::new(&descriptors, message, schema.fields())?;
        let place = match options.text(FRAMING.name) {
            Some(framing) if framing.eq_ignore_ascii_case("confluent") => Some(descriptors.place(message)?),
            _ => None,
        };
        let bad_fields_are_null = bad_fields_are_null(options);
        Ok(Box::new(MessageDecoder { schema, plan, place, bad_fields_are_null }))
    }
}
