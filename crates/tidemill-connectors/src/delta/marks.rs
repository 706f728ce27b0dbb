//! Every writer's newest epoch in a table: the `txn` actions of its newest checkpoint and of the commits
//! after it. The library can only be asked for one writer by name.
//!
//! Source: Delta Transaction Log Protocol, "Checkpoints" and "Transaction Identifiers".

use super::errors::store_failed;
use super::home::{Home, LOG};
use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use deltalake::ObjectStore;
use deltalake::logstore::LogStoreRef;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidemill_core::{Error, Kind, Result, ResultExt};

#[derive(Deserialize)]
struct Line {
    txn: Option<Transaction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transaction {
    app_id: String,
    version: i64,
}

/// Application ids and their newest epochs.
///
/// # Errors
/// The log cannot be read.
pub(crate) async fn scan(home: &Home, log: &LogStoreRef) -> Result<BTreeMap<String, u64>> {
    let store = log.object_store(None);
    let failure = |error| store_failed("read the log of", &home.place, error);
    let listed: Vec<_> = store.list(Some(&Path::from(LOG))).try_collect().await.map_err(failure)?;
    let mut files: Vec<(u64, String, Path)> = listed.into_iter().filter_map(|file| entry(file.location)).collect();
    files.sort();
    let newest =
        files.iter().filter(|(_, rest, _)| rest.starts_with("checkpoint.")).map(|(version, ..)| *version).max();
    let mut found = BTreeMap::new();
    for (version, rest, path) in files {
        let is_checkpoint = rest.starts_with("checkpoint.");
        let is_wanted = match is_checkpoint {
            true => Some(version) == newest,
            false => rest == "json" && newest.is_none_or(|newest| version > newest),
        };
        if is_wanted {
            let content = read(store.as_ref(), &path).await.map_err(failure)?;
            let entries =
                if rest.ends_with("parquet") { in_parquet(content, &path)? } else { in_json(&content, &path)? };
            for (id, epoch) in entries {
                let newest: &mut u64 = found.entry(id).or_default();
                *newest = epoch.max(*newest);
            }
        }
    }
    Ok(found)
}

/// Version and the rest of the name of a file of the log.
fn entry(path: Path) -> Option<(u64, String, Path)> {
    let (version, rest) = path.filename()?.split_once('.')?;
    Some((version.parse().ok().filter(|_| version.len() == 20)?, rest.to_owned(), path))
}

async fn read(store: &dyn ObjectStore, path: &Path) -> object_store::Result<Bytes> {
    store.get(path).await?.bytes().await
}

fn in_json(content: &[u8], path: &Path) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for line in content.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let line: Line = serde_json::from_slice(line)
            .map_err(|cause| Error::invalid(format!("{path} of the delta log is damaged")).caused_by(cause))?;
        found.extend(line.txn.map(|txn| (txn.app_id, txn.version.max(0) as u64)));
    }
    Ok(found)
}

fn in_parquet(content: Bytes, path: &Path) -> Result<Vec<(String, u64)>> {
    let damaged = || format!("{path} of the delta log is damaged");
    let builder = ParquetRecordBatchReaderBuilder::try_new(content).context(Kind::Invalid, damaged)?;
    let Some(column) = builder.schema().index_of("txn").ok() else { return Ok(Vec::new()) };
    let mask = ProjectionMask::roots(builder.parquet_schema(), [column]);
    let mut found = Vec::new();
    for batch in builder.with_projection(mask).build().context(Kind::Invalid, damaged)? {
        let batch = batch.context(Kind::Invalid, damaged)?;
        let Some(actions) = batch.column(0).as_struct_opt() else { continue };
        let parts = actions.column_by_name("appId").zip(actions.column_by_name("version"));
        let Some((ids, versions)) = parts else { continue };
        let ids = arrow::compute::cast(ids, &arrow::datatypes::DataType::Utf8)?;
        let (ids, versions) = (ids.as_string::<i32>(), Arc::clone(versions));
        let Some(versions) = versions.as_primitive_opt::<Int64Type>() else { continue };
        let rows = (0..actions.len()).filter(|row| actions.is_valid(*row) && ids.is_valid(*row));
        found.extend(rows.map(|row| (ids.value(row).to_owned(), versions.value(row).max(0) as u64)));
    }
    Ok(found)
}
