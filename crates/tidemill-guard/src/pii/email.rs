//! E-mail addresses, international ones too. Quoted local parts and bare host names are not found.

use super::{Kind, Recogniser, compile};
use regex::Regex;
use std::ops::Range;
use tidemill_core::Result;

#[derive(Debug)]
pub(super) struct Email(Regex);

impl Email {
    pub fn new() -> Result<Self> {
        let expression = r"[\p{L}\p{N}.!#$%&'*+/=?^_`{|}~-]+@(?:[\p{L}\p{N}-]+\.)+(?:xn--[a-z0-9]+|\p{L}{2,})";
        Ok(Email(compile(Kind::Email, expression)?))
    }
}

impl Recogniser for Email {
    fn kind(&self) -> Kind {
        Kind::Email
    }

    fn find(&self, text: &str, found: &mut Vec<Range<usize>>) {
        if text.contains('@') {
            found.extend(self.0.find_iter(text).map(|address| address.range()));
        }
    }
}
