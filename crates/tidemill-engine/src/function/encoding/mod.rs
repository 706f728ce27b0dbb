//! Bytes and text in each other's clothes: base64, hex, charsets, URLs, numbers to a base.

pub mod charset;
pub mod numbers;
pub mod parse_url;
pub mod transfer;
