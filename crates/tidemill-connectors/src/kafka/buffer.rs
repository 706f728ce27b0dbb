//! Records of one partition that were fetched and not read yet. No I/O.

use bytes::Bytes;
use std::collections::VecDeque;
use std::ops::Range;
use tidemill_core::source::Records;

/// Records are kept in blocks of about this size.
const BLOCK_BYTES: usize = 1 << 20;

/// Headers of a record.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Headers<'a> {
    /// Nobody asks for them.
    Left,
    /// Packed, if the record has any.
    Kept(Option<&'a [u8]>),
}

/// A queue of records: all there are with offsets from `start` to `next`.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// Position of the reader.
    pub(crate) start: u64,
    /// Position of the fetcher.
    pub(crate) next: u64,
    /// The fetcher has met the end of the partition since `next` last moved.
    pub(crate) at_end: bool,
    blocks: VecDeque<Records>,
    open: Open,
    bytes: usize,
    records: usize,
}

#[derive(Debug, Default)]
struct Open {
    data: Vec<u8>,
    records: Records,
}

impl Buffer {
    /// Forgets everything; fetching goes on at `position`.
    pub(crate) fn reset(&mut self, position: u64) {
        *self = Buffer { start: position, next: position, ..Buffer::default() };
    }

    /// Bytes of the records there are.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of records there are.
    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// Nothing more is to come before `position`.
    pub(crate) fn skip_to(&mut self, position: u64) {
        self.start = self.start.max(position);
        self.next = self.next.max(position);
    }

    /// Adds a fetched record. One from before `next` is a leftover of an earlier position.
    pub(crate) fn push(
        &mut self,
        offset: u64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp_micros: i64,
        headers: Headers<'_>,
    ) {
        if offset < self.next {
            return;
        }
        let open = &mut self.open;
        let mut put = |part: Option<&[u8]>| {
            part.map(|part| {
                let from = open.data.len();
                open.data.extend_from_slice(part);
                from..open.data.len()
            })
        };
        let (key, value) = (put(key), put(value));
        if let Headers::Kept(packed) = headers {
            open.records.headers.push(put(packed));
        }
        open.records.keys.push(key);
        open.records.values.push(value);
        open.records.offsets.push(offset);
        open.records.timestamps.push(timestamp_micros);
        self.bytes += weight(&open.records, open.records.len() - 1);
        self.records += 1;
        self.next = offset + 1;
        self.at_end = false;
        if self.open.data.len() >= BLOCK_BYTES {
            self.close();
        }
    }

    /// Moves the records of `range` to `out`; true when all of the range that exists is out.
    pub(crate) fn take(&mut self, range: &Range<u64>, out: &mut Vec<Records>) -> bool {
        self.close();
        while let Some(mut block) = self.blocks.pop_front() {
            let before = block.offsets.partition_point(|offset| *offset < range.start);
            let until = block.offsets.partition_point(|offset| *offset < range.end);
            self.forget(&block, 0..until);
            let rest = split_off(&mut block, until);
            let wanted = split_off(&mut block, before);
            if !wanted.is_empty() {
                out.push(wanted);
            }
            if !rest.is_empty() {
                self.blocks.push_front(rest);
                break;
            }
        }
        self.start = self.start.max(range.end.min(self.next));
        self.next >= range.end
    }

    fn forget(&mut self, block: &Records, which: Range<usize>) {
        self.records -= which.len();
        self.bytes -= which.map(|at| weight(block, at)).sum::<usize>();
    }

    fn close(&mut self) {
        if !self.open.records.is_empty() {
            let open = std::mem::take(&mut self.open);
            self.blocks.push_back(Records { data: Bytes::from(open.data), ..open.records });
        }
    }
}

/// What a record takes of the buffer's memory.
fn weight(records: &Records, at: usize) -> usize {
    const OVERHEAD: usize = 80;
    let length = |part: &Option<Range<usize>>| part.as_ref().map_or(0, ExactSizeIterator::len);
    let headers = records.headers.get(at).map_or(0, length);
    OVERHEAD + length(&records.keys[at]) + length(&records.values[at]) + headers
}

fn split_off(records: &mut Records, at: usize) -> Records {
    Records {
        data: records.data.clone(),
        values: records.values.split_off(at),
        keys: records.keys.split_off(at),
        offsets: records.offsets.split_off(at),
        timestamps: records.timestamps.split_off(at),
        headers: records.headers.split_off(at.min(records.headers.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(offsets: &[u64]) -> Buffer {
        let mut buffer = Buffer::default();
        buffer.reset(offsets[0]);
        for offset in offsets {
            buffer.push(*offset, Some(b"k"), Some(&offset.to_be_bytes()), 1, Headers::Left);
        }
        buffer
    }

    fn taken(buffer: &mut Buffer, range: Range<u64>) -> (bool, Vec<u64>) {
        let mut out = Vec::new();
        let done = buffer.take(&range, &mut out);
        (done, out.iter().flat_map(|block| block.offsets.clone()).collect())
    }

    #[test]
    fn ranges_are_cut_out_exactly_and_gaps_are_passed_over() {
        let mut buffer = filled(&[3, 4, 7, 8, 20]);
        assert_eq!(taken(&mut buffer, 3..5), (true, vec![3, 4]));
        assert_eq!(taken(&mut buffer, 5..7), (true, vec![]));
        assert_eq!(taken(&mut buffer, 8..15), (true, vec![8]), "7 was before the range and is dropped");
        assert_eq!((buffer.start, buffer.next, buffer.records()), (15, 21, 1));
        assert_eq!(taken(&mut buffer, 15..30), (false, vec![20]), "21 to 30 are not fetched yet");
        buffer.push(25, None, None, 1, Headers::Left);
        buffer.push(30, None, None, 1, Headers::Left);
        assert_eq!(taken(&mut buffer, 21..30), (true, vec![25]));
        assert_eq!((buffer.records(), buffer.bytes()), (1, 80));
    }

    #[test]
    fn leftovers_of_an_earlier_position_are_dropped() {
        let mut buffer = filled(&[10, 11]);
        buffer.reset(5);
        buffer.push(5, None, Some(b"a"), 0, Headers::Left);
        buffer.push(4, None, Some(b"b"), 0, Headers::Left);
        assert_eq!(taken(&mut buffer, 5..6), (true, vec![5]));
    }

    #[test]
    fn headers_stay_with_their_record() {
        let mut buffer = Buffer::default();
        buffer.reset(3);
        for (offset, headers) in [(3, Some(b"a".as_slice())), (4, None), (5, Some(b"c"))] {
            buffer.push(offset, None, Some(b"v"), 1, Headers::Kept(headers));
        }
        let mut out = Vec::new();
        assert!(buffer.take(&(4..6), &mut out));
        let headers: Vec<_> = (0..2).map(|at| out[0].headers(at)).collect();
        assert_eq!(headers, [None, Some(b"c".as_slice())]);
    }
}
