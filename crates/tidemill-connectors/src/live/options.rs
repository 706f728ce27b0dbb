//! The options of the sink `live`: what a table keeps, and who may read it where.

use super::table::Rules;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use std::path::PathBuf;
use std::time::Duration;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::secret::Secret;
use tidemill_core::sink::{OutputMode, SinkRequest};
use tidemill_core::{Error, Options, Result};

pub(super) const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new(
        "listen",
        OptionKind::Text,
        "address and port to serve on; tables with the same one share a server, and beyond loopback a password is needed",
    )
    .default("127.0.0.1:5433"),
    OptionSpec::new("table", OptionKind::Text, "name of the table in SQL; without it that of the sink"),
    OptionSpec::new(
        "primary_key",
        OptionKind::Text,
        "columns of the key, with commas between: a row replaces the row with its key; needed in update mode",
    )
    .aliases(&["upsert_keys", "pk_fields"]),
    OptionSpec::new(
        "path",
        OptionKind::Location,
        "folder where the table is kept, so that a restart goes on with the rows readers saw; without it the table is in \
         memory only and begins empty",
    ),
    OptionSpec::new("max_rows", OptionKind::Integer, "most rows of the table").default("1000000"),
    OptionSpec::new(
        "on_full",
        OptionKind::Choice(&["evict", "stop"]),
        "with more than max_rows: the rows written longest ago go, or the query stops; 'evict' in append mode and \
         'stop' in the others if left out",
    ),
    OptionSpec::new("retention", OptionKind::Duration, "rows so far behind the newest value of retention_column go"),
    OptionSpec::new("retention_column", OptionKind::Text, "the timestamp column that 'retention' looks at"),
    OptionSpec::new("user", OptionKind::Text, "the one user who may connect; any name if left out"),
    OptionSpec::new("password", OptionKind::Secret, "password of the user, checked by SCRAM-SHA-256"),
    OptionSpec::new("ssl_cert_file", OptionKind::Location, "certificate of the server, PEM: offers TLS"),
    OptionSpec::new("ssl_key_file", OptionKind::Location, "key of the certificate, PEM"),
    OptionSpec::new("max_connections", OptionKind::Integer, "most clients at a time").default("100"),
    OptionSpec::new("statement_timeout", OptionKind::Duration, "how long a query may take").default("60 seconds"),
    OptionSpec::new("query_memory", OptionKind::Bytes, "most memory of all running queries, for sorts, joins and groups")
        .default("256MiB"),
];

/// Where a server listens, and what it allows. Tables that share a server agree on all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) listen: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    /// Files of the certificate and of its key.
    pub(super) tls: Option<(PathBuf, PathBuf)>,
    pub(super) connections_max: usize,
    pub(super) statement_timeout: Duration,
    pub(super) query_bytes_max: usize,
}

impl Access {
    /// From the options of `table`.
    ///
    /// # Errors
    /// An address that is none; one that others can reach, without a password; half of a certificate.
    pub(super) fn new(table: &str, options: &Options) -> Result<Self> {
        let listen = options.text("listen").unwrap_or("127.0.0.1:5433").to_owned();
        let password = options.text("password").map(Secret::new);
        let host = listen.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map(|(host, _)| host);
        let Some(host) = host.map(|host| host.trim_matches(['[', ']'])) else {
            return Err(Error::invalid(format!(
                "option 'listen' of table '{table}': '{listen}' is no address with a port"
            ))
            .help("such as '127.0.0.1:5433', '[::1]:5433' or '0.0.0.0:5433'"));
        };
        let is_loopback =
            host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        if !is_loopback && password.is_none() {
            return Err(Error::invalid(format!("table '{table}' would be open to everyone who can reach '{listen}'"))
                .help(
                    "set option 'password' (and ssl_cert_file over a network you do not trust), or listen on 127.0.0.1",
                ));
        }
        let file = |name| options.text(name).map(PathBuf::from);
        let tls = match (file("ssl_cert_file"), file("ssl_key_file")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                let why = format!("table '{table}' needs both of options 'ssl_cert_file' and 'ssl_key_file', or none");
                return Err(Error::invalid(why));
            }
        };
        let number = |name, otherwise| {
            options.integer(name).map_or(otherwise, |number| usize::try_from(number).unwrap_or(usize::MAX))
        };
        Ok(Access {
            listen,
            user: options.text("user").map(str::to_owned),
            password,
            tls,
            connections_max: number("max_connections", 100).clamp(1, 10_000),
            statement_timeout: options.duration("statement_timeout").unwrap_or(Duration::from_secs(60)),
            query_bytes_max: options
                .bytes("query_memory")
                .map_or(256 << 20, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        })
    }
}

/// What the table keeps.
///
/// # Errors
/// A column that is not there or of a type that will not do; no key in update mode.
pub(super) fn rules(request: &SinkRequest) -> Result<Rules> {
    let SinkRequest { table, schema, mode, options, .. } = request;
    let key = match options.text("primary_key") {
        Some(names) => {
            names.split(',').map(|name| column(table, schema, name.trim(), "primary_key")).collect::<Result<_>>()?
        }
        None => vec![],
    };
    if key.is_empty() && *mode == OutputMode::Update {
        return Err(Error::invalid(format!("table '{table}' needs option 'primary_key' in update mode"))
            .help("name the columns that tell rows apart, such as those of GROUP BY"));
    }
    let retention = match (options.duration("retention"), options.text("retention_column")) {
        (Some(span), Some(name)) => {
            let at = column(table, schema, name, "retention_column")?;
            if !matches!(schema.field(at).data_type(), DataType::Timestamp(TimeUnit::Microsecond, _)) {
                return Err(Error::invalid(format!(
                    "column '{name}' of option 'retention_column' of table '{table}' is no timestamp"
                ))
                .help("of a window select its end: SELECT window.end AS window_end"));
            }
            Some((at, i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
        }
        (None, None) => None,
        _ => {
            return Err(Error::invalid(format!(
                "table '{table}' needs both of options 'retention' and 'retention_column', or none"
            )));
        }
    };
    Ok(Rules {
        table: table.clone(),
        schema: schema.clone(),
        // the whole result of an epoch replaces the one before: there is nothing to look up
        key: if *mode == OutputMode::Complete { vec![] } else { key },
        rows_max: options.integer("max_rows").map_or(1_000_000, |rows| usize::try_from(rows).unwrap_or(usize::MAX)),
        evicts: options.text("on_full").map_or(*mode == OutputMode::Append, |word| word.eq_ignore_ascii_case("evict")),
        retention,
    })
}

fn column(table: &str, schema: &SchemaRef, name: &str, option: &str) -> Result<usize> {
    schema.index_of(name).map_err(|_| {
        let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        Error::invalid(format!("option '{option}' of table '{table}': there is no column '{name}'"))
            .help(format!("the columns are {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::options::GivenOption;

    fn access(given: &[(&str, &str)]) -> Result<Access> {
        let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        Access::new("t", &Options::check("t", &[OPTIONS], &given)?)
    }

    #[test]
    fn beyond_loopback_a_password_is_needed() {
        for listen in ["0.0.0.0:5433", "[::]:5433", "10.1.2.3:5433", "db.example:5433"] {
            let error = access(&[("listen", listen)]).unwrap_err();
            assert!(error.report().contains("password"), "{}", error.report());
            assert!(access(&[("listen", listen), ("password", "secret")]).is_ok());
        }
        for listen in ["127.0.0.1:1", "localhost:5433", "[::1]:5433"] {
            assert!(access(&[("listen", listen)]).is_ok(), "{listen}");
        }
        for listen in ["5433", "127.0.0.1", "127.0.0.1:x"] {
            assert!(access(&[("listen", listen)]).is_err(), "{listen}");
        }
        assert!(access(&[("ssl_cert_file", "a")]).is_err());
    }
}
