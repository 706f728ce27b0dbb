//! Where the rows of a chunk came from: the position and bytes of each record. Pure; asked only when a
//! row has failed, over a chunk that is read again.

use bytes::Bytes;
use std::collections::BTreeSet;
use tidemill_core::format::{Framing, Reject};
use tidemill_core::source::{Body, Records};

/// A record's position in its split, and its bytes as they came; `None` when the source makes rows itself.
pub type Origin = (u64, Option<Vec<u8>>);

/// The origin of every row a decoder made of `body`, in order; `None` when the records cannot be told
/// apart from outside: a format that is read whole, a header, a record of several lines.
pub fn of_rows(body: &Body, framing: Option<Framing>, rows: usize, rejects: &[Reject]) -> Option<Vec<Origin>> {
    let bad: BTreeSet<u64> = rejects.iter().map(|reject| reject.offset).collect();
    let all: Vec<Origin> = match body {
        Body::Rows { at, .. } => (0..rows as u64).map(|row| (at + row, None)).collect(),
        Body::Records(records) => payloads(records, rows + rejects.len())?,
        Body::Stream { bytes, at } if framing == Some(Framing::Lines) => lines(bytes, *at),
        Body::Stream { .. } => return None,
    };
    let good: Vec<Origin> = all.into_iter().filter(|(offset, _)| !bad.contains(offset)).collect();
    (good.len() == rows).then_some(good)
}

/// One a record; formats may or may not pass over null payloads, and the count says which.
fn payloads(records: &Records, decoded: usize) -> Option<Vec<Origin>> {
    let payload = |index: usize| (records.offsets[index], Some(records.value(index).unwrap_or_default().to_vec()));
    if records.len() == decoded {
        return Some((0..records.len()).map(payload).collect());
    }
    let present: Vec<usize> = (0..records.len()).filter(|index| records.value(*index).is_some()).collect();
    (present.len() == decoded).then(|| present.into_iter().map(payload).collect())
}

/// The lines that are not blank.
fn lines(bytes: &Bytes, at: u64) -> Vec<Origin> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        if !content.iter().all(u8::is_ascii_whitespace) {
            found.push((at + start, Some(content.to_vec())));
        }
        start += line.len() as u64;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(offset: u64) -> Reject {
        Reject { offset, bytes: vec![], code: "MALFORMED", reason: String::new() }
    }

    #[test]
    fn a_line_is_found_by_its_byte_and_bad_lines_are_passed_over() {
        let body = Body::Stream { bytes: Bytes::from_static(b"one\n\nbad\r\nthree"), at: 100 };
        let rows = of_rows(&body, Some(Framing::Lines), 2, &[reject(105)]);
        assert_eq!(rows, Some(vec![(100, Some(b"one".to_vec())), (110, Some(b"three".to_vec()))]));
    }

    #[test]
    fn a_count_that_does_not_fit_is_not_guessed() {
        let body = Body::Stream { bytes: Bytes::from_static(b"header\none\n"), at: 0 };
        assert_eq!(of_rows(&body, Some(Framing::Lines), 1, &[]), None);
        assert_eq!(of_rows(&body, Some(Framing::Whole), 2, &[]), None);
    }

    #[test]
    fn null_payloads_count_only_when_the_format_made_something_of_them() {
        let records = Records {
            data: Bytes::from_static(b"ab"),
            values: vec![Some(0..1), None, Some(1..2)],
            keys: vec![None; 3],
            offsets: vec![7, 8, 9],
            timestamps: vec![0; 3],
            ..Records::default()
        };
        let body = Body::Records(records);
        assert_eq!(of_rows(&body, None, 2, &[]), Some(vec![(7, Some(b"a".to_vec())), (9, Some(b"b".to_vec()))]));
        assert_eq!(of_rows(&body, None, 2, &[reject(8)]).map(|rows| rows[1].0), Some(9));
    }
}
