//! `mask_text`: any text, hidden letter by letter.

use super::STAR;
use crate::function::{map_text, text_signature, texts};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use tidemill_core::function::{ScalarFunction, Signature};
use tidemill_core::{Error, Result};

/// `mask_text(text [, keep_last])`: a star for every letter but the last few.
#[derive(Debug)]
pub struct MaskText {
    signature: Signature,
}

impl MaskText {
    /// The function.
    pub fn new() -> Self {
        let help = "a star for every letter; keep_last letters stay unless they would be the whole text";
        MaskText { signature: text_signature("mask_text", vec![DataType::Utf8, DataType::Int64], 1, help) }
    }
}

impl Default for MaskText {
    fn default() -> Self {
        Self::new()
    }
}

impl ScalarFunction for MaskText {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn call(&self, arguments: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
        let keep = arguments.get(1).and_then(|keep| keep.as_primitive_opt::<Int64Type>());
        let keep = keep.ok_or_else(|| Error::bug("mask_text: argument 2 is no column of whole numbers"))?;
        map_text(texts("mask_text", arguments, 0)?, |row, text, masked| {
            // an absent or NULL count, and one below zero, keep nothing
            let keep = if keep.is_null(row) { 0 } else { usize::try_from(keep.value(row)).unwrap_or(0) };
            hide(text, keep, masked);
            Ok(Some(()))
        })
    }
}

/// A star for every letter but the last `keep`. A text that is no longer than that is hidden whole:
/// keeping it would mask nothing.
pub fn hide(text: &str, keep: usize, masked: &mut String) {
    let count = text.chars().count();
    let hidden = if count > keep { count - keep } else { count };
    masked.extend(std::iter::repeat_n(STAR, hidden));
    masked.extend(text.chars().skip(hidden));
}
