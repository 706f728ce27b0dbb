//! Where a registry is, and how to be let in.

use reqwest::{Certificate, Client, Url, redirect};
use std::path::PathBuf;
use std::time::Duration;
use tidemill_core::secret::Secret;
use tidemill_core::{Error, Kind, Result, ResultExt as _};

/// How a registry is reached.
#[derive(Debug, Clone)]
pub struct Access {
    /// URLs of the registry, one asked after the other while one does not answer.
    pub urls: Vec<String>,
    /// User and password; those of a URL when there are none.
    pub basic: Option<(String, Secret)>,
    /// A token, instead of a user.
    pub bearer: Option<Secret>,
    /// Certificates to trust instead of the system's, PEM.
    pub ca: Option<PathBuf>,
    /// How long to wait for an answer.
    pub timeout: Duration,
    /// How long a request is tried again.
    pub retry_timeout: Duration,
    /// Most schemas that are kept by their ids.
    pub schemas_max: usize,
}

impl Access {
    /// The usual bounds; `location` is a URL, or several with commas between, which may hold user and password.
    pub fn at(location: &str) -> Access {
        Access {
            urls: location.split(',').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned).collect(),
            basic: None,
            bearer: None,
            ca: None,
            timeout: Duration::from_secs(10),
            retry_timeout: Duration::from_secs(60),
            schemas_max: 1_000,
        }
    }

    /// With `user:password`, as Confluent's `basic.auth.user.info`.
    ///
    /// # Errors
    /// There is no colon.
    pub fn user_info(mut self, user_info: &str) -> Result<Access> {
        let Some((user, password)) = user_info.split_once(':') else {
            return Err(Error::invalid("the user of a schema registry is written as user:password"));
        };
        self.basic = Some((user.to_owned(), Secret::new(password)));
        Ok(self)
    }

    /// The URLs without user and password, and those of the first that has them.
    pub(super) fn places(&mut self) -> Result<Vec<Url>> {
        let mut places = Vec::with_capacity(self.urls.len());
        for (number, text) in self.urls.iter().enumerate() {
            let mut url = Url::parse(text).map_err(|cause| {
                Error::invalid(format!("URL {} of the schema registry is none", number + 1)).caused_by(cause)
            })?;
            if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
                return Err(Error::invalid(format!("a schema registry cannot be asked over {}://", url.scheme()))
                    .help("give an http:// or https:// URL"));
            }
            if let Some(password) = url.password().map(str::to_owned) {
                let decoded = |text: &str| super::wire::decoded(text);
                let given = (decoded(url.username()), Secret::new(decoded(&password)));
                self.basic.get_or_insert(given);
            }
            // neither can fail for a URL with a host
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.set_fragment(None);
            places.push(url);
        }
        match places.is_empty() {
            true => Err(Error::invalid("the schema registry has no URL")),
            false => Ok(places),
        }
    }

    /// The client that sends requests.
    pub(super) fn client(&self) -> Result<Client> {
        // a redirect would carry the password to another host
        let mut builder = Client::builder()
            .user_agent(concat!("tidemill/", env!("CARGO_PKG_VERSION")))
            .timeout(self.timeout)
            .redirect(redirect::Policy::none())
            // there is one place that tries again
            .retry(reqwest::retry::never())
            .no_proxy();
        if let Some(path) = &self.ca {
            let shown = || format!("cannot read the certificates in {}", path.display());
            let pem = std::fs::read(path).map_err(|cause| Error::io(shown(), cause))?;
            let all = Certificate::from_pem_bundle(&pem).context(Kind::Invalid, shown)?;
            if all.is_empty() {
                return Err(Error::invalid(format!("there is no certificate in {}", path.display())));
            }
            builder = builder.tls_certs_only(all);
        }
        builder.build().context(Kind::Invalid, || "cannot make a client for the schema registry".into())
    }
}
