//! The bytes of a message: fields by number, each as the wire has it. Must not know descriptors.

use crate::format::fault::Fault;

/// Deepest nesting of groups, which only old writers use.
const DEPTH_MAX: u32 = 64;

/// A value as the wire has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// What is left of a message.
pub(super) struct Wire<'a> {
    rest: &'a [u8],
}

#[cold]
fn malformed(what: &str) -> Fault {
    Fault::malformed(format!("not a Protobuf message: {what}"))
}

impl<'a> Wire<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Wire { rest: bytes }
    }

    /// True when there is no more.
    pub fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes that are left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Number and value of the next field; `None` at the end. Groups are passed over.
    #[inline]
    pub fn field(&mut self) -> Result<Option<(u32, Raw<'a>)>, Fault> {
        while !self.is_done() {
            let (number, kind) = self.key()?;
            if kind == 3 {
                self.group(number, 0)?;
                continue;
            }
            return self.value(kind).map(|value| Some((number, value)));
        }
        Ok(None)
    }

    fn key(&mut self) -> Result<(u32, u64), Fault> {
        let key = self.varint()?;
        match u32::try_from(key >> 3) {
            Ok(number) if number > 0 && number < 1 << 29 => Ok((number, key & 7)),
            _ => Err(malformed(&format!("a field with the number {}", key >> 3))),
        }
    }

    fn value(&mut self, kind: u64) -> Result<Raw<'a>, Fault> {
        Ok(match kind {
            0 => Raw::Varint(self.varint()?),
            1 => Raw::Fixed64(self.fixed64()?),
            2 => {
                let length = self.varint()?;
                Raw::Bytes(self.take(length)?)
            }
            5 => Raw::Fixed32(self.fixed32()?),
            other => return Err(malformed(&format!("wire type {other}"))),
        })
    }

    fn group(&mut self, group: u32, depth: u32) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(malformed("nested too deep"));
        }
        loop {
            match self.key()? {
                (number, 3) => self.group(number, depth + 1)?,
                (number, 4) if number == group => return Ok(()),
                (_, kind) => {
                    self.value(kind)?;
                }
            }
        }
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0u64;
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7F) << (7 * at);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(malformed("a number without an end"))
    }

    pub fn fixed64(&mut self) -> Result<u64, Fault> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(|| malformed("it ends within a number"))?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    pub fn fixed32(&mut self) -> Result<u32, Fault> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(|| malformed("it ends within a number"))?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Fault> {
        let taken = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let (taken, rest) =
            taken.ok_or_else(|| malformed(&format!("{count} bytes wanted, {} left", self.rest.len())))?;
        self.rest = rest;
        Ok(taken)
    }
}

/// A number with its sign in the lowest bit.
pub(super) fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
