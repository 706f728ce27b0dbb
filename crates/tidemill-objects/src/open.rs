//! From a URL and options to an object store. Nothing is taken from the environment: what a store needs is
//! said in options, by the names that `object_store` knows (`aws_region`, `azure_storage_account_key`, ...).

use crate::Objects;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::{Error, Result};
use url::Url;

/// Prefix of the options in [`STORAGE`].
pub const PREFIX: &str = "storage.";

/// The options of a place in an object store: five that are secrets, and every other one of the store.
pub const STORAGE: [OptionSpec; 6] = [
    OptionSpec::new("storage.aws_secret_access_key", OptionKind::Secret, "secret key for s3://"),
    OptionSpec::new("storage.azure_storage_account_key", OptionKind::Secret, "account key for abfss:// and az://"),
    OptionSpec::new("storage.azure_storage_client_secret", OptionKind::Secret, "client secret for abfss:// and az://"),
    OptionSpec::new("storage.azure_storage_sas_token", OptionKind::Secret, "access signature for abfss:// and az://"),
    OptionSpec::new("storage.google_service_account_key", OptionKind::Secret, "service account as JSON, for gs://"),
    OptionSpec::new(
        "storage.*",
        OptionKind::Text,
        "an option of the object store, such as storage.aws_region or storage.allow_http",
    ),
];

const SCHEMES: &[&str] = &["s3", "s3a", "az", "abfs", "abfss", "gs"];

/// True for a URL of an object store that [`Objects::open`] takes.
pub fn is_object_store(location: &str) -> bool {
    location.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
}

impl Objects {
    /// Opens the folder at `location` (`s3://bucket/path`, `abfss://container@account/path`, `az://container/path`,
    /// `gs://bucket/path`). `options` are those of the store, without their prefix. Nothing is sent yet.
    ///
    /// # Errors
    /// No such URL, an option the store does not know, or one it needs is missing.
    pub fn open<'a>(location: &str, options: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Objects> {
        let wrong = |why: String| {
            Error::invalid(format!("'{location}' cannot be opened: {}", without_queries(&why)))
                .help("write s3://bucket/path, abfss://container@account.dfs.core.windows.net/path, az://container/path or gs://bucket/path")
        };
        let url = Url::parse(location).map_err(|error| wrong(error.to_string()))?;
        let folder = Path::from_url_path(url.path()).map_err(|error| wrong(error.to_string()))?;
        let place = url.to_string();
        let store: Arc<dyn ObjectStore> = match url.scheme() {
            "s3" | "s3a" => {
                let mut builder = AmazonS3Builder::new().with_url(&place).with_retry(retries());
                for (key, value) in options {
                    let key: AmazonS3ConfigKey = key.parse().map_err(|_| unknown(location, key))?;
                    builder = builder.with_config(key, value);
                }
                Arc::new(builder.build().map_err(|error| wrong(error.to_string()))?)
            }
            "az" | "abfs" | "abfss" => {
                let mut builder = MicrosoftAzureBuilder::new().with_url(&place).with_retry(retries());
                for (key, value) in options {
                    let key: AzureConfigKey = key.parse().map_err(|_| unknown(location, key))?;
                    builder = builder.with_config(key, value);
                }
                Arc::new(builder.build().map_err(|error| wrong(error.to_string()))?)
            }
            "gs" => {
                let mut builder = GoogleCloudStorageBuilder::new().with_url(&place).with_retry(retries());
                for (key, value) in options {
                    let key: GoogleConfigKey = key.parse().map_err(|_| unknown(location, key))?;
                    builder = builder.with_config(key, value);
                }
                Arc::new(builder.build().map_err(|error| wrong(error.to_string()))?)
            }
            scheme => return Err(wrong(format!("{scheme}:// is no object store"))),
        };
        Ok(Objects::new(store, folder, place))
    }
}

/// The library's tries are few: what is unclear after them is settled by reading back.
fn retries() -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(2), base: 2.0 };
    RetryConfig { backoff, max_retries: 4, retry_timeout: Duration::from_secs(30) }
}

fn unknown(location: &str, key: &str) -> Error {
    Error::invalid(format!("the object store of '{location}' has no option '{key}'"))
        .help("options are named as in the crate object_store: aws_region, azure_storage_account_name, allow_http, ...")
}

/// The text without what follows `?` in URLs: signatures stand there.
pub(crate) fn without_queries(text: &str) -> String {
    let cut = |word: &str| match word.split_once('?') {
        Some((before, _)) if before.contains("://") => format!("{before}?***"),
        _ => word.to_owned(),
    };
    text.split(' ').map(cut).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart_by_their_scheme() {
        assert!(is_object_store("s3://bucket/x") && is_object_store("abfss://c@a/x") && is_object_store("gs://b"));
        assert!(!is_object_store("/data/s3://x") && !is_object_store("file:///x") && !is_object_store("out"));
    }

    #[test]
    fn an_option_of_another_store_is_refused_and_no_secret_is_said() {
        let error = Objects::open("s3://bucket/x", [("azure_storage_account_key", "hidden")].into_iter()).unwrap_err();
        assert_eq!(error.to_string(), "the object store of 's3://bucket/x' has no option 'azure_storage_account_key'");
        let error = Objects::open("ftp://host/x", std::iter::empty()).unwrap_err();
        assert!(error.to_string().contains("ftp:// is no object store"), "{error}");
    }

    #[test]
    fn signatures_are_cut_out_of_messages() {
        assert_eq!(without_queries("PUT https://a.b/c?sig=abc&x failed"), "PUT https://a.b/c?*** failed");
        assert_eq!(without_queries("is it so? yes"), "is it so? yes");
    }
}
