//! The options that source and sink share, and the client of AWS they ask for.

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::Credentials;
use std::time::Duration;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::{Error, Options, Result};

pub(super) const STREAM: OptionSpec = OptionSpec::new("stream", OptionKind::Text, "name or ARN of the stream")
    .required()
    .aliases(&["stream_name", "stream_arn"]);
pub(super) const REGION: OptionSpec =
    OptionSpec::new("region", OptionKind::Text, "region of AWS; default: that of the AWS profile or environment")
        .aliases(&["aws_region", "aws.region"]);
pub(super) const ENDPOINT: OptionSpec =
    OptionSpec::new("endpoint", OptionKind::Location, "URL of another endpoint, such as one in a VPC or an emulator")
        .aliases(&["endpoint_url", "aws.endpoint", "kinesis_endpoint"]);
pub(super) const ACCESS_KEY_ID: OptionSpec =
    OptionSpec::new("access_key_id", OptionKind::Text, "AWS key; default: what AWS's own tools use on this machine")
        .aliases(&["aws_access_key_id"]);
pub(super) const SECRET_ACCESS_KEY: OptionSpec =
    OptionSpec::new("secret_access_key", OptionKind::Secret, "secret of the AWS key")
        .aliases(&["aws_secret_access_key"]);
pub(super) const SESSION_TOKEN: OptionSpec =
    OptionSpec::new("session_token", OptionKind::Secret, "token of a temporary AWS key")
        .aliases(&["aws_session_token"]);
pub(super) const PROFILE: OptionSpec =
    OptionSpec::new("profile", OptionKind::Text, "a profile of AWS's configuration files").aliases(&["aws_profile"]);
pub(super) const CONNECT_TIMEOUT: OptionSpec =
    OptionSpec::new("connect_timeout", OptionKind::Duration, "how long to wait for a connection").default("10 seconds");
pub(super) const REQUEST_TIMEOUT: OptionSpec =
    OptionSpec::new("request_timeout", OptionKind::Duration, "how long to wait for an answer").default("30 seconds");

/// A client for the stream of table `table`.
///
/// # Errors
/// Half a key, or no region.
pub(super) async fn client(table: &str, options: &Options) -> Result<Client> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(duration(options, "connect_timeout", 10))
        .operation_attempt_timeout(duration(options, "request_timeout", 30))
        .build();
    // what is refused is tried again by those who know how: records one by one, shards at their own pace
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).retry_config(RetryConfig::disabled()).timeout_config(timeouts);
    if let Some(region) = options.text("region") {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(endpoint) = options.text("endpoint") {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(profile) = options.text("profile") {
        loader = loader.profile_name(profile);
    }
    match (options.text("access_key_id"), options.text("secret_access_key")) {
        (Some(id), Some(secret)) => {
            let token = options.text("session_token").map(str::to_owned);
            loader = loader.credentials_provider(Credentials::new(id, secret, token, None, "options of the table"));
        }
        (None, None) => {}
        _ => {
            return Err(Error::invalid(format!("table '{table}' has half a key of AWS"))
                .help("set options 'access_key_id' and 'secret_access_key', or neither"));
        }
    }
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(Error::invalid(format!("table '{table}' names no region of AWS, nor does this machine"))
            .help("set option 'region', such as 'eu-central-1'"));
    }
    Ok(Client::new(&config))
}

/// A duration with a default, which the description names too.
pub(super) fn duration(options: &Options, name: &str, seconds: u64) -> Duration {
    options.duration(name).unwrap_or(Duration::from_secs(seconds))
}
