//! Is a request from whom it says: HMAC-SHA256 over the bytes of its body, as the usual senders make it, compared in
//! constant time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use hyper::HeaderMap;
use hyper::header::HeaderName;
use sha2::Sha256;
use std::time::Duration;
use tidemill_core::{Error, Result};

type Key = Hmac<Sha256>;

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Hexadecimal, with or without `sha256=` in front (GitHub).
    Hex,
    /// Base64 (Shopify).
    Base64,
    /// `t=<seconds>,v1=<hexadecimal>` over `<seconds>.<body>` (Stripe).
    Timed,
    /// Standard Webhooks: id, time and body; <https://www.standardwebhooks.com>.
    Standard,
}

/// What the signature of a request says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    Bad,
    /// Good, and too old or of the future.
    Stale,
}

/// Verifies requests.
pub(super) struct Verifier {
    style: Style,
    header: HeaderName,
    /// One a secret: while one is replaced, both are good.
    keys: Vec<Key>,
    tolerance: Duration,
}

impl Verifier {
    /// With one or several secrets.
    ///
    /// # Errors
    /// No secret, or one that cannot be; its text is not repeated.
    pub(super) fn new(style: Style, header: HeaderName, secrets: &[&str], tolerance: Duration) -> Result<Self> {
        let wrong = |why: &str| Error::invalid(format!("option 'signature_secret': {why}"));
        let mut keys = Vec::new();
        for secret in secrets.iter().map(|secret| secret.trim()) {
            let bytes = match style {
                Style::Standard => STANDARD
                    .decode(secret.strip_prefix("whsec_").unwrap_or(secret))
                    .map_err(|_| wrong("a secret is not base64").help("it is 'whsec_' and base64"))?,
                _ => secret.as_bytes().to_vec(),
            };
            if bytes.is_empty() {
                return Err(wrong("it is empty"));
            }
            keys.push(Key::new_from_slice(&bytes).map_err(|_| wrong("a secret cannot be a key"))?);
        }
        Ok(Verifier { style, header, keys, tolerance })
    }

    /// Verifies the body of a request that comes at `now_seconds` after 1970.
    pub(super) fn verify(&self, headers: &HeaderMap, body: &[u8], now_seconds: i64) -> Verdict {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(signature) = text(&self.header) else { return Verdict::Bad };
        match self.style {
            Style::Hex => {
                let hex = signature.strip_prefix("sha256=").unwrap_or(signature);
                self.good(&[], body, &unhex(hex))
            }
            Style::Base64 => self.good(&[], body, &STANDARD.decode(signature.trim()).unwrap_or_default()),
            Style::Timed => {
                let part = |name: &'static str| {
                    signature
                        .split(',')
                        .filter_map(move |part| part.trim().split_once('='))
                        .filter(move |part| part.0 == name)
                };
                let Some((_, seconds)) = part("t").next() else { return Verdict::Bad };
                let signed = format!("{seconds}.");
                let any = part("v1").any(|(_, hex)| self.good(&[&signed], body, &unhex(hex)) == Verdict::Good);
                self.in_time(any, seconds, now_seconds)
            }
            Style::Standard => {
                let known = |name: &'static str| text(&HeaderName::from_static(name)).unwrap_or_default();
                let (id, seconds) = (known("webhook-id"), known("webhook-timestamp"));
                let signed = format!("{id}.{seconds}.");
                let any = signature.split(' ').filter_map(|one| one.strip_prefix("v1,")).any(|one| {
                    let tag = STANDARD.decode(one).unwrap_or_default();
                    self.good(&[&signed], body, &tag) == Verdict::Good
                });
                self.in_time(any, seconds, now_seconds)
            }
        }
    }

    fn good(&self, front: &[&str], body: &[u8], tag: &[u8]) -> Verdict {
        let is_good = self.keys.iter().any(|key| {
            let mut mac = key.clone();
            front.iter().for_each(|part| mac.update(part.as_bytes()));
            mac.update(body);
            mac.verify_slice(tag).is_ok()
        });
        if is_good { Verdict::Good } else { Verdict::Bad }
    }

    fn in_time(&self, is_good: bool, seconds: &str, now_seconds: i64) -> Verdict {
        match seconds.parse::<i64>() {
            _ if !is_good => Verdict::Bad,
            Ok(seconds) if now_seconds.abs_diff(seconds) <= self.tolerance.as_secs() => Verdict::Good,
            _ => Verdict::Stale,
        }
    }
}

/// A token, compared without telling by the time it takes how much of it is right.
pub(super) struct Token {
    key: Key,
    tag: Vec<u8>,
}

impl Token {
    /// # Errors
    /// An empty token.
    pub(super) fn new(token: &str) -> Result<Self> {
        if token.trim().is_empty() {
            return Err(Error::invalid("option 'bearer_token' is empty"));
        }
        // the key need not be secret: it only makes tags of one length of tokens of any
        let key = Key::new_from_slice(b"tidemill bearer token").map_err(|_| Error::bug("a fixed key is no key"))?;
        let tag = key.clone().chain_update(token.trim()).finalize().into_bytes().to_vec();
        Ok(Token { key, tag })
    }

    /// True when `headers` carry it.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(hyper::header::AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
        let token = match given.split_at_checked(7) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
            _ => return false,
        };
        self.key.clone().chain_update(token).verify_slice(&self.tag).is_ok()
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Option<Vec<u32>> = text.trim().chars().map(|letter| letter.to_digit(16)).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        given.iter().map(pair).collect()
    }

    fn verify(style: Style, secret: &str, given: &[(&'static str, &str)], body: &str, now: i64) -> Verdict {
        let header = match style {
            Style::Standard => "webhook-signature",
            _ => "x-signature",
        };
        let verifier =
            Verifier::new(style, HeaderName::from_static(header), &["b3RoZXI=", secret], Duration::from_secs(300))
                .unwrap();
        verifier.verify(&headers(given), body.as_bytes(), now)
    }

    #[test]
    fn signatures_of_the_usual_senders_are_good() {
        // the example of GitHub's documentation
        let github = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let secret = "It's a Secret to Everybody";
        assert_eq!(verify(Style::Hex, secret, &[("x-signature", github)], "Hello, World!", 0), Verdict::Good);
        let hex: String = Key::new_from_slice(b"k")
            .unwrap()
            .chain_update("b")
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        assert_eq!(verify(Style::Hex, "k", &[("x-signature", &hex)], "b", 0), Verdict::Good);
        let tag = STANDARD.encode(unhex(&hex));
        assert_eq!(verify(Style::Base64, "k", &[("x-signature", &tag)], "b", 0), Verdict::Good);
        assert_eq!(verify(Style::Base64, "k", &[("x-signature", &tag)], "c", 0), Verdict::Bad);
        // the example of the reference libraries of Standard Webhooks
        let given = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,bad v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ];
        let at = |now| {
            verify(Style::Standard, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &given, r#"{"test": 2432232314}"#, now)
        };
        assert_eq!((at(1_614_265_330), at(1_614_265_631), at(0)), (Verdict::Good, Verdict::Stale, Verdict::Stale));
    }

    #[test]
    fn times_are_part_of_what_is_signed() {
        let tag: String = Key::new_from_slice(b"k")
            .unwrap()
            .chain_update("100.b")
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let at = |header: &str, now| verify(Style::Timed, "k", &[("x-signature", header)], "b", now);
        assert_eq!(at(&format!("t=100, v1=00,v1={tag}"), 130), Verdict::Good);
        assert_eq!(at(&format!("t=100,v1={tag}"), 1000), Verdict::Stale);
        assert_eq!(at(&format!("t=101,v1={tag}"), 130), Verdict::Bad);
        assert_eq!(at(&format!("v1={tag}"), 130), Verdict::Bad);
    }

    #[test]
    fn what_is_no_signature_is_bad_and_what_is_no_secret_refused() {
        for wrong in ["", "sha256=", "zz", "0", "é"] {
            assert_eq!(verify(Style::Hex, "k", &[("x-signature", wrong)], "b", 0), Verdict::Bad, "{wrong}");
        }
        assert_eq!(verify(Style::Hex, "k", &[], "b", 0), Verdict::Bad);
        let name = HeaderName::from_static("x");
        assert!(Verifier::new(Style::Hex, name.clone(), &["k", " "], Duration::ZERO).is_err());
        let error = Verifier::new(Style::Standard, name, &["s3ntinel!"], Duration::ZERO).err().unwrap();
        assert!(!error.report().contains("s3ntinel"));
    }

    #[test]
    fn a_token_is_the_whole_token() {
        let token = Token::new("s3ntinel").unwrap();
        assert!(token.is_in(&headers(&[("authorization", "bearer s3ntinel")])));
        for wrong in ["Bearer s3ntine", "Bearer s3ntinel2", "Bearer ", "s3ntinel", "Basic s3ntinel", "B"] {
            assert!(!token.is_in(&headers(&[("authorization", wrong)])), "{wrong}");
        }
        assert!(!token.is_in(&HeaderMap::new()) && Token::new(" ").is_err());
    }
}
