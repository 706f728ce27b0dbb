//! Personal data in free text: one file a kind, each a regular expression that runs in linear time and
//! the check that tells a real one from a look-alike.
//!
//! Finds what has a form. Names and addresses have none: mask those by column. Never claims to find
//! everything. Must not contain: what is done with a find (`redact` and `detect` do that).

mod card;
mod detect;
mod email;
mod iban;
mod ip;
mod phone;
mod redact;
mod ssn;
#[cfg(test)]
mod tests;

pub use detect::DetectPii;
pub use redact::Redact;

use regex::Regex;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;
use tidemill_core::{Error, Result};

/// A kind of personal data. Where two finds overlap the earlier kind names both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A bank account number, ISO 13616.
    Iban,
    /// A payment card number, ISO/IEC 7812.
    Card,
    /// A social security number of the United States.
    Ssn,
    /// An e-mail address.
    Email,
    /// An IPv4 address.
    Ip,
    /// A telephone number.
    Phone,
}

impl Kind {
    /// The word users see.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Iban => "IBAN",
            Kind::Card => "CARD",
            Kind::Ssn => "SSN",
            Kind::Email => "EMAIL",
            Kind::Ip => "IP",
            Kind::Phone => "PHONE",
        }
    }
}

/// A piece of a text that is personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Find {
    /// Where it is, in bytes.
    pub range: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// Recognises one kind.
trait Recogniser: Send + Sync + fmt::Debug {
    /// What it finds.
    fn kind(&self) -> Kind;

    /// Adds the place of everything it finds in `text`.
    fn find(&self, text: &str, found: &mut Vec<Range<usize>>);
}

/// Every recogniser, its expressions compiled.
#[derive(Debug)]
pub struct Detector {
    recognisers: Vec<Box<dyn Recogniser>>,
}

impl Detector {
    /// Compiles the expressions.
    ///
    /// # Errors
    /// A bug: an expression of ours is wrong.
    pub fn new() -> Result<Self> {
        Ok(Detector {
            recognisers: vec![
                Box::new(iban::Iban::new()?),
                Box::new(card::Card::new()?),
                Box::new(ssn::Ssn::new()?),
                Box::new(email::Email::new()?),
                Box::new(ip::Ip::new()?),
                Box::new(phone::Phone::new()?),
            ],
        })
    }

    /// What `text` holds, in its order. Finds that overlap become one that covers them all.
    pub fn find(&self, text: &str) -> Vec<Find> {
        // no kind does without a digit or an at sign, and most texts have neither
        if !text.bytes().any(|byte| byte == b'@' || byte.is_ascii_digit()) {
            return vec![];
        }
        let mut places = Vec::new();
        let mut finds: Vec<Find> = Vec::new();
        for recogniser in &self.recognisers {
            recogniser.find(text, &mut places);
            finds.extend(places.drain(..).map(|range| Find { range, kind: recogniser.kind() }));
        }
        finds.sort_unstable_by_key(|find| (find.range.start, find.range.end));
        finds.dedup_by(|next, last| {
            let overlap = next.range.start < last.range.end;
            if overlap {
                last.range.end = last.range.end.max(next.range.end);
                last.kind = last.kind.min(next.kind);
            }
            overlap
        });
        finds
    }
}

/// A detector whose expressions are compiled when they are first needed: programs that never look for
/// personal data do not wait for them.
#[derive(Debug, Default)]
pub struct LazyDetector(OnceLock<Result<Detector, String>>);

impl LazyDetector {
    /// The detector.
    ///
    /// # Errors
    /// As [`Detector::new`].
    pub fn get(&self) -> Result<&Detector> {
        let compiled = self.0.get_or_init(|| Detector::new().map_err(|error| error.chain()));
        compiled.as_ref().map_err(|error| Error::bug(error.clone()))
    }
}

fn compile(kind: Kind, expression: &str) -> Result<Regex> {
    Regex::new(expression)
        .map_err(|error| Error::bug(format!("the expression for {} is wrong", kind.word())).caused_by(error))
}

/// True when the range is no piece of a longer word or number. A digit beyond one of the `glue`
/// characters makes it a piece too: `3.14` is one number, `10:30` one time.
fn stands_alone(text: &str, range: &Range<usize>, glue: &[char]) -> bool {
    let joins = |mut beyond: &mut dyn Iterator<Item = char>| match beyond.next() {
        Some(next) if next.is_alphanumeric() => true,
        Some(next) => glue.contains(&next) && (&mut beyond).next().is_some_and(char::is_numeric),
        None => false,
    };
    !joins(&mut text[..range.start].chars().rev()) && !joins(&mut text[range.end..].chars())
}
