//! Sets of HTTP status codes: `200-299, 409`.

use std::ops::RangeInclusive;
use tidemill_core::{Error, Result};

/// Some status codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Codes(Vec<RangeInclusive<u16>>);

impl Codes {
    /// From text.
    ///
    /// # Errors
    /// What is no code or range of codes from 100 to 599.
    pub(super) fn parse(option: &str, text: &str) -> Result<Self> {
        let wrong = |part: &str| {
            Error::invalid(format!("option '{option}': '{part}' is no status code or range of codes"))
                .help("write codes from 100 to 599 and ranges, with commas between: '200-299, 409'")
        };
        let code = |part: &str| part.trim().parse().ok().filter(|code| (100..600).contains(code));
        let mut ranges = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (code(first), code(last)) {
                (Some(first), Some(last)) if first <= last => ranges.push(first..=last),
                _ => return Err(wrong(part)),
            }
        }
        Ok(Codes(ranges))
    }

    /// True when `code` is one of them.
    pub(super) fn has(&self, code: u16) -> bool {
        self.0.iter().any(|range| range.contains(&code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_ranges_are_read_and_nonsense_refused() {
        let codes = Codes::parse("c", "200-204, 409,").unwrap();
        let had: Vec<u16> = (100..600).filter(|code| codes.has(*code)).collect();
        assert_eq!(had, [200, 201, 202, 203, 204, 409]);
        assert_eq!(Codes::parse("c", "").unwrap(), Codes(vec![]));
        for wrong in ["2xx", "300-200", "99", "600", "200-"] {
            assert!(Codes::parse("c", wrong).is_err(), "{wrong}");
        }
    }
}
