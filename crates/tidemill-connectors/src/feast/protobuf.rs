//! The few pieces of the protobuf wire format that Feast's messages are made of.
//! Source: Protocol Buffers documentation, "Encoding".

/// Appends a base 128 number.
pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends field `number` with a number that is zero or more, or a negative one as 64 bits.
pub(super) fn integer(number: u32, value: i64, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3, out);
    varint(value as u64, out);
}

/// Appends field `number` with four bytes.
pub(super) fn fixed32(number: u32, bytes: [u8; 4], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 5, out);
    out.extend_from_slice(&bytes);
}

/// Appends field `number` with eight bytes.
pub(super) fn fixed64(number: u32, bytes: [u8; 8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 1, out);
    out.extend_from_slice(&bytes);
}

/// Appends field `number` with bytes, a text or a message.
pub(super) fn bytes(number: u32, value: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// A `google.protobuf.Timestamp`.
pub(super) fn timestamp(micros: i64) -> Vec<u8> {
    let (seconds, nanos) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000) * 1_000);
    let mut out = Vec::new();
    if seconds != 0 {
        integer(1, seconds, &mut out);
    }
    if nanos != 0 {
        integer(2, nanos, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_timestamps_are_those_of_the_documentation() {
        let mut out = Vec::new();
        integer(1, 150, &mut out);
        bytes(2, b"testing", &mut out);
        assert_eq!(out, b"\x08\x96\x01\x12\x07testing");
        assert_eq!(timestamp(1_500_000), b"\x08\x01\x10\x80\xCA\xB5\xEE\x01");
        assert_eq!(timestamp(-1).len(), 1 + 10 + 1 + 5);
    }
}
