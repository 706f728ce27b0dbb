//! Social security numbers of the United States, written with hyphens or spaces. Nine digits in a row
//! are not taken for one. Numbers that are never issued (SSA, POMS RM 10201.035) are no finds.

use super::{Kind, Recogniser, compile, stands_alone};
use regex::Regex;
use std::ops::Range;
use tidemill_core::Result;

#[derive(Debug)]
pub(super) struct Ssn(Regex);

impl Ssn {
    pub fn new() -> Result<Self> {
        Ok(Ssn(compile(Kind::Ssn, r"[0-9]{3}(?:-[0-9]{2}-| [0-9]{2} )[0-9]{4}")?))
    }
}

impl Recogniser for Ssn {
    fn kind(&self) -> Kind {
        Kind::Ssn
    }

    fn find(&self, text: &str, found: &mut Vec<Range<usize>>) {
        let candidates = self
            .0
            .find_iter(text)
            .filter(|number| is_issued(number.as_str()) && stands_alone(text, &number.range(), &['-', '.', ',']));
        found.extend(candidates.map(|number| number.range()));
    }
}

fn is_issued(number: &str) -> bool {
    let (area, group, serial) = (&number[..3], &number[4..6], &number[7..]);
    !matches!(area, "000" | "666") && !area.starts_with('9') && group != "00" && serial != "0000"
}
