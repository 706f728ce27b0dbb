//! Which rows Redis refuses for good: those whose key holds something of another type, which the script of an
//! epoch finds before it writes anything. Such a key is told by its name alone, so every key is asked once.

use super::changes::Plan;
use super::epoch::EpochWriter;
use arrow::record_batch::RecordBatch;
use futures::{StreamExt as _, TryStreamExt as _};
use std::collections::{BTreeSet, HashMap};
use tidemill_core::sink::{REFUSED_ROWS_MAX, Refused};
use tidemill_core::{Error, Kind, Result};

/// Keys that are asked for at a time.
const ASKED_AT_ONCE: usize = 64;

/// The refused rows, by their number over all batches.
///
/// # Errors
/// The server cannot be reached; more than [`REFUSED_ROWS_MAX`].
pub(super) async fn refused(plan: &Plan, writer: &mut EpochWriter, rows: &[RecordBatch]) -> Result<Vec<Refused>> {
    let keys = rows.iter().map(|batch| plan.keys(batch)).collect::<Result<Vec<_>>>()?;
    let distinct: BTreeSet<&Vec<u8>> = keys.iter().flatten().collect();
    let kinds = writer.kinds(distinct.into_iter().cloned().collect()).await?;
    let (mut refused, mut first) = (Vec::new(), 0);
    for (batch, keys) in rows.iter().zip(&keys) {
        for (row, key) in keys.iter().enumerate() {
            let Some(kind) = kinds.get(key).filter(|kind| *kind != "none") else { continue };
            // what replaces a key whole, or deletes it, takes any
            let changes = plan.changes(&[batch.slice(row, 1)])?;
            let Some(wanted) = changes.iter().find_map(|change| wanted(change.word)).filter(|wanted| wanted != kind)
            else {
                continue;
            };
            let reason = format!("its key holds a {kind} and not a {wanted}");
            refused.push(Refused { row: first + row, code: "WRONGTYPE".into(), reason });
        }
        first += keys.len();
    }
    match refused.len() {
        count if count <= REFUSED_ROWS_MAX => Ok(refused),
        count => Err(Error::new(Kind::Data, format!("{count} rows of an epoch have keys that hold another type"))
            .help("choose other keys, another shape, or remove the keys")),
    }
}

/// The type that a word of `epoch.lua` needs a key to have.
fn wanted(word: &str) -> Option<&'static str> {
    match word {
        "merge" | "newer" => Some("hash"),
        "append" => Some("stream"),
        _ => None,
    }
}

impl EpochWriter {
    /// What type each key holds; `none` for one that is not there.
    async fn kinds(&mut self, keys: Vec<Vec<u8>>) -> Result<HashMap<Vec<u8>, String>> {
        let link = self.connected().await?;
        let asked = keys.into_iter().map(|key| async {
            let kind: String = link.send(redis::cmd("TYPE").arg(key.as_slice())).await?;
            Ok((key, kind))
        });
        let kinds = futures::stream::iter(asked).buffer_unordered(ASKED_AT_ONCE).try_collect().await;
        kinds.map_err(|error| self.explained("ask what keys hold", error))
    }
}
