//! Numbers as text in a given form, and back: `format_number`, `to_char`, `to_number`, `format_string`.

pub mod format;
pub mod grouped;
pub mod pattern;
pub mod printf;
