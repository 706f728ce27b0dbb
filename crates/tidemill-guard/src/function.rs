//! What the functions of this crate share: text columns in, text columns out, NULL in NULL out.
//!
//! Must not know what any function hides.

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::datatypes::DataType;
use std::sync::Arc;
use tidemill_core::function::{ScalarFunction, Signature};
use tidemill_core::{Error, Result};

/// A function of one text to another. The text is written behind what the buffer holds already: nothing.
#[derive(Debug)]
pub(crate) struct Masking {
    signature: Signature,
    mask: fn(&str, &mut String),
}

impl Masking {
    /// The function `name`.
    pub fn new(name: &'static str, mask: fn(&str, &mut String), help: &'static str) -> Self {
        Masking { signature: text_signature(name, vec![DataType::Utf8], 1, help), mask }
    }
}

impl ScalarFunction for Masking {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn call(&self, arguments: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
        map_text(texts(&self.signature.name, arguments, 0)?, |_, text, masked| {
            (self.mask)(text, masked);
            Ok(Some(()))
        })
    }
}

/// The signature of a function whose result is a text.
pub(crate) fn text_signature(
    name: &'static str,
    arguments: Vec<DataType>,
    required: usize,
    help: &'static str,
) -> Signature {
    Signature { name: name.into(), arguments, required, result: DataType::Utf8, help }
}

/// Argument `number` as texts.
///
/// # Errors
/// A bug when the caller has not cast it to the type of the signature.
pub(crate) fn texts<'a>(function: &str, arguments: &'a [ArrayRef], number: usize) -> Result<&'a StringArray> {
    let argument = arguments.get(number).and_then(|argument| argument.as_string_opt::<i32>());
    argument.ok_or_else(|| Error::bug(format!("{function}: argument {} is no text column", number + 1)))
}

/// One result a row: `write` gets the row's number, its text and an empty buffer, and says `None` for
/// a NULL result. NULL stays NULL.
pub(crate) fn map_text(
    texts: &StringArray,
    mut write: impl FnMut(usize, &str, &mut String) -> Result<Option<()>>,
) -> Result<ArrayRef> {
    let mut results = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    let mut buffer = String::new();
    for (row, text) in texts.iter().enumerate() {
        buffer.clear();
        let written = match text {
            Some(text) => write(row, text, &mut buffer)?,
            None => None,
        };
        results.append_option(written.map(|()| buffer.as_str()));
    }
    Ok(Arc::new(results.finish()))
}
