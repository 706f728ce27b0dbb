//! Rows become records. Pure.

use crate::topics::payload::RecordEncoder;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use tidemill_core::nearest::nearest;
use tidemill_core::sink::SinkRequest;
use tidemill_core::types::name;
use tidemill_core::{Epoch, Error, Kind, Result};

/// What Kinesis takes, in characters.
const KEY_LENGTH_MAX: usize = 256;

/// A record to be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub key: String,
    pub hash_key: Option<String>,
    pub data: Vec<u8>,
}

impl Record {
    /// What it counts against the limits of a request.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.data.len()
    }
}

/// How rows of one table become records.
pub(super) struct Records {
    encoder: RecordEncoder,
    key: Option<usize>,
    hash_key: Option<usize>,
}

impl Records {
    /// From the options of the table and its columns.
    ///
    /// # Errors
    /// A column that is not there or has no text.
    pub fn new(request: &SinkRequest) -> Result<Self> {
        let find = |option: &str| request.options.text(option).map(|name| column(request, option, name)).transpose();
        Ok(Records {
            encoder: RecordEncoder::new(request)?,
            key: find("partition_key")?,
            hash_key: find("explicit_hash_key")?,
        })
    }

    /// Makes known what readers of the records need; called before the first rows.
    ///
    /// # Errors
    /// As [`RecordEncoder::prepare`].
    pub async fn prepare(&self) -> Result<()> {
        self.encoder.prepare().await
    }

    /// The records of `rows`, in their order; `before` rows of the epoch came before them. A row without a key gets
    /// one of its own, which spreads such rows over all shards.
    ///
    /// # Errors
    /// A key that Kinesis does not take.
    pub fn of(&self, epoch: Epoch, before: usize, rows: &RecordBatch) -> Result<Vec<Record>> {
        let encoded = self.encoder.encode(rows)?;
        let texts = |at: Option<usize>| at.map(|at| cast(rows.column(at), &DataType::Utf8)).transpose();
        let (keys, hash_keys) = (texts(self.key)?, texts(self.hash_key)?);
        let text = |column: &Option<ArrayRef>, row: usize| {
            let column = column.as_ref().filter(|column| column.is_valid(row))?;
            Some(column.as_string::<i32>().value(row).to_owned())
        };
        let record = |row: usize| {
            let own = || encoded.key(row).map(|key| String::from_utf8_lossy(key).into_owned());
            let key = text(&keys, row).or_else(own).filter(|key| !key.is_empty());
            let key = key.unwrap_or_else(|| format!("{epoch}-{}", before + row));
            if key.chars().count() > KEY_LENGTH_MAX {
                let begins: String = key.chars().take(40).collect();
                return Err(Error::new(Kind::Data, format!("the partition key '{begins}..' is too long for Kinesis"))
                    .help(format!("a key has at most {KEY_LENGTH_MAX} characters; a hash of it would do")));
            }
            let hash_key = text(&hash_keys, row);
            if let Some(hash_key) = hash_key.as_ref().filter(|hash_key| hash_key.parse::<u128>().is_err()) {
                return Err(Error::new(Kind::Data, format!("'{hash_key}' is no hash key of Kinesis"))
                    .help("it is a whole number from 0 to 2^128 - 1"));
            }
            Ok(Record { key, hash_key, data: encoded.value(row).unwrap_or_default().to_vec() })
        };
        (0..encoded.count).map(record).collect()
    }
}

fn column(request: &SinkRequest, option: &str, wanted: &str) -> Result<usize> {
    let (table, schema) = (&request.table, &request.schema);
    let names = schema.fields().iter().map(|field| field.name().as_str());
    let at = names.clone().position(|name| name.eq_ignore_ascii_case(wanted)).ok_or_else(|| {
        let error =
            Error::invalid(format!("option '{option}' names '{wanted}', which is no column of table '{table}'"));
        match nearest(wanted, names.clone()) {
            Some(near) => error.help(format!("did you mean '{near}'?")),
            None => error.help(format!("columns: {}", names.collect::<Vec<_>>().join(", "))),
        }
    })?;
    let of = schema.field(at).data_type();
    if *of == DataType::Binary || !can_cast_types(of, &DataType::Utf8) {
        return Err(Error::invalid(format!(
            "column '{wanted}' of table '{table}' is {} and cannot be a key",
            name(of)
        )));
    }
    Ok(at)
}
