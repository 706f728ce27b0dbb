//! The client's properties: which a user may set, and what we set ourselves.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use tidemill_core::describe::{OptionKind, OptionSpec};
use tidemill_core::nearest::nearest;
use tidemill_core::{Error, Options, Result};

const PREFIX: &str = "kafka.";

pub(crate) const BOOTSTRAP: OptionSpec =
    OptionSpec::new("kafka.bootstrap.servers", OptionKind::Text, "brokers to begin with, as host:port,host:port")
        .aliases(&["bootstrap_servers", "bootstrap.servers"])
        .required();
pub(crate) const CONNECT_TIMEOUT: OptionSpec =
    OptionSpec::new("connect_timeout", OptionKind::Duration, "how long to wait for the first answer of a broker")
        .default("10 seconds");
pub(crate) const PASSWORD: OptionSpec =
    OptionSpec::new("kafka.sasl.password", OptionKind::Secret, "password for SASL, with kafka.sasl.username");
pub(crate) const OAUTH_SECRET: OptionSpec =
    OptionSpec::new("kafka.sasl.oauthbearer.client.secret", OptionKind::Secret, "client secret for OAuth");
pub(crate) const OAUTH_ASSERTION_KEY: OptionSpec = OptionSpec::new(
    "kafka.sasl.oauthbearer.assertion.private.key.pem",
    OptionKind::Secret,
    "private key that signs the assertion for OAuth, as PEM",
);
pub(crate) const OAUTH_ASSERTION_PASSPHRASE: OptionSpec = OptionSpec::new(
    "kafka.sasl.oauthbearer.assertion.private.key.passphrase",
    OptionKind::Secret,
    "password of that key",
);
pub(crate) const KEY_PEM: OptionSpec =
    OptionSpec::new("kafka.ssl.key.pem", OptionKind::Secret, "private key of the client, as PEM");
pub(crate) const KEY_PASSWORD: OptionSpec =
    OptionSpec::new("kafka.ssl.key.password", OptionKind::Secret, "password of the client's private key");
pub(crate) const PASSED_ON: OptionSpec = OptionSpec::new(
    "kafka.*",
    OptionKind::Text,
    "a property of the Kafka client (librdkafka), if it is a known safe one",
);

/// Properties that a user may set beside those with an option of their own. Everything else is refused:
/// librdkafka has properties that run a command, load a library, or turn a check off.
const ALLOWED: &[&str] = &[
    "acks",
    "batch.num.messages",
    "batch.size",
    "broker.address.family",
    "broker.address.ttl",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.level",
    "connections.max.idle.ms",
    "delivery.timeout.ms",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "https.ca.location",
    "https.ca.pem",
    "isolation.level",
    "linger.ms",
    "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes",
    "message.max.bytes",
    "message.timeout.ms",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retries",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.assertion.algorithm",
    "sasl.oauthbearer.assertion.claim.aud",
    "sasl.oauthbearer.assertion.claim.exp.seconds",
    "sasl.oauthbearer.assertion.claim.iss",
    "sasl.oauthbearer.assertion.claim.jti.include",
    "sasl.oauthbearer.assertion.claim.nbf.seconds",
    "sasl.oauthbearer.assertion.claim.sub",
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.metadata.authentication.type",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.username",
    "security.protocol",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "statistics.interval.ms",
    "topic.metadata.refresh.interval.ms",
];

/// Properties that have an option of their own.
const OWN: &[&str] = &[
    "bootstrap.servers",
    "sasl.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "ssl.key.pem",
    "ssl.key.password",
];

/// The brokers to begin with, for the client and for messages.
pub(crate) fn brokers(options: &Options) -> Result<String> {
    Ok(options.required(BOOTSTRAP.name)?.to_owned())
}

/// A configuration with `ours`, over which go the properties of the user.
///
/// # Errors
/// A property that is not allowed.
pub(crate) fn configure(owner: &str, options: &Options, ours: &[(&str, &str)]) -> Result<ClientConfig> {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Warning);
    // the client forgets a broker that is away, and asks again which there are only now and then: when the others
    // go too meanwhile, it begins anew with the ones it was given, after this time and not after 5 minutes
    config.set("metadata.recovery.rebootstrap.trigger.ms", "15000");
    config.set("topic.metadata.refresh.interval.ms", "30000");
    for (property, value) in ours {
        config.set(*property, *value);
    }
    for (property, value) in options.with_prefix(PREFIX) {
        if property == "acks" && !matches!(value, "all" | "-1") {
            return Err(Error::invalid(format!("table '{owner}': the client property 'kafka.acks' is '{value}'"))
                .help("it must be all: a record that only some brokers hold is lost with them"));
        }
        if property == "ssl.endpoint.identification.algorithm" && !value.eq_ignore_ascii_case("https") {
            return Err(refused(owner, property).help("the names in the brokers' certificates are always checked"));
        }
        if !ALLOWED.contains(&property) && !OWN.contains(&property) {
            return Err(refused(owner, property).help(advice(property)));
        }
        config.set(property, value);
    }
    Ok(config)
}

fn refused(owner: &str, property: &str) -> Error {
    Error::invalid(format!("table '{owner}': the client property '{PREFIX}{property}' cannot be set"))
}

fn advice(property: &str) -> String {
    match property {
        "sasl.jaas.config" => "use kafka.sasl.username and kafka.sasl.password".into(),
        "group.id" => "use group_id: the group only shows progress, positions are kept in the checkpoint".into(),
        "auto.offset.reset" => "use starting_offsets".into(),
        "enable.auto.commit" => "positions are kept in the checkpoint".into(),
        "transaction.timeout.ms" => "use transaction_timeout".into(),
        "transactional.id" | "enable.idempotence" => "use delivery = 'exactly-once' or 'at-least-once'".into(),
        "key.serializer" | "value.serializer" | "key.deserializer" | "value.deserializer" => {
            "use a format, or without one the columns key and value".into()
        }
        _ => match nearest(property, ALLOWED.iter().copied()) {
            Some(near) => format!("did you mean '{PREFIX}{near}'?"),
            None => "only properties that cannot run code, load libraries or weaken checks are passed on".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::options::GivenOption;

    fn configured(given: &[(&str, &str)]) -> Result<ClientConfig> {
        let specs = [BOOTSTRAP, PASSWORD, PASSED_ON];
        let mut all = vec![GivenOption::new("bootstrap_servers", "b:1")];
        all.extend(given.iter().map(|(key, value)| GivenOption::new(*key, *value)));
        configure("t", &Options::check("source 'kafka'", &[&specs], &all)?, &[("linger.ms", "1")])
    }

    #[test]
    fn known_properties_pass_and_go_over_ours() {
        let config = configured(&[("kafka.linger.ms", "20"), ("kafka.sasl.password", "s3ntinel")]).unwrap();
        let get = |property| config.get(property);
        assert_eq!((get("linger.ms"), get("bootstrap.servers")), (Some("20"), Some("b:1")));
        assert_eq!(get("sasl.password"), Some("s3ntinel"));
        assert!(configured(&[("kafka.ssl.endpoint.identification.algorithm", "https")]).is_ok());
    }

    #[test]
    fn properties_that_run_code_or_weaken_checks_are_refused() {
        for property in [
            "sasl.kerberos.kinit.cmd",
            "plugin.library.paths",
            "ssl.engine.location",
            "ssl.providers",
            "enable.ssl.certificate.verification",
            "ssl.endpoint.identification.algorithm",
            "auto.offset.reset",
            "group.id",
            "sasl.jaas.config",
            "transaction.timeout.ms",
            "acks",
        ] {
            let key = format!("kafka.{property}");
            let error = configured(&[(&key, "none")]).unwrap_err();
            assert!(error.to_string().contains(property) && error.help_text().is_some(), "{}", error.report());
        }
        let error = configured(&[("kafka.lingr.ms", "1")]).unwrap_err();
        assert!(error.report().contains("did you mean 'kafka.linger.ms'?"));
    }
}
