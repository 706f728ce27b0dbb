//! CSV: a record a line, columns by their position. Reads and writes as Spark's CSV does; where Spark makes
//! NULL of a value that does not fit, we reject the record unless told otherwise. A quoted value cannot
//! hold a line end, as in Spark without `multiLine`.

mod decode;
mod encode;
mod split;
#[cfg(test)]
mod tests;

use crate::format::reject::{BAD_FIELDS, bad_fields_are_null};
use arrow::datatypes::SchemaRef;
use decode::CsvDecoder;
use encode::CsvEncoder;
use split::Dialect;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::format::{Decoder, Encoder, Format, Framing};
use tidemill_core::{Error, Options, Result};

static DESCRIPTION: Description = Description {
    name: "csv",
    role: Role::Format,
    summary: "Comma-separated values, a record a line.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new("header", OptionKind::Boolean, "the first line of a file names its columns").default("true"),
        OptionSpec::new("delimiter", OptionKind::Text, "what stands between values: one character, or '\\t'")
            .default(",")
            .aliases(&["sep"]),
        OptionSpec::new("quote", OptionKind::Text, "what encloses a value that has a delimiter in it").default("\""),
        OptionSpec::new("escape", OptionKind::Text, "what makes a quote part of the value; a doubled quote does too")
            .default("\\"),
        OptionSpec::new("null_value", OptionKind::Text, "text that means NULL; a value of no length always does")
            .default(""),
        BAD_FIELDS,
    ],
    example: "connector = 'files', path = 'in', format = 'csv', delimiter = ';', null_value = 'NA'",
};

/// The format `csv`.
pub struct Csv;

impl Format for Csv {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn by_position(&self) -> bool {
        true
    }

    fn decoder(&self, schema: SchemaRef, options: &Options) -> Result<Box<dyn Decoder>> {
        let dialect = dialect(options)?;
        let null_value = options.required("null_value")?.as_bytes().to_vec();
        let decoder =
            CsvDecoder::new(schema, dialect, options.boolean("header"), null_value, bad_fields_are_null(options))?;
        Ok(Box::new(decoder))
    }

    fn encoder(&self, schema: SchemaRef, options: &Options) -> Result<Option<Box<dyn Encoder>>> {
        let null_value = options.required("null_value")?.as_bytes().to_vec();
        let encoder = CsvEncoder::new(&schema, dialect(options)?, options.boolean("header"), null_value)?;
        Ok(Some(Box::new(encoder)))
    }
}

fn dialect(options: &Options) -> Result<Dialect> {
    Ok(Dialect {
        delimiter: letter(options, "delimiter")?,
        quote: letter(options, "quote")?,
        escape: letter(options, "escape")?,
    })
}

/// An option that is one ASCII character.
fn letter(options: &Options, name: &str) -> Result<u8> {
    match options.required(name)?.as_bytes() {
        [letter] if letter.is_ascii() => Ok(*letter),
        b"\\t" => Ok(b'\t'),
        _ => {
            let given = options.required(name)?;
            Err(Error::invalid(format!("format 'csv': option '{name}' is '{given}', which is not one ASCII character")))
        }
    }
}
