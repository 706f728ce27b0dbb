//! Bank account numbers: a country, two check digits, and as many characters as the country has
//! (SWIFT's IBAN registry), whose remainder by 97 is one (ISO 13616, ISO/IEC 7064).

use super::{Kind, Recogniser, compile, stands_alone};
use regex::Regex;
use std::ops::Range;
use tidemill_core::Result;

/// Length of a number, country by country.
#[rustfmt::skip]
const LENGTHS: &[(&str, usize)] = &[
    ("AD", 24), ("AE", 23), ("AL", 28), ("AT", 20), ("AZ", 28), ("BA", 20), ("BE", 16), ("BG", 22),
    ("BH", 22), ("BI", 27), ("BR", 29), ("BY", 28), ("CH", 21), ("CR", 22), ("CY", 28), ("CZ", 24),
    ("DE", 22), ("DJ", 27), ("DK", 18), ("DO", 28), ("EE", 20), ("EG", 29), ("ES", 24), ("FI", 18),
    ("FK", 18), ("FO", 18), ("FR", 27), ("GB", 22), ("GE", 22), ("GI", 23), ("GL", 18), ("GR", 27),
    ("GT", 28), ("HR", 21), ("HU", 28), ("IE", 22), ("IL", 23), ("IQ", 23), ("IS", 26), ("IT", 27),
    ("JO", 30), ("KW", 30), ("KZ", 20), ("LB", 28), ("LC", 32), ("LI", 21), ("LT", 20), ("LU", 20),
    ("LV", 21), ("LY", 25), ("MC", 27), ("MD", 24), ("ME", 22), ("MK", 19), ("MN", 20), ("MR", 27),
    ("MT", 31), ("MU", 30), ("NI", 28), ("NL", 18), ("NO", 15), ("OM", 23), ("PK", 24), ("PL", 28),
    ("PS", 29), ("PT", 25), ("QA", 29), ("RO", 24), ("RS", 22), ("RU", 33), ("SA", 24), ("SC", 31),
    ("SD", 18), ("SE", 24), ("SI", 19), ("SK", 24), ("SM", 27), ("SO", 23), ("ST", 25), ("SV", 28),
    ("TL", 23), ("TN", 24), ("TR", 26), ("UA", 29), ("VA", 22), ("VG", 24), ("XK", 20), ("YE", 30),
];

#[derive(Debug)]
pub(super) struct Iban(Regex);

impl Iban {
    pub fn new() -> Result<Self> {
        Ok(Iban(compile(Kind::Iban, r"\b[A-Za-z]{2}[0-9]{2}")?))
    }
}

impl Recogniser for Iban {
    fn kind(&self) -> Kind {
        Kind::Iban
    }

    fn find(&self, text: &str, found: &mut Vec<Range<usize>>) {
        for start in self.0.find_iter(text) {
            let country = &start.as_str()[..2];
            let length = LENGTHS.iter().find(|(known, _)| known.eq_ignore_ascii_case(country));
            let number = length.and_then(|(_, length)| characters(text, start.start(), *length));
            if let Some((range, characters)) = number
                && stands_alone(text, &range, &[])
                && remainder_by_97(&characters) == 1
            {
                found.push(range);
            }
        }
    }
}

/// `length` letters and digits from `start` on, without the single spaces or hyphens between them.
fn characters(text: &str, start: usize, length: usize) -> Option<(Range<usize>, Vec<u8>)> {
    let mut characters = Vec::with_capacity(length);
    let mut last_is_gap = false;
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            b' ' | b'-' if !last_is_gap => last_is_gap = true,
            byte if byte.is_ascii_alphanumeric() => {
                last_is_gap = false;
                characters.push(byte.to_ascii_uppercase());
                if characters.len() == length {
                    return Some((start..at + 1, characters));
                }
            }
            _ => return None,
        }
    }
    None
}

/// The number with its first four characters moved to the end, letters as 10 to 35, by 97.
fn remainder_by_97(characters: &[u8]) -> u32 {
    let (head, rest) = characters.split_at(4);
    rest.iter().chain(head).fold(0, |remainder, character| match character {
        digit @ b'0'..=b'9' => (remainder * 10 + u32::from(digit - b'0')) % 97,
        letter => (remainder * 100 + u32::from(letter - b'A') + 10) % 97,
    })
}
