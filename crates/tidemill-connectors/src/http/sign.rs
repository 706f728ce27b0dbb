//! Signatures of Standard Webhooks (<https://www.standardwebhooks.com>): HMAC-SHA256 over id, time and body, so that a
//! receiver knows who sent a request, and that it is not an old one played again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tidemill_core::{Error, Result};

/// How secrets of Standard Webhooks begin.
const PREFIX: &str = "whsec_";
/// Fewer bytes are no secret.
const SECRET_BYTES_MIN: usize = 16;

/// Signs requests.
#[derive(Clone)]
pub(super) struct Signer {
    /// One a secret: while a secret is replaced, receivers may know the old or the new one.
    keys: Vec<Hmac<Sha256>>,
}

impl Signer {
    /// With the secrets of an option, spaces between them.
    ///
    /// # Errors
    /// A secret that is not base64, or short; its text is not repeated.
    pub(super) fn new(option: &str, secrets: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::invalid(format!("option '{option}': {why}"))
                .help("a secret is 'whsec_' and base64 of 24 to 64 random bytes; several have spaces between")
        };
        let mut keys = Vec::new();
        for secret in secrets.split_whitespace() {
            let encoded = secret.strip_prefix(PREFIX).unwrap_or(secret);
            let bytes = STANDARD.decode(encoded).map_err(|_| wrong("a secret is not base64"))?;
            if bytes.len() < SECRET_BYTES_MIN {
                return Err(wrong("a secret is too short"));
            }
            keys.push(Hmac::new_from_slice(&bytes).map_err(|_| wrong("a secret cannot be a key"))?);
        }
        if keys.is_empty() {
            return Err(wrong("it holds no secret"));
        }
        Ok(Signer { keys })
    }

    /// The value of the header `webhook-signature`; `seconds` is the time of the attempt, since 1970.
    pub(super) fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let signatures = self.keys.iter().map(|key| {
            let mut mac = key.clone();
            mac.update(format!("{id}.{seconds}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // the example of the specification's reference libraries
        let signer = Signer::new("s", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let two = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx";
        assert_eq!(Signer::new("s", two).unwrap().sign("a", 1, b"").split(' ').count(), 2);
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        for wrong in ["", "whsec_", "whsec_c2hvcnQ=", "p$ssword"] {
            let Err(error) = Signer::new("s", wrong) else { panic!("{wrong} is taken") };
            assert!(!error.report().contains("p$ssword"), "{}", error.report());
        }
    }
}
