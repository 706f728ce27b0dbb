//! The key of a record to write: the bytes of one column, or a JSON object of several.

use super::payload::{bytes_of, column_named};
use crate::format::json::encode::JsonEncoder;
use arrow::array::BinaryArray;
use arrow::compute::can_cast_types;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::format::{Encoder, Payloads};
use tidemill_core::sink::SinkRequest;
use tidemill_core::types::name;
use tidemill_core::{Error, Result};

pub(crate) const KEY: OptionSpec = OptionSpec::new(
    "key",
    OptionKind::Text,
    "the column that becomes the record's key, or several with commas between: then a JSON object of them",
)
.aliases(&["key.fields"]);
pub(crate) const KEY_FORMAT: OptionSpec = OptionSpec::new(
    "key_format",
    OptionKind::Choice(&["raw", "json"]),
    "raw: the bytes of one column, or its text; json: an object with a field a column (the rule for several columns)",
)
.aliases(&["key.format"]);

/// How keys are made.
pub(crate) enum Key {
    /// The bytes of a column, or its text.
    Column(usize),
    /// An object with a field for each column, NULLs among them: the same values make the same key.
    Object(Vec<usize>, Box<dyn Encoder>),
}

impl Key {
    /// What the options `key` and `key_format` ask for; `None` without a key.
    ///
    /// # Errors
    /// A column that is not there or cannot be a key, several columns in raw form.
    pub(crate) fn new(request: &SinkRequest) -> Result<Option<Key>> {
        let Some(wanted) = request.options.text(KEY.name) else { return Ok(None) };
        let columns = columns(request, wanted)?;
        let as_object = request.options.text(KEY_FORMAT.name).map(|format| format.eq_ignore_ascii_case("json"));
        match (columns.as_slice(), as_object) {
            ([at], None | Some(false)) => {
                let of = request.schema.field(*at).data_type();
                if of != &DataType::Binary && !can_cast_types(of, &DataType::Utf8) {
                    let (table, of) = (&request.table, name(of));
                    return Err(Error::invalid(format!("column '{wanted}' of table '{table}' is {of}, not a key"))
                        .help("use a column of a simple type, or key_format = 'json'"));
                }
                Ok(Some(Key::Column(*at)))
            }
            (_, Some(false)) => {
                Err(Error::invalid(format!("the key of table '{}' has several columns and is raw", request.table))
                    .help("leave key_format out, or set it to 'json'"))
            }
            _ => {
                let encoder = JsonEncoder::new(Arc::new(request.schema.project(&columns)?), true)?;
                Ok(Some(Key::Object(columns, Box::new(encoder))))
            }
        }
    }

    /// The key of each row.
    pub(crate) fn of(&self, rows: &RecordBatch) -> Result<BinaryArray> {
        match self {
            Key::Column(at) => bytes_of(rows.column(*at)),
            Key::Object(columns, encoder) => {
                let mut payloads = Payloads::default();
                encoder.encode(&rows.project(columns)?, &mut payloads)?;
                Ok(BinaryArray::from_iter_values(payloads.iter()))
            }
        }
    }
}

/// The columns of a list; a column may have a name with commas.
fn columns(request: &SinkRequest, wanted: &str) -> Result<Vec<usize>> {
    if let Ok(whole) = column_named(request, KEY.name, wanted) {
        return Ok(vec![whole]);
    }
    let names = wanted.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|one| column_named(request, KEY.name, one)).collect()
}
