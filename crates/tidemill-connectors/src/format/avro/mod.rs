//! Avro object container files, read whole: the wanted columns by name, NULL where a file has no such column.

use crate::format::whole::Wanted;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow_avro::reader::ReaderBuilder;
use std::io::Cursor;
use tidemill_core::describe::{Description, Guarantee, Role};
use tidemill_core::format::{Decoded, Decoder, Format, Framing};
use tidemill_core::source::{Body, Chunk};
use tidemill_core::{Error, Kind, Options, Result, ResultExt};

static DESCRIPTION: Description = Description {
    name: "avro",
    role: Role::Format,
    summary: "Apache Avro object container files.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[],
    example: "connector = 'files', path = 'in', format = 'avro'",
};

/// The format `avro`. It has no encoder: a container file is not made of payloads that stand alone.
pub struct Avro;

impl Format for Avro {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn framing(&self) -> Framing {
        Framing::Whole
    }

    fn decoder(&self, schema: SchemaRef, _options: &Options) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(AvroDecoder(Wanted { schema })))
    }
}

struct AvroDecoder(Wanted);

impl Decoder for AvroDecoder {
    /// # Errors
    /// A file that is not Avro, or whose columns do not fit; the file is named.
    fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        let Body::Stream { bytes, at: 0 } = &chunk.body else {
            return Err(Error::invalid(format!("format 'avro' reads whole files, and '{}' is none", chunk.split)));
        };
        let unreadable = || format!("'{}' cannot be read as Avro", chunk.split);
        let reader = ReaderBuilder::new().build(Cursor::new(bytes.clone())).context(Kind::Data, unreadable)?;
        let schema = reader.schema();
        let batches = reader.collect::<Result<Vec<_>, _>>().context(Kind::Data, unreadable)?;
        self.0.of(&chunk.split, &concat_batches(&schema, &batches).context(Kind::Data, unreadable)?)
    }
}
