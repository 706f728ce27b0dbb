//! Functions of text beyond the basic ones of `string.rs`, by what they do.

pub mod edit;
pub mod letters;
pub mod mask;
pub mod search;

use super::{CallContext, as_text};
use crate::pipeline::analysis::typed::Typed;
use arrow::datatypes::DataType;
use tidemill_core::Result;

/// Every argument as text.
pub fn all_text(context: &CallContext<'_>, arguments: Vec<Typed>) -> Result<Vec<Typed>> {
    arguments.into_iter().map(|argument| as_text(argument, context)).collect()
}

/// Bytes stay bytes; everything else becomes text.
pub fn text_or_bytes(argument: Typed, context: &CallContext<'_>) -> Result<Typed> {
    if argument.data_type == DataType::Binary { Ok(argument) } else { as_text(argument, context) }
}

/// Letters from `start` (counted from 1, or from the end when negative), at most `length`.
pub fn substring(text: &str, start: i64, length: i64) -> &str {
    let total = text.chars().count() as i64;
    let (first, end) = window(total, start, length);
    let byte = |position: i64| text.char_indices().nth(position as usize).map_or(text.len(), |(byte, _)| byte);
    if end <= first { "" } else { &text[byte(first)..byte(end)] }
}

/// The same of bytes.
pub fn bytes(bytes: &[u8], start: i64, length: i64) -> &[u8] {
    let (first, end) = window(bytes.len() as i64, start, length);
    if end <= first { &[] } else { &bytes[first as usize..end as usize] }
}

fn window(total: i64, start: i64, length: i64) -> (i64, i64) {
    let first = match start {
        1.. => start - 1,
        0 => 0,
        _ => total + start,
    };
    (first.clamp(0, total), first.saturating_add(length).clamp(0, total))
}
