//! Reads sample files: JSON (lines, or an array), CSV with a header, Parquet, Avro container files.

use super::guess::{Columns, of_text};
use arrow::datatypes::SchemaRef;
use arrow_avro::reader::ReaderBuilder;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use tidemill_core::{Error, Kind as ErrorKind, Result, ResultExt as _};

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON objects, one a line, or in an array.
    Json,
    /// CSV with the names of its columns in the first line.
    Csv,
    /// Parquet.
    Parquet,
    /// An Avro object container file.
    Avro,
}

/// The columns of sample records.
#[derive(Debug)]
pub struct Sample {
    /// The columns.
    pub schema: SchemaRef,
    /// How many records were looked at; `None` when the file says itself what its columns are.
    pub records: Option<usize>,
}

impl Kind {
    /// The kind that a file's name says.
    pub fn of(path: &Path) -> Option<Kind> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" | "jsonl" | "ndjson" => Some(Kind::Json),
            "csv" => Some(Kind::Csv),
            "parquet" => Some(Kind::Parquet),
            "avro" => Some(Kind::Avro),
            _ => None,
        }
    }
}

/// The columns of the records in a file; at most `records_max` are looked at.
///
/// # Errors
/// A file that cannot be read, is too large, holds no record, or is not what `kind` says.
pub fn read(path: &Path, kind: Kind, records_max: usize) -> Result<Sample> {
    let shown = path.display();
    let failed = |cause: std::io::Error| match cause.kind() {
        std::io::ErrorKind::NotFound => Error::new(ErrorKind::Usage, format!("there is no file {shown}")),
        _ => Error::io(format!("cannot read {shown}"), cause),
    };
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(Error::invalid(format!("{shown} has {bytes} bytes, and a sample has at most {FILE_BYTES_MAX}"))
            .help("give its beginning"));
    }
    let content = fs::read(path).map_err(failed)?;
    let unreadable = || format!("cannot read {shown} as a sample");
    let declared = |schema: SchemaRef| Ok(Sample { schema, records: None });
    match kind {
        Kind::Json => {
            seen(json(&content, records_max).map_err(|error| error_in(unreadable(), error))?, &shown.to_string())
        }
        Kind::Csv => {
            seen(csv(&content, records_max).map_err(|error| error_in(unreadable(), error))?, &shown.to_string())
        }
        Kind::Parquet => {
            let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(content));
            declared(plain(builder.context(ErrorKind::Data, unreadable)?.schema()))
        }
        Kind::Avro => {
            let reader = ReaderBuilder::new().build(Cursor::new(content)).context(ErrorKind::Data, unreadable)?;
            declared(plain(&reader.schema()))
        }
    }
}

/// The columns without what a file notes beside them.
fn plain(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_metadata(Default::default()));
    Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}

fn error_in(what: String, cause: Error) -> Error {
    Error::new(ErrorKind::Data, what).caused_by(cause)
}

fn seen((columns, records): (Columns, usize), shown: &str) -> Result<Sample> {
    match records {
        0 => Err(Error::invalid(format!("{shown} holds no record to infer a schema from"))),
        _ => Ok(Sample { schema: Arc::new(columns.schema()), records: Some(records) }),
    }
}

fn json(content: &[u8], records_max: usize) -> Result<(Columns, usize)> {
    let (mut columns, mut records) = (Columns::default(), 0);
    for value in serde_json::Deserializer::from_slice(content).into_iter::<Value>() {
        let value = value.map_err(|cause| Error::invalid(format!("after record {records}")).caused_by(cause))?;
        let several = if let Value::Array(several) = value { several } else { vec![value] };
        for record in several {
            if records >= records_max {
                return Ok((columns, records));
            }
            let Value::Object(object) = &record else {
                return Err(Error::invalid(format!("record {} is no JSON object", records + 1)));
            };
            columns.see(object.iter())?;
            records += 1;
        }
    }
    Ok((columns, records))
}

fn csv(content: &[u8], records_max: usize) -> Result<(Columns, usize)> {
    let mut reader = csv::Reader::from_reader(content);
    let wrong = |cause: csv::Error| Error::invalid("it is no CSV with a header").caused_by(cause);
    let names: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
    let distinct: BTreeSet<&String> = names.iter().collect();
    if distinct.len() < names.len() {
        return Err(Error::invalid("two columns have the same name"));
    }
    let (mut columns, mut records) = (Columns::default(), 0);
    for record in reader.records().take(records_max) {
        let values: Vec<Value> = record.map_err(wrong)?.iter().map(of_text).collect();
        columns.see(names.iter().zip(&values))?;
        records += 1;
    }
    Ok((columns, records))
}
