//! Values of columns as the text Redis holds: texts and bytes as they are, numbers, times and dates as
//! JSON writes them but without quotes, lists, maps and structs as JSON.

use crate::format::json::encode::Values;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, StringArray};
use arrow::datatypes::DataType;
use tidemill_core::Result;

/// The values of one column.
pub(crate) enum Texts<'a> {
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    /// Numbers and times, which JSON may quote.
    Scalar(&'a ArrayRef, Values<'a>),
    Nested(&'a ArrayRef, Values<'a>),
}

impl<'a> Texts<'a> {
    /// For the values of `array`.
    ///
    /// # Errors
    /// A type that has no text.
    pub(crate) fn new(array: &'a ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Utf8 => Texts::Text(array.as_string()),
            DataType::Binary => Texts::Bytes(array.as_binary()),
            DataType::List(_) | DataType::Map(..) | DataType::Struct(_) => Texts::Nested(array, Values::new(array)?),
            _ => Texts::Scalar(array, Values::new(array)?),
        })
    }

    /// The value of `row`, `None` for NULL.
    pub(crate) fn get(&self, row: usize) -> Option<Vec<u8>> {
        match self {
            Texts::Text(array) => array.is_valid(row).then(|| array.value(row).as_bytes().to_vec()),
            Texts::Bytes(array) => array.is_valid(row).then(|| array.value(row).to_vec()),
            Texts::Nested(array, values) => array.is_valid(row).then(|| printed(values, row)),
            Texts::Scalar(array, values) => array.is_valid(row).then(|| {
                let text = printed(values, row);
                match text.as_slice() {
                    [b'"', inside @ .., b'"'] => inside.to_vec(),
                    _ => text,
                }
            }),
        }
    }

    /// True when the values have an alphabet of their own, in which nothing needs to be escaped.
    pub(crate) fn is_scalar(&self) -> bool {
        matches!(self, Texts::Scalar(..))
    }
}

fn printed(values: &Values<'_>, row: usize) -> Vec<u8> {
    let mut out = Vec::new();
    values.print(row, &mut out);
    out
}
