//! The way to the server: one node, a cluster, or the master that sentinels name.

use super::errors::explain;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, RedisResult, Script, TlsCertificates,
};
use std::time::Duration;
use tidemill_core::secret::Secret;
use tidemill_core::{Error, Result};

/// How the nodes work together.
#[derive(Debug, Clone)]
pub(crate) enum Deployment {
    /// One node, the first that is named.
    Single,
    /// A cluster; any of its nodes are named.
    Cluster,
    /// The nodes are sentinels, which know where the master is.
    Sentinel { master: String, password: Option<Secret> },
}

/// Where the server is and how to log in. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Host and port of each node.
    pub(crate) nodes: Vec<(String, u16)>,
    pub(crate) deployment: Deployment,
    pub(crate) tls: bool,
    /// Certificates to trust instead of the system's, PEM.
    pub(crate) authority: Option<Vec<u8>>,
    pub(crate) database: i64,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
}

impl Target {
    /// The nodes, for messages.
    pub(crate) fn shown(&self) -> String {
        self.nodes.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.deployment, Deployment::Cluster)
    }

    fn address(&self, host: &str, port: u16) -> ConnectionAddr {
        match self.tls {
            true => ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: false, tls_params: None },
            false => ConnectionAddr::Tcp(host.to_owned(), port),
        }
    }

    fn information(&self, host: &str, port: u16, login: RedisConnectionInfo) -> RedisResult<ConnectionInfo> {
        Ok(self.address(host, port).into_connection_info()?.set_redis_settings(login))
    }

    fn login(&self, username: Option<&str>, password: Option<&Secret>, database: i64) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default().set_db(database);
        if let Some(username) = username {
            login = login.set_username(username);
        }
        if let Some(password) = password {
            login = login.set_password(password.reveal());
        }
        login
    }

    fn own_login(&self, database: i64) -> RedisConnectionInfo {
        self.login(self.username.as_deref(), self.password.as_ref(), database)
    }

    fn certificates(&self) -> TlsCertificates {
        TlsCertificates { client_tls: None, root_cert: self.authority.clone() }
    }
}

/// A connection. It never connects again by itself: a lost connection may mean lost writes, which the
/// caller has to look after.
pub(crate) enum Link {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// No node answers, or the login is refused.
    pub(crate) async fn open(target: &Target) -> RedisResult<Link> {
        match &target.deployment {
            Deployment::Single => {
                let (host, port) = &target.nodes[0];
                Ok(Link::Single(connect(target, host, *port, target.own_login(target.database)).await?))
            }
            Deployment::Cluster => {
                let nodes =
                    target.nodes.iter().map(|(host, port)| target.information(host, *port, target.own_login(0)));
                let mut client = ClusterClient::builder(nodes.collect::<RedisResult<Vec<_>>>()?)
                    .connection_timeout(target.connect_timeout)
                    .response_timeout(target.command_timeout)
                    .retries(2);
                if target.authority.is_some() {
                    client = client.certs(target.certificates());
                }
                Ok(Link::Cluster(client.build()?.get_async_connection().await?))
            }
            Deployment::Sentinel { master, password } => {
                let (host, port) = master_of(target, master, password.as_ref()).await?;
                Ok(Link::Single(connect(target, &host, port, target.own_login(target.database)).await?))
            }
        }
    }

    /// Runs a script, which the server gets to know if it does not.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[Vec<u8>],
        arguments: &[Vec<u8>],
    ) -> RedisResult<T> {
        let mut invocation = script.prepare_invoke();
        for key in keys {
            invocation.key(key.as_slice());
        }
        for argument in arguments {
            invocation.arg(argument.as_slice());
        }
        match self {
            Link::Single(connection) => invocation.invoke_async(&mut connection.clone()).await,
            Link::Cluster(connection) => invocation.invoke_async(&mut connection.clone()).await,
        }
    }

    /// Sends one command.
    pub(crate) async fn send<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match self {
            Link::Single(connection) => command.query_async(&mut connection.clone()).await,
            Link::Cluster(connection) => command.query_async(&mut connection.clone()).await,
        }
    }
}

async fn connect(
    target: &Target,
    host: &str,
    port: u16,
    login: RedisConnectionInfo,
) -> RedisResult<MultiplexedConnection> {
    let information = target.information(host, port, login)?;
    let client = match target.authority {
        Some(_) => Client::build_with_tls(information, target.certificates())?,
        None => Client::open(information)?,
    };
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(target.connect_timeout))
        .set_response_timeout(Some(target.command_timeout));
    client.get_multiplexed_async_connection_with_config(&settings).await
}

/// Host and port of the master, as the first sentinel that answers knows it.
async fn master_of(target: &Target, master: &str, password: Option<&Secret>) -> RedisResult<(String, u16)> {
    let mut trouble = None;
    for (host, port) in &target.nodes {
        let mut sentinel = match connect(target, host, *port, target.login(None, password, 0)).await {
            Ok(sentinel) => sentinel,
            Err(error) => {
                trouble = Some(error);
                continue;
            }
        };
        let asked: RedisResult<Option<(String, u16)>> =
            redis::cmd("SENTINEL").arg("get-master-addr-by-name").arg(master).query_async(&mut sentinel).await;
        match asked {
            Ok(Some(address)) => return Ok(address),
            Ok(None) => {}
            Err(error) => trouble = Some(error),
        }
    }
    Err(trouble.unwrap_or_else(|| {
        let kind = redis::ErrorKind::MasterNameNotFoundBySentinel;
        RedisError::from((kind, "no sentinel knows a master of this name", master.to_owned()))
    }))
}

/// Connects and looks at the server's settings: what contradicts the options is an error, what may lose
/// rows is logged.
///
/// # Errors
/// As [`Link::open`]; a cluster that was not asked for.
pub(crate) async fn open_checked(target: &Target, table: &str) -> Result<Link> {
    let doing = format!("open table '{table}'");
    let link = Link::open(target).await.map_err(|error| explain(target, &doing, error))?;
    if target.is_cluster() {
        return Ok(link);
    }
    let information: String =
        link.send(redis::cmd("INFO").arg("cluster")).await.map_err(|error| explain(target, &doing, error))?;
    if information.contains("cluster_enabled:1") {
        return Err(Error::invalid(format!("Redis at {} is a node of a cluster", target.shown()))
            .help(format!("set option 'cluster' of table '{table}' to 'true'")));
    }
    // hosted servers often do not allow CONFIG
    let policy: RedisResult<Vec<String>> = link.send(redis::cmd("CONFIG").arg("GET").arg("maxmemory-policy")).await;
    if let Ok([_, policy]) = policy.as_deref()
        && policy.starts_with("allkeys-")
    {
        tracing::warn!(table, policy, "the server evicts any key when memory is short, also the marker of the epoch");
    }
    Ok(link)
}
