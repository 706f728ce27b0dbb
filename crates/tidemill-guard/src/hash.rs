//! `hash_pii`: a stand-in for a value that can be joined and counted, but not guessed without the key.
//!
//! There is no unkeyed form, and must never be: the hash of an e-mail address or a phone number is
//! found in seconds by hashing all of them. Give a key of at least 16 random bytes, as a variable of
//! the pipeline; the same key gives the same stand-in everywhere.

use crate::function::{map_text, text_signature, texts};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt::Write as _;
use tidemill_core::function::{ScalarFunction, Signature};
use tidemill_core::{Error, Result};

/// `hash_pii(text, key)`: HMAC-SHA-256 (RFC 2104) of the text in lower-case hexadecimal. NULL when
/// either is NULL.
#[derive(Debug)]
pub struct HashPii {
    signature: Signature,
}

impl HashPii {
    /// The function.
    pub fn new() -> Self {
        let help = "HMAC-SHA-256 of the text with a secret key, in hexadecimal; the same text gives the same result";
        HashPii { signature: text_signature("hash_pii", vec![DataType::Utf8, DataType::Utf8], 2, help) }
    }
}

impl Default for HashPii {
    fn default() -> Self {
        Self::new()
    }
}

impl ScalarFunction for HashPii {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn call(&self, arguments: &[ArrayRef], _rows: usize) -> Result<ArrayRef> {
        let keys = texts("hash_pii", arguments, 1)?;
        // the key is nearly always a constant: its two blocks are hashed once, not for every row
        let mut last: Option<(&str, Hmac<Sha256>)> = None;
        map_text(texts("hash_pii", arguments, 0)?, |row, text, hash| {
            if keys.is_null(row) {
                return Ok(None);
            }
            let key = keys.value(row);
            let keyed = match last.take() {
                Some((known, keyed)) if known == key => keyed,
                _ => keyed(key)?,
            };
            for byte in keyed.clone().chain_update(text).finalize().into_bytes() {
                let _ = write!(hash, "{byte:02x}");
            }
            last = Some((key, keyed));
            Ok(Some(()))
        })
    }
}

fn keyed(key: &str) -> Result<Hmac<Sha256>> {
    if key.is_empty() {
        return Err(Error::invalid("hash_pii: the key is empty, and a hash without a key can be guessed")
            .help("give a secret of at least 16 random bytes as a variable: hash_pii(email, '${PII_KEY}')"));
    }
    Hmac::new_from_slice(key.as_bytes()).map_err(|error| Error::bug("hash_pii: the key is refused").caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, StringArray};
    use std::sync::Arc;

    fn hash(rows: &[(Option<&str>, Option<&str>)]) -> Result<Vec<Option<String>>> {
        let texts: ArrayRef = Arc::new(rows.iter().map(|(text, _)| *text).collect::<StringArray>());
        let keys: ArrayRef = Arc::new(rows.iter().map(|(_, key)| *key).collect::<StringArray>());
        let hashes = HashPii::new().call(&[texts, keys], rows.len())?;
        Ok(hashes.as_string::<i32>().iter().map(|hash| hash.map(str::to_owned)).collect())
    }

    #[test]
    fn the_hash_is_that_of_rfc_4231() {
        let hashes = hash(&[(Some("what do ya want for nothing?"), Some("Jefe"))]).unwrap();
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hashes, [Some(expected.to_owned())]);
    }

    #[test]
    fn null_stays_null_and_keys_may_differ_by_row() {
        let hashes = hash(&[(None, Some("k")), (Some("a"), None), (Some("a"), Some("k")), (Some("a"), Some("l"))]);
        let hashes = hashes.unwrap();
        assert_eq!(hashes[..2], [None, None]);
        assert_eq!(hashes[2].as_ref().unwrap().len(), 64);
        assert_ne!(hashes[2], hashes[3]);
    }

    #[test]
    fn an_empty_key_is_refused_without_showing_the_text() {
        let error = hash(&[(Some("jane@example.com"), Some(""))]).unwrap_err();
        assert!(error.report().contains("the key is empty"));
        assert!(!error.report().contains("jane"));
    }
}
