//! Rows as Parquet files of a table, and the add actions that name them.
//!
//! A file that no commit names is no part of the table: a crash after this leaves only litter.

use super::home::Home;
use super::schema::fit;
use super::stats;
use super::table::Layout;
use arrow::array::{Array, StringArray, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use deltalake::kernel::Add;
use deltalake::logstore::LogStoreRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::collections::BTreeMap;
use tidemill_core::{Error, Kind, Result, ResultExt};

/// A file is closed when its rows take about this much in memory.
const FILE_BYTES: usize = 256 << 20;

/// Text of each partition column's value; `None` is null.
type Values = Vec<Option<String>>;

/// Writes the rows, in files of one partition each. `now_millis` is the time the files carry.
///
/// # Errors
/// Rows that do not fit, or a place that cannot be written.
pub(crate) async fn write(
    home: &Home,
    log: &LogStoreRef,
    layout: &Layout,
    rows: &[RecordBatch],
    now_millis: i64,
) -> Result<Vec<Add>> {
    let mut adds = Vec::new();
    for (values, batches) in partition(layout, rows, &home.place)? {
        for batches in pieces(batches) {
            let stats = stats::of(&batches);
            let content = tokio::task::spawn_blocking(move || encode(&batches)).await;
            let content = content.context(Kind::Bug, || "the thread that encodes a file ended early".into())??;
            let path = format!("{}part-00000-{}-c000.snappy.parquet", directory(layout, &values), uuid::Uuid::new_v4());
            let size = content.len() as i64;
            home.put_file(log, &path, content).await?;
            adds.push(Add {
                path,
                partition_values: layout.partition_by.iter().cloned().zip(values.iter().cloned()).collect(),
                size,
                modification_time: now_millis,
                data_change: true,
                stats: Some(stats),
                ..Add::default()
            });
        }
    }
    Ok(adds)
}

/// The rows in the table's columns but those of the partition, by partition.
fn partition(layout: &Layout, rows: &[RecordBatch], place: &str) -> Result<BTreeMap<Values, Vec<RecordBatch>>> {
    let mut partitions: BTreeMap<Values, Vec<RecordBatch>> = BTreeMap::new();
    let is_kept = |name: &String| !layout.partition_by.contains(name);
    let names = layout.schema.fields().iter().map(|field| field.name());
    let kept: Vec<usize> = names.enumerate().filter(|(_, name)| is_kept(name)).map(|(at, _)| at).collect();
    for rows in rows.iter().filter(|rows| rows.num_rows() > 0) {
        let rows = fit(layout, rows, place)?;
        let values = layout.partition_by.iter().map(|name| texts(&rows, name)).collect::<Result<Vec<_>>>()?;
        let mut groups: BTreeMap<Values, Vec<u32>> = BTreeMap::new();
        for row in 0..rows.num_rows() {
            let text = |column: &StringArray| column.is_valid(row).then(|| column.value(row).to_owned());
            groups.entry(values.iter().map(text).collect()).or_default().push(row as u32);
        }
        let rows = rows.project(&kept)?;
        for (values, indices) in groups {
            let part = match indices.len() == rows.num_rows() {
                true => rows.clone(),
                false => take_record_batch(&rows, &UInt32Array::from(indices))?,
            };
            partitions.entry(values).or_default().push(part);
        }
    }
    Ok(partitions)
}

/// Values of a partition column as the protocol writes them.
fn texts(rows: &RecordBatch, name: &str) -> Result<StringArray> {
    let column = rows.column_by_name(name);
    let column =
        column.ok_or_else(|| Error::bug(format!("partition column '{name}' is not among the table's columns")))?;
    let text = cast(column, &DataType::Utf8)?;
    let text = text.as_any().downcast_ref::<StringArray>().cloned();
    text.ok_or_else(|| Error::bug(format!("partition column '{name}' has no text")))
}

/// The batches in groups that make a file each.
fn pieces(batches: Vec<RecordBatch>) -> Vec<Vec<RecordBatch>> {
    let (mut pieces, mut bytes) = (vec![Vec::new()], 0);
    for batch in batches {
        if bytes >= FILE_BYTES {
            pieces.push(Vec::new());
            bytes = 0;
        }
        bytes += batch.get_array_memory_size();
        if let Some(last) = pieces.last_mut() {
            last.push(batch);
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn encode(batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let failed = || "cannot encode rows as parquet".to_owned();
    let Some(first) = batches.first() else { return Err(Error::bug("a file without rows")) };
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut content = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut content, first.schema(), Some(properties)).context(Kind::Bug, failed)?;
    batches.iter().try_for_each(|batch| writer.write(batch)).context(Kind::Bug, failed)?;
    writer.close().context(Kind::Bug, failed)?;
    Ok(content)
}

/// `a=1/b=x/` for partition columns `a` and `b`.
fn directory(layout: &Layout, values: &Values) -> String {
    let mut path = String::new();
    for (name, value) in layout.partition_by.iter().zip(values) {
        let value = value.as_deref().filter(|value| !value.is_empty());
        path += &format!("{}={}/", escape(name), value.map_or("__HIVE_DEFAULT_PARTITION__".into(), escape));
    }
    path
}

/// Bytes that could mean something in a path or URL as `%XX`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => escaped.push(char::from(byte)),
            _ => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_values_cannot_leave_their_directory() {
        assert_eq!(escape("../a b/ü"), "..%2Fa%20b%2F%C3%BC");
    }
}
