//! The options of the source `webhook`.

use super::body::Shape;
use super::signature::{Style, Token, Verifier};
use crate::intake::options as kept;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderName};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::{Error, Kind, Options, Result, ResultExt as _};

/// Larger bodies would not fit the batches of the log well.
const BODY_BYTES_MAX: u64 = 32 << 20;

/// Options of the source.
pub(super) const OPTIONS: &[OptionSpec] = &[
    kept::LOG,
    kept::TOPIC,
    OptionSpec::new(
        "listen",
        OptionKind::Text,
        "address and port to listen on; port 0 takes a free one, which the log says. An address that other machines \
         reach needs 'bearer_token' or 'signature'",
    )
    .default("127.0.0.1:4080"),
    OptionSpec::new("url_path", OptionKind::Text, "the path of the URL that is posted to").default("/"),
    OptionSpec::new(
        "body",
        OptionKind::Choice(&["json", "ndjson", "raw"]),
        "what a request brings: a JSON value, or an array whose elements are records; JSON values, one a line; or any \
         bytes as one record. The records of a request are kept all or none",
    )
    .default("json"),
    OptionSpec::new("body_bytes_max", OptionKind::Bytes, "largest body, up to 32MiB; a larger one gets 413")
        .default("1MiB"),
    OptionSpec::new("body_timeout", OptionKind::Duration, "how long a body may take to come; then 408")
        .default("30 seconds"),
    OptionSpec::new("json_depth_max", OptionKind::Integer, "how deep JSON may be nested, up to 120; deeper gets 400")
        .default("64"),
    OptionSpec::new("connections_max", OptionKind::Integer, "connections at a time; more wait").default("256"),
    OptionSpec::new(
        "bearer_token",
        OptionKind::Secret,
        "requests must carry it: Authorization: Bearer <token>; else 401",
    ),
    OptionSpec::new(
        "signature",
        OptionKind::Choice(&["hex", "base64", "timed", "standard"]),
        "requests must be signed, HMAC-SHA256 with 'signature_secret'; else 401. hex (GitHub) and base64 (Shopify) sign the \
         body, timed (Stripe: t=,v1=) time and body, standard (Standard Webhooks) id, time and body",
    ),
    OptionSpec::new("signature_secret", OptionKind::Secret, "the secret; for standard 'whsec_' and base64"),
    OptionSpec::new(
        "signature_secret_previous",
        OptionKind::Secret,
        "a second secret that is good as well, while one is replaced",
    ),
    OptionSpec::new(
        "signature_header",
        OptionKind::Text,
        "the header of the signature; default: X-Hub-Signature-256 (hex), X-Signature (base64), Stripe-Signature (timed), \
         webhook-signature (standard)",
    ),
    OptionSpec::new(
        "signature_tolerance",
        OptionKind::Duration,
        "how far the time of a timed or standard signature may be off",
    )
    .default("5 minutes"),
    OptionSpec::new(
        "idempotency_header",
        OptionKind::Text,
        "the header with the key of a delivery, which is kept once however often it comes; '' for none; default: \
         Idempotency-Key, and webhook-id with signature standard",
    ),
    kept::WINDOW,
    kept::KEYS_MAX,
    OptionSpec::new(
        "key_header",
        OptionKind::Text,
        "the header that becomes the key of the records; its hash chooses the partition",
    ),
    OptionSpec::new(
        "headers",
        OptionKind::Text,
        "headers that are kept with the records, with commas between; without a format they are the column 'headers'",
    ),
    OptionSpec::new(
        "wait_timeout",
        OptionKind::Duration,
        "how long a request with ?wait=commit waits until its records are committed (200); then it gets 202",
    )
    .default("30 seconds"),
    OptionSpec::new(
        "ssl_certificate_location",
        OptionKind::Location,
        "certificate of the server, PEM: https instead of http",
    ),
    OptionSpec::new("ssl_key_location", OptionKind::Location, "file with the key of the certificate, PEM"),
    kept::BACKLOG_BYTES,
    kept::QUEUE_BYTES,
    kept::PARTITIONS,
    kept::RETENTION,
    kept::RETENTION_BYTES,
    kept::SEGMENT_BYTES,
    kept::OFFSETS_MAX,
    OptionSpec::new(
        "fail_on_data_loss",
        OptionKind::Boolean,
        "stop when records that were not read yet are gone from the log; false goes on with a warning",
    )
    .default("true"),
];

/// How requests are taken.
pub(super) struct Settings {
    pub(super) listen: String,
    pub(super) path: String,
    pub(super) shape: Shape,
    pub(super) body_bytes_max: u64,
    pub(super) body_timeout: Duration,
    pub(super) depth_max: u64,
    pub(super) connections_max: usize,
    pub(super) token: Option<Token>,
    pub(super) verifier: Option<Verifier>,
    pub(super) idempotency_header: Option<HeaderName>,
    pub(super) key_header: Option<HeaderName>,
    pub(super) headers: Vec<HeaderName>,
    pub(super) wait_timeout: Duration,
    pub(super) tls: Option<Arc<ServerConfig>>,
}

impl Settings {
    /// From the options of a table.
    ///
    /// # Errors
    /// A value that cannot be what its option says, or an open address that asks for nothing.
    pub(super) fn new(table: &str, options: &Options) -> Result<Self> {
        let seconds = |name, default| options.duration(name).unwrap_or(Duration::from_secs(default));
        let style = style(options);
        let verifier = verifier(table, options, style)?;
        let idempotency = match style {
            Some(Style::Standard) => "webhook-id",
            _ => "Idempotency-Key",
        };
        let idempotency = options.text("idempotency_header").unwrap_or(idempotency).trim();
        let path = options.required("url_path")?.trim();
        let body_bytes_max = options.bytes("body_bytes_max").unwrap_or(1 << 20);
        if body_bytes_max > BODY_BYTES_MAX {
            return Err(Error::invalid(format!("option 'body_bytes_max' of table '{table}' is more than 32MiB")));
        }
        if !path.starts_with('/') || path.contains(['?', '#', ' ']) {
            return Err(Error::invalid(format!("option 'url_path' of table '{table}' is '{path}', which is no path"))
                .help("write it as /events"));
        }
        let settings = Settings {
            listen: options.required("listen")?.trim().to_owned(),
            path: path.to_owned(),
            shape: match options.text("body").map(str::to_ascii_lowercase).as_deref() {
                Some("ndjson") => Shape::Lines,
                Some("raw") => Shape::Raw,
                _ => Shape::Json,
            },
            body_bytes_max,
            body_timeout: seconds("body_timeout", 30),
            // the parser of JSON stops at 128 itself
            depth_max: options.integer("json_depth_max").unwrap_or(64).min(120),
            connections_max: options.integer("connections_max").map_or(256, |most| most.clamp(1, 1 << 16) as usize),
            token: options.text("bearer_token").map(Token::new).transpose()?,
            verifier,
            idempotency_header: match idempotency {
                "" => None,
                header => Some(name(table, "idempotency_header", header)?),
            },
            key_header: options.text("key_header").map(|header| name(table, "key_header", header)).transpose()?,
            headers: kept_headers(table, options)?,
            wait_timeout: seconds("wait_timeout", 30),
            tls: tls(table, options)?,
        };
        settings.check_open(table)?;
        Ok(settings)
    }

    /// An address that others reach needs to know who sends.
    fn check_open(&self, table: &str) -> Result<()> {
        let wrong = || {
            let listen = &self.listen;
            Error::invalid(format!(
                "option 'listen' of table '{table}' is '{listen}', which is no address to listen on"
            ))
            .help("write it as 127.0.0.1:4080; port 0 takes a free one")
        };
        let (host, port) = self.listen.rsplit_once(':').ok_or_else(wrong)?;
        port.parse::<u16>().map_err(|_| wrong())?;
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_own = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        if is_own || self.token.is_some() || self.verifier.is_some() {
            return Ok(());
        }
        Err(Error::invalid(format!("table '{table}' listens on '{}', where anybody could send", self.listen))
            .help("set option 'bearer_token' or 'signature', or listen on 127.0.0.1"))
    }
}

fn style(options: &Options) -> Option<Style> {
    options.text("signature").map(|style| match style.to_ascii_lowercase().as_str() {
        "base64" => Style::Base64,
        "timed" => Style::Timed,
        "standard" => Style::Standard,
        _ => Style::Hex,
    })
}

fn verifier(table: &str, options: &Options, style: Option<Style>) -> Result<Option<Verifier>> {
    let secrets: Vec<&str> =
        ["signature_secret", "signature_secret_previous"].iter().filter_map(|name| options.text(name)).collect();
    let Some(style) = style else {
        return match secrets.is_empty() {
            true => Ok(None),
            false => Err(Error::invalid(format!("table '{table}' has a 'signature_secret' and no 'signature'"))
                .help("say how requests are signed: signature = 'hex', 'base64', 'timed' or 'standard'")),
        };
    };
    if options.text("signature_secret").is_none() {
        return Err(Error::invalid(format!("table '{table}' has a 'signature' and no 'signature_secret'")));
    }
    let usual = match style {
        Style::Hex => "X-Hub-Signature-256",
        Style::Base64 => "X-Signature",
        Style::Timed => "Stripe-Signature",
        Style::Standard => "webhook-signature",
    };
    let header = name(table, "signature_header", options.text("signature_header").unwrap_or(usual))?;
    let tolerance = options.duration("signature_tolerance").unwrap_or(Duration::from_secs(300));
    Ok(Some(Verifier::new(style, header, &secrets, tolerance)?))
}

fn kept_headers(table: &str, options: &Options) -> Result<Vec<HeaderName>> {
    let wanted = options.text("headers").unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
    let headers: Vec<HeaderName> = wanted.map(|header| name(table, "headers", header)).collect::<Result<_>>()?;
    match headers.iter().find(|header| [AUTHORIZATION, COOKIE].contains(header)) {
        Some(header) => Err(Error::invalid(format!("option 'headers' of table '{table}' names '{header}'"))
            .help("what senders prove themselves with is not kept: leave it out")),
        None => Ok(headers),
    }
}

fn name(table: &str, option: &str, text: &str) -> Result<HeaderName> {
    HeaderName::from_bytes(text.trim().as_bytes())
        .context(Kind::Invalid, || format!("option '{option}' of table '{table}': '{text}' is no name of a header"))
}

fn tls(table: &str, options: &Options) -> Result<Option<Arc<ServerConfig>>> {
    let (certificate, key) = match (options.text("ssl_certificate_location"), options.text("ssl_key_location")) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        _ => {
            return Err(Error::invalid(format!("table '{table}' has a certificate or a key, not both"))
                .help("set options 'ssl_certificate_location' and 'ssl_key_location'"));
        }
    };
    let read = |path: &str| std::fs::read(path).map_err(|error| Error::io(format!("cannot read '{path}'"), error));
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&read(certificate)?).collect();
    let chain = chain.context(Kind::Invalid, || format!("cannot read '{certificate}' as PEM"))?;
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?)
        .context(Kind::Invalid, || format!("cannot read '{key}' as PEM with a key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context(Kind::Bug, || "TLS cannot be set up".into())?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .context(Kind::Invalid, || {
            format!("certificate '{certificate}' and key '{key}' of table '{table}' do not serve")
        })?;
    Ok(Some(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::options::GivenOption;

    fn settings(given: &[(&str, &str)]) -> Result<Settings> {
        let given: Vec<_> =
            [("log", "l")].iter().chain(given).map(|(key, value)| GivenOption::new(*key, *value)).collect();
        Settings::new("t", &Options::check("source 'webhook'", &[OPTIONS], &given)?)
    }

    #[test]
    fn an_address_that_others_reach_asks_who_sends() {
        for own in ["127.0.0.1:0", "localhost:1", "[::1]:4080"] {
            assert!(settings(&[("listen", own)]).is_ok(), "{own}");
        }
        assert!(settings(&[("listen", "0.0.0.0:0")]).err().unwrap().report().contains("bearer_token"));
        assert!(settings(&[("listen", "0.0.0.0:0"), ("bearer_token", "t")]).is_ok());
        assert!(settings(&[("listen", "[::]:0"), ("signature", "hex"), ("signature_secret", "t")]).is_ok());
    }

    #[test]
    fn what_cannot_work_is_refused_and_no_secret_repeated() {
        for given in [
            &[("listen", "4080")][..],
            &[("listen", "127.0.0.1:x")],
            &[("url_path", "events")],
            &[("body_bytes_max", "1GiB")],
            &[("signature_secret", "s3ntinel")],
            &[("signature", "hex")],
            &[("signature", "standard"), ("signature_secret", "s3ntinel!")],
            &[("headers", "X-A, Authorization")],
            &[("key_header", "a b")],
            &[("ssl_key_location", "nowhere")],
            &[("ssl_key_location", "nowhere"), ("ssl_certificate_location", "nowhere")],
        ] {
            let Err(error) = settings(given) else { panic!("{given:?} is taken") };
            assert!(!error.report().contains("s3ntinel"), "{}", error.report());
        }
    }

    #[test]
    fn keys_of_deliveries_are_where_senders_put_them() {
        let header = |given: &[(&str, &str)]| settings(given).unwrap().idempotency_header.map(|name| name.to_string());
        assert_eq!(header(&[]).as_deref(), Some("idempotency-key"));
        let standard = [("signature", "standard"), ("signature_secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")];
        assert_eq!(header(&standard).as_deref(), Some("webhook-id"));
        assert_eq!(header(&[("idempotency_header", "")]), None);
    }
}
