//! The idempotency key of a request (draft-ietf-httpapi-idempotency-key-header):
//! `<incarnation>/<sink>/<epoch>/<digest of the body>/<number among equal bodies of the epoch>`.
//!
//! The digest, and no position, tells the requests of an epoch apart. When an epoch is run again its rows are the
//! same, but keyed state may give them in another order; and a restart may come with other options of the sink. A
//! receiver that has seen a key ignores the request, so a key must never stand for two different bodies.

use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use tidemill_core::Epoch;
use tidemill_core::sink::Writer;

/// Bytes of the digest that are written.
const DIGEST_BYTES: usize = 16;

/// Gives the keys of one epoch's requests.
pub(super) struct Keys {
    prefix: String,
    seen: HashMap<[u8; DIGEST_BYTES], u64>,
}

impl Keys {
    /// For an epoch of `writer`.
    pub(super) fn new(writer: &Writer, epoch: Epoch) -> Self {
        let mut prefix = String::new();
        for part in [writer.incarnation.0.as_str(), writer.sink.as_str()] {
            for byte in part.bytes() {
                // a header holds no more than ASCII
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => prefix.push(char::from(byte)),
                    other => _ = write!(prefix, "%{other:02X}"),
                }
            }
            prefix.push('/');
        }
        let _ = write!(prefix, "{epoch}/");
        Keys { prefix, seen: HashMap::new() }
    }

    /// The key of the next request.
    pub(super) fn next(&mut self, body: &[u8]) -> String {
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&Sha256::digest(body)[..DIGEST_BYTES]);
        let number = self.seen.entry(digest).or_insert(0);
        let mut key = self.prefix.clone();
        for byte in digest {
            let _ = write!(key, "{byte:02x}");
        }
        let _ = write!(key, "/{number}");
        *number += 1;
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use tidemill_core::Incarnation;

    fn keys(sink: &str, incarnation: &str, epoch: u64, bodies: &[&str]) -> Vec<String> {
        let writer = Writer { query: "q".into(), sink: sink.into(), incarnation: Incarnation(incarnation.into()) };
        let mut keys = Keys::new(&writer, Epoch(epoch));
        bodies.iter().map(|body| keys.next(body.as_bytes())).collect()
    }

    #[test]
    fn the_same_rows_have_the_same_keys_in_whatever_order_they_come() {
        let one: HashSet<String> = keys("s", "i", 7, &["a", "b", "a"]).into_iter().collect();
        let other: HashSet<String> = keys("s", "i", 7, &["a", "a", "b"]).into_iter().collect();
        assert_eq!(one.len(), 3);
        assert_eq!(one, other);
        assert_eq!(keys("s", "i", 7, &["a"]), ["i/s/7/ca978112ca1bbdcafac231b39a23dc4d/0"]);
    }

    #[test]
    fn other_epochs_sinks_and_checkpoints_have_others_and_all_are_ascii() {
        let all = [
            keys("s", "i", 7, &["a"]),
            keys("s", "i", 8, &["a"]),
            keys("ü/", "i", 7, &["a"]),
            keys("s", "j", 7, &["a"]),
        ];
        let all: HashSet<String> = all.concat().into_iter().collect();
        assert_eq!(all.len(), 4);
        assert!(all.iter().all(|key| key.is_ascii()), "{all:?}");
    }
}
