//! The options of the sink `http`.

use super::codes::Codes;
use super::sign::Signer;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Identity, Method, Proxy, Url};
use std::time::Duration;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::retry::{BreakerSettings, BudgetSettings, Policy};
use tidemill_core::{Error, Kind, Options, Result, ResultExt as _};

/// What the sink writes itself.
const OWN_HEADERS: &[&str] = &[
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

/// Options of the sink.
pub(super) const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("url", OptionKind::Location, "where requests go, http:// or https://; errors show no more than the host")
        .required(),
    OptionSpec::new("method", OptionKind::Choice(&["POST", "PUT", "PATCH"]), "the method of requests").default("POST"),
    OptionSpec::new(
        "headers.*",
        OptionKind::Secret,
        "a header of each request, such as 'headers.Authorization' = 'Bearer ${TOKEN}'",
    ),
    OptionSpec::new(
        "body",
        OptionKind::Choice(&["row", "array", "ndjson"]),
        "what a request holds: one row in the table's format (JSON without one), a JSON array of rows, or a row a line; \
         rows of an epoch go into batches in the order of their text, so that the batches of an epoch that is sent \
         again are the same",
    )
    .default("row"),
    OptionSpec::new("batch_rows", OptionKind::Integer, "most rows of a batch").default("500").aliases(&["batch_size"]),
    OptionSpec::new("batch_bytes", OptionKind::Bytes, "most bytes of a batch, unless one row is larger").default("1MiB"),
    OptionSpec::new("content_type", OptionKind::Text, "the header Content-Type, if not that of the body"),
    OptionSpec::new(
        "parallelism",
        OptionKind::Integer,
        "requests under way at a time; with more than one they may arrive in another order",
    )
    .default("1")
    .aliases(&["concurrency", "max_in_flight"]),
    OptionSpec::new(
        "idempotency_key",
        OptionKind::Boolean,
        "each request carries a key that is the same whenever its rows are sent again, after a lost answer or a crash",
    )
    .default("true")
    .aliases(&["idempotency.key"]),
    OptionSpec::new("idempotency_header", OptionKind::Text, "the header that carries it")
        .default("Idempotency-Key")
        .aliases(&["idempotency.header"]),
    OptionSpec::new(
        "signing_secret",
        OptionKind::Secret,
        "signs each request as Standard Webhooks does (webhook-id, webhook-timestamp, webhook-signature): 'whsec_' and \
         base64; several with spaces between",
    ),
    OptionSpec::new("success_codes", OptionKind::Text, "status codes that mean the rows are taken").default("200-299"),
    OptionSpec::new("retry_codes", OptionKind::Text, "status codes after which the request is sent again")
        .default("408,409,425,429,500,502-599"),
    OptionSpec::new("connect_timeout", OptionKind::Duration, "how long to wait for a connection").default("10 seconds"),
    OptionSpec::new("timeout", OptionKind::Duration, "how long to wait for an answer").default("30 seconds"),
    OptionSpec::new(
        "retry_timeout",
        OptionKind::Duration,
        "how long a request is tried again, its pauses and those of the breaker included, before the query stops",
    )
    .default("60 seconds"),
    OptionSpec::new("retry_pause_min", OptionKind::Duration, "longest first pause; it doubles each time, and is random below that")
        .default("100ms"),
    OptionSpec::new("retry_pause_max", OptionKind::Duration, "longest pause, unless Retry-After asks for a longer one")
        .default("30 seconds"),
    OptionSpec::new(
        "retry_budget",
        OptionKind::Number,
        "retries that fail, as a part of the requests: '0.2' is one for five; one a second is always allowed, and ten or \
         'parallelism' can be saved up",
    )
    .default("0.2"),
    OptionSpec::new(
        "breaker_calls",
        OptionKind::Integer,
        "the breaker looks at so many requests, of the last minute; 0: there is none",
    )
    .default("20"),
    OptionSpec::new(
        "breaker_failure_rate",
        OptionKind::Number,
        "it opens, and no requests are sent, when this part of them failed",
    )
    .default("0.5"),
    OptionSpec::new("breaker_open", OptionKind::Duration, "how long it is open before one request probes the receiver")
        .default("5 seconds"),
    OptionSpec::new("proxy", OptionKind::Location, "a proxy, http://, https:// or socks5://; none is taken from the environment"),
    OptionSpec::new("ssl_ca_location", OptionKind::Location, "certificates to trust instead of the system's, PEM"),
    OptionSpec::new(
        "ssl_certificate_location",
        OptionKind::Location,
        "certificate and key of the client in one file, PEM, for receivers that ask for one",
    ),
];

/// What a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One row.
    Row,
    /// A JSON array.
    Array,
    /// JSON objects, one a line.
    Lines,
}

/// How requests are made.
pub(super) struct Settings {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) method: Method,
    /// All that do not depend on the request.
    pub(super) headers: HeaderMap,
    pub(super) idempotency_header: Option<HeaderName>,
    pub(super) signer: Option<Signer>,
    pub(super) success: Codes,
    pub(super) retry: Codes,
    pub(super) policy: Policy,
    pub(super) budget: BudgetSettings,
    pub(super) breaker: Option<BreakerSettings>,
    pub(super) has_proxy: bool,
}

impl Settings {
    /// From the options of a table.
    ///
    /// # Errors
    /// A value that cannot be what its option says.
    pub(super) fn new(table: &str, options: &Options, shape: Shape, format: &str) -> Result<Self> {
        let seconds = |name, default| options.duration(name).unwrap_or(Duration::from_secs(default));
        let pauses = (options.duration("retry_pause_min"), options.duration("retry_pause_max"));
        let (pause_min, pause_max) =
            (pauses.0.unwrap_or(Duration::from_millis(100)), pauses.1.unwrap_or(Duration::from_secs(30)));
        let header = options.required("idempotency_header")?;
        let idempotency_header = match options.boolean("idempotency_key") {
            true => Some(name_of(table, header)?),
            false => None,
        };
        let signer =
            options.text("signing_secret").map(|secrets| Signer::new("signing_secret", secrets)).transpose()?;
        Ok(Settings {
            client: client(options)?,
            url: url(table, options)?,
            method: Method::from_bytes(options.required("method")?.to_ascii_uppercase().as_bytes())
                .context(Kind::Invalid, || format!("option 'method' of table '{table}'"))?,
            headers: headers(table, options, content_type(shape, format), idempotency_header.as_ref())?,
            idempotency_header,
            signer,
            success: Codes::parse("success_codes", options.required("success_codes")?)?,
            retry: Codes::parse("retry_codes", options.required("retry_codes")?)?,
            policy: Policy::within(seconds("retry_timeout", 60)).pauses(pause_min, pause_max),
            budget: budget(table, options)?,
            breaker: breaker(table, options)?,
            has_proxy: options.text("proxy").is_some(),
        })
    }

    /// Scheme and host: the rest of a webhook's URL is often a secret.
    pub(super) fn shown(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// The shape that option `body` names.
pub(super) fn shape(options: &Options) -> Result<Shape> {
    Ok(match options.required("body")?.to_ascii_lowercase().as_str() {
        "array" => Shape::Array,
        "ndjson" => Shape::Lines,
        _ => Shape::Row,
    })
}

/// All requests under way may be tried again once.
fn budget(table: &str, options: &Options) -> Result<BudgetSettings> {
    let usual = BudgetSettings::default();
    let burst = usual.burst.max(options.integer("parallelism").unwrap_or(1) as f64);
    Ok(BudgetSettings { fraction: part(table, options, "retry_budget")?, burst, ..usual })
}

fn breaker(table: &str, options: &Options) -> Result<Option<BreakerSettings>> {
    let failure_rate = part(table, options, "breaker_failure_rate")?;
    let calls = options.integer("breaker_calls").and_then(|calls| usize::try_from(calls).ok()).unwrap_or(usize::MAX);
    let open = options.duration("breaker_open").unwrap_or(Duration::from_secs(5));
    Ok((calls > 0).then(|| BreakerSettings { calls, failure_rate, open, ..BreakerSettings::default() }))
}

/// A number from 0 to 1.
fn part(table: &str, options: &Options, name: &str) -> Result<f64> {
    let number = options.number(name).unwrap_or_default();
    if (0.0..=1.0).contains(&number) {
        return Ok(number);
    }
    Err(Error::invalid(format!("option '{name}' of table '{table}' is {number}, which is not from 0 to 1")))
}

fn url(table: &str, options: &Options) -> Result<Url> {
    let wrong = |what: String| Error::invalid(format!("option 'url' of table '{table}': {what}"));
    // the text may hold a secret, so no message repeats it
    let url = Url::parse(options.required("url")?).map_err(|error| wrong(format!("this is no URL ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("it does not begin with http:// or https:// and a host".into()));
    }
    if url.password().is_some() || !url.username().is_empty() {
        return Err(wrong("it carries a user or password".into())
            .help("use 'headers.Authorization' = 'Basic ${CREDENTIALS}', whose value is never printed"));
    }
    Ok(url)
}

fn headers(
    table: &str,
    options: &Options,
    content_type: &str,
    idempotency_header: Option<&HeaderName>,
) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in options.with_prefix("headers.") {
        let name = name_of(table, name)?;
        if OWN_HEADERS.contains(&name.as_str()) || Some(&name) == idempotency_header {
            let help = if name == reqwest::header::CONTENT_TYPE { "use option 'content_type'" } else { "leave it out" };
            return Err(
                Error::invalid(format!("table '{table}': the sink itself writes the header '{name}'")).help(help)
            );
        }
        headers.append(name.clone(), value_of(table, name.as_str(), value)?);
    }
    let content_type = options.text("content_type").unwrap_or(content_type);
    headers.insert(reqwest::header::CONTENT_TYPE, value_of(table, "Content-Type", content_type)?);
    Ok(headers)
}

/// The media type of a body, unless the user names another.
fn content_type(shape: Shape, format: &str) -> &'static str {
    match (shape, format) {
        (Shape::Row, "csv") => "text/csv",
        (Shape::Row, "avro" | "raw") => "application/octet-stream",
        (Shape::Lines, _) => "application/x-ndjson",
        _ => "application/json",
    }
}

fn name_of(table: &str, name: &str) -> Result<HeaderName> {
    HeaderName::from_bytes(name.as_bytes())
        .context(Kind::Invalid, || format!("table '{table}': '{name}' is no name of a header"))
}

fn value_of(table: &str, name: &str, value: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value.trim()).map_err(|_| {
        Error::invalid(format!("table '{table}': the value of header '{name}' holds what no header may hold"))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn client(options: &Options) -> Result<Client> {
    let read = |option: &str| match options.text(option) {
        Some(path) => std::fs::read(path).map(Some).map_err(|error| Error::io(format!("cannot read '{path}'"), error)),
        None => Ok(None),
    };
    let mut client = Client::builder()
        .user_agent(concat!("tidemill/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.duration("connect_timeout").unwrap_or(Duration::from_secs(10)))
        .timeout(options.duration("timeout").unwrap_or(Duration::from_secs(30)))
        // a redirect would turn a POST into a GET without its body
        .redirect(reqwest::redirect::Policy::none())
        // there is one place that tries again
        .retry(reqwest::retry::never())
        .tcp_nodelay(true)
        .no_proxy();
    if let Some(proxy) = options.text("proxy") {
        client = client.proxy(Proxy::all(proxy).map_err(|_| Error::invalid("option 'proxy' is no URL of a proxy"))?);
    }
    if let Some(pem) = read("ssl_ca_location")? {
        let wrong = || "cannot read 'ssl_ca_location' as PEM".to_owned();
        let authorities = Certificate::from_pem_bundle(&pem).context(Kind::Invalid, wrong)?;
        if authorities.is_empty() {
            return Err(Error::invalid("the file of 'ssl_ca_location' holds no certificate"));
        }
        client = client.tls_certs_only(authorities);
    }
    if let Some(pem) = read("ssl_certificate_location")? {
        let wrong =
            || "the file of 'ssl_certificate_location' does not hold a certificate and its key as PEM".to_owned();
        client = client.identity(Identity::from_pem(&pem).context(Kind::Invalid, wrong)?);
    }
    client.build().context(Kind::Invalid, || "the HTTP client cannot be set up".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::options::GivenOption;

    fn settings(given: &[(&str, &str)]) -> Result<Settings> {
        let own = [("url", "https://hooks.example.com/s3ntinel-path")];
        let given: Vec<_> = own.iter().chain(given).map(|(key, value)| GivenOption::new(*key, *value)).collect();
        Settings::new("t", &Options::check("sink 'http'", &[OPTIONS], &given)?, Shape::Row, "json")
    }

    #[test]
    fn a_url_is_shown_by_its_host_and_headers_are_hidden() {
        let settings = settings(&[("headers.Authorization", "Bearer s3ntinel")]).unwrap();
        assert_eq!(settings.shown(), "https://hooks.example.com");
        assert!(!format!("{:?}", settings.headers).contains("s3ntinel"));
    }

    #[test]
    fn what_cannot_work_is_refused_and_no_secret_repeated() {
        for given in [
            &[("headers.Content-Type", "text/s3ntinel")][..],
            &[("headers.idempotency-key", "s3ntinel")],
            &[("headers.a b", "s3ntinel")],
            &[("headers.a", "s3ntinel\nx")],
            &[("signing_secret", "s3ntinel")],
            &[("success_codes", "2xx")],
            &[("retry_budget", "2")],
            &[("breaker_failure_rate", "-1")],
            &[("ssl_ca_location", "does/not/exist")],
        ] {
            let Err(error) = settings(given) else { panic!("{given:?} is taken") };
            assert!(!error.report().contains("s3ntinel"), "{}", error.report());
        }
        let check = |url: &str| {
            let given = [GivenOption::new("url", url)];
            super::url("t", &Options::check("sink 'http'", &[OPTIONS], &given).unwrap())
        };
        for wrong in ["ftp://a/", "https://u:s3ntinel@a/", "hooks"] {
            assert!(!check(wrong).unwrap_err().report().contains("s3ntinel"));
        }
    }
}
