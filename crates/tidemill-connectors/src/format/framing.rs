//! What stands before a payload and says which schema it is written with.
//!
//! Sources: Avro specification 1.12, "Single-object encoding"; Confluent, "Wire format".

use super::fault::Fault;

/// First bytes of a single object of Avro.
pub(crate) const SINGLE_OBJECT: [u8; 2] = [0xC3, 0x01];
/// First byte of Confluent's framing.
pub(crate) const CONFLUENT: u8 = 0;

/// The id of a payload framed as Confluent does, and what it frames.
///
/// # Errors
/// Another payload.
pub(crate) fn confluent(payload: &[u8]) -> Result<(u32, &[u8]), Fault> {
    match payload.split_first_chunk::<5>() {
        Some(([CONFLUENT, id @ ..], body)) => Ok((u32::from_be_bytes(*id), body)),
        _ => Err(Fault::malformed(format!("not framed by Confluent's rules: it begins with {}", beginning(payload)))),
    }
}

/// The fingerprint of the schema of a single object, and what it frames.
///
/// # Errors
/// Another payload.
pub(crate) fn single_object(payload: &[u8]) -> Result<(u64, &[u8]), Fault> {
    match payload.split_first_chunk::<10>() {
        Some(([0xC3, 0x01, fingerprint @ ..], body)) => Ok((u64::from_le_bytes(*fingerprint), body)),
        _ => Err(Fault::malformed(format!("not a single object of Avro: it begins with {}", beginning(payload)))),
    }
}

/// The first bytes as hexadecimal digits.
fn beginning(payload: &[u8]) -> String {
    const SHOWN_MAX: usize = 10;
    let shown: Vec<String> = payload.iter().take(SHOWN_MAX).map(|byte| format!("{byte:02X}")).collect();
    if shown.is_empty() { "nothing".into() } else { shown.join(" ") }
}
