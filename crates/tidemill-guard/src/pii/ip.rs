//! IPv4 addresses. Four numbers of a version look the same and are found too.

use super::{Kind, Recogniser, compile, stands_alone};
use regex::Regex;
use std::net::Ipv4Addr;
use std::ops::Range;
use tidemill_core::Result;

#[derive(Debug)]
pub(super) struct Ip(Regex);

impl Ip {
    pub fn new() -> Result<Self> {
        Ok(Ip(compile(Kind::Ip, r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")?))
    }
}

impl Recogniser for Ip {
    fn kind(&self) -> Kind {
        Kind::Ip
    }

    fn find(&self, text: &str, found: &mut Vec<Range<usize>>) {
        let candidates = self.0.find_iter(text).filter(|address| {
            address.as_str().parse::<Ipv4Addr>().is_ok() && stands_alone(text, &address.range(), &['.'])
        });
        found.extend(candidates.map(|address| address.range()));
    }
}
