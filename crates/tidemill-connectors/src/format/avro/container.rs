//! Avro object container files, read whole: the wanted columns by name, NULL where a file has no such column.

use crate::format::whole::Wanted;
use arrow::compute::concat_batches;
use arrow_avro::reader::ReaderBuilder;
use bytes::Bytes;
use std::io::Cursor;
use tidemill_core::format::Decoded;
use tidemill_core::{Kind, Result, ResultExt};

/// The rows of the file `name`.
///
/// # Errors
/// A file that is not Avro, or whose columns do not fit; the file is named.
pub(super) fn decode(wanted: &Wanted, name: &str, bytes: Bytes) -> Result<Decoded> {
    let unreadable = || format!("'{name}' cannot be read as Avro");
    let reader = ReaderBuilder::new().build(Cursor::new(bytes)).context(Kind::Data, unreadable)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().context(Kind::Data, unreadable)?;
    wanted.of(name, &concat_batches(&schema, &batches).context(Kind::Data, unreadable)?)
}
