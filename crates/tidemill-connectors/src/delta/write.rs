//! A batch write of a table, outside of any stream: what `batch.write.format("delta")` does.

use super::commit::{Change, Commit};
use super::home::Home;
use super::open::{Asked, open};
use super::table::Table;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use std::collections::HashMap;
use tidemill_core::{Clock, Error, Result};

/// A file is closed when it has about this many bytes.
const FILE_BYTES: u64 = 64 << 20;

/// What a write does with a table that is there, as in Spark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveMode {
    /// Adds the rows.
    Append,
    /// Replaces the table's rows.
    Overwrite,
    /// Writes nothing.
    Ignore,
    /// Fails.
    ErrorIfExists,
}

/// A batch write.
#[derive(Debug, Clone)]
pub struct TableWrite<'a> {
    /// Directory or URL of the table.
    pub path: &'a str,
    /// What to do with a table that is there.
    pub mode: SaveMode,
    /// Columns that choose the directory; for a table that is made.
    pub partition_by: &'a [String],
    /// Options of the object store.
    pub storage: HashMap<String, String>,
    /// Application id and version: a version that the table holds already is not written again.
    pub transaction: Option<(&'a str, u64)>,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The rows are in this version of the table.
    Version(u64),
    /// Nothing: the table was there ([`SaveMode::Ignore`]) or holds the transaction already.
    Nothing,
}

/// Writes rows of `schema` to a table, which is made if it is not there.
///
/// # Errors
/// The table exists ([`SaveMode::ErrorIfExists`]), the rows do not fit it, or it cannot be written.
pub async fn write_table(
    write: &TableWrite<'_>,
    schema: &SchemaRef,
    rows: &[RecordBatch],
    clock: &dyn Clock,
) -> Result<Written> {
    let home = Home::new(write.path, write.storage.clone())?;
    if matches!(write.mode, SaveMode::Ignore | SaveMode::ErrorIfExists)
        && let Some(table) = Table::open(home.clone()).await?
    {
        return match write.mode {
            SaveMode::Ignore => Ok(Written::Nothing),
            _ => Err(Error::invalid(format!("there is a delta table at {} already", table.home.place))
                .class("DELTA_PATH_EXISTS")
                .help("choose the mode append, overwrite or ignore")),
        };
    }
    let asked = Asked { schema, partition_by: write.partition_by, merge_schema: false, properties: &[] };
    let (mut table, mut layout) = open(home, &asked).await?;
    let mut change = if write.mode == SaveMode::Overwrite { Change::Replace } else { Change::Append };
    if let Some((id, version)) = write.transaction
        && table.transaction(id).await?.is_some_and(|newest| newest >= version)
    {
        return Ok(Written::Nothing);
    }
    let commit = Commit { rows, schema, transaction: write.transaction, target_bytes: FILE_BYTES };
    match commit.run(&mut table, &mut layout, &mut change, clock).await? {
        true => Ok(Written::Version(table.version())),
        false => Ok(Written::Nothing),
    }
}
