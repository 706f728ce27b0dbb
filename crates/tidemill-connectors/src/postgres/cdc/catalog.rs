//! What the server says of itself, the table, the publication and the slot.

use super::super::errors::{Failure, failure};
use super::super::table::quote;
use super::message::{Relation, RelationColumn};
use super::settings::Settings;
use std::collections::HashMap;
use tidemill_core::{Error, Result};
use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;

/// The version that tells of column lists and row filters.
const WITH_FILTERS: i32 = 150_000;
const VERSION_MIN: i32 = 130_000;

/// The table that is read.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// What the stream will say of it.
    pub(super) relation: Relation,
    /// Columns of its primary key.
    pub(super) key: Vec<String>,
    /// True for one with partitions.
    pub(super) is_partitioned: bool,
    /// False when Postgres cannot tell which row was changed.
    pub(super) has_identity: bool,
    /// The condition of the publication, as SQL.
    pub(super) filter: Option<String>,
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) plugin: String,
    pub(super) database: String,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub(super) wal_status: String,
    /// What is before it may be gone.
    pub(super) confirmed: u64,
}

/// Checks that the server can do what is needed; its version.
pub(super) async fn check_server(client: &Client) -> Result<i32, Failure> {
    let failed = |cause| failure("asking the server for its settings", cause);
    let select = "SELECT current_setting('server_version_num')::int4, current_setting('wal_level')";
    let row = client.query_one(select, &[]).await.map_err(failed)?;
    let (version, level): (i32, String) = (row.get(0), row.get(1));
    if version < VERSION_MIN {
        let error = Error::invalid(format!("the server has version {version}, and change data capture needs 13"));
        return Err(error.into());
    }
    if level != "logical" {
        return Err(Error::invalid(format!("the server has wal_level = {level}, which holds no changes of rows"))
            .help("ALTER SYSTEM SET wal_level = 'logical', then start the server anew")
            .into());
    }
    Ok(version)
}

/// Finds the table.
pub(super) async fn table(client: &Client, settings: &Settings) -> Result<Table, Failure> {
    let what = format!("looking for table '{}'", settings.table);
    let failed = |cause| failure(&what, cause);
    let named = match &settings.schema {
        Some(schema) => format!("{}.{}", quote(schema), quote(&settings.table)),
        None => quote(&settings.table),
    };
    let select = "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relreplident::text, \
                  EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary), \
                  c.relpersistence::text \
                  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)";
    let Some(row) = client.query_opt(select, &[&named]).await.map_err(failed)? else {
        let error = Error::invalid(format!("there is no table {named} in database '{}'", settings.target.database));
        return Err(error.help("name it as schema.table, as pg_class has it").into());
    };
    let (kind, identity, has_key): (String, String, bool) = (row.get(3), row.get(4), row.get(5));
    if !matches!(kind.as_str(), "r" | "p") || row.get::<_, &str>(6) != "p" {
        let error = Error::invalid(format!("{named} is no table whose changes Postgres logs"));
        return Err(error.help("views, foreign, temporary and unlogged tables have no changes to read").into());
    }
    let id: u32 = row.get(0);
    let columns = columns(client, id).await?;
    let key = "SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid \
               AND a.attnum = ANY(i.indkey) WHERE i.indrelid = $1 AND i.indisprimary";
    let key = client.query(key, &[&id]).await.map_err(failed)?.iter().map(|row| row.get(0)).collect();
    let is_full = identity == "f";
    Ok(Table {
        relation: Relation { id, schema: row.get(1), name: row.get(2), is_full, columns },
        key,
        is_partitioned: kind == "p",
        has_identity: is_full || identity == "i" || (identity == "d" && has_key),
        filter: None,
    })
}

/// The columns that are logged, each of a domain as that of its base.
async fn columns(client: &Client, table: u32) -> Result<Vec<RelationColumn>, Failure> {
    let select = "SELECT a.attname::text, CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE a.atttypid END, \
                  CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END \
                  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
                  WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum";
    let rows = client.query(select, &[&table]).await;
    let rows = rows.map_err(|cause| failure("reading the columns of the table", cause))?;
    let column = |row: &tokio_postgres::Row| RelationColumn {
        name: row.get(0),
        is_key: false,
        oid: row.get(1),
        modifier: row.get(2),
    };
    Ok(rows.iter().map(column).collect())
}

/// True when the table has such a column now.
pub(super) async fn has_column(client: &Client, table: u32, name: &str) -> Result<bool, Failure> {
    Ok(columns(client, table).await?.iter().any(|column| column.name.eq_ignore_ascii_case(name)))
}

/// Puts the base in the place of each domain among the columns of a table.
pub(super) async fn resolve_domains(client: &Client, relation: &mut Relation) -> Result<(), Failure> {
    let oids: Vec<u32> = relation.columns.iter().map(|column| column.oid).collect();
    let select = "SELECT oid, typbasetype, typtypmod FROM pg_type WHERE oid = ANY($1) AND typtype = 'd'";
    let rows = client.query(select, &[&oids]).await;
    let rows = rows.map_err(|cause| failure("looking up types", cause))?;
    let bases: HashMap<u32, (u32, i32)> = rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect();
    for column in &mut relation.columns {
        if let Some((oid, modifier)) = bases.get(&column.oid) {
            (column.oid, column.modifier) = (*oid, *modifier);
        }
    }
    Ok(())
}

/// Makes the publication if need be, and takes over what it leaves out of the table.
pub(super) async fn publish(
    client: &Client,
    settings: &Settings,
    version: i32,
    table: &mut Table,
) -> Result<(), Failure> {
    let name = &settings.publication;
    let shown = format!("{}.{}", quote(&table.relation.schema), quote(&table.relation.name));
    let failed = |cause| failure(&format!("looking for publication '{name}'"), cause);
    let select = "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate FROM pg_publication WHERE pubname = $1";
    match client.query_opt(select, &[name]).await.map_err(failed)? {
        Some(row) if !row.get::<_, bool>(0) => {
            tracing::warn!(publication = name, "the publication leaves some kinds of changes out");
        }
        Some(_) => {}
        None => make_publication(client, settings, table, &shown).await?,
    }
    if !table.has_identity {
        tracing::warn!(table = shown, "the table has no replica identity: Postgres refuses updates and deletes on it");
    }
    let select = match version >= WITH_FILTERS {
        true => {
            "SELECT attnames::text[], rowfilter FROM pg_publication_tables \
                 WHERE pubname = $1 AND schemaname = $2 AND tablename = $3"
        }
        false => {
            "SELECT NULL::text[], NULL::text FROM pg_publication_tables \
                  WHERE pubname = $1 AND schemaname = $2 AND tablename = $3"
        }
    };
    let relation = &mut table.relation;
    let found = client.query_opt(select, &[name, &relation.schema, &relation.name]).await.map_err(failed)?;
    let Some(row) = found else {
        let error = Error::invalid(format!("publication '{name}' does not hold table {shown}"));
        let help = match table.is_partitioned {
            true => format!(
                "ALTER PUBLICATION {0} ADD TABLE {shown}; a table with partitions needs ALTER PUBLICATION {0} SET \
                 (publish_via_partition_root = true) as well",
                quote(name)
            ),
            false => format!("ALTER PUBLICATION {} ADD TABLE {shown}", quote(name)),
        };
        return Err(error.help(help).into());
    };
    if let Some(kept) = row.get::<_, Option<Vec<String>>>(0) {
        relation.columns.retain(|column| kept.contains(&column.name));
    }
    table.filter = row.get(1);
    Ok(())
}

async fn make_publication(client: &Client, settings: &Settings, table: &Table, shown: &str) -> Result<(), Failure> {
    let name = &settings.publication;
    let root = if table.is_partitioned { " WITH (publish_via_partition_root = true)" } else { "" };
    let statement = format!("CREATE PUBLICATION {} FOR TABLE {shown}{root}", quote(name));
    if !settings.create_publication {
        return Err(Error::invalid(format!("there is no publication '{name}'")).help(statement).into());
    }
    if !table.has_identity {
        return Err(Error::invalid(format!(
            "table {shown} has no primary key: once it is published, Postgres would refuse updates and deletes on it"
        ))
        .help(format!(
            "ALTER TABLE {shown} REPLICA IDENTITY FULL, or give it a primary key; or make the publication yourself"
        ))
        .into());
    }
    let made = client.batch_execute(&statement).await;
    made.map_err(|cause| failure(&format!("making publication '{name}'"), cause))?;
    tracing::info!(publication = name, table = shown, "made the publication");
    Ok(())
}

/// The slot, if it is there.
pub(super) async fn slot(client: &Client, name: &str) -> Result<Option<Slot>, Failure> {
    let select = "SELECT coalesce(plugin, '')::text, coalesce(database, '')::text, coalesce(wal_status, 'lost'), \
                  confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1";
    let row = client.query_opt(select, &[&name]).await;
    let row = row.map_err(|cause| failure(&format!("looking for slot '{name}'"), cause))?;
    Ok(row.map(|row| Slot {
        plugin: row.get(0),
        database: row.get(1),
        wal_status: row.get(2),
        confirmed: row.get::<_, Option<PgLsn>>(3).map_or(0, u64::from),
    }))
}

/// Removes a slot.
pub(super) async fn drop_slot(client: &Client, name: &str) -> Result<(), Failure> {
    let dropped = client.execute("SELECT pg_drop_replication_slot($1)", &[&name]).await;
    dropped.map(|_| ()).map_err(|cause| failure(&format!("dropping slot '{name}'"), cause))
}

/// End of the log that is on disk.
pub(super) async fn flushed(client: &Client) -> Result<u64, Failure> {
    let row = client.query_one("SELECT pg_current_wal_flush_lsn()", &[]).await;
    let row = row.map_err(|cause| failure("asking for the end of the log", cause))?;
    Ok(row.get::<_, PgLsn>(0).into())
}
