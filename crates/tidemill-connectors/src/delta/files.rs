//! Rows as Parquet files of a table, and the add actions that name them.
//!
//! A file that no commit names is no part of the table: a crash after this leaves only litter.

use super::encode::Encoder;
use super::home::Home;
use super::keys::Keys;
use super::read;
use super::schema::fit;
use super::table::Layout;
use arrow::array::{Array, StringArray, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use deltalake::kernel::Add;
use deltalake::logstore::LogStoreRef;
use std::collections::{BTreeMap, HashMap};
use tidemill_core::{Error, Kind, Result, ResultExt};

/// Rows that are encoded at once: a file is closed between two such portions.
const PORTION_ROWS: usize = 32_768;

/// Text of each partition column's value; `None` is null.
type Values = Vec<Option<String>>;

/// A file that was written, and is not yet part of the table.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) add: Add,
    /// Hashes of its rows' keys, sorted; empty for a table without keys.
    pub(crate) hashes: Vec<u64>,
}

/// How files are written.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    pub(crate) layout: &'a Layout,
    /// A file is closed when it has about this many bytes.
    pub(crate) target_bytes: u64,
    /// The table's keys, when it has some.
    pub(crate) keys: Option<&'a Keys>,
    /// The time the files carry, milliseconds since 1970.
    pub(crate) now_millis: i64,
}

/// Writes the rows, in files of one partition each.
///
/// # Errors
/// Rows that do not fit, or a place that cannot be written.
pub(crate) async fn write(
    home: &Home,
    log: &LogStoreRef,
    shape: &Shape<'_>,
    rows: &[RecordBatch],
) -> Result<Vec<Written>> {
    let mut written = Vec::new();
    for (values, parts) in partition(shape, rows, &home.place)? {
        let target_bytes = shape.target_bytes;
        let encode = move || -> Result<Vec<Encoded>> {
            let mut files = Files::new(target_bytes);
            parts.iter().try_for_each(|part| files.push(part))?;
            files.finish()
        };
        let encoded = tokio::task::spawn_blocking(encode).await;
        let encoded = encoded.context(Kind::Bug, || "the thread that encodes a file ended early".into())??;
        for file in encoded {
            written.push(put(home, log, shape, &values, file).await?);
        }
    }
    Ok(written)
}

/// Writes the rows of files of one partition as few files, one input after the other.
///
/// # Errors
/// A file that cannot be read, or a place that cannot be written.
pub(crate) async fn rewrite(home: &Home, log: &LogStoreRef, shape: &Shape<'_>, inputs: &[Add]) -> Result<Vec<Written>> {
    let Some(first) = inputs.first() else { return Ok(Vec::new()) };
    let value = |name: &String| first.partition_values.get(name).cloned().flatten();
    let values: Values = shape.layout.partition_by.iter().map(value).collect();
    let mut files = Files::new(shape.target_bytes);
    for add in inputs {
        let content = read::content(home, log, add).await?;
        let rows = read::rows(content, add, shape.layout, None, &home.place)?;
        let parts: Vec<Part> = partition(shape, &rows, &home.place)?.into_values().flatten().collect();
        let encode = move || parts.iter().try_for_each(|part| files.push(part)).map(|()| files);
        let encoded = tokio::task::spawn_blocking(encode).await;
        files = encoded.context(Kind::Bug, || "the thread that encodes a file ended early".into())??;
    }
    let mut written = Vec::new();
    for file in files.finish()? {
        written.push(put(home, log, shape, &values, file).await?);
    }
    Ok(written)
}

async fn put(home: &Home, log: &LogStoreRef, shape: &Shape<'_>, values: &Values, file: Encoded) -> Result<Written> {
    let directory = directory(shape.layout, values);
    let path = format!("{directory}part-00000-{}-c000.snappy.parquet", uuid::Uuid::new_v4());
    let size = file.content.len() as i64;
    home.put_file(log, &path, file.content).await?;
    let partition_values: HashMap<_, _> =
        shape.layout.partition_by.iter().cloned().zip(values.iter().cloned()).collect();
    let add = Add {
        path,
        partition_values,
        size,
        modification_time: shape.now_millis,
        data_change: true,
        stats: Some(file.stats),
        ..Add::default()
    };
    Ok(Written { add, hashes: file.hashes })
}

/// Deletes files that will be part of no commit; what cannot be deleted stays as litter.
pub(crate) async fn discard(home: &Home, log: &LogStoreRef, written: &[Written]) {
    for file in written {
        if let Err(error) = home.delete(log, &file.add.path).await {
            tracing::debug!(table = home.place, file = file.add.path, %error, "cannot delete a file that is not needed");
        }
    }
}

/// Rows of one partition, without its columns, and the hashes of their keys.
struct Part {
    rows: RecordBatch,
    hashes: Vec<u64>,
}

/// The rows in the table's columns but those of the partition, by partition.
fn partition(shape: &Shape<'_>, rows: &[RecordBatch], place: &str) -> Result<BTreeMap<Values, Vec<Part>>> {
    let layout = shape.layout;
    let mut partitions: BTreeMap<Values, Vec<Part>> = BTreeMap::new();
    let is_kept = |name: &String| !layout.partition_by.contains(name);
    let names = layout.schema.fields().iter().map(|field| field.name());
    let kept: Vec<usize> = names.enumerate().filter(|(_, name)| is_kept(name)).map(|(at, _)| at).collect();
    for rows in rows.iter().filter(|rows| rows.num_rows() > 0) {
        let rows = fit(layout, rows, place)?;
        let hashes = shape.keys.map(|keys| keys.hashes(&rows)).transpose()?;
        if layout.partition_by.is_empty() {
            let part = Part { rows, hashes: hashes.unwrap_or_default() };
            partitions.entry(Values::new()).or_default().push(part);
            continue;
        }
        let values = layout.partition_by.iter().map(|name| texts(&rows, name)).collect::<Result<Vec<_>>>()?;
        let mut groups: BTreeMap<Values, Vec<u32>> = BTreeMap::new();
        for row in 0..rows.num_rows() {
            let text = |column: &StringArray| column.is_valid(row).then(|| column.value(row).to_owned());
            groups.entry(values.iter().map(text).collect()).or_default().push(row as u32);
        }
        let rows = rows.project(&kept)?;
        for (values, indices) in groups {
            let of_part = |hashes: &Vec<u64>| indices.iter().map(|row| hashes[*row as usize]).collect();
            let hashes = hashes.as_ref().map(of_part).unwrap_or_default();
            let part = match indices.len() == rows.num_rows() {
                true => rows.clone(),
                false => take_record_batch(&rows, &UInt32Array::from(indices))?,
            };
            partitions.entry(values).or_default().push(Part { rows: part, hashes });
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

struct Encoded {
    content: Vec<u8>,
    stats: String,
    hashes: Vec<u64>,
}

/// Encodes rows into files of about the target size.
struct Files {
    target_bytes: u64,
    open: Option<(Encoder, Vec<u64>)>,
    done: Vec<Encoded>,
}

impl Files {
    fn new(target_bytes: u64) -> Files {
        Files { target_bytes, open: None, done: Vec::new() }
    }

    fn push(&mut self, part: &Part) -> Result<()> {
        for from in (0..part.rows.num_rows()).step_by(PORTION_ROWS) {
            let portion = part.rows.slice(from, PORTION_ROWS.min(part.rows.num_rows() - from));
            let (mut encoder, mut hashes) = match self.open.take() {
                Some(open) => open,
                None => (Encoder::new(portion.schema())?, Vec::new()),
            };
            encoder.push(&portion)?;
            hashes.extend(part.hashes.iter().skip(from).take(portion.num_rows()));
            let is_full = encoder.bytes() >= self.target_bytes;
            self.open = Some((encoder, hashes));
            if is_full {
                self.close()?;
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some((encoder, mut hashes)) = self.open.take() {
            hashes.sort_unstable();
            hashes.dedup();
            let (content, stats) = encoder.finish()?;
            self.done.push(Encoded { content, stats, hashes });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Encoded>> {
        self.close()?;
        Ok(self.done)
    }
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
