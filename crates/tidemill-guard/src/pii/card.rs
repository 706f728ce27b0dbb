//! Payment card numbers: 13 to 19 digits, in groups or not, whose last one is the Luhn check digit of
//! the others (ISO/IEC 7812-1, annex B).

use super::{Kind, Recogniser, compile, stands_alone};
use regex::Regex;
use std::ops::Range;
use tidemill_core::Result;

/// Digits of a card number.
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

#[derive(Debug)]
pub(super) struct Card {
    run: Regex,
    group: Regex,
}

impl Card {
    pub fn new() -> Result<Self> {
        Ok(Card { run: compile(Kind::Card, r"[0-9](?:[ -]?[0-9]){12,}")?, group: compile(Kind::Card, r"[0-9]+")? })
    }
}

impl Recogniser for Card {
    fn kind(&self) -> Kind {
        Kind::Card
    }

    fn find(&self, text: &str, found: &mut Vec<Range<usize>>) {
        for run in self.run.find_iter(text) {
            if !stands_alone(text, &run.range(), &['.']) {
                continue;
            }
            // other numbers may stand before and after the card's groups
            let groups: Vec<Range<usize>> = self
                .group
                .find_iter(run.as_str())
                .map(|group| run.start() + group.start()..run.start() + group.end())
                .collect();
            let mut first = 0;
            while first < groups.len() {
                match card_at(text, &groups[first..]) {
                    Some(count) => {
                        found.push(groups[first].start..groups[first + count - 1].end);
                        first += count;
                    }
                    None => first += 1,
                }
            }
        }
    }
}

/// How many of the first groups make a card number; the longest, when several do. Cards are written in
/// groups of four to six digits; the last one may be shorter, and one group may be the whole.
fn card_at(text: &str, groups: &[Range<usize>]) -> Option<usize> {
    let mut digits = Vec::with_capacity(*DIGITS.end());
    let mut longest = None;
    for (count, group) in groups.iter().enumerate() {
        if digits.len() + group.len() > *DIGITS.end() {
            break;
        }
        digits.extend(text.as_bytes()[group.clone()].iter().map(|digit| digit - b'0'));
        if DIGITS.contains(&digits.len()) && is_issued(&digits) && passes_luhn(&digits) {
            longest = Some(count + 1);
        }
        if !(4..=6).contains(&group.len()) {
            break;
        }
    }
    longest
}

/// The first digits belong to a card network: 3 to 6, or Mastercard's 22 to 27.
fn is_issued(digits: &[u8]) -> bool {
    matches!(digits, [3..=6, ..] | [2, 2..=7, ..])
}

fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit @ 0..=4) => 2 * digit,
            (_, digit) => 2 * digit - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}
