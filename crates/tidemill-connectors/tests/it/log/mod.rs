//! The embedded log, through the contracts of source and sink and through its own append interface.

mod damage;
mod source;
mod writer;

use std::path::Path;
use tidemill_connectors::log::{LogReader, LogRecord, LogWriter};

/// A record without a key.
pub fn record(value: &str) -> LogRecord<'_> {
    LogRecord { value: Some(value.as_bytes()), ..LogRecord::default() }
}

/// Appends one record a value, in turn over the partitions.
pub fn append(writer: &mut LogWriter, values: &[&str], marker: Option<(&str, u64)>) {
    let mut append = writer.begin(0);
    values.iter().for_each(|value| append.push_by_key(&record(value)).unwrap());
    writer.commit(append, marker, 1_000).unwrap();
}

/// All values of a partition.
pub fn values(root: &Path, topic: &str, partition: u32) -> Vec<String> {
    let reader = LogReader::open(root, topic).unwrap();
    let part = reader.partition(partition).unwrap();
    let pieces = part.read(&(part.start().unwrap()..reader.ends()[partition as usize])).unwrap();
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
    pieces.iter().flat_map(|piece| (0..piece.len()).map(|at| text(piece.value(at))).collect::<Vec<_>>()).collect()
}
