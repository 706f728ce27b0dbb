//! The options of a server and of the sink `redis`.

use super::link::{Deployment, Target};
use std::time::Duration;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::secret::Secret;
use tidemill_core::{Error, Options, Result};
use url::Url;

const PORT: u16 = 6379;

pub(crate) const URL: OptionSpec = OptionSpec::new(
    "url",
    OptionKind::Location,
    "redis://host:port/database, or rediss:// for TLS; of a cluster or of sentinels several, with commas between",
);
pub(crate) const CLUSTER: OptionSpec =
    OptionSpec::new("cluster", OptionKind::Boolean, "the servers are a Redis cluster").default("false");
pub(crate) const SENTINEL_MASTER: OptionSpec =
    OptionSpec::new("sentinel_master", OptionKind::Text, "the servers are sentinels that know a master of this name");
pub(crate) const SENTINEL_PASSWORD: OptionSpec =
    OptionSpec::new("sentinel_password", OptionKind::Secret, "password of the sentinels");
pub(crate) const USERNAME: OptionSpec =
    OptionSpec::new("username", OptionKind::Text, "user of Redis's access control list");
pub(crate) const PASSWORD: OptionSpec =
    OptionSpec::new("password", OptionKind::Secret, "password of the user, or of the server");
pub(crate) const DB: OptionSpec =
    OptionSpec::new("db", OptionKind::Integer, "number of the database, if the URL names none").aliases(&["database"]);
pub(crate) const SSL_CA_LOCATION: OptionSpec =
    OptionSpec::new("ssl_ca_location", OptionKind::Location, "certificates to trust instead of the system's, PEM");
pub(crate) const CONNECT_TIMEOUT: OptionSpec =
    OptionSpec::new("connect_timeout", OptionKind::Duration, "how long to wait for a connection").default("10 seconds");
pub(crate) const COMMAND_TIMEOUT: OptionSpec =
    OptionSpec::new("command_timeout", OptionKind::Duration, "how long to wait for an answer").default("30 seconds");
pub(crate) const RETRY_TIMEOUT: OptionSpec = OptionSpec::new(
    "retry_timeout",
    OptionKind::Duration,
    "how long a server that is away, loading, full or in a failover is waited for before the query stops",
)
.default("60 seconds");
pub(crate) const REPLICAS_ACK: OptionSpec =
    OptionSpec::new("replicas_ack", OptionKind::Integer, "replicas that must have an epoch before it counts (WAIT)")
        .default("0");
pub(crate) const REPLICAS_TIMEOUT: OptionSpec =
    OptionSpec::new("replicas_timeout", OptionKind::Duration, "how long to wait for them").default("5 seconds");
pub(crate) const SCRIPT_ROWS: OptionSpec = OptionSpec::new(
    "script_rows",
    OptionKind::Integer,
    "rows that the server writes in one step; a larger epoch is written in several, its marker with the last; \
     entries of streams only when they are more than 8 MiB",
)
.default("5000");

/// Options of the sink.
pub(crate) const OPTIONS: &[OptionSpec] = &[
    URL.required(),
    OptionSpec::new(
        "key",
        OptionKind::Text,
        "key of a row, with columns in braces: 'user:{user_id}'; braces of the key itself are doubled; in a text \
         %, :, { and } become % and two digits, and NULL is %NULL",
    )
    .required(),
    OptionSpec::new(
        "shape",
        OptionKind::Choice(&["hash", "json", "string", "stream"]),
        "what a key holds: a hash with a field a column, the row as JSON, one column, or a stream with an entry a row",
    )
    .default("hash"),
    OptionSpec::new(
        "value",
        OptionKind::Text,
        "the column of shape 'string'; it may be left out when only one is not in the key",
    ),
    OptionSpec::new(
        "replace",
        OptionKind::Boolean,
        "a row replaces the whole hash; 'false' leaves fields alone that the row has no column for",
    )
    .default("true"),
    OptionSpec::new(
        "delete_column",
        OptionKind::Text,
        "a boolean column that is not written: where it is true the key is deleted; so is the key of a row whose other \
         columns are all NULL",
    ),
    OptionSpec::new("ttl", OptionKind::Duration, "a key expires so long after its last write")
        .aliases(&["ttl_secs", "key_ttl"]),
    OptionSpec::new(
        "ttl_column",
        OptionKind::Text,
        "a column that is not written, an interval or seconds: the row's own time to live, before 'ttl'",
    ),
    OptionSpec::new(
        "expire_at",
        OptionKind::Text,
        "a timestamp or window column: the key expires at that instant, or at the end of the window, plus 'ttl'",
    ),
    OptionSpec::new("stream_entries_max", OptionKind::Integer, "a stream keeps about so many entries; without it, all")
        .aliases(&["maxlen"]),
    SCRIPT_ROWS,
    CLUSTER,
    SENTINEL_MASTER,
    SENTINEL_PASSWORD,
    USERNAME,
    PASSWORD,
    DB,
    SSL_CA_LOCATION,
    CONNECT_TIMEOUT,
    COMMAND_TIMEOUT,
    RETRY_TIMEOUT,
    REPLICAS_ACK,
    REPLICAS_TIMEOUT,
];

/// Where the server is.
///
/// # Errors
/// A URL that is none, that carries a password, or does not fit the other options.
pub(crate) fn target(table: &str, options: &Options) -> Result<Target> {
    let wrong = |what: String| Error::invalid(format!("option 'url' of table '{table}': {what}"));
    let mut nodes = Vec::new();
    let (mut tls, mut database) = (None, None);
    for text in options.required("url")?.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let text = if text.contains("://") { text.to_owned() } else { format!("redis://{text}") };
        // the text may hold a password, so no message repeats it
        let url = Url::parse(&text).map_err(|error| wrong(format!("this is no URL ({error})")))?;
        if url.password().is_some() || !url.username().is_empty() {
            return Err(wrong("it carries a user or password".into())
                .help("use options 'username' and 'password', whose values are never printed"));
        }
        let secure = match url.scheme() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            other => return Err(wrong(format!("'{other}://' is not known")).help("use redis:// or rediss://")),
        };
        if *tls.get_or_insert(secure) != secure {
            return Err(wrong("some of the servers have TLS and some have not".into()));
        }
        match url.path().trim_matches('/') {
            "" => {}
            number => {
                let number: i64 = number.parse().map_err(|_| wrong(format!("database '{number}' is no number")))?;
                database = Some(number);
            }
        }
        let host = url.host_str().ok_or_else(|| wrong("it names no host".into()))?;
        nodes.push((host.trim_matches(['[', ']']).to_owned(), url.port().unwrap_or(PORT)));
    }
    if nodes.is_empty() {
        return Err(wrong("it names no server".into()));
    }
    let database = database.or_else(|| options.integer("db").and_then(|db| i64::try_from(db).ok())).unwrap_or(0);
    let authority = match options.text("ssl_ca_location") {
        Some(path) => Some(std::fs::read(path).map_err(|error| Error::io(format!("cannot read '{path}'"), error))?),
        None => None,
    };
    Ok(Target {
        deployment: deployment(table, options, nodes.len(), database)?,
        nodes,
        tls: tls.unwrap_or(false),
        authority,
        database,
        username: options.text("username").map(str::to_owned),
        password: options.text("password").map(Secret::new),
        connect_timeout: duration(options, "connect_timeout", 10),
        command_timeout: duration(options, "command_timeout", 30),
    })
}

fn deployment(table: &str, options: &Options, nodes: usize, database: i64) -> Result<Deployment> {
    let refuse = |what: &str| Err(Error::invalid(format!("table '{table}': {what}")));
    match (options.boolean("cluster"), options.text("sentinel_master")) {
        (true, Some(_)) => refuse("options 'cluster' and 'sentinel_master' exclude each other"),
        (true, None) if database != 0 => refuse("a Redis cluster has only database 0"),
        (true, None) => Ok(Deployment::Cluster),
        (false, Some(master)) => Ok(Deployment::Sentinel {
            master: master.to_owned(),
            password: options.text("sentinel_password").map(Secret::new),
        }),
        (false, None) if nodes > 1 => {
            refuse("several servers need option 'cluster' or 'sentinel_master', to tell how they work together")
        }
        (false, None) => Ok(Deployment::Single),
    }
}

/// A duration with a default, which the description names too.
pub(crate) fn duration(options: &Options, name: &str, seconds: u64) -> Duration {
    options.duration(name).unwrap_or(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::options::GivenOption;

    fn opened(given: &[(&str, &str)]) -> Result<Target> {
        let given: Vec<_> =
            [("key", "k")].iter().chain(given).map(|(key, value)| GivenOption::new(*key, *value)).collect();
        target("t", &Options::check("sink 'redis'", &[OPTIONS], &given)?)
    }

    #[test]
    fn urls_name_servers_databases_and_tls() {
        let one = opened(&[("url", "rediss://cache/3")]).unwrap();
        assert_eq!((one.nodes, one.database, one.tls), (vec![("cache".into(), 6379)], 3, true));
        let many = opened(&[("url", "a:7000, redis://b:7001"), ("cluster", "true")]).unwrap();
        assert_eq!(many.shown(), "a:7000,b:7001");
        let sentinels = opened(&[("url", "a,b"), ("sentinel_master", "m"), ("db", "1")]).unwrap();
        assert_eq!(sentinels.database, 1);
    }

    #[test]
    fn what_contradicts_itself_is_refused_and_a_password_not_repeated() {
        let error = opened(&[("url", "redis://:s3ntinel@a")]).unwrap_err();
        assert!(!error.report().contains("s3ntinel") && error.report().contains("option"), "{}", error.report());
        for given in [
            &[("url", "http://a")][..],
            &[("url", "a,b")],
            &[("url", "redis://a/1"), ("cluster", "true")],
            &[("url", "redis://a,rediss://b"), ("cluster", "true")],
            &[("url", "a"), ("cluster", "true"), ("sentinel_master", "m")],
        ] {
            assert!(opened(given).is_err(), "{given:?}");
        }
    }
}
