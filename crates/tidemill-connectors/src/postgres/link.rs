//! A connection to Postgres: TLS, session settings, and the end of the one it replaces.

use super::errors::{Failure, failure};
use super::options::Target;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::{Error, Kind, Result, ResultExt as _};
use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// After so much silence the server is asked whether it is there, so often, before the connection counts as lost.
const QUIET_TIME: Duration = Duration::from_secs(30);
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// A connection, which ends with this value.
pub(super) struct Link {
    pub(super) client: Client,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens connections to one target.
pub(super) struct Dialer {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    what: String,
    settings: String,
}

impl Dialer {
    /// For `target`; `owner` names the connections, so that a successor can end them.
    ///
    /// # Errors
    /// Certificates that cannot be used.
    pub(super) fn new(target: &Target, owner: &str) -> Result<Self> {
        let mut config = Config::new();
        for (host, port) in &target.nodes {
            config.host(host).port(*port);
        }
        config.dbname(&target.database).user(&target.user).application_name(name(owner));
        config.connect_timeout(target.connect_timeout).target_session_attrs(TargetSessionAttrs::ReadWrite);
        // a server that is gone without a word is noticed within a minute, not within the two hours of the system
        config.keepalives_idle(QUIET_TIME).keepalives_interval(PROBE_INTERVAL).keepalives_retries(PROBES);
        config.tcp_user_timeout(QUIET_TIME + PROBE_INTERVAL * PROBES);
        config.ssl_mode(if target.tls { SslMode::Require } else { SslMode::Disable });
        if let Some(password) = &target.password {
            config.password(password.reveal());
        }
        let tls = if target.tls { Some(connector(target.authority.as_deref())?) } else { None };
        let settings = format!(
            "SET TimeZone = 'UTC'; SET statement_timeout = {}; SET client_min_messages = error; \
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
            target.statement_timeout.as_millis()
        );
        Ok(Dialer { config, tls, what: format!("connecting to Postgres at {}", target.shown()), settings })
    }

    /// A new connection. An older one of the same owner is ended: its transaction would hold locks for as
    /// long as the server does not notice that nobody is there.
    pub(super) async fn connect(&self, owner: &str) -> Result<Link, Failure> {
        let link = self.connect_beside().await?;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE application_name = $1 AND usename = current_user AND pid <> pg_backend_pid()";
        let ended = link.client.execute(end, &[&name(owner)]).await;
        ended.map_err(|cause| failure(&self.what, cause))?;
        Ok(link)
    }

    /// A new connection beside those that are there.
    pub(super) async fn connect_beside(&self) -> Result<Link, Failure> {
        let failed = |cause| failure(&self.what, cause);
        let (client, task) = if let Some(tls) = &self.tls {
            let (client, connection) = self.config.connect(tls.clone()).await.map_err(failed)?;
            (client, tokio::spawn(drive(connection)))
        } else {
            let (client, connection) = self.config.connect(NoTls).await.map_err(failed)?;
            (client, tokio::spawn(drive(connection)))
        };
        let link = Link { client, task };
        link.client.batch_execute(&self.settings).await.map_err(failed)?;
        Ok(link)
    }
}

/// Moves bytes until the connection ends; why it ended is told by the statement that fails.
async fn drive(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    let _ = connection.await;
}

fn name(owner: &str) -> String {
    format!("tidemill {owner}")
}

/// TLS that trusts `authority`, or the system's certificates.
///
/// # Errors
/// Certificates that cannot be used, or none.
pub(super) fn connector(authority: Option<&[u8]>) -> Result<MakeRustlsConnect> {
    let mut roots = RootCertStore::empty();
    match authority {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.context(Kind::Invalid, || "cannot read 'sslrootcert' as PEM".into())?;
                roots.add(certificate).context(Kind::Invalid, || "cannot use a certificate of 'sslrootcert'".into())?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(Error::invalid("there are no certificates to verify the Postgres server with")
            .help("name them with option 'sslrootcert', or install the system's (package ca-certificates)"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context(Kind::Bug, || "TLS cannot be set up".into())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
