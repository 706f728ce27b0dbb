//! Formats: bytes to columns and back. One folder each; `text` and `column` are what they share.

mod column;
pub mod json;
mod reject;
mod text;
