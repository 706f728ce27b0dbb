//! Where the broker is, and how to be connected to it: what the source and the sink share.

use rumqttc::v5::MqttOptions;
use rumqttc::{TlsConfiguration, Transport};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::{Error, Kind, Options, Result, ResultExt as _};
use url::Url;

const PORT: u16 = 1883;
const TLS_PORT: u16 = 8883;
/// What MQTT allows, in seconds.
const KEEP_ALIVE_MIN: u64 = 5;
const KEEP_ALIVE_MAX: u64 = 65_535;

pub(super) const URL: OptionSpec =
    OptionSpec::new("url", OptionKind::Location, "mqtt://host:port, or mqtts:// for TLS")
        .required()
        .aliases(&["server_uri", "mqtt.server.uri"]);
pub(super) const USERNAME: OptionSpec =
    OptionSpec::new("username", OptionKind::Text, "user of the broker").aliases(&["mqtt.username"]);
pub(super) const PASSWORD: OptionSpec =
    OptionSpec::new("password", OptionKind::Secret, "password of the user").aliases(&["mqtt.password"]);
pub(super) const KEEP_ALIVE: OptionSpec = OptionSpec::new(
    "keep_alive",
    OptionKind::Duration,
    "how often a quiet connection is looked after; 5 seconds or more",
)
.default("30 seconds")
.aliases(&["mqtt.keepalive.interval"]);
pub(super) const CONNECT_TIMEOUT: OptionSpec =
    OptionSpec::new("connect_timeout", OptionKind::Duration, "how long to wait for a connection").default("10 seconds");
pub(super) const CA: OptionSpec =
    OptionSpec::new("ssl_ca_location", OptionKind::Location, "certificates to trust instead of the system's, PEM");
pub(super) const CERTIFICATE: OptionSpec =
    OptionSpec::new("ssl_certificate_location", OptionKind::Location, "certificate of the client, PEM");
pub(super) const KEY: OptionSpec =
    OptionSpec::new("ssl_key_location", OptionKind::Location, "file with the key of the client's certificate, PEM");

/// Where the broker is, and how to be connected.
pub(super) struct Target {
    pub options: MqttOptions,
    /// What messages call the broker.
    pub shown: String,
    pub inflight_max: u16,
    pub retry_timeout: Duration,
    /// True when a lost session is gone on with.
    pub is_persistent: bool,
}

/// The broker of table `table`.
///
/// # Errors
/// A URL that is none or carries a password, certificates that cannot be used.
pub(super) fn target(table: &str, options: &Options, client_id: &str) -> Result<Target> {
    let wrong = |what: String| Error::invalid(format!("option 'url' of table '{table}': {what}"));
    let text = options.required("url")?;
    let text = if text.contains("://") { text.to_owned() } else { format!("mqtt://{text}") };
    // the text may hold a password, so no message repeats it
    let url = Url::parse(&text).map_err(|error| wrong(format!("this is no URL ({error})")))?;
    if url.password().is_some() || !url.username().is_empty() {
        return Err(wrong("it carries a user or password".into())
            .help("use options 'username' and 'password', whose values are never printed"));
    }
    let tls = match url.scheme() {
        "mqtt" | "tcp" => false,
        "mqtts" | "ssl" => true,
        other => return Err(wrong(format!("'{other}://' is not known")).help("use mqtt:// or mqtts://")),
    };
    let host = url.host_str().ok_or_else(|| wrong("it names no host".into()))?;
    let port = url.port().unwrap_or(if tls { TLS_PORT } else { PORT });
    let client_id = options.text("client_id").unwrap_or(client_id).trim();
    if client_id.is_empty() {
        return Err(Error::invalid(format!("option 'client_id' of table '{table}' is empty")));
    }
    let inflight_max = options.integer("inflight_max").unwrap_or(100).clamp(1, u64::from(u16::MAX - 1)) as u16;
    // both have it, each with its own default
    let expiry = duration(options, "session_expiry_interval", 300);
    let mut settings = MqttOptions::new(client_id, host.trim_matches(['[', ']']), port);
    settings
        .set_clean_start(true)
        .set_connection_timeout(duration(options, "connect_timeout", 10).as_secs().max(1))
        .set_keep_alive(Duration::from_secs(
            duration(options, "keep_alive", 30).as_secs().clamp(KEEP_ALIVE_MIN, KEEP_ALIVE_MAX),
        ))
        .set_session_expiry_interval(Some(u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX)))
        .set_outgoing_inflight_upper_limit(inflight_max);
    if let Some(username) = options.text("username") {
        settings.set_credentials(username, options.text("password").unwrap_or_default());
    }
    if tls {
        settings.set_transport(Transport::Tls(TlsConfiguration::Rustls(Arc::new(tls_config(table, options)?))));
    }
    Ok(Target {
        options: settings,
        shown: format!("{host}:{port}"),
        inflight_max,
        retry_timeout: duration(options, "retry_timeout", 60),
        is_persistent: !expiry.is_zero(),
    })
}

fn tls_config(table: &str, options: &Options) -> Result<ClientConfig> {
    let invalid = |option: &str| format!("option '{option}' of table '{table}' names no PEM file that can be used");
    let mut roots = RootCertStore::empty();
    match options.text("ssl_ca_location") {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).context(Kind::Invalid, || invalid("ssl_ca_location"))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(Error::invalid(format!("table '{table}' has no certificates to verify the broker with"))
            .help("name them with option 'ssl_ca_location', or install the system's (package ca-certificates)"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context(Kind::Bug, || "TLS cannot be set up".into())?
        .with_root_certificates(roots);
    match (options.text("ssl_certificate_location"), options.text("ssl_key_location")) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let key =
                PrivateKeyDer::from_pem_slice(&read(key)?).context(Kind::Invalid, || invalid("ssl_key_location"))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, key)
                .context(Kind::Invalid, || invalid("ssl_certificate_location"))
        }
        _ => Err(Error::invalid(format!("table '{table}' has a client's certificate or key, not both"))
            .help("set options 'ssl_certificate_location' and 'ssl_key_location'")),
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    certificates.context(Kind::Invalid, || format!("cannot read '{path}' as PEM"))
}

fn read(path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io(format!("cannot read '{path}'"), error))
}

/// A duration with a default, which the description names too.
pub(super) fn duration(options: &Options, name: &str, seconds: u64) -> Duration {
    options.duration(name).unwrap_or(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::options::OPTIONS;
    use tidemill_core::options::GivenOption;

    fn opened(given: &[(&str, &str)]) -> Result<Target> {
        let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        target("t", &Options::check("sink 'mqtt'", &[OPTIONS], &given)?, "tidemill-q-s")
    }

    #[test]
    fn urls_name_brokers_and_tls() {
        assert_eq!(opened(&[("url", "broker")]).unwrap().shown, "broker:1883");
        assert_eq!(opened(&[("url", "mqtts://broker")]).unwrap().shown, "broker:8883");
        let target = opened(&[("server_uri", "tcp://[::1]:99"), ("session_expiry_interval", "0s")]).unwrap();
        assert_eq!((target.options.broker_address(), target.is_persistent), (("::1".into(), 99), false));
        assert_eq!(target.options.client_id(), "tidemill-q-s");
    }

    #[test]
    fn what_cannot_be_used_is_refused_and_a_password_not_repeated() {
        let error = opened(&[("url", "mqtt://u:s3ntinel@a")]).err().unwrap();
        assert!(!error.report().contains("s3ntinel") && error.report().contains("'password'"), "{}", error.report());
        assert!(opened(&[("url", "http://a")]).err().unwrap().report().contains("mqtts://"));
        assert!(
            opened(&[("url", "mqtts://a"), ("ssl_ca_location", "none")]).err().unwrap().to_string().contains("'none'")
        );
        assert!(opened(&[("url", "a"), ("client_id", " ")]).is_err());
    }
}
