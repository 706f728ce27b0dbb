//! Batch writes: what `df.write ... .save(path)` does with rows that are there.

use crate::arrow_data::Rows;
use crate::engine::{GivenOptions, Shared};
use crate::parts;
use serde::Deserialize;
use std::collections::HashMap;
use tidemill_connectors::delta::{SaveMode, TableWrite, Written, write_table};
use tidemill_core::options::GivenOption;
use tidemill_core::sink::{Marker, OutputMode, SinkRequest, Writer};
use tidemill_core::{Epoch, Error, Incarnation, Options, Result};

/// What a write does with what is there, as in Spark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Append,
    Overwrite,
    Ignore,
    Error,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeltaWrite {
    path: String,
    mode: Mode,
    partition_by: Vec<String>,
    storage: HashMap<String, String>,
    /// Application id and version: a version that the table holds already is not written again.
    transaction: Option<(String, u64)>,
}

/// Writes a Delta table; gives its version, or `None` when nothing was to be written.
///
/// # Errors
/// The table is there ([`Mode::Error`]), the rows do not fit it, it cannot be written.
pub fn delta(shared: &Shared, rows: Rows, write: &str) -> Result<Option<u64>> {
    let write: DeltaWrite = parts::json("the write", write)?;
    let table = TableWrite {
        path: &write.path,
        mode: match write.mode {
            Mode::Append => SaveMode::Append,
            Mode::Overwrite => SaveMode::Overwrite,
            Mode::Ignore => SaveMode::Ignore,
            Mode::Error => SaveMode::ErrorIfExists,
        },
        partition_by: &write.partition_by,
        storage: write.storage,
        transaction: write.transaction.as_ref().map(|(id, version)| (id.as_str(), *version)),
    };
    match shared.block_on(write_table(&table, &rows.schema, &rows.batches, &*shared.clock))? {
        Written::Version(version) => Ok(Some(version)),
        Written::Nothing => Ok(None),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilesWrite {
    path: String,
    mode: Mode,
    options: GivenOptions,
    /// Query, sink, incarnation: who writes.
    writer: (String, String, String),
    /// The batch; one that the directory holds already is not written again.
    epoch: u64,
}

/// Writes files through the sink `files`, which publishes them whole; false when nothing was to be written.
///
/// # Errors
/// The directory holds files ([`Mode::Error`]), the rows do not fit it, it cannot be written.
pub fn files(shared: &Shared, rows: Rows, write: &str) -> Result<bool> {
    let write: FilesWrite = parts::json("the write", write)?;
    if matches!(write.mode, Mode::Ignore | Mode::Error) && has_files(&write.path)? {
        return match write.mode {
            Mode::Ignore => Ok(false),
            _ => Err(Error::invalid(format!("there are files at {} already", write.path))
                .class("PATH_ALREADY_EXISTS")
                .help("choose the mode append, overwrite or ignore")),
        };
    }
    let connector = shared.registry.sink("files")?;
    let mut given = vec![GivenOption::new("path", &write.path)];
    let mut format = None;
    for (key, value) in &write.options {
        match key.as_str() {
            "format" => format = Some(shared.registry.format(value)?),
            _ => given.push(GivenOption::new(key, value)),
        }
    }
    let mut groups = vec![connector.describe().options];
    groups.extend(format.as_ref().map(|format| format.describe().options));
    let (query, sink, incarnation) = write.writer;
    let request = SinkRequest {
        table: write.path.clone(),
        schema: rows.schema,
        mode: if write.mode == Mode::Overwrite { OutputMode::Complete } else { OutputMode::Append },
        options: Options::check(&format!("the write to {}", write.path), &groups, &given)?,
        format,
        writer: Writer { query, sink, incarnation: Incarnation(incarnation) },
    };
    shared.block_on(async {
        let mut sink = connector.open(request).await?;
        if matches!(sink.marker().await?, Marker::At(held) if held.0 >= write.epoch) {
            return Ok(false);
        }
        sink.commit(Epoch(write.epoch), &rows.batches).await?;
        Ok(true)
    })
}

/// True when a directory has anything in it.
fn has_files(path: &str) -> Result<bool> {
    let path = path.strip_prefix("file://").unwrap_or(path);
    match std::fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io(format!("cannot list {path}"), error)),
    }
}
