//! The bytes of one Avro value as they are read: numbers of variable length, sized bytes, blocks.
//!
//! Source: Avro specification 1.12, "Binary Encoding".

use crate::format::fault::Fault;

/// What is left of a record.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Input { rest: bytes, length: bytes.len() }
    }

    /// Number of bytes that are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Says that the bytes are no such value.
    #[cold]
    pub fn malformed(&self, what: &str) -> Fault {
        Fault::malformed(format!("not Avro by this schema: {what} (byte {})", self.length - self.rest.len()))
    }

    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.malformed(&format!("{count} bytes wanted, {} left", self.rest.len())));
        };
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.malformed(&format!("{N} bytes wanted, {} left", self.rest.len())));
        };
        self.rest = rest;
        Ok(*taken)
    }

    /// A number, its sign in the lowest bit.
    #[inline]
    pub fn long(&mut self) -> Result<i64, Fault> {
        let mut value = 0u64;
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7F) << (7 * at);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[at + 1..];
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(self.malformed("a number without an end"))
    }

    #[inline]
    pub fn int(&mut self) -> Result<i32, Fault> {
        let number = self.long()?;
        i32::try_from(number).map_err(|_| self.malformed(&format!("an int of {number}")))
    }

    #[inline]
    pub fn boolean(&mut self) -> Result<bool, Fault> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(self.malformed(&format!("a boolean of {other}"))),
        }
    }

    /// Bytes after their number.
    #[inline]
    pub fn sized(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(self.malformed(&format!("a length of {length}"))),
        }
    }

    /// Which of `count` branches or symbols follows.
    #[inline]
    pub fn choice(&mut self, count: usize, what: &str) -> Result<usize, Fault> {
        let at = self.long()?;
        match usize::try_from(at) {
            Ok(at) if at < count => Ok(at),
            _ => Err(self.malformed(&format!("{what} {at} of {count}"))),
        }
    }

    /// Number of items of the next block; 0 after the last. An item of no bytes counts as one, so that a number
    /// cannot promise more than there is.
    #[inline]
    pub fn block(&mut self) -> Result<usize, Fault> {
        let count = self.long()?;
        if count < 0 {
            self.long()?;
        }
        match usize::try_from(count.unsigned_abs()) {
            Ok(count) if count <= self.rest.len() => Ok(count),
            _ => Err(self.malformed(&format!("a block of {count} items"))),
        }
    }
}

/// Appends a number.
pub(super) fn put_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends bytes after their number.
pub(super) fn put_sized(bytes: &[u8], out: &mut Vec<u8>) {
    put_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}
