//! Slots of a Redis cluster. Source: Redis cluster specification, "Key distribution model".

/// Number of slots of a cluster.
pub(crate) const SLOTS: u16 = 16_384;

/// The slot of `key`: of the text in its first pair of braces, if that is not empty, or of all of it.
pub(crate) fn of(key: &[u8]) -> u16 {
    let tag = tag(key).unwrap_or(key);
    crc16(tag) % SLOTS
}

/// What stands in the first pair of braces, unless it is empty.
pub(crate) fn tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let inside = &key[open + 1..];
    let close = inside.iter().position(|byte| *byte == b'}')?;
    (close > 0).then(|| &inside[..close])
}

/// For every slot a short text that, as a tag, leads there.
pub(crate) fn tags() -> Vec<String> {
    let mut tags = vec![String::new(); usize::from(SLOTS)];
    let mut missing = tags.len();
    for number in 0_u32.. {
        if missing == 0 {
            break;
        }
        let text = format!("{number:x}");
        let tag = &mut tags[usize::from(crc16(text.as_bytes()) % SLOTS)];
        if tag.is_empty() {
            *tag = text;
            missing -= 1;
        }
    }
    tags
}

/// CRC16 of the XMODEM kind: polynomial 0x1021, from 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(of(b"{user1000}.following"), of(b"{user1000}.followers"));
        assert_eq!(of(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(of(b"foo{{bar}}zap"), crc16(b"{bar") % SLOTS);
    }

    #[test]
    fn every_slot_has_a_tag_that_leads_there() {
        let tags = tags();
        assert!(tags.iter().zip(0..).all(|(tag, slot)| of(format!("x:{{{tag}}}:y").as_bytes()) == slot));
    }
}
