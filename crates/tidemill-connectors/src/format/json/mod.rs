//! JSON: one object a record, a record a line in files. Reads and writes as Spark's JSON source and
//! `to_json` do; where Spark makes NULL of a value that does not fit, we reject the record unless told
//! otherwise.

mod decode;
pub(crate) mod encode;
mod fault;
#[cfg(test)]
mod random_tests;
mod scan;
mod shape;
#[cfg(test)]
mod tests;
mod value;

use crate::format::reject::{BAD_FIELDS, bad_fields_are_null};
use arrow::datatypes::SchemaRef;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::format::{Decoder, Encoder, Format, Framing};
use tidemill_core::{Options, Result};

static DESCRIPTION: Description = Description {
    name: "json",
    role: Role::Format,
    summary: "JSON objects, one a record; in files one a line.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        BAD_FIELDS,
        OptionSpec::new("ignore_null_fields", OptionKind::Boolean, "leave NULL fields out when writing")
            .default("true"),
    ],
    example: "connector = 'files', path = 'in', format = 'json', bad_fields = 'null'",
};

/// The format `json`.
pub struct Json;

impl Format for Json {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn decoder(&self, schema: SchemaRef, options: &Options) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(decode::JsonDecoder::new(schema, bad_fields_are_null(options))?))
    }

    fn encoder(&self, schema: SchemaRef, options: &Options) -> Result<Option<Box<dyn Encoder>>> {
        let with_nulls = options.text("ignore_null_fields").is_some_and(|text| text.eq_ignore_ascii_case("false"));
        Ok(Some(Box::new(encode::JsonEncoder::new(schema, with_nulls)?)))
    }
}
