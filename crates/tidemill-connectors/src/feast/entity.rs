//! Keys of entities as bytes, and the names of features in Redis. Source: Feast,
//! `feast/infra/key_encoding_utils.py` (version 3) and `feast/infra/online_stores/helpers.py`.

use super::value::type_number;

/// The value of one join key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    Int32(i32),
    Int64(i64),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    /// Seconds since 1970.
    Timestamp(i64),
}

/// The key of an entity: the names of its join keys, then their values, in the order of the names.
/// `values` are in that order already.
pub(super) fn serialize(names: &[String], values: &[Key]) -> Vec<u8> {
    let mut out = Vec::new();
    push(names.len(), &mut out);
    for name in names {
        push(type_number::STRING, &mut out);
        push(name.len(), &mut out);
        out.extend_from_slice(name.as_bytes());
    }
    for value in values {
        let (number, bytes) = match value {
            Key::Int32(value) => (type_number::INT32, value.to_le_bytes().to_vec()),
            Key::Int64(value) => (type_number::INT64, value.to_le_bytes().to_vec()),
            Key::Text(value) => (type_number::STRING, value.clone()),
            Key::Bytes(value) => (type_number::BYTES, value.clone()),
            Key::Timestamp(value) => (type_number::UNIX_TIMESTAMP, value.to_le_bytes().to_vec()),
        };
        push(number, &mut out);
        push(bytes.len(), &mut out);
        out.extend_from_slice(&bytes);
    }
    out
}

fn push(number: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}

/// The field of a feature in the hash of an entity: the murmur3 hash of `view:feature`.
pub(super) fn feature_field(view: &str, feature: &str) -> Vec<u8> {
    murmur3(format!("{view}:{feature}").as_bytes()).to_le_bytes().to_vec()
}

/// MurmurHash3_x86_32 with seed 0. Source: A. Appleby, SMHasher, `MurmurHash3.cpp`.
fn murmur3(bytes: &[u8]) -> u32 {
    let scramble = |block: u32| block.wrapping_mul(0xCC9E_2D51).rotate_left(15).wrapping_mul(0x1B87_3593);
    let blocks = bytes.chunks_exact(4);
    let tail = blocks.remainder();
    let mut hash = blocks.fold(0_u32, |hash, block| {
        let block = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
        (hash ^ scramble(block)).rotate_left(13).wrapping_mul(5).wrapping_add(0xE654_6B64)
    });
    if !tail.is_empty() {
        hash ^= scramble(tail.iter().rev().fold(0, |block, byte| (block << 8) | u32::from(*byte)));
    }
    hash ^= u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85EB_CA6B);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xC2B2_AE35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_reference() {
        for (text, hash) in [("", 0), ("test", 0xBA6B_D213_u32), ("Hello, world!", 0xC036_3E43)] {
            assert_eq!(murmur3(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn a_key_is_its_names_and_its_values() {
        let key = serialize(&["user".into()], &[Key::Int64(5)]);
        assert_eq!(key, b"\x01\0\0\0\x02\0\0\0\x04\0\0\0user\x04\0\0\0\x08\0\0\0\x05\0\0\0\0\0\0\0");
    }
}
