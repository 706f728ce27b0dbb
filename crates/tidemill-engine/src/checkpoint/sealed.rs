//! Files that carry a checksum of themselves: a digit that has changed on the disk is still a digit.
//!
//! In JSON it is a member `checksum` in front of the others, the CRC-32 of the text with zeros in its place. Other
//! files have it behind their end, which their readers do not look at. Files of the first versions have none.

const MEMBER: &str = "\"checksum\": \"";
const ZEROS: &str = "00000000";
/// Before a checksum behind the end.
const END: &[u8] = b"TIDECRC1";

/// The text of a JSON object with its checksum in it.
pub fn seal(text: Vec<u8>) -> Vec<u8> {
    let Some(rest) = text.strip_prefix(b"{") else { return text };
    let comma = if rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'}') { "" } else { "," };
    let head = format!("{{\n  {MEMBER}{ZEROS}\"{comma}");
    let mut sealed = [head.as_bytes(), rest].concat();
    let checksum = format!("{:08x}", crc32fast::hash(&sealed));
    if let Some(at) = place(&sealed) {
        sealed[at..at + ZEROS.len()].copy_from_slice(checksum.as_bytes());
    }
    sealed
}

/// Whether a text is what was sealed; `None` when it has no checksum.
pub fn is_intact(text: &[u8]) -> Option<bool> {
    let at = place(text)?;
    let checksum = text.get(at..at + ZEROS.len())?;
    let zeroed = [&text[..at], ZEROS.as_bytes(), &text[at + ZEROS.len()..]].concat();
    Some(checksum == format!("{:08x}", crc32fast::hash(&zeroed)).as_bytes())
}

/// Where the digits of the checksum are.
fn place(text: &[u8]) -> Option<usize> {
    let head = [b"{\n  ", MEMBER.as_bytes()].concat();
    text.starts_with(&head).then_some(head.len())
}

/// Bytes with their checksum behind them.
pub fn close(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(END);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Whether bytes are what was closed; `None` when they have no checksum.
pub fn is_whole(bytes: &[u8]) -> Option<bool> {
    let (content, end) = bytes.split_at_checked(bytes.len().checked_sub(END.len() + 4)?)?;
    let checksum = end.strip_prefix(END)?;
    Some(crc32fast::hash(content).to_le_bytes() == checksum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        for text in ["{\n  \"epoch\": 17,\n  \"name\": \"a\"\n}", "{}"] {
            let sealed = seal(text.into());
            assert_eq!(is_intact(&sealed), Some(true));
            let value: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
            assert!(value["checksum"].is_string());
            for at in 0..sealed.len() {
                for bit in 0..8 {
                    let mut flipped = sealed.clone();
                    flipped[at] ^= 1 << bit;
                    let is_json = serde_json::from_slice::<serde_json::Value>(&flipped).is_ok();
                    assert!(is_intact(&flipped) == Some(false) || !is_json || is_intact(&flipped).is_none());
                }
            }
        }
    }

    #[test]
    fn files_of_the_first_versions_have_none() {
        assert_eq!(is_intact(b"{\n  \"format\": 1\n}"), None);
    }
}
