//! Rows by partition, in directories as Hive and Spark name them: `day=2026-01-01/country=AT/`. The columns of
//! a partition are in the names and not in the files.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use tidemill_core::types::name;
use tidemill_core::{Error, Result};

/// The directory of rows whose value is NULL, or a text of no length.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The columns that rows are parted by.
pub(super) struct Partitioning {
    /// Name and place of each, in the order of the directories.
    columns: Vec<(String, usize)>,
    /// Places of those that are in the files.
    kept: Vec<usize>,
    file_schema: SchemaRef,
}

impl Partitioning {
    /// By the columns that `names` lists, with commas between; by none when it is empty.
    ///
    /// # Errors
    /// A column that is not there, is named twice or cannot be a name, or none that is left for the files.
    pub fn new(names: &str, schema: &SchemaRef, table: &str) -> Result<Self> {
        let wrong = |why: String| Error::invalid(format!("sink '{table}': option 'partition_by': {why}"));
        let mut columns: Vec<(String, usize)> = Vec::new();
        for asked in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let field = |(_, field): &(usize, &Arc<arrow::datatypes::Field>)| field.name().eq_ignore_ascii_case(asked);
            let Some((at, field)) = schema.fields().iter().enumerate().find(field) else {
                return Err(wrong(format!("there is no column '{asked}'")));
            };
            if columns.iter().any(|(_, known)| *known == at) {
                return Err(wrong(format!("'{asked}' is named twice")));
            }
            if field.data_type().is_nested() || matches!(field.data_type(), DataType::Binary) {
                return Err(wrong(format!("'{asked}' is {}, which cannot be a name", name(field.data_type()))));
            }
            columns.push((field.name().clone(), at));
        }
        let is_kept = |at: &usize| columns.iter().all(|(_, parted)| parted != at);
        let kept: Vec<usize> = (0..schema.fields().len()).filter(is_kept).collect();
        if kept.is_empty() && !columns.is_empty() {
            return Err(wrong("every column is named, and none is left for the files".into()));
        }
        let file_schema = Arc::new(schema.project(&kept)?);
        Ok(Partitioning { columns, kept, file_schema })
    }

    /// The columns of the files.
    pub fn file_schema(&self) -> &SchemaRef {
        &self.file_schema
    }

    /// The rows of each partition, by the directories that name it (`day=2026-01-01/`), in order.
    ///
    /// # Errors
    /// A value that has no text, which is a bug.
    pub fn split(&self, rows: &[RecordBatch]) -> Result<Vec<(String, Vec<RecordBatch>)>> {
        if self.columns.is_empty() {
            return Ok(vec![(String::new(), rows.to_vec())]);
        }
        let mut parts: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
        for batch in rows {
            let mut places: BTreeMap<String, Vec<u32>> = BTreeMap::new();
            for (row, directory) in self.directories(batch)?.into_iter().enumerate() {
                places.entry(directory).or_default().push(row as u32);
            }
            let in_files = batch.project(&self.kept)?;
            for (directory, rows) in places {
                let taken = take_record_batch(&in_files, &UInt32Array::from(rows))?;
                parts.entry(directory).or_default().push(taken);
            }
        }
        Ok(parts.into_iter().collect())
    }

    /// The directories of each row.
    fn directories(&self, batch: &RecordBatch) -> Result<Vec<String>> {
        let mut directories = vec![String::new(); batch.num_rows()];
        let mut text = String::new();
        for (name, at) in &self.columns {
            let column: &ArrayRef = batch.column(*at);
            let options = FormatOptions::new()
                .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
                .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f"));
            let formatter = ArrayFormatter::try_new(column, &options)?;
            for (row, directory) in directories.iter_mut().enumerate() {
                text.clear();
                if column.is_valid(row) {
                    let written = formatter.value(row).write(&mut text);
                    written.map_err(|error| Error::bug(format!("a value of '{name}' has no text")).caused_by(error))?;
                }
                escape(name, directory);
                directory.push('=');
                if text.is_empty() {
                    directory.push_str(NULL)
                } else {
                    escape(&text, directory)
                }
                directory.push('/');
            }
        }
        Ok(directories)
    }
}

/// Writes a text so that it can be the name of a directory, as Spark's `escapePathName`.
fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        if letter.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(letter) {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{:02X}", letter as u32);
        } else {
            out.push(letter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray, TimestampMicrosecondArray};
    use tidemill_core::types::parse_schema;

    fn rows() -> RecordBatch {
        let schema = Arc::new(parse_schema("n BIGINT, name STRING, at TIMESTAMP").unwrap());
        let names = StringArray::from(vec![Some("a/b"), None, Some("a/b"), Some("")]);
        let times = TimestampMicrosecondArray::from(vec![0, 1_500_000, 0, 0])
            .with_data_type(schema.field(2).data_type().clone());
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![1, 2, 3, 4])), Arc::new(names), Arc::new(times)];
        RecordBatch::try_new(schema, columns).unwrap()
    }

    #[test]
    fn directories_are_named_as_spark_names_them() {
        let rows = rows();
        let by = Partitioning::new("name, AT", &rows.schema(), "t").unwrap();
        let parts = by.split(std::slice::from_ref(&rows)).unwrap();
        let found: Vec<(&str, usize)> = parts.iter().map(|(name, rows)| (name.as_str(), rows[0].num_rows())).collect();
        let expected = [
            ("name=__HIVE_DEFAULT_PARTITION__/at=1970-01-01 00%3A00%3A00/", 1),
            ("name=__HIVE_DEFAULT_PARTITION__/at=1970-01-01 00%3A00%3A01.500/", 1),
            ("name=a%2Fb/at=1970-01-01 00%3A00%3A00/", 2),
        ];
        assert_eq!(found, expected);
        assert_eq!(by.file_schema().fields().len(), 1);
    }

    #[test]
    fn what_cannot_be_a_partition_is_refused() {
        let schema = rows().schema();
        for (names, why) in [
            ("no", "there is no column 'no'"),
            ("n, N", "'N' is named twice"),
            ("n, name, at", "none is left for the files"),
        ] {
            let error = Partitioning::new(names, &schema, "t").err().unwrap();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
