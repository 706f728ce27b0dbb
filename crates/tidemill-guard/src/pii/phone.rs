//! Telephone numbers in the three forms people write: international (`+49 170 1234567`, `0044 20 ..`),
//! national with a leading zero (`0170/1234567`), and North American (`(212) 555-0123`). Prefers to
//! find too much: a number that looks like one is one.

use super::{Kind, Recogniser, compile, stands_alone};
use regex::Regex;
use std::ops::Range;
use tidemill_core::Result;

/// Country code and up to 15 digits in all (ITU-T E.164); a zero and up to 11; area code and exchange
/// that start with 2 to 9 (North American Numbering Plan). Up to two separators between digits.
const FORMS: &str = r"(?x)
      (?: \+ | 00 ) \x20? [1-9] (?: [\x20./()-]{0,2} [0-9] ){7,14}
    | \(? 0 [1-9] (?: [\x20./()-]{0,2} [0-9] ){7,10}
    | (?: 1 [\x20.-]? )? \(? [2-9][0-9]{2} \)? [\x20.-]{0,2} [2-9][0-9]{2} [\x20.-]? [0-9]{4}
";

#[derive(Debug)]
pub(super) struct Phone(Regex);

impl Phone {
    pub fn new() -> Result<Self> {
        Ok(Phone(compile(Kind::Phone, FORMS)?))
    }
}

impl Recogniser for Phone {
    fn kind(&self) -> Kind {
        Kind::Phone
    }

    fn find(&self, text: &str, found: &mut Vec<Range<usize>>) {
        for number in self.0.find_iter(text) {
            let mut range = number.range();
            if number.as_str().starts_with('(') && !number.as_str().contains(')') {
                range.start += 1;
            }
            if stands_alone(text, &range, &['.', ',', ':', '-', '/']) {
                found.push(range);
            }
        }
    }
}
