//! Feast's online store in SQLite: features and the epoch in one transaction. Source: Feast,
//! `feast/infra/online_stores/sqlite.py`.

use super::rows::{FeatureRow, Layout};
use rusqlite::{Connection, OptionalExtension as _, ToSql, Transaction, TransactionBehavior};
use std::path::Path;
use std::time::Duration;
use tidemill_core::sink::{Marker, Writer};
use tidemill_core::{Epoch, Error, Kind, Result};

const MARKERS: &str = "tidemill_commits";

/// An open database.
pub(super) struct Store {
    connection: Connection,
    path: String,
    /// The view's table, quoted.
    table: String,
    /// Older versions of Feast have no column for the text of a value.
    has_text: bool,
    /// Who may write: a later process takes over.
    owner: String,
}

impl Store {
    /// Opens or creates the file, and the view's table if Feast has not made it yet.
    ///
    /// # Errors
    /// Names the file.
    pub(super) fn open(path: &Path, layout: &Layout, patience: Duration) -> Result<Self> {
        let shown = path.display().to_string();
        let table = format!("\"{}\"", format!("{}_{}", layout.project, layout.view).replace('"', "\"\""));
        let open = || -> rusqlite::Result<(Connection, bool)> {
            let connection = Connection::open(path)?;
            connection.busy_timeout(patience)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS {table} (entity_key BLOB, feature_name TEXT, value BLOB, value_text TEXT, \
                 vector_value BLOB, event_ts timestamp, created_ts timestamp, PRIMARY KEY(entity_key, feature_name));
                 CREATE TABLE IF NOT EXISTS {MARKERS} (id TEXT PRIMARY KEY, epoch INTEGER, owner TEXT);"
            ))?;
            let columns = connection
                .prepare(&format!("PRAGMA table_info({table})"))?
                .query_map([], |row| row.get::<_, String>(1))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((connection, columns.iter().any(|column| column == "value_text")))
        };
        let (connection, has_text) = open().map_err(|error| failed(&shown, "open", error))?;
        Ok(Store { connection, path: shown, table, has_text, owner: uuid::Uuid::new_v4().to_string() })
    }

    /// What the file says of `writer`, and makes us the one who may write.
    ///
    /// # Errors
    /// Names the file.
    pub(super) fn marker(&mut self, writer: &Writer) -> Result<Marker> {
        let (id, prefix) = (writer.id(), writer.prefix());
        let owner = self.owner.clone();
        let entries = self.within("read the marker in", |transaction| {
            let sql = format!(
                "INSERT INTO {MARKERS} (id, epoch, owner) VALUES (?1, NULL, ?2) ON CONFLICT(id) DO UPDATE SET owner = ?2"
            );
            transaction.execute(&sql, [&id, &owner])?;
            transaction
                .prepare(&format!("SELECT id, epoch FROM {MARKERS} WHERE epoch IS NOT NULL AND substr(id, 1, length(?1)) = ?1"))?
                .query_map([&prefix], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<(String, i64)>>>()
        })?;
        Ok(crate::marker::find(writer, entries.iter().map(|(id, epoch)| (id.as_str(), epoch.unsigned_abs()))))
    }

    /// Writes the rows and the epoch in one transaction; features with a newer timestamp stay.
    ///
    /// # Errors
    /// Another process has taken over; the file cannot be written.
    pub(super) fn commit(&mut self, writer: &Writer, epoch: Epoch, layout: &Layout, rows: &[FeatureRow]) -> Result<()> {
        let (table, has_text, id, owner) = (self.table.clone(), self.has_text, writer.id(), self.owner.clone());
        let (column, value, update) =
            if has_text { (", value_text", ", ?5", ", value_text = excluded.value_text") } else { ("", "", "") };
        let upsert = format!(
            "INSERT INTO {table} (entity_key, feature_name, value, event_ts{column}) VALUES (?1, ?2, ?3, ?4{value}) \
             ON CONFLICT(entity_key, feature_name) DO UPDATE SET value = excluded.value, event_ts = excluded.event_ts{update} \
             WHERE {table}.event_ts IS NULL OR excluded.event_ts >= {table}.event_ts"
        );
        let is_ours = self.within("write", |transaction| {
            let held: Option<(Option<i64>, Option<String>)> = transaction
                .query_row(&format!("SELECT epoch, owner FROM {MARKERS} WHERE id = ?1"), [&id], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let (held, holder) = held.unwrap_or_default();
            if holder.as_ref() != Some(&owner) {
                return Ok(false);
            }
            if held.is_some_and(|held| held.unsigned_abs() >= epoch.0) {
                return Ok(true);
            }
            let mut statement = transaction.prepare(&upsert)?;
            for row in rows {
                let seconds = row.at.div_euclid(1_000_000);
                for ((feature, _), (message, text)) in layout.features.iter().zip(&row.values) {
                    let all: [&dyn ToSql; 5] = [&row.entity, feature, message, &seconds, text];
                    statement.execute(&all[..if has_text { 5 } else { 4 }])?;
                }
            }
            let epoch = i64::try_from(epoch.0).unwrap_or(i64::MAX);
            transaction.execute(&format!("UPDATE {MARKERS} SET epoch = ?2 WHERE id = ?1"), (&id, epoch))?;
            Ok(true)
        })?;
        if is_ours {
            return Ok(());
        }
        Err(Error::new(Kind::Fenced, format!("another process has taken over this query's table in '{}'", self.path))
            .help("do not start this one again while the other runs"))
    }

    /// Does `work` in a transaction that is the only writer.
    fn within<T>(&mut self, doing: &str, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let connection = &mut self.connection;
        let all = || -> rusqlite::Result<T> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        all().map_err(|error| failed(&self.path, doing, error))
    }
}

fn failed(path: &str, doing: &str, error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, NotADatabase, PermissionDenied, ReadOnly};
    let kind = match error.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked) => Kind::Again,
        Some(PermissionDenied | ReadOnly) => Kind::Denied,
        Some(CannotOpen | NotADatabase) => Kind::Invalid,
        _ => Kind::Io,
    };
    Error::new(kind, format!("cannot {doing} Feast's online store '{path}'")).caused_by(error)
}
