//! The frame around everything the log writes: so that a reader knows where it ends and whether it is
//! whole.
//!
//! ```text
//! magic    4 bytes   kind and version
//! length   u32       bytes of the body
//! checksum u32       CRC-32 of the body
//! body     length bytes
//! ```
//! All numbers in the log are little-endian.

use std::ops::Range;

/// Bytes before the body.
pub(crate) const HEAD_BYTES: usize = 12;

/// Largest body; a longer length is damage, not a reason to allocate.
pub(crate) const BODY_BYTES_MAX: usize = 256 << 20;

/// What stands at a position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A whole frame; the range is its body.
    Whole(Range<usize>),
    /// A frame that goes on beyond the bytes there are, and the bytes it needs (as far as known).
    Incomplete(usize),
    /// Not a frame of this kind, or its checksum is wrong. `last` when nothing follows it.
    Damaged { why: &'static str, last: bool },
}

/// Puts `body` into a frame.
pub(crate) fn seal(magic: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD_BYTES + body.len());
    frame.extend_from_slice(&magic);
    frame.extend_from_slice(&(body.len() as u32).to_le_bytes());
    frame.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    frame.extend_from_slice(body);
    frame
}

/// Looks at the frame at `at`, which is not the end of `bytes`.
pub(crate) fn look(magic: [u8; 4], bytes: &[u8], at: usize) -> Frame {
    let rest = &bytes[at..];
    if rest.len() < HEAD_BYTES {
        return Frame::Incomplete(HEAD_BYTES);
    }
    if rest[..4] != magic {
        return Frame::Damaged { why: "wrong magic bytes", last: false };
    }
    let length = number(rest, 4) as usize;
    if length > BODY_BYTES_MAX {
        return Frame::Damaged { why: "impossible length", last: false };
    }
    if rest.len() < HEAD_BYTES + length {
        return Frame::Incomplete(HEAD_BYTES + length);
    }
    let body = at + HEAD_BYTES..at + HEAD_BYTES + length;
    if crc32fast::hash(&bytes[body.clone()]) != number(rest, 8) {
        return Frame::Damaged { why: "wrong checksum", last: body.end == bytes.len() };
    }
    Frame::Whole(body)
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Reads fields off the front of a body; `None` when it is too short.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.bytes(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.bytes(4).map(|bytes| number(bytes, 0))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        let bytes = self.bytes(8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    /// A writer's id and epoch.
    pub(crate) fn marker(&mut self) -> Option<(String, u64)> {
        let length = self.u16()?;
        let id = std::str::from_utf8(self.bytes(usize::from(length))?).ok()?.to_owned();
        Some((id, self.u64()?))
    }
}

/// Writes a writer's id and epoch. An id is at most 65,535 bytes, which [`super::writer`] checks.
pub(crate) fn put_marker(out: &mut Vec<u8>, id: &str, epoch: u64) {
    out.extend_from_slice(&(id.len() as u16).to_le_bytes());
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(&epoch.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_is_incomplete_and_every_flip_is_damage() {
        let frame = seal(*b"TST\x01", b"hello");
        assert_eq!(look(*b"TST\x01", &frame, 0), Frame::Whole(12..17));
        for cut in 1..frame.len() {
            assert!(matches!(look(*b"TST\x01", &frame[..cut], 0), Frame::Incomplete(_)), "cut at {cut}");
        }
        for flip in 0..frame.len() {
            let mut damaged = frame.clone();
            damaged[flip] ^= 0x40;
            assert!(!matches!(look(*b"TST\x01", &damaged, 0), Frame::Whole(_)), "flip at {flip}");
        }
    }
}
