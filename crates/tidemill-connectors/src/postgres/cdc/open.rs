//! A start: what the server, the checkpoint and the disk say, a slot and a copy of the table where there are none.

use super::super::errors::{Failure, failure};
use super::super::link::Dialer;
use super::super::table::quote;
use super::beginning::{Beginning, CopyState, Facts, check_history, decide};
use super::catalog::{self, Table};
use super::position::{Position, parse};
use super::rows::{Misfit, check_metadata, misfit};
use super::settings::Settings;
use super::snapshot::{Copied, Folder, Manifest};
use super::stream::{history, identify};
use super::wire::{NOTATION, Wire};
use arrow::datatypes::Schema;
use futures::StreamExt as _;
use std::pin::pin;
use std::time::Duration;
use tidemill_core::{Clock, Error, Kind, Result};
use tokio_postgres::Client;

/// How often a wait for open transactions is told of.
const PATIENCE_TOLD: Duration = Duration::from_secs(10);

/// Where the source begins.
pub(super) struct Opened {
    pub(super) table: Table,
    pub(super) start: Position,
    /// The folder of the copy, while it is not read to its end.
    pub(super) copy: Option<(Folder, Copied)>,
}

/// Looks at the server: it can do what is needed, and the table has what the query reads.
///
/// # Errors
/// It has not.
pub(super) async fn look(client: &Client, settings: &Settings) -> Result<(i32, Table), Failure> {
    let version = catalog::check_server(client).await?;
    Ok((version, catalog::table(client, settings).await?))
}

/// Finds out where to begin, or makes a beginning.
///
/// # Errors
/// Changes are gone; what the server refuses.
pub(super) async fn open(
    settings: &Settings,
    dialer: &Dialer,
    schema: &Schema,
    held: Option<Position>,
    clock: &dyn Clock,
) -> Result<Opened, Failure> {
    let control = dialer.connect_beside().await?;
    let client = &control.client;
    let (version, mut table) = look(client, settings).await?;
    catalog::publish(client, settings, version, &mut table).await?;
    check_columns(settings, schema, &table, held.is_some())?;
    let mut wire = Wire::open(&settings.target, &format!("tidemill {}", settings.slot)).await?;
    let identity = identify(&mut wire).await?;
    let folder = Folder::take(&settings.directory, settings.takes_snapshot && held.is_none())?;
    let manifest = folder.as_ref().map(Folder::manifest).transpose()?.flatten();
    let copy = state_of(folder.as_ref(), manifest.as_ref());
    let slot = catalog::slot(client, &settings.slot).await?;
    let facts = Facts {
        slot_name: &settings.slot,
        database: &settings.target.database,
        slot,
        identity,
        held,
        copy,
        takes_snapshot: settings.takes_snapshot,
        directory: settings.directory.display().to_string(),
    };
    match decide(&facts)? {
        Beginning::At(mut start) => {
            if start.timeline != identity.timeline && held.is_some() {
                check_history(&settings.slot, &history(&mut wire, identity.timeline).await?, &start)?;
            }
            start.timeline = identity.timeline;
            let copy = copy_to_read(folder, manifest, &start, held.is_some())?;
            Ok(Opened { table, start, copy })
        }
        Beginning::New { drop_first } => {
            if drop_first {
                tracing::warn!(
                    slot = settings.slot,
                    "a start before this one left a slot without a copy: it is made anew"
                );
                catalog::drop_slot(client, &settings.slot).await?;
            }
            let new = Position { system: identity.system, timeline: identity.timeline, ..Position::default() };
            match folder.filter(|_| settings.takes_snapshot) {
                Some(folder) => with_copy(settings, client, &mut wire, table, folder, new, clock).await,
                None => {
                    let (lsn, _) = make_slot(settings, &mut wire, "NOEXPORT_SNAPSHOT").await?;
                    Ok(Opened { table, start: Position { lsn, ..new }, copy: None })
                }
            }
        }
    }
}

/// How far the copy in a folder is.
fn state_of(folder: Option<&Folder>, manifest: Option<&Manifest>) -> CopyState {
    match (folder, manifest) {
        (_, Some(Manifest { lsn, system, bytes, .. })) => {
            CopyState::Whole { lsn: *lsn, system: *system, bytes: *bytes }
        }
        (Some(folder), None) if folder.is_begun() => CopyState::Begun,
        _ => CopyState::None,
    }
}

/// The copy that a start at `start` has to read; one that was read by the position a checkpoint holds is removed.
fn copy_to_read(
    folder: Option<Folder>,
    manifest: Option<Manifest>,
    start: &Position,
    is_held: bool,
) -> Result<Option<(Folder, Copied)>> {
    match (folder, manifest) {
        // one of an empty table says whose the slot is until the first epoch is through
        (Some(folder), Some(manifest)) if !is_held || start.snapshot < start.snapshot_end => {
            let copied = folder.open(manifest)?;
            Ok(Some((folder, copied)))
        }
        (Some(folder), _) if is_held => {
            // left behind by a stop between the last epoch of the copy and its removal
            folder.remove()?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// Makes the slot, and copies the rows that were there at its beginning.
async fn with_copy(
    settings: &Settings,
    client: &Client,
    wire: &mut Wire,
    table: Table,
    folder: Folder,
    new: Position,
    clock: &dyn Clock,
) -> Result<Opened, Failure> {
    folder.begin()?;
    let (lsn, snapshot) = make_slot(settings, wire, "EXPORT_SNAPSHOT").await?;
    // the connection that made the slot holds the snapshot until another has taken it over
    let failed = |cause| failure("taking over the snapshot of the slot", cause);
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    client.batch_execute(begin).await.map_err(failed)?;
    let import = format!("SET TRANSACTION SNAPSHOT '{}'", snapshot.replace('\'', "''"));
    client.batch_execute(&import).await.map_err(failed)?;
    let taken_at = clock.now_micros();
    let bytes = copy(client, &table, &folder).await?;
    client.batch_execute("COMMIT").await.map_err(failed)?;
    let manifest = Manifest::new(&table.relation, lsn, (new.system, new.timeline), taken_at, bytes);
    folder.finish(&manifest)?;
    let copied = folder.open(manifest)?;
    let start = Position { lsn, snapshot_end: bytes, ..new };
    Ok(Opened { table, start, copy: Some((folder, copied)) })
}

/// Makes the slot: where it begins, and the name of the snapshot.
async fn make_slot(settings: &Settings, wire: &mut Wire, snapshot: &str) -> Result<(u64, String), Failure> {
    let slot = &settings.slot;
    let statement = format!("CREATE_REPLICATION_SLOT \"{slot}\" LOGICAL pgoutput {snapshot}");
    let mut made = pin!(wire.query(&statement));
    let rows = loop {
        match tokio::time::timeout(PATIENCE_TOLD, &mut made).await {
            Ok(rows) => break rows?,
            Err(_) => tracing::warn!(slot, "the slot is not made yet: the server waits for transactions that are open"),
        }
    };
    let row = rows.into_iter().next().unwrap_or_default();
    let text = |at: usize| row.get(at).and_then(Option::as_deref);
    let unreadable = || Error::bug("the server's answer to CREATE_REPLICATION_SLOT cannot be read");
    let lsn = text(1).and_then(parse).ok_or_else(unreadable)?;
    tracing::info!(slot, lsn = text(1), "made the slot");
    Ok((lsn, text(2).unwrap_or_default().to_owned()))
}

/// Copies the rows that the open transaction sees.
async fn copy(client: &Client, table: &Table, folder: &Folder) -> Result<u64, Failure> {
    let relation = &table.relation;
    let shown = format!("{}.{}", quote(&relation.schema), quote(&relation.name));
    let what = format!("copying table {shown}");
    let failed = |cause| failure(&what, cause);
    let settings = NOTATION.iter().map(|(name, value)| format!("SET LOCAL {name} = '{value}'; "));
    // rows that a policy hides would be missing without a word
    let settings = settings.collect::<String>() + "SET LOCAL statement_timeout = 0; SET LOCAL row_security = off";
    client.batch_execute(&settings).await.map_err(failed)?;
    let columns: Vec<String> = relation.columns.iter().map(|column| quote(&column.name)).collect();
    let only = if table.is_partitioned { "" } else { "ONLY " };
    let filter = table.filter.as_ref().map(|filter| format!(" WHERE {filter}")).unwrap_or_default();
    let statement = format!("COPY (SELECT {} FROM {only}{shown}{filter}) TO STDOUT", columns.join(", "));
    tracing::info!(table = shown, "copying the rows that are there");
    let mut lines = pin!(client.copy_out(statement.as_str()).await.map_err(failed)?);
    let mut writer = folder.writer()?;
    let mut rest: Vec<u8> = Vec::new();
    while let Some(piece) = lines.next().await {
        let piece = piece.map_err(failed)?;
        let mut left: &[u8] = &piece;
        while let Some(end) = memchr::memchr(b'\n', left) {
            if rest.is_empty() {
                writer.line(&left[..end])?;
            } else {
                rest.extend(&left[..end]);
                writer.line(&rest)?;
                rest.clear();
            }
            left = &left[end + 1..];
        }
        rest.extend(left);
    }
    let rows = writer.rows;
    let bytes = writer.finish()?;
    tracing::info!(table = shown, rows, bytes, "copied the rows that were there");
    Ok(bytes)
}

/// Checks what the query reads against the table as it is now.
fn check_columns(settings: &Settings, schema: &Schema, table: &Table, is_resumed: bool) -> Result<()> {
    check_metadata(&settings.table, schema)?;
    // changes that were not read yet may fit; the stream finds the first that does not
    if is_resumed {
        return Ok(());
    }
    let relation = &table.relation;
    let shown = format!("{}.{}", relation.schema, relation.name);
    let known: Vec<&str> = relation.columns.iter().map(|column| column.name.as_str()).collect();
    match misfit(schema, relation) {
        None => Ok(()),
        Some(Misfit::Missing(name)) => Err(Error::new(Kind::Invalid, format!("table {shown} has no column '{name}'"))
            .help(format!("its columns are {}; those of metadata begin with _", known.join(", ")))),
        Some(Misfit::Type(name, of)) => {
            let message = format!("column '{name}' of table {shown} has values that {of} cannot hold");
            Err(Error::invalid(message)
                .help("leave the columns of the table undeclared, or declare this one as STRING"))
        }
    }
}
