//! What decoders have made, as tests look at it.

use super::json::Json;
use arrow::record_batch::RecordBatch;
use tidemill_core::Options;
use tidemill_core::format::{Decoded, Format, Payloads};

/// Rows, each as JSON.
pub(super) fn json(rows: &RecordBatch) -> Vec<String> {
    let mut payloads = Payloads::default();
    let encoder = Json.encoder(rows.schema(), &Options::default()).unwrap().unwrap();
    encoder.encode(rows, &mut payloads).unwrap();
    payloads.iter().map(|payload| String::from_utf8_lossy(payload).into_owned()).collect()
}

/// Of each refused record its position, the code and the reason.
pub(super) fn reasons(decoded: &Decoded) -> Vec<(u64, &'static str, &str)> {
    decoded.rejects.iter().map(|reject| (reject.offset, reject.code, reject.reason.as_str())).collect()
}

/// Bytes written as two digits each.
pub(super) fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
