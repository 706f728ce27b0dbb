//! The replay log: dead letters that are to be read again, in files of the checkpoint. An epoch's plan
//! names the file it takes, so that each file is read by one epoch, and again by that epoch only when
//! the epoch itself is run again. Files are kept: they say which letters have been replayed.
//!
//! ```text
//! replays/00000000000000000001.arrow    rows of the dead-letter table, an Arrow IPC stream
//! ```

use crate::checkpoint::{durable, ipc, sealed};
use crate::dead_letter;
use arrow::array::AsArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidemill_core::source::{Body, Chunk, Records};
use tidemill_core::{Error, Kind, Result, Split};

/// How often an idle query looks for new files.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The replay log of a checkpoint.
#[derive(Debug)]
pub struct Replays {
    directory: PathBuf,
    /// The newest file an epoch has taken; 0 for none.
    pub taken: u64,
}

impl Replays {
    /// The log of the checkpoint in `checkpoint`; nothing needs to be there.
    pub fn new(checkpoint: &Path, taken: u64) -> Self {
        Replays { directory: checkpoint.join("replays"), taken }
    }

    /// The oldest file no epoch has taken.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn waiting(&self) -> Result<Option<u64>> {
        Ok(self.numbers()?.range(self.taken + 1..).next().copied())
    }

    /// Returns when there is a file to take.
    pub async fn arrival(&self) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            if self.waiting().is_ok_and(|number| number.is_some()) {
                return;
            }
        }
    }

    /// Ids of every letter in the log, taken or not.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn ids(&self) -> Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        for number in self.numbers()? {
            for rows in self.rows(number)? {
                ids.extend(rows.column(0).as_string::<i32>().iter().flatten().map(str::to_owned));
            }
        }
        Ok(ids)
    }

    /// Adds letters, durably; a running query takes them soon, another one when it is started. Gives the
    /// file's number.
    ///
    /// # Errors
    /// The disk.
    pub fn add(&self, letters: &[RecordBatch]) -> Result<u64> {
        durable::create_directory(&self.directory)?;
        let content = sealed::close(ipc::write(&dead_letter::schema(), letters)?);
        loop {
            let number = self.numbers()?.last().map_or(1, |last| last + 1);
            if durable::write_new(&self.file(number), &content)? {
                return Ok(number);
            }
        }
    }

    /// The records of file `number` by source table, as that table's source would have brought them.
    ///
    /// # Errors
    /// The file is gone or damaged.
    pub fn chunks(&self, number: u64) -> Result<BTreeMap<String, Vec<Chunk>>> {
        let mut records: BTreeMap<(String, Split), (Vec<u8>, Records)> = BTreeMap::new();
        for rows in self.rows(number)? {
            let text = |column: usize| rows.column(column).as_string::<i32>();
            let (offsets, values) = (rows.column(6).as_primitive::<Int64Type>(), rows.column(11).as_binary::<i32>());
            let failed = rows.column(7).as_primitive::<TimestampMicrosecondType>();
            for row in 0..rows.num_rows() {
                let split = split_of(text(0).value(row), text(1).value(row), text(3).value(row));
                let split = split.ok_or_else(|| damaged(&self.file(number)))?;
                let (data, of) = records.entry((text(3).value(row).to_owned(), split.into())).or_default();
                let start = data.len();
                data.extend_from_slice(values.value(row));
                of.values.push(Some(start..data.len()));
                of.keys.push(None);
                of.offsets.push(offsets.value(row) as u64);
                of.timestamps.push(failed.value(row));
            }
        }
        let mut chunks: BTreeMap<String, Vec<Chunk>> = BTreeMap::new();
        for ((table, split), (data, records)) in records {
            let body = Body::Records(Records { data: Bytes::from(data), ..records });
            chunks.entry(table).or_default().push(Chunk { split, body });
        }
        Ok(chunks)
    }

    fn rows(&self, number: u64) -> Result<Vec<RecordBatch>> {
        let path = self.file(number);
        let content = std::fs::read(&path)
            .map_err(|error| Error::io(format!("cannot read the replayed records {}", path.display()), error))?;
        let batches = ipc::read(&content, &path.display().to_string())?;
        match batches.iter().all(|batch| batch.schema() == dead_letter::schema()) {
            true => Ok(batches),
            false => Err(damaged(&path)),
        }
    }

    fn file(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:020}.arrow"))
    }

    fn numbers(&self) -> Result<BTreeSet<u64>> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(Error::io(format!("cannot list {}", self.directory.display()), error)),
        };
        let number = |name: &str| name.strip_suffix(".arrow").and_then(|stem| stem.parse().ok());
        Ok(entries.flatten().filter_map(|entry| number(&entry.file_name().to_string_lossy())).collect())
    }
}

/// The letters of `rows` that `wanted` picks and that can be replayed, each once by its id: those that
/// have the record's own bytes, and its offset.
///
/// # Errors
/// A bug.
pub fn picked(rows: &RecordBatch, seen: &mut BTreeSet<String>, wanted: &dyn Fn(usize) -> bool) -> Result<RecordBatch> {
    let (ids, payload) = (rows.column(0).as_string::<i32>(), rows.column(12).as_string::<i32>());
    let has_offset = |row: usize| arrow::array::Array::is_valid(rows.column(6), row);
    let mut keep = Vec::with_capacity(rows.num_rows());
    for row in 0..rows.num_rows() {
        let can = wanted(row) && has_offset(row) && payload.value(row) == "original";
        keep.push(can && seen.insert(ids.value(row).to_owned()));
    }
    Ok(filter_record_batch(rows, &keep.into())?)
}

/// The split an id names: `pipeline/table/split/offset/stage`, and `/replay-n` behind it.
fn split_of<'a>(id: &'a str, pipeline: &str, table: &str) -> Option<&'a str> {
    let rest = id.strip_prefix(pipeline)?.strip_prefix('/')?.strip_prefix(table)?.strip_prefix('/')?;
    let rest = match rest.rsplit_once('/') {
        Some((before, last)) if last.starts_with("replay-") => before,
        _ => rest,
    };
    Some(rest.rsplitn(3, '/').nth(2).unwrap_or_default())
}

fn damaged(path: &Path) -> Error {
    Error::new(Kind::Invalid, format!("the file {} holds no dead letters", path.display()))
        .help("it is written by `tidemill dlq replay`; restore it from a copy")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_is_read_from_the_id() {
        assert_eq!(split_of("p/t/events-0/17/decode", "p", "t"), Some("events-0"));
        assert_eq!(split_of("p.a/t/dir/in-x/a-1.json/17/udf/replay-3", "p.a", "t"), Some("dir/in-x/a-1.json"));
        assert_eq!(split_of("q/t/a/1/decode", "p", "t"), None);
    }
}
