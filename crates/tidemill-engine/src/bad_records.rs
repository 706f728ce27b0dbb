//! What becomes of the records that a table's format refuses: dead letters, an end of the query, or rows of NULLs as with
//! Spark's mode PERMISSIVE, with the record's text in the column for corrupt records where there is one. Pure.
//!
//! Source: Spark, "JSON Files", `mode` and `columnNameOfCorruptRecord`.

use crate::dead_letter::origin;
use arrow::array::{ArrayRef, StringArray, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::format::{Framing, Reject};
use tidemill_core::source::Body;
use tidemill_core::{Error, Kind, Options, Place, Result, types};

/// The option that decides it.
pub const BAD_RECORDS: OptionSpec = OptionSpec::new(
    "bad_records",
    OptionKind::Choice(&["dead_letter", "fail", "null"]),
    "what becomes of a record that the format refuses: a dead letter; the end of the query, as Spark's FAILFAST; or a row of \
     NULLs, as its PERMISSIVE",
)
.default("dead_letter");

/// The option that names the column of such records.
pub const CORRUPT_COLUMN: OptionSpec = OptionSpec::new(
    "column_name_of_corrupt_record",
    OptionKind::Text,
    "the STRING column that holds the text of such a record with bad_records = 'null', and is NULL in all other rows; it may \
     be declared or not",
)
.default("_corrupt_record");

/// What the options say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// They are dead letters.
    Aside,
    /// The query ends.
    Fail,
    /// They are rows of NULLs.
    Null,
}

impl Policy {
    /// The policy of a table and where its column for corrupt records stands, if it has one.
    ///
    /// # Errors
    /// Rows of NULLs where a column must not be NULL, a column of another type than STRING.
    pub fn of(table: &str, declared: &Schema, options: &Options) -> Result<(Policy, Option<usize>)> {
        let policy = match options.text(BAD_RECORDS.name).map(str::to_ascii_lowercase).as_deref() {
            Some("fail") => Policy::Fail,
            Some("null") => Policy::Null,
            _ => return Ok((Policy::Aside, None)),
        };
        if policy == Policy::Fail {
            return Ok((policy, None));
        }
        if let Some(field) = declared.fields().iter().find(|field| !field.is_nullable()) {
            let column = field.name();
            let message = format!("column '{column}' of table '{table}' is NOT NULL, and bad_records is 'null'");
            return Err(Error::invalid(message).help("declare it without NOT NULL, or make bad records dead letters"));
        }
        let name = options.text(CORRUPT_COLUMN.name).unwrap_or_default();
        let corrupt = declared.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
        match corrupt.map(|at| declared.field(at).data_type()) {
            None | Some(DataType::Utf8) => Ok((policy, corrupt)),
            Some(other) => Err(Error::invalid(format!(
                "column '{name}' of table '{table}' holds corrupt records and is string, not {}",
                types::name(other)
            ))),
        }
    }
}

/// The error of a query that ends with its first bad record.
pub fn failure(table: &str, split: &str, bad: &Reject) -> Error {
    let place = Place::Record { source: table.to_owned(), partition: split.to_owned(), offset: bad.offset };
    Error::new(Kind::Data, format!("table '{table}' has a bad record: {}", bad.reason))
        .class("MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION")
        .at(place)
        .help("bad_records = 'dead_letter' sets such records aside, 'null' makes rows of NULLs of them")
}

/// Good rows and bad records in one batch, in the order they came where that is known, else the bad ones last; and the
/// text of the bad ones beside them.
///
/// # Errors
/// A bug: columns that do not fit each other.
pub fn with_nulls(
    body: &Body,
    framing: Option<Framing>,
    rows: &RecordBatch,
    rejects: &[Reject],
) -> Result<(Vec<ArrayRef>, StringArray)> {
    let known = origin::of_rows(body, framing, rows.num_rows(), rejects);
    let good = (0..rows.num_rows()).map(|row| (known.as_ref().map_or(0, |known| known[row].0), (0, row)));
    let bad_at = |bad: &Reject| if known.is_some() { bad.offset } else { u64::MAX };
    let bad = rejects.iter().enumerate().map(|(number, bad)| (bad_at(bad), (1, number)));
    let mut order: Vec<(u64, (usize, usize))> = good.chain(bad).collect();
    order.sort_by_key(|(offset, _)| *offset);
    let picks: Vec<(usize, usize)> = order.iter().map(|(_, (of, at))| (*of, if *of == 0 { *at } else { 0 })).collect();
    let columns = rows.columns().iter().map(|column| {
        let null = new_null_array(column.data_type(), 1);
        Ok(interleave(&[column.as_ref(), null.as_ref()], &picks)?)
    });
    let texts = order.iter().map(|(_, (of, at))| (*of == 1).then(|| String::from_utf8_lossy(&rejects[*at].bytes)));
    Ok((columns.collect::<Result<_>>()?, texts.collect()))
}

/// The column of corrupt records where there are none.
pub fn none(rows: usize) -> ArrayRef {
    Arc::new(StringArray::new_null(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, Int64Array};
    use arrow::datatypes::Field;
    use bytes::Bytes;

    fn rows(values: &[i64]) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap()
    }

    fn bad(offset: u64, bytes: &[u8]) -> Reject {
        Reject { offset, bytes: bytes.to_vec(), code: "MALFORMED", reason: String::new() }
    }

    fn merged(
        body: &Body,
        framing: Option<Framing>,
        values: &[i64],
        rejects: &[Reject],
    ) -> Vec<(Option<i64>, Option<String>)> {
        let (columns, texts) = with_nulls(body, framing, &rows(values), rejects).unwrap();
        let ids = columns[0].as_any().downcast_ref::<Int64Array>().unwrap();
        assert_eq!(ids.len(), texts.len());
        ids.iter().zip(texts.iter().map(|text| text.map(str::to_owned))).collect()
    }

    #[test]
    fn bad_records_stand_where_they_came() {
        let body = Body::Stream { bytes: Bytes::from_static(b"1\nbad\n2\nworse\n"), at: 100 };
        let rejects = [bad(102, b"bad"), bad(108, b"w\xFF")];
        let found = merged(&body, Some(Framing::Lines), &[1, 2], &rejects);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(found, [(Some(1), None), (None, text("bad")), (Some(2), None), (None, text("w\u{FFFD}"))]);
        let found = merged(&body, Some(Framing::Whole), &[1, 2], &rejects[..1]);
        assert_eq!(found, [(Some(1), None), (Some(2), None), (None, text("bad"))], "a format that tells no places");
    }

    #[test]
    fn a_table_says_what_it_wants() {
        use tidemill_core::options::GivenOption;
        let policy = |ddl: &str, given: &[(&str, &str)]| {
            let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
            let options = Options::check("t", &[&[BAD_RECORDS, CORRUPT_COLUMN]], &given)?;
            Policy::of("t", &types::parse_schema(ddl)?, &options)
        };
        let ddl = "id BIGINT, _Corrupt_Record STRING";
        assert_eq!(policy(ddl, &[]).unwrap(), (Policy::Aside, None));
        assert_eq!(policy(ddl, &[("bad_records", "fail")]).unwrap(), (Policy::Fail, None));
        assert_eq!(policy(ddl, &[("bad_records", "null")]).unwrap(), (Policy::Null, Some(1)));
        let named = [("badRecords", "null"), ("columnNameOfCorruptRecord", "text")];
        assert_eq!(policy("text STRING, id BIGINT", &named).unwrap(), (Policy::Null, Some(0)));
        assert!(policy("id BIGINT NOT NULL", &named).unwrap_err().to_string().contains("'id'"));
        assert!(policy("text INT", &named).unwrap_err().to_string().contains("is string, not int"));
    }
}
