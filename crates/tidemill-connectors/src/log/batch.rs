//! A batch: the records that one append gives to one partition, in one frame. Pure functions.
//!
//! Body of the frame (magic `TMB\x01`, or `TMB\x02` when its records have headers):
//! ```text
//! base offset u64    offset of the first record; the others follow without a gap
//! count       u32    number of records
//! appended    i64    microseconds since 1970-01-01T00:00:00Z
//! flags       u8     bit 0: a marker follows
//! marker             id length u16, id, epoch u64
//! records            each: key length u32, value length u32 (4294967295 is null),
//!                    timestamp i64 (-9223372036854775808: that of the append), key, value;
//!                    with headers: headers length u32 (4294967295 is none) before the key, headers at the end
//! ```

use super::frame::{self, Fields, Frame};
use tidemill_core::source::Records;

/// Kind and version of a batch.
pub(crate) const MAGIC: [u8; 4] = *b"TMB\x01";
/// The same whose records have headers.
pub(crate) const MAGIC_WITH_HEADERS: [u8; 4] = *b"TMB\x02";

const NULL: u32 = u32::MAX;
const NO_TIMESTAMP: i64 = i64::MIN;
const HAS_MARKER: u8 = 1;
/// Bytes of a body before the marker.
const FIXED_BYTES: usize = 21;

/// Records to append to one partition.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    records: Vec<u8>,
    /// Number of records so far.
    pub(crate) count: u32,
    /// True when every record has a field of headers.
    has_headers: bool,
}

/// A record to append.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogRecord<'a> {
    /// Its key; the hash of it chooses the partition.
    pub key: Option<&'a [u8]>,
    /// Its payload; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// In microseconds since 1970-01-01T00:00:00Z; `None` is the time of the append.
    pub timestamp: Option<i64>,
    /// Headers, in the packed form of the topics of this crate.
    pub headers: Option<&'a [u8]>,
}

impl LogRecord<'_> {
    /// Bytes of key, value and headers.
    pub(crate) fn len(&self) -> usize {
        [self.key, self.value, self.headers].into_iter().flatten().map(<[u8]>::len).sum()
    }
}

impl Builder {
    /// Bytes of the records so far.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// A builder whose first record is like `record`.
    pub(crate) fn like(record: &LogRecord<'_>) -> Self {
        Builder { has_headers: record.headers.is_some(), ..Builder::default() }
    }

    /// True when the batch has a place for everything `record` holds.
    pub(crate) fn takes(&self, record: &LogRecord<'_>) -> bool {
        self.has_headers || record.headers.is_none()
    }

    /// Adds a record, which the builder [`Builder::takes`].
    pub(crate) fn push(&mut self, record: &LogRecord<'_>) {
        let length = |part: Option<&[u8]>| part.map_or(NULL, |part| part.len() as u32).to_le_bytes();
        self.records.extend_from_slice(&length(record.key));
        self.records.extend_from_slice(&length(record.value));
        self.records.extend_from_slice(&record.timestamp.unwrap_or(NO_TIMESTAMP).to_le_bytes());
        if self.has_headers {
            self.records.extend_from_slice(&length(record.headers));
        }
        self.records.extend_from_slice(record.key.unwrap_or_default());
        self.records.extend_from_slice(record.value.unwrap_or_default());
        if self.has_headers {
            self.records.extend_from_slice(record.headers.unwrap_or_default());
        }
        self.count += 1;
    }

    /// The frame.
    pub(crate) fn seal(&self, base: u64, appended_micros: i64, marker: Option<(&str, u64)>) -> Vec<u8> {
        let mut body = Vec::with_capacity(FIXED_BYTES + 64 + self.records.len());
        body.extend_from_slice(&base.to_le_bytes());
        body.extend_from_slice(&self.count.to_le_bytes());
        body.extend_from_slice(&appended_micros.to_le_bytes());
        body.push(if marker.is_some() { HAS_MARKER } else { 0 });
        if let Some((id, epoch)) = marker {
            frame::put_marker(&mut body, id, epoch);
        }
        body.extend_from_slice(&self.records);
        frame::seal(if self.has_headers { MAGIC_WITH_HEADERS } else { MAGIC }, &body)
    }
}

/// The front of a batch's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Offset of the first record.
    pub(crate) base: u64,
    /// Number of records.
    pub(crate) count: u32,
    /// When it was appended.
    pub(crate) appended_micros: i64,
    /// Who wrote it, and in which epoch.
    pub(crate) marker: Option<(String, u64)>,
    /// True when its records have headers.
    has_headers: bool,
}

impl Head {
    /// Offset after the last record.
    pub(crate) fn end(&self) -> u64 {
        self.base + u64::from(self.count)
    }
}

/// What stands at a position of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A whole batch, where its records start, and where it ends.
    Batch { head: Head, records: usize, end: usize },
    /// As [`Frame::Incomplete`].
    Incomplete(usize),
    /// Why it is no batch.
    Damaged(&'static str),
}

/// Looks at the batch at `at`, which is not the end of `bytes`.
pub(crate) fn look(bytes: &[u8], at: usize) -> Step {
    let has_headers = bytes[at..].starts_with(&MAGIC_WITH_HEADERS);
    match frame::look(if has_headers { MAGIC_WITH_HEADERS } else { MAGIC }, bytes, at) {
        Frame::Incomplete(needed) => Step::Incomplete(needed),
        Frame::Damaged { why, .. } => Step::Damaged(why),
        Frame::Whole(body) => {
            let mut fields = Fields(&bytes[body.clone()]);
            match head(&mut fields, has_headers) {
                Some(head) => Step::Batch { head, records: body.end - fields.0.len(), end: body.end },
                None => Step::Damaged("a head that does not fit its body"),
            }
        }
    }
}

/// The head of the batch that starts a segment, from its first bytes; the checksum is not looked at.
pub(crate) fn peek(bytes: &[u8]) -> Option<Head> {
    let mut fields = Fields(bytes);
    let magic = fields.bytes(4)?;
    (magic == MAGIC || magic == MAGIC_WITH_HEADERS).then_some(())?;
    fields.bytes(8)?;
    head(&mut fields, magic == MAGIC_WITH_HEADERS)
}

/// Bytes that [`peek`] needs when the id of the marker is of usual length.
pub(crate) const PEEK_BYTES: usize = 4096;

fn head(fields: &mut Fields<'_>, has_headers: bool) -> Option<Head> {
    let (base, count) = (fields.u64()?, fields.u32()?);
    let appended_micros = fields.u64()? as i64;
    let marker = if fields.u8()? & HAS_MARKER == 0 { None } else { Some(fields.marker()?) };
    base.checked_add(u64::from(count))?;
    Some(Head { base, count, appended_micros, marker, has_headers })
}

/// Adds the records of a batch with offsets in `wanted` to `out`, whose ranges point into `bytes`.
/// False when the records do not fit the batch.
pub(crate) fn records(
    bytes: &[u8],
    head: &Head,
    mut at: usize,
    end: usize,
    wanted: &std::ops::Range<u64>,
    out: &mut Records,
) -> bool {
    for offset in head.base..head.end() {
        let mut fields = Fields(&bytes[at..end]);
        let (Some(key), Some(value), Some(timestamp)) = (fields.u32(), fields.u32(), fields.u64()) else {
            return false;
        };
        let Some(headers) = (if head.has_headers { fields.u32() } else { Some(NULL) }) else { return false };
        let start = end - fields.0.len();
        let part = |length: u32| if length == NULL { 0 } else { length as usize };
        let middle = start + part(key);
        let (last, after) = (middle + part(value), middle + part(value) + part(headers));
        if after > end {
            return false;
        }
        if wanted.contains(&offset) {
            out.keys.push((key != NULL).then_some(start..middle));
            out.values.push((value != NULL).then_some(middle..last));
            if head.has_headers {
                // records before them in the piece may be of batches without
                out.headers.resize(out.offsets.len(), None);
                out.headers.push((headers != NULL).then_some(last..after));
            }
            out.offsets.push(offset);
            let timestamp = timestamp as i64;
            out.timestamps.push(if timestamp == NO_TIMESTAMP { head.appended_micros } else { timestamp });
        }
        at = after;
    }
    if !out.headers.is_empty() {
        out.headers.resize(out.offsets.len(), None);
    }
    at == end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_reads_back_as_it_was_written() {
        let mut builder = Builder::default();
        builder.push(&LogRecord { key: Some(b"k"), value: Some(b"one"), timestamp: Some(5), headers: None });
        builder.push(&LogRecord { value: Some(b""), ..LogRecord::default() });
        builder.push(&LogRecord { key: Some(b""), ..LogRecord::default() });
        let bytes = builder.seal(40, 1_000, Some(("tidemill/q/s/i", 7)));
        let Step::Batch { head, records: at, end } = look(&bytes, 0) else { panic!("no batch") };
        assert_eq!(head.marker, Some(("tidemill/q/s/i".into(), 7)));
        assert_eq!(peek(&bytes), Some(head.clone()));
        let mut out = Records { data: bytes.clone().into(), ..Records::default() };
        assert!(records(&bytes, &head, at, end, &(41..100), &mut out));
        assert_eq!((out.offsets.clone(), out.timestamps.clone()), (vec![41, 42], vec![1_000, 1_000]));
        assert_eq!((out.key(0), out.value(0), out.key(1), out.value(1)), (None, Some(&b""[..]), Some(&b""[..]), None));
    }

    #[test]
    fn batches_with_and_without_headers_stand_side_by_side() {
        let plain = LogRecord { value: Some(b"plain"), ..LogRecord::default() };
        let rich = LogRecord { value: Some(b"rich"), headers: Some(b"h"), ..LogRecord::default() };
        let (mut first, mut second) = (Builder::like(&plain), Builder::like(&rich));
        assert!(!first.takes(&rich) && second.takes(&plain));
        first.push(&plain);
        second.push(&rich);
        second.push(&plain);
        let mut bytes = first.seal(0, 1, None);
        bytes.extend(second.seal(1, 1, None));
        let mut out = Records { data: bytes.clone().into(), ..Records::default() };
        let mut at = 0;
        while at < bytes.len() {
            let Step::Batch { head, records: from, end } = look(&bytes, at) else { panic!("no batch") };
            assert!(records(&bytes, &head, from, end, &(0..9), &mut out));
            at = end;
        }
        assert_eq!((0..3).map(|at| out.headers(at)).collect::<Vec<_>>(), [None, Some(&b"h"[..]), None]);
        assert_eq!((out.value(1), out.value(2)), (Some(&b"rich"[..]), Some(&b"plain"[..])));
    }

    #[test]
    fn a_count_beyond_the_records_is_noticed() {
        let mut builder = Builder::default();
        builder.push(&LogRecord { value: Some(b"x"), ..LogRecord::default() });
        builder.count = 2;
        let bytes = builder.seal(0, 0, None);
        let Step::Batch { head, records: at, end } = look(&bytes, 0) else { panic!("no batch") };
        assert!(!records(&bytes, &head, at, end, &(0..9), &mut Records::default()));
    }
}
