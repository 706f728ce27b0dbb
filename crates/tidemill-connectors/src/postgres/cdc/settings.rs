//! The options of the source `postgres_cdc`.

use super::super::options::{CONNECT_TIMEOUT, PASSWORD, SCHEMA, SSLMODE, SSLROOTCERT, TABLE, Target, URL};
use super::rows::Policies;
use std::path::PathBuf;
use std::time::Duration;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::{Error, Options, Result};

const SLOT_LETTERS_MAX: usize = 63;

pub(super) static DESCRIPTION: Description = Description {
    name: "postgres_cdc",
    role: Role::Source,
    summary: "Every change of a table of PostgreSQL (version 13 or later, wal_level = logical), after a copy of the rows it \
              has: logical replication with pgoutput. A row has the columns of the table and _op ('r' for a row of the \
              copy, 'c', 'u', 'd', and 't' for TRUNCATE, as Debezium's op), _lsn (where the commit is in the log), _seq (number \
              within the transaction), _xid, _ts (time of the commit), _unchanged (columns whose large value was not \
              sent) and, when it is declared or asked for, _before. A deleted row has the columns of its key; with REPLICA \
              IDENTITY FULL, all. An update of the key is a 'd' and a 'c'. Types: boolean, smallint, integer, bigint, real, \
              double precision, date and bytea as themselves; numeric(p,s) of up to 38 digits as DECIMAL(p,s); timestamptz as \
              TIMESTAMP, timestamp as TIMESTAMP_NTZ; arrays of these as ARRAY; all else (text, numeric without digits, uuid, \
              json, enums, time, interval in ISO 8601) as STRING.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        URL,
        TABLE,
        SCHEMA,
        OptionSpec::new("user", OptionKind::Text, "who reads: needs REPLICATION and SELECT on the table")
            .default("postgres")
            .aliases(&["username"]),
        PASSWORD,
        OptionSpec::new(
            "slot",
            OptionKind::Text,
            "name of the replication slot, one a query: made when a query begins, never again; drop it when the query is \
             given up, for it keeps the log of the server",
        )
        .required()
        .aliases(&["slot_name"]),
        OptionSpec::new("publication", OptionKind::Text, "name of the publication; without it that of the slot")
            .aliases(&["publication_name"]),
        OptionSpec::new(
            "create_publication",
            OptionKind::Boolean,
            "makes the publication when it is not there; the user must own the table",
        )
        .default("true"),
        OptionSpec::new(
            "snapshot",
            OptionKind::Choice(&["initial", "never"]),
            "initial: a new query begins with the rows that are there; never: with the changes that follow",
        )
        .default("initial"),
        OptionSpec::new(
            "snapshot_directory",
            OptionKind::Location,
            "local directory in which the table is copied, in a folder of the slot's name, before its rows are read; the \
             copy is removed once they are through",
        )
        .default("snapshots"),
        OptionSpec::new(
            "include_before",
            OptionKind::Boolean,
            "adds _before, the row before the change, when the table's columns are not declared",
        )
        .default("false"),
        OptionSpec::new(
            "unchanged_values",
            OptionKind::Choice(&["fail", "null"]),
            "what becomes of a large value that an update did not touch and Postgres does not send, when the query does not \
             read _unchanged: stop, or NULL",
        )
        .default("fail"),
        OptionSpec::new(
            "bad_values",
            OptionKind::Choice(&["fail", "null"]),
            "what becomes of a value that the column's type cannot hold, such as a date that is infinity: stop, or NULL",
        )
        .default("fail"),
        OptionSpec::new(
            "schema_change",
            OptionKind::Choice(&["fail", "ignore"]),
            "what happens when a column that the query reads is dropped or gets a type that does not fit: stop before the \
             first such change, or NULL; new columns are reported in the log",
        )
        .default("fail"),
        OptionSpec::new("buffer_bytes", OptionKind::Bytes, "memory for changes that were received ahead").default("64MiB"),
        OptionSpec::new(
            "heartbeat_interval",
            OptionKind::Duration,
            "how often an idle table's position is moved, when a segment of the log (16 MiB) was written elsewhere: the server \
             can then let it go",
        )
        .default("10 seconds"),
        SSLMODE,
        SSLROOTCERT,
        CONNECT_TIMEOUT,
        OptionSpec::new("retry_timeout", OptionKind::Duration, "how long a server that is away is tried again")
            .default("5 minutes"),
    ],
    example: "connector = 'postgres_cdc', url = 'postgresql://localhost:5432/shop', table = 'public.orders', user = 'shop', \
              slot = 'orders_to_lake'",
};

/// What the user asked for.
pub(super) struct Settings {
    pub(super) target: Target,
    /// Schema and name of the table, as given.
    pub(super) schema: Option<String>,
    pub(super) table: String,
    pub(super) slot: String,
    pub(super) publication: String,
    pub(super) create_publication: bool,
    pub(super) takes_snapshot: bool,
    /// Where the copy of the table is.
    pub(super) directory: PathBuf,
    pub(super) policies: Policies,
    pub(super) schema_change_is_null: bool,
    pub(super) buffer_bytes: usize,
    pub(super) heartbeat_interval: Duration,
    pub(super) retry_timeout: Duration,
}

impl Settings {
    /// From the options of pipeline table `table`.
    ///
    /// # Errors
    /// A name that no slot can have, a URL that is none.
    pub(super) fn new(table: &str, options: &Options) -> Result<Self> {
        let slot = options.required("slot")?.to_owned();
        let is_name = slot.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if !is_name || slot.is_empty() || slot.len() > SLOT_LETTERS_MAX {
            return Err(Error::invalid(format!("option 'slot' of table '{table}': '{slot}' is no name of a slot"))
                .help("up to 63 of the letters a to z, digits and _"));
        }
        let named = options.required("table")?;
        let (schema, name) = match (options.text("schema"), named.split_once('.')) {
            (Some(schema), _) => (Some(schema.to_owned()), named),
            (None, Some((schema, name))) => (Some(schema.to_owned()), name),
            (None, None) => (None, named),
        };
        let is_null = |option: &str| options.text(option) == Some("null");
        let seconds = Duration::from_secs;
        Ok(Settings {
            target: Target::new(table, options)?,
            schema,
            table: name.to_owned(),
            publication: options.text("publication").unwrap_or(&slot).to_owned(),
            create_publication: options.boolean("create_publication"),
            takes_snapshot: options.text("snapshot") != Some("never"),
            directory: PathBuf::from(options.required("snapshot_directory")?).join(&slot),
            policies: Policies { bad_is_null: is_null("bad_values"), unchanged_is_null: is_null("unchanged_values") },
            schema_change_is_null: options.text("schema_change") == Some("ignore"),
            buffer_bytes: options.bytes("buffer_bytes").unwrap_or(64 << 20) as usize,
            heartbeat_interval: options.duration("heartbeat_interval").unwrap_or(seconds(10)),
            retry_timeout: options.duration("retry_timeout").unwrap_or(seconds(300)),
            slot,
        })
    }
}
