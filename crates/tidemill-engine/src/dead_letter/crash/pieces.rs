//! The records of an epoch one by one, and chunks without some of them: nothing is decoded, because to
//! decode a record may be what ends the process. Pure.

use crate::checkpoint::record::CrashedRecord;
use crate::dead_letter::{Letter, Payload, Stage, Standing};
use crate::decode;
use std::collections::BTreeMap;
use std::ops::Range;
use tidemill_core::format::Framing;
use tidemill_core::source::{Body, Chunk};

/// A chunk of a table, whose records can be told apart.
#[derive(Debug)]
pub struct Piece {
    /// The table.
    pub table: String,
    /// The replay it is of; 0 when it comes from the source.
    pub replay: u64,
    /// What came.
    pub chunk: Chunk,
    /// Where each line ends, for those that are lines.
    ends: Vec<usize>,
}

impl Piece {
    /// A chunk of a table whose format finds records as `framing` says. A file that can only be read whole
    /// is one record.
    pub fn new(table: &str, replay: u64, framing: Option<Framing>, chunk: Chunk) -> Self {
        let ends = match &chunk.body {
            Body::Stream { bytes, .. } if framing == Some(Framing::Lines) => {
                let lines = bytes.split_inclusive(|byte| *byte == b'\n');
                lines
                    .scan(0, |end, line| {
                        *end += line.len();
                        Some(*end)
                    })
                    .collect()
            }
            Body::Stream { bytes, .. } => vec![bytes.len()],
            Body::Records(_) | Body::Rows { .. } => vec![],
        };
        Piece { table: table.to_owned(), replay, chunk, ends }
    }

    /// Its records.
    pub fn count(&self) -> usize {
        match &self.chunk.body {
            Body::Stream { .. } => self.ends.len(),
            Body::Records(records) => records.len(),
            Body::Rows { rows, .. } => rows.num_rows(),
        }
    }

    /// Some of its records, as a chunk.
    pub fn cut(&self, records: Range<usize>) -> Chunk {
        let body = match &self.chunk.body {
            Body::Stream { bytes, at } => {
                let bounds = self.start(records.start)..self.start(records.end);
                Body::Stream { at: at + bounds.start as u64, bytes: bytes.slice(bounds) }
            }
            Body::Records(all) => Body::Records(all.slice(records)),
            Body::Rows { rows, at } => {
                Body::Rows { at: at + records.start as u64, rows: rows.slice(records.start, records.len()) }
            }
        };
        Chunk { split: self.chunk.split.clone(), body }
    }

    /// Where a record stands in its split.
    pub fn position(&self, record: usize) -> u64 {
        match &self.chunk.body {
            Body::Stream { at, .. } => at + self.start(record) as u64,
            Body::Records(records) => records.offsets[record],
            Body::Rows { at, .. } => at + record as u64,
        }
    }

    /// What a record holds.
    pub fn payload(&self, record: usize) -> Payload {
        match &self.chunk.body {
            Body::Stream { bytes, .. } => {
                let line = &bytes[self.start(record)..self.ends[record]];
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                Payload::Original(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
            }
            Body::Records(records) => Payload::Original(records.value(record).unwrap_or_default().to_vec()),
            Body::Rows { rows, .. } => Payload::Row(decode::json(&rows.schema(), rows, record)),
        }
    }

    /// True for a file whose records only its decoder tells apart.
    pub fn is_whole_file(&self, framing: Option<Framing>) -> bool {
        matches!(self.chunk.body, Body::Stream { .. }) && framing != Some(Framing::Lines)
    }

    fn start(&self, record: usize) -> usize {
        record.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

/// Chunks of a table without the records that are known to end the process, and a letter for each of those.
pub fn without(
    crashed: &[CrashedRecord],
    table: &str,
    replay: u64,
    framing: Option<Framing>,
    chunks: Vec<Chunk>,
) -> (Vec<Chunk>, Vec<Letter>) {
    let of = crashed.iter().filter(|record| record.table == table && record.replay == replay);
    let known: BTreeMap<(&str, u64), &CrashedRecord> =
        of.map(|record| ((&*record.split, record.offset), record)).collect();
    if known.is_empty() {
        return (chunks, vec![]);
    }
    let (mut left, mut letters) = (Vec::with_capacity(chunks.len() + known.len()), Vec::new());
    for chunk in chunks {
        if !known.keys().any(|(split, _)| **split == *chunk.split) {
            left.push(chunk);
            continue;
        }
        let piece = Piece::new(table, replay, framing, chunk);
        let mut from = 0;
        for record in 0..piece.count() {
            let Some(known) = known.get(&(&*piece.chunk.split, piece.position(record))) else { continue };
            letters.push(letter(known, piece.payload(record)));
            left.extend((from < record).then(|| piece.cut(from..record)));
            from = record + 1;
        }
        left.extend((from < piece.count()).then(|| piece.cut(from..piece.count())));
    }
    (left, letters)
}

fn letter(record: &CrashedRecord, payload: Payload) -> Letter {
    Letter {
        split: record.split.clone(),
        standing: Standing::At(record.offset),
        stage: Stage::Crash,
        code: "PROCESS_DIED".into(),
        reason: format!("the process ended ({}) each time this record was tried alone", record.how),
        place: None,
        payload,
        replay: record.replay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tidemill_core::source::Records;

    fn crashed(offset: u64) -> CrashedRecord {
        CrashedRecord { table: "t".into(), replay: 0, split: "s".into(), offset, how: "SIGABRT".into() }
    }

    fn lines() -> Chunk {
        Chunk { split: "s".into(), body: Body::Stream { bytes: Bytes::from_static(b"one\ntwo\r\n\nfour"), at: 100 } }
    }

    fn texts(chunks: &[Chunk]) -> Vec<(u64, String)> {
        let text = |chunk: &Chunk| match &chunk.body {
            Body::Stream { bytes, at } => (*at, String::from_utf8_lossy(bytes).into_owned()),
            Body::Records(records) => (records.offsets[0], String::from_utf8_lossy(records.value(0).unwrap()).into()),
            Body::Rows { .. } => unreachable!(),
        };
        chunks.iter().map(text).collect()
    }

    #[test]
    fn a_line_is_taken_out_and_the_others_keep_their_places() {
        let (left, letters) = without(&[crashed(104)], "t", 0, Some(Framing::Lines), vec![lines()]);
        assert_eq!(texts(&left), [(100, "one\n".into()), (109, "\nfour".into())]);
        assert_eq!(letters[0].payload, Payload::Original(b"two".to_vec()));
        assert_eq!(letters[0].standing, Standing::At(104));
    }

    #[test]
    fn what_is_not_named_stays_as_it_is() {
        for (table, replay) in [("u", 0), ("t", 1)] {
            let (left, letters) = without(&[crashed(104)], table, replay, Some(Framing::Lines), vec![lines()]);
            assert_eq!((texts(&left).len(), letters.len()), (1, 0));
        }
    }

    #[test]
    fn a_payload_is_taken_out_by_its_offset() {
        let records = Records {
            data: Bytes::from_static(b"abc"),
            values: vec![Some(0..1), Some(1..2), Some(2..3)],
            keys: vec![None; 3],
            offsets: vec![7, 8, 9],
            timestamps: vec![0; 3],
            ..Records::default()
        };
        let chunk = Chunk { split: "s".into(), body: Body::Records(records) };
        let (left, letters) = without(&[crashed(8)], "t", 0, Some(Framing::Payloads), vec![chunk]);
        assert_eq!(texts(&left), [(7, "a".into()), (9, "c".into())]);
        assert_eq!(letters[0].payload, Payload::Original(b"b".to_vec()));
    }
}
