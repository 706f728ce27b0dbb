//! The table that is written: found or made, compared with the rows to come, and the statements that write it.

use super::errors::{Failure, failure};
use super::types::Column;
use arrow::datatypes::SchemaRef;
use tidemill_core::sink::OutputMode;
use tidemill_core::{Error, Options, Result};
use tokio_postgres::Client;

/// The staging table; temporary tables hide others of the name.
pub(super) const STAGE: &str = "tidemill_stage";
/// The column of the staging table with the number of a row.
const NUMBER: &str = "tidemill_row_number";

/// A table as the options name it.
pub(super) struct Wanted {
    pub(super) schema: Option<String>,
    pub(super) table: String,
    pub(super) key: Vec<String>,
    pub(super) create: bool,
    pub(super) mode: OutputMode,
    pub(super) names: Vec<String>,
    pub(super) columns: Vec<Column>,
}

/// The statements of an epoch.
#[derive(Debug)]
pub(super) struct Statements {
    /// Schema of the table, and of the marker.
    pub(super) schema: String,
    pub(super) stage: String,
    pub(super) copy: String,
    /// Empties the table, in complete mode.
    pub(super) clear: Option<String>,
    pub(super) merge: String,
}

/// A name as SQL writes it.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Wanted {
    /// From the options, for rows of `rows`.
    ///
    /// # Errors
    /// A type that cannot be written, a key column that is not there.
    pub(super) fn new(options: &Options, rows: &SchemaRef, mode: OutputMode) -> Result<Self> {
        let named = options.required("table")?;
        let (schema, table) = match (options.text("schema"), named.split_once('.')) {
            (Some(schema), _) => (Some(schema), named),
            (None, Some((schema, table))) => (Some(schema), table),
            (None, None) => (None, named),
        };
        let names: Vec<String> = rows.fields().iter().map(|field| field.name().clone()).collect();
        let columns = rows.fields().iter().map(|field| Column::new(field.name(), field.data_type()));
        let columns = columns.collect::<Result<_>>()?;
        let key = options.text("primary_key").unwrap_or_default().split(',').map(str::trim);
        let key: Vec<String> = key.filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if let Some(missing) = key.iter().find(|name| !names.contains(name)) {
            return Err(Error::invalid(format!(
                "option 'primary_key' names '{missing}', which is no column of the rows"
            ))
            .help(format!("the columns are {}", names.join(", "))));
        }
        let create = options.boolean("create_table");
        Ok(Wanted { schema: schema.map(str::to_owned), table: table.to_owned(), key, create, mode, names, columns })
    }

    /// Finds or makes the table, and says how to write it.
    pub(super) async fn resolve(&self, client: &Client) -> Result<Statements, Failure> {
        let what = format!("looking for table '{}'", self.table);
        let failed = |cause| failure(&what, cause);
        let schema = match &self.schema {
            Some(schema) => schema.clone(),
            None => {
                let row = client.query_one("SELECT current_schema()::text", &[]).await.map_err(failed)?;
                row.get::<_, Option<String>>(0).ok_or_else(|| {
                    Error::invalid("no schema of the search path is there").help("name one with option 'schema'")
                })?
            }
        };
        let table = format!("{}.{}", quote(&schema), quote(&self.table));
        let found = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table]).await.map_err(failed)?;
        if !found.get::<_, bool>(0) {
            self.make(client, &table).await?;
        }
        let casts = self.compare(client, &table).await?;
        let key = if self.key.is_empty() && self.mode == OutputMode::Update {
            self.own_key(client, &table).await?
        } else {
            self.key.clone()
        };
        Ok(self.statements(schema, &table, &key, &casts))
    }

    async fn make(&self, client: &Client, table: &str) -> Result<(), Failure> {
        if !self.create {
            let error = Error::invalid(format!("there is no table {table}"));
            return Err(error.help("make it, or set create_table = 'true'").into());
        }
        let mut parts: Vec<String> =
            self.names.iter().zip(&self.columns).map(|(name, of)| format!("{} {}", quote(name), of.sql())).collect();
        if !self.key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", list(&self.key)));
        }
        let make = format!("CREATE TABLE IF NOT EXISTS {table} ({})", parts.join(", "));
        client.batch_execute(&make).await.map_err(|cause| failure(&format!("making table {table}"), cause))
    }

    /// For each column the cast that its value needs in an INSERT: texts become what the table has, such as
    /// uuid or an enum; all else is assigned, so that nothing is cut off in silence.
    async fn compare(&self, client: &Client, table: &str) -> Result<Vec<Option<String>>, Failure> {
        let select = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), t.typcategory::text, \
                      a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' FROM pg_attribute a \
                      JOIN pg_type t ON t.oid = a.atttypid \
                      WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";
        let there = client.query(select, &[&table]).await;
        let there = there.map_err(|cause| failure(&format!("reading the columns of {table}"), cause))?;
        let mut casts = Vec::with_capacity(self.names.len());
        for (name, of) in self.names.iter().zip(&self.columns) {
            let Some(row) = there.iter().find(|row| row.get::<_, &str>(0) == name) else {
                let known: Vec<&str> = there.iter().map(|row| row.get(0)).collect();
                let error = Error::invalid(format!("table {table} has no column '{name}' of type {}", of.sql()));
                return Err(error.help(format!("its columns are {}", known.join(", "))).into());
            };
            let (kind, category): (String, &str) = (row.get(1), row.get(2));
            let explicit = match of {
                Column::Text => category != "S",
                Column::Json => category != "S" && kind != "jsonb",
                _ => false,
            };
            casts.push(explicit.then_some(kind));
        }
        let unfilled = |row: &&tokio_postgres::Row| {
            row.get::<_, bool>(3) && !self.names.iter().any(|name| name == row.get::<_, &str>(0))
        };
        if let Some(row) = there.iter().find(unfilled) {
            let name: &str = row.get(0);
            let error = Error::invalid(format!("column '{name}' of table {table} is NOT NULL and no row has it"));
            return Err(error.help("add it to the query, or give it a default").into());
        }
        Ok(casts)
    }

    /// The primary key that the table has.
    async fn own_key(&self, client: &Client, table: &str) -> Result<Vec<String>, Failure> {
        let select = "SELECT a.attname::text FROM pg_index i \
                      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) \
                      WHERE i.indrelid = to_regclass($1) AND i.indisprimary";
        let rows = client.query(select, &[&table]).await;
        let rows = rows.map_err(|cause| failure(&format!("reading the primary key of {table}"), cause))?;
        let key: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if key.is_empty() {
            let error = Error::invalid(format!("table {table} has no primary key, which output mode update needs"));
            return Err(error.help("name the columns of the key with option 'primary_key'").into());
        }
        if let Some(missing) = key.iter().find(|name| !self.names.contains(name)) {
            return Err(Error::invalid(format!("the query has no column '{missing}' of {table}'s primary key")).into());
        }
        Ok(key)
    }

    fn statements(&self, schema: String, table: &str, key: &[String], casts: &[Option<String>]) -> Statements {
        let names = list(&self.names);
        let columns: Vec<String> =
            self.names.iter().zip(&self.columns).map(|(name, of)| format!(", {} {}", quote(name), of.sql())).collect();
        let values: Vec<String> = self
            .names
            .iter()
            .zip(casts)
            .map(|(name, cast)| match cast {
                Some(cast) => format!("{}::{cast}", quote(name)),
                None => quote(name),
            })
            .collect();
        let values = values.join(", ");
        let stage =
            format!("CREATE TEMPORARY TABLE {STAGE} ({NUMBER} bigint{}) ON COMMIT DELETE ROWS", columns.concat());
        let copy = format!("COPY {STAGE} ({NUMBER}{}) FROM STDIN (FORMAT binary)", prefixed(&names));
        let clear = (self.mode == OutputMode::Complete).then(|| format!("DELETE FROM {table}"));
        let merge = if key.is_empty() {
            format!("INSERT INTO {table} ({names}) SELECT {values} FROM {STAGE} ORDER BY {NUMBER}")
        } else {
            let set: Vec<String> = self
                .names
                .iter()
                .filter(|name| !key.contains(name))
                .map(|name| format!("{0} = EXCLUDED.{0}", quote(name)))
                .collect();
            let then = if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) };
            let key = list(key);
            // of rows with one key the last counts; the order of keys is that of the locks, for all writers
            format!(
                "INSERT INTO {table} ({names}) SELECT {values} FROM (SELECT DISTINCT ON ({key}) * FROM {STAGE} \
                 ORDER BY {key}, {NUMBER} DESC) AS last ON CONFLICT ({key}) DO {then}"
            )
        };
        Statements { schema, stage, copy, clear, merge }
    }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")
}

fn prefixed(names: &str) -> String {
    if names.is_empty() { String::new() } else { format!(", {names}") }
}
