//! The records of an epoch as a file, for a process that tries them: it needs neither the sources nor the
//! checkpoint. The file lies in the checkpoint while a search goes on.
//!
//! ```text
//! length  JSON                      the plan, and what is known of each piece
//! length  bytes                     the first piece: its bytes, or its rows as an Arrow IPC stream
//! length  bytes                     the second piece, and so on
//! ```

use super::pieces::Piece;
use crate::checkpoint::ipc;
use crate::checkpoint::record::PlanRecord;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use tidemill_core::format::Framing;
use tidemill_core::source::{Body, Chunk, Records};
use tidemill_core::{Error, Kind, Result, ResultExt, Split};

#[derive(Serialize, Deserialize)]
struct Header {
    plan: PlanRecord,
    pieces: Vec<About>,
}

/// What is known of a piece beside its bytes.
#[derive(Serialize, Deserialize)]
struct About {
    table: String,
    replay: u64,
    split: Split,
    body: Kept,
}

#[derive(Serialize, Deserialize)]
enum Kept {
    Stream {
        at: u64,
    },
    Rows {
        at: u64,
    },
    Records {
        values: Vec<Option<Range<usize>>>,
        keys: Vec<Option<Range<usize>>>,
        offsets: Vec<u64>,
        timestamps: Vec<i64>,
        headers: Vec<Option<Range<usize>>>,
    },
}

/// Writes the records of an epoch. Not made durable: after a crash it is written anew.
///
/// # Errors
/// The disk.
pub fn write(file: &Path, plan: &PlanRecord, pieces: &[Piece]) -> Result<()> {
    let header = Header { plan: plan.clone(), pieces: pieces.iter().map(about).collect() };
    let mut content = Vec::new();
    put(&mut content, &serde_json::to_vec(&header).context(Kind::Bug, || "records have no JSON".into())?);
    for piece in pieces {
        match &piece.chunk.body {
            Body::Stream { bytes, .. } => put(&mut content, bytes),
            Body::Records(records) => put(&mut content, &records.data),
            Body::Rows { rows, .. } => put(&mut content, &ipc::write(&rows.schema(), std::slice::from_ref(rows))?),
        }
    }
    std::fs::write(file, content).map_err(|error| Error::io(format!("cannot write {}", file.display()), error))
}

/// Reads the records of an epoch; `framing` tells how the format of a table finds records.
///
/// # Errors
/// The file cannot be read, or is cut off.
pub fn read(file: &Path, framing: &BTreeMap<&str, Option<Framing>>) -> Result<(PlanRecord, Vec<Piece>)> {
    let content = std::fs::read(file).map_err(|error| Error::io(format!("cannot read {}", file.display()), error))?;
    let mut content = Bytes::from(content);
    let damaged = || Error::invalid(format!("the file {} does not hold records of an epoch", file.display()));
    let header = take(&mut content).ok_or_else(damaged)?;
    let header: Header = serde_json::from_slice(&header).map_err(|error| damaged().caused_by(error))?;
    let mut pieces = Vec::with_capacity(header.pieces.len());
    for about in header.pieces {
        let bytes = take(&mut content).ok_or_else(damaged)?;
        let body = match about.body {
            Kept::Stream { at } => Body::Stream { bytes, at },
            Kept::Records { values, keys, offsets, timestamps, headers } => {
                Body::Records(Records { data: bytes, values, keys, offsets, timestamps, headers })
            }
            Kept::Rows { at } => {
                let rows = ipc::read(&bytes, &file.display().to_string())?.pop().ok_or_else(damaged)?;
                Body::Rows { rows, at }
            }
        };
        let framing = framing.get(about.table.as_str()).copied().flatten();
        pieces.push(Piece::new(&about.table, about.replay, framing, Chunk { split: about.split, body }));
    }
    Ok((header.plan, pieces))
}

fn about(piece: &Piece) -> About {
    let body = match &piece.chunk.body {
        Body::Stream { at, .. } => Kept::Stream { at: *at },
        Body::Rows { at, .. } => Kept::Rows { at: *at },
        Body::Records(records) => Kept::Records {
            values: records.values.clone(),
            keys: records.keys.clone(),
            offsets: records.offsets.clone(),
            timestamps: records.timestamps.clone(),
            headers: records.headers.clone(),
        },
    };
    About { table: piece.table.clone(), replay: piece.replay, split: piece.chunk.split.clone(), body }
}

fn put(content: &mut Vec<u8>, part: &[u8]) {
    content.extend((part.len() as u64).to_le_bytes());
    content.extend(part);
}

fn take(content: &mut Bytes) -> Option<Bytes> {
    let length = u64::from_le_bytes(content.get(..8)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?;
    let end = length.checked_add(8).filter(|end| *end <= content.len())?;
    let mut part = content.split_to(end);
    Some(part.split_off(8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::record_batch::RecordBatch;
    use std::sync::Arc;
    use tidemill_core::Epoch;

    fn plan() -> PlanRecord {
        PlanRecord {
            epoch: Epoch(3),
            timestamp: 1,
            ranges: BTreeMap::new(),
            has_data: true,
            watermarks: vec![],
            tables: BTreeMap::new(),
            replay: None,
            crashed: vec![],
            refused: vec![],
        }
    }

    #[test]
    fn pieces_of_every_kind_come_back() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let records = Records {
            data: Bytes::from_static(b"kv"),
            values: vec![Some(1..2), None],
            keys: vec![Some(0..1), None],
            offsets: vec![7, 9],
            timestamps: vec![5, 6],
            ..Records::default()
        };
        let bodies = [
            Body::Stream { bytes: Bytes::from_static(b"a\nb\n"), at: 12 },
            Body::Records(records),
            Body::Rows { rows, at: 40 },
        ];
        let chunks = bodies.map(|body| Chunk { split: "s".into(), body });
        let pieces = chunks.map(|chunk| Piece::new("t", 0, Some(Framing::Lines), chunk));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("parcel");
        write(&file, &plan(), &pieces).unwrap();
        let (read_plan, back) = read(&file, &BTreeMap::from([("t", Some(Framing::Lines))])).unwrap();
        assert_eq!(read_plan, plan());
        let all = |pieces: &[Piece]| -> Vec<(u64, crate::dead_letter::Payload)> {
            let of = |piece: &Piece| (0..piece.count()).map(|n| (piece.position(n), piece.payload(n))).collect();
            pieces.iter().flat_map(|piece| -> Vec<_> { of(piece) }).collect()
        };
        assert_eq!(all(&back), all(&pieces));
        assert_eq!(all(&back).len(), 6);
    }

    #[test]
    fn a_file_that_is_cut_off_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("parcel");
        let chunk = Chunk { split: "s".into(), body: Body::Stream { bytes: Bytes::from_static(b"a\nb\n"), at: 0 } };
        write(&file, &plan(), &[Piece::new("t", 0, None, chunk)]).unwrap();
        let content = std::fs::read(&file).unwrap();
        for length in 0..content.len() {
            std::fs::write(&file, &content[..length]).unwrap();
            assert_eq!(read(&file, &BTreeMap::new()).unwrap_err().kind(), Kind::Invalid, "{length}");
        }
    }
}
