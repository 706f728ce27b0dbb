//! The options of the sink `postgres`, those it shares with the source, and where the server is.

use std::time::Duration;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::secret::Secret;
use tidemill_core::{Error, Options, Result};

const PORT: u16 = 5432;

pub(super) const URL: OptionSpec = OptionSpec::new(
    "url",
    OptionKind::Location,
    "postgresql://host:port/database; several servers with commas between: the one that takes writes is used",
)
.required();
pub(super) const TABLE: OptionSpec =
    OptionSpec::new("table", OptionKind::Text, "name of the table, or schema.table").required().aliases(&["dbtable"]);
pub(super) const SCHEMA: OptionSpec =
    OptionSpec::new("schema", OptionKind::Text, "schema of the table; without it the first of the search path");
pub(super) const PASSWORD: OptionSpec = OptionSpec::new("password", OptionKind::Secret, "password of the user");
pub(super) const SSLMODE: OptionSpec = OptionSpec::new(
    "sslmode",
    OptionKind::Choice(&["verify-full", "require", "disable"]),
    "TLS with a server whose certificate and name are verified ('require' verifies too), or none",
)
.default("verify-full");
pub(super) const SSLROOTCERT: OptionSpec =
    OptionSpec::new("sslrootcert", OptionKind::Location, "certificates to trust instead of the system's, PEM");
pub(super) const CONNECT_TIMEOUT: OptionSpec =
    OptionSpec::new("connect_timeout", OptionKind::Duration, "how long to wait for a connection").default("10 seconds");

/// Options of the sink.
pub(super) const OPTIONS: &[OptionSpec] = &[
    URL,
    TABLE,
    SCHEMA,
    OptionSpec::new("user", OptionKind::Text, "who writes").default("postgres").aliases(&["username"]),
    PASSWORD,
    OptionSpec::new(
        "primary_key",
        OptionKind::Text,
        "columns of the key, with commas between: a row replaces the row with its key, in update and in append mode; \
         in update mode the table's own primary key is taken when it is not given",
    )
    .aliases(&["upsert_keys", "pk_fields"]),
    OptionSpec::new("create_table", OptionKind::Boolean, "makes the table when it is not there")
        .default("false")
        .aliases(&["auto_create"]),
    SSLMODE,
    SSLROOTCERT,
    CONNECT_TIMEOUT,
    OptionSpec::new(
        "statement_timeout",
        OptionKind::Duration,
        "how long a statement may take, waiting for locks included",
    )
    .default("5 minutes"),
    OptionSpec::new(
        "retry_timeout",
        OptionKind::Duration,
        "how long a server that is away, in a failover or in a deadlock is tried again before the query stops",
    )
    .default("60 seconds"),
];

/// Where the server is, and as whom to talk to it.
pub(super) struct Target {
    /// Hosts and ports.
    pub(super) nodes: Vec<(String, u16)>,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    /// False without TLS.
    pub(super) tls: bool,
    /// Certificates to trust, PEM.
    pub(super) authority: Option<Vec<u8>>,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Duration,
}

impl Target {
    /// From the options of table `table`.
    ///
    /// # Errors
    /// A URL that is none or carries a password; a certificate file that cannot be read.
    pub(super) fn new(table: &str, options: &Options) -> Result<Self> {
        let (nodes, database) = servers(table, options.required("url")?)?;
        let authority = match options.text("sslrootcert") {
            Some(path) => Some(std::fs::read(path).map_err(|error| Error::io(format!("cannot read '{path}'"), error))?),
            None => None,
        };
        Ok(Target {
            nodes,
            database,
            user: options.text("user").unwrap_or("postgres").to_owned(),
            password: options.text("password").map(Secret::new),
            tls: options.text("sslmode") != Some("disable"),
            authority,
            connect_timeout: options.duration("connect_timeout").unwrap_or(Duration::from_secs(10)),
            statement_timeout: options.duration("statement_timeout").unwrap_or(Duration::from_secs(300)),
        })
    }

    /// Servers and database, for messages.
    pub(super) fn shown(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        format!("{}/{}", nodes.join(","), self.database)
    }
}

/// Servers and database of a URL. It may hold a password, so no message repeats it.
fn servers(table: &str, url: &str) -> Result<(Vec<(String, u16)>, String)> {
    let wrong = |what: &str| Error::invalid(format!("option 'url' of table '{table}': {what}"));
    let plain = url.strip_prefix("jdbc:").unwrap_or(url);
    let rest = plain.strip_prefix("postgresql://").or_else(|| plain.strip_prefix("postgres://"));
    let rest = rest.ok_or_else(|| wrong("it does not begin with postgresql://"))?;
    if rest.contains('@') {
        return Err(wrong("it carries a user or password")
            .help("use options 'user' and 'password'; the value of the second is never printed"));
    }
    if rest.contains('?') {
        return Err(wrong("it carries parameters").help("each is an option of the table, such as sslmode = 'disable'"));
    }
    let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
    if hosts.is_empty() || database.is_empty() {
        return Err(wrong("it must name a host and a database: postgresql://host:5432/database"));
    }
    let mut nodes = Vec::new();
    for host in hosts.split(',') {
        // an IPv6 address stands in brackets
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => {
                (name, port.parse().map_err(|_| wrong(&format!("'{port}' is no port")))?)
            }
            _ => (host, PORT),
        };
        nodes.push((name.trim_matches(['[', ']']).to_owned(), port));
    }
    Ok((nodes, database.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_servers_and_a_database() {
        let (nodes, database) = servers("t", "jdbc:postgresql://a,b:6000,[::1]:7000/shop").unwrap();
        assert_eq!(nodes, [("a".into(), 5432), ("b".into(), 6000), ("::1".into(), 7000)]);
        assert_eq!(database, "shop");
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let error = servers("t", "postgresql://me:s3ntinel@a/shop").unwrap_err();
        assert!(!error.report().contains("s3ntinel") && error.report().contains("'password'"), "{}", error.report());
        for url in ["http://a/b", "postgresql://a", "postgresql://a:x/b", "postgresql://a/b?sslmode=disable"] {
            assert!(servers("t", url).is_err(), "{url}");
        }
    }
}
