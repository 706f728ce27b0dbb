//! Who may connect: a password checked by SCRAM-SHA-256 (RFC 7677), and TLS.

use super::options::Access;
use super::settings::SERVER_VERSION;
use async_trait::async_trait;
use futures::Sink;
use pgwire::api::auth::sasl::SASLAuthStartupHandler;
use pgwire::api::auth::sasl::scram::{ScramAuth, gen_salted_password};
use pgwire::api::auth::{
    AuthDriver, AuthSource, DefaultServerParameterProvider, LoginInfo, Password, StartupHandler, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::{ClientInfo, ConnectionManager, METADATA_USER};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use pgwire::tokio::TlsAcceptor;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use tidemill_core::secret::Secret;
use tidemill_core::{Error, Kind, Result, ResultExt as _};

/// How often a password is hashed. Source: PostgreSQL 15, `SCRAM_DEFAULT_ITERATIONS`.
const ITERATIONS: usize = 4096;

/// The begin of a connection.
pub(super) struct Doorman {
    user: Option<String>,
    way: Way,
}

type Scram = SASLAuthStartupHandler<DefaultServerParameterProvider>;

enum Way {
    Open(AuthDriver<Arc<DefaultServerParameterProvider>>),
    /// The first binds to the certificate, which only a client with TLS may be offered.
    Scram {
        bound: Option<Scram>,
        plain: Scram,
    },
}

impl Doorman {
    /// For a server with this access; `certificate` is that of TLS, as PEM.
    ///
    /// # Errors
    /// A certificate that SCRAM cannot bind to.
    pub(super) fn new(
        access: &Access,
        connections: Arc<ConnectionManager>,
        certificate: Option<&[u8]>,
    ) -> Result<Self> {
        let mut parameters = DefaultServerParameterProvider::default();
        parameters.server_version = SERVER_VERSION.into();
        parameters.time_zone = "UTC".into();
        parameters.date_style = "ISO, MDY".into();
        parameters.is_superuser = false;
        parameters.default_transaction_read_only = true;
        let parameters = Arc::new(parameters);
        let way = match &access.password {
            None => Way::Open(AuthDriver::new(parameters).with_connection_manager(connections)),
            Some(password) => {
                let mut scram = ScramAuth::new(Arc::new(Verifier::new(access.user.clone(), password)));
                scram.set_iterations(ITERATIONS);
                let handler = |scram| {
                    SASLAuthStartupHandler::new(parameters.clone())
                        .with_scram(scram)
                        .with_connection_manager(connections.clone())
                };
                let mut bound = scram.clone();
                // a certificate of another kind of signature has no channel binding; TLS and SCRAM work without it
                let is_bound = certificate.is_some_and(|pem| bound.configure_certificate(pem).is_ok());
                Way::Scram { bound: is_bound.then(|| handler(bound)), plain: handler(scram) }
            }
        };
        Ok(Doorman { user: access.user.clone(), way })
    }
}

#[async_trait]
impl StartupHandler for Doorman {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let driver = match &self.way {
            Way::Scram { bound: Some(scram), .. } if client.is_secure() => {
                return scram.on_startup(client, message).await;
            }
            Way::Scram { plain, .. } => return plain.on_startup(client, message).await,
            Way::Open(driver) => driver,
        };
        let PgWireFrontendMessage::Startup(startup) = &message else {
            return Ok(());
        };
        protocol_negotiation(client, startup).await?;
        save_startup_parameters_to_metadata(client, startup);
        let who = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
        if self.user.as_ref().is_some_and(|user| *user != who) {
            return Err(PgWireError::InvalidPassword(who));
        }
        driver.complete_authentication(client, None).await
    }
}

/// What is kept of the password.
struct Verifier {
    user: Option<String>,
    salt: Vec<u8>,
    salted: Vec<u8>,
}

impl Verifier {
    fn new(user: Option<String>, password: &Secret) -> Self {
        let salt = uuid::Uuid::new_v4().as_bytes().to_vec();
        let salted = gen_salted_password(password.reveal(), &salt, ITERATIONS);
        Verifier { user, salt, salted }
    }
}

impl Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier(***)")
    }
}

#[async_trait]
impl AuthSource for Verifier {
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        if self.user.as_deref().is_some_and(|user| Some(user) != login.user()) {
            // as if the password were wrong: nobody learns which users there are
            let nobody = uuid::Uuid::new_v4().as_bytes().to_vec();
            return Ok(Password::new(Some(self.salt.clone()), nobody.repeat(2)));
        }
        Ok(Password::new(Some(self.salt.clone()), self.salted.clone()))
    }
}

/// The side of TLS that answers, and its certificate as PEM.
///
/// # Errors
/// Files that cannot be read, are no certificate and key, or do not belong together.
pub(super) fn tls(certificate: &Path, key: &Path) -> Result<(TlsAcceptor, Vec<u8>)> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| Error::io(format!("cannot read '{}'", path.display()), error))
    };
    let pem = read(certificate)?;
    let unusable = |path: &Path, what: &str| format!("'{}' holds no {what} in PEM", path.display());
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .context(Kind::Invalid, || unusable(certificate, "certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&read(key)?).context(Kind::Invalid, || unusable(key, "private key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context(Kind::Bug, || "TLS cannot be set up".into())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context(Kind::Invalid, || format!("the certificate '{}' and its key cannot be used", certificate.display()))?;
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), pem))
}
