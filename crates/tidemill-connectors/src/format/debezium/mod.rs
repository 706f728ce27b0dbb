//! Changes of database tables as Debezium writes them, in JSON or Avro. Every change becomes a row with the columns that
//! the source `postgres_cdc` gives: those of the table, `_op`, `_ts`, and `_before`, `_source`, `_lsn`, `_xid` and
//! `_unchanged` where they are declared.
//!
//! | file | subject |
//! |---|---|
//! | `layout.rs` | which columns of the envelope are read for those that are wanted |
//! | `change.rs` | envelopes to rows |
//! | `time.rs` | numbers and text that are times |
//!
//! Source: Debezium documentation, "Change events" and "Temporal types" of the connectors.

mod change;
mod layout;
#[cfg(test)]
mod tests;
mod time;

use super::avro::{self, MessageDecoder};
use super::json::Json;
use super::reject::BAD_FIELDS;
use arrow::datatypes::SchemaRef;
use change::ChangeDecoder;
use layout::Layout;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::format::{Decoder, Format, Framing};
use tidemill_core::{Options, Result};
use time::Unit;

const TIME_UNIT: OptionSpec = OptionSpec::new(
    "debezium_time_unit",
    OptionKind::Choice(&["millis", "micros"]),
    "what numbers are in TIMESTAMP and TIMESTAMP_NTZ columns: millis (time.precision.mode 'connect', and columns of up to 3 \
     digits) or micros; without it a number there makes a bad record",
);

static JSON: Description = Description {
    name: "debezium-json",
    role: Role::Format,
    summary: "Changes of database tables as Debezium writes them in JSON, with or without its 'schema' and 'payload'. A row \
              has the columns of the table after the change (of a deleted row, before it) and, where declared, _op ('c', \
              'u', 'd', 'r' for a row of the copy, 't' for TRUNCATE), _ts (when it was changed), _before and _source \
              (STRUCT), _lsn, _xid, and _unchanged (text columns whose large value was not sent; without it such a record \
              is bad). Null payloads are passed over. DATE is a number of days or text; have decimals written as text \
              (decimal.handling.mode = 'string').",
    guarantee: Guarantee::ExactlyOnce,
    options: &[TIME_UNIT, BAD_FIELDS],
    example: "connector = 'kafka', bootstrap_servers = 'localhost:9092', topic = 'shop.public.orders', format = \
              'debezium-json', debezium_time_unit = 'micros'",
};

static AVRO: Description = Description {
    name: "debezium-avro",
    role: Role::Format,
    summary: "The same in Avro, by Confluent's framing unless another is chosen; rows as with 'debezium-json'. Debezium's own \
              types of times are known by their names in the schema.",
    guarantee: Guarantee::ExactlyOnce,
    options: avro::OPTIONS_OF_CHANGES,
    example: "connector = 'kafka', bootstrap_servers = 'localhost:9092', topic = 'shop.public.orders', format = \
              'debezium-avro', schema_registry = 'schemas'",
};

/// The format `debezium-json`.
pub struct DebeziumJson;

impl Format for DebeziumJson {
    fn describe(&self) -> &'static Description {
        &JSON
    }

    fn framing(&self) -> Framing {
        Framing::Payloads
    }

    fn decoder(&self, schema: SchemaRef, options: &Options) -> Result<Box<dyn Decoder>> {
        let unit = match options.text(TIME_UNIT.name) {
            Some(unit) if unit.eq_ignore_ascii_case("millis") => Unit::Millis,
            Some(_) => Unit::Micros,
            None => Unit::Unknown,
        };
        let layout = Layout::new(schema, true)?;
        let inner = Json.decoder(layout.envelope(), options)?;
        Ok(Box::new(ChangeDecoder { layout, inner, unit }))
    }
}

/// The format `debezium-avro`.
pub struct DebeziumAvro;

impl Format for DebeziumAvro {
    fn describe(&self) -> &'static Description {
        &AVRO
    }

    fn framing(&self) -> Framing {
        Framing::Payloads
    }

    fn reads_registry(&self) -> bool {
        true
    }

    fn decoder(&self, schema: SchemaRef, options: &Options) -> Result<Box<dyn Decoder>> {
        let layout = Layout::new(schema, false)?;
        let inner = MessageDecoder::of_payloads(layout.envelope(), options)?;
        Ok(Box::new(ChangeDecoder { layout, inner: Box::new(inner), unit: Unit::Unknown }))
    }
}
