//! How a namespace is reached: from a connection string, or with Microsoft Entra ID, to properties of the Kafka client.
//! Pure.

use super::options::{
    CLIENT, CLIENT_SECRET, CONNECTION_STRING, EVENT_HUB, MANAGED_IDENTITY, NAMESPACE, TENANT, TOKEN_ENDPOINT,
    TOKEN_SCOPE,
};
use tidemill_core::options::GivenOption;
use tidemill_core::{Error, Options, Result};

/// Port of the Kafka endpoint of a namespace, and of the emulator's.
const PORT: u16 = 9093;
const EMULATOR_PORT: u16 = 9092;
/// What Azure recommends: it closes connections that were idle for 4 minutes, without a word. Throttling is looked for,
/// since it looks like an event hub without news.
const RECOMMENDED: [(&str, &str); 4] = [
    ("kafka.connections.max.idle.ms", "180000"),
    ("kafka.metadata.max.age.ms", "180000"),
    ("kafka.socket.keepalive.enable", "true"),
    ("kafka.statistics.interval.ms", "60000"),
];
/// Oldest version of the metadata service's interface that gives tokens.
const IDENTITY_VERSION: &str = "2018-02-01";

/// A namespace, and who we are there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Connection {
    /// The event hub, where one is named.
    pub event_hub: Option<String>,
    /// Properties for the Kafka client, by the names of its options.
    pub properties: Vec<(&'static str, String)>,
}

impl Connection {
    /// From the options of table `table`.
    ///
    /// # Errors
    /// Neither or both of the ways, or one that is not whole. Secrets are not repeated.
    pub fn of(table: &str, options: &Options) -> Result<Connection> {
        let mut connection = match (options.text(CONNECTION_STRING.name), options.text(NAMESPACE.name)) {
            (Some(text), None) => from_string(table, text)?,
            (None, Some(namespace)) => from_entra(table, namespace, options)?,
            _ => {
                return Err(Error::invalid(format!(
                    "table '{table}' needs one of the options 'connection_string' and 'namespace'"
                ))
                .help("the Azure portal shows the connection string under the namespace's shared access policies"));
            }
        };
        if let Some((name, _)) = options.with_prefix("kafka.sasl.").next() {
            return Err(Error::invalid(format!("table '{table}': 'kafka.sasl.{name}' cannot be set here")).help(
                "the connection string or the options of Entra ID say who we are; or use the connector 'kafka'",
            ));
        }
        if let Some(named) = options.text(EVENT_HUB.name) {
            if let Some(other) = connection.event_hub.filter(|of_string| of_string != named) {
                return Err(Error::invalid(format!(
                    "table '{table}': the connection string is for the event hub '{other}', and 'event_hub' is '{named}'"
                ))
                .help("use the connection string of the namespace, or leave 'event_hub' out"));
            }
            connection.event_hub = Some(named.to_owned());
        }
        connection.properties.extend(RECOMMENDED.map(|(name, value)| (name, value.to_owned())));
        Ok(connection)
    }

    /// Our properties for the Kafka client, under those that the user gives.
    pub fn given(&self, options: &Options) -> Vec<GivenOption> {
        let own = options.with_prefix("kafka.").map(|(name, value)| GivenOption::new(format!("kafka.{name}"), value));
        let mut given: Vec<GivenOption> = own.collect();
        for (name, value) in &self.properties {
            if !given.iter().any(|option| option.key == *name) {
                given.push(GivenOption::new(*name, value.as_str()));
            }
        }
        given
    }

    /// The event hub.
    ///
    /// # Errors
    /// None is named.
    pub fn event_hub(&self, table: &str) -> Result<&str> {
        self.event_hub.as_deref().ok_or_else(|| {
            Error::invalid(format!("table '{table}' needs option 'event_hub'"))
                .help("or the connection string of one event hub, with EntityPath=<event hub>")
        })
    }
}

fn from_string(table: &str, text: &str) -> Result<Connection> {
    let parts = || text.split(';').filter_map(|part| part.split_once('='));
    let part = |wanted: &str| {
        let found = parts().find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    };
    let wrong = |missing: &str| {
        Error::invalid(format!("option 'connection_string' of table '{table}' has no {missing}"))
            .help("it is Endpoint=sb://<namespace>.servicebus.windows.net/;SharedAccessKeyName=..;SharedAccessKey=..")
    };
    let endpoint = part("Endpoint").ok_or_else(|| wrong("Endpoint=sb://.."))?;
    for needed in ["SharedAccessKeyName", "SharedAccessKey"] {
        part(needed).ok_or_else(|| wrong(needed))?;
    }
    let is_emulator = part("UseDevelopmentEmulator").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let (port, protocol) = if is_emulator { (EMULATOR_PORT, "SASL_PLAINTEXT") } else { (PORT, "SASL_SSL") };
    Ok(Connection {
        event_hub: part("EntityPath").map(str::to_owned),
        properties: vec![
            ("bootstrap_servers", address(endpoint, port)),
            ("kafka.security.protocol", protocol.to_owned()),
            ("kafka.sasl.mechanism", "PLAIN".to_owned()),
            ("kafka.sasl.username", "$ConnectionString".to_owned()),
            ("kafka.sasl.password", text.to_owned()),
        ],
    })
}

fn from_entra(table: &str, namespace: &str, options: &Options) -> Result<Connection> {
    let address = address(namespace, PORT);
    let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host).to_owned();
    let resource = format!("https://{host}");
    let text = |name: &str| options.text(name).map(str::to_owned);
    let mut properties = vec![
        ("bootstrap_servers", address),
        ("kafka.security.protocol", "SASL_SSL".to_owned()),
        ("kafka.sasl.mechanism", "OAUTHBEARER".to_owned()),
        ("kafka.sasl.oauthbearer.method", "oidc".to_owned()),
    ];
    let client = text(CLIENT.name);
    match (options.boolean(MANAGED_IDENTITY.name), text(CLIENT_SECRET.name)) {
        (true, None) => {
            let which = client.map(|client| format!("&client_id={client}")).unwrap_or_default();
            let query = format!("query=api-version={IDENTITY_VERSION}&resource={resource}{which}");
            properties.extend([
                ("kafka.sasl.oauthbearer.metadata.authentication.type", "azure_imds".to_owned()),
                ("kafka.sasl.oauthbearer.config", query),
            ]);
            properties.extend(text(TOKEN_ENDPOINT.name).map(|url| ("kafka.sasl.oauthbearer.token.endpoint.url", url)));
        }
        (false, Some(secret)) => {
            let missing = |option: &str| {
                Error::invalid(format!("table '{table}' has a client_secret, and needs option '{option}' with it"))
            };
            let url = match text(TOKEN_ENDPOINT.name) {
                Some(url) => url,
                None => {
                    let tenant = text(TENANT.name).ok_or_else(|| missing(TENANT.name))?;
                    format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token")
                }
            };
            let scope = text(TOKEN_SCOPE.name).unwrap_or_else(|| format!("{resource}/.default"));
            properties.extend([
                ("kafka.sasl.oauthbearer.client.id", client.ok_or_else(|| missing(CLIENT.name))?),
                ("kafka.sasl.oauthbearer.client.secret", secret),
                ("kafka.sasl.oauthbearer.token.endpoint.url", url),
                ("kafka.sasl.oauthbearer.scope", scope),
            ]);
        }
        _ => {
            return Err(Error::invalid(format!(
                "table '{table}' needs either 'client_secret' or managed_identity = 'true' with 'namespace'"
            ))
            .help("with 'client_secret' go 'tenant_id' and 'client_id', of an application registered in Entra ID"));
        }
    }
    Ok(Connection { event_hub: None, properties })
}

/// `host:port` of `sb://host/`, `host` or `host:port`.
fn address(endpoint: &str, port: u16) -> String {
    let host = endpoint.trim().trim_end_matches('/');
    let host = host.split_once("://").map_or(host, |(_, host)| host);
    if host.contains(':') { host.to_owned() } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::super::source::DESCRIPTION;
    use super::*;

    const KEYED: &str =
        "Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=read;SharedAccessKey=c2VjcmV0PQ==";

    fn connection(given: &[(&str, &str)]) -> Result<Connection> {
        let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        Connection::of("t", &Options::check("source 'eventhubs'", &[DESCRIPTION.options], &given)?)
    }

    fn property(connection: &Connection, name: &str) -> Option<String> {
        connection.properties.iter().find(|(of, _)| *of == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn a_connection_string_is_a_password_for_the_kafka_endpoint() {
        let with_path = format!("{KEYED};EntityPath=orders");
        let found = connection(&[("connectionString", &with_path)]).unwrap();
        let of = |name| property(&found, name);
        assert_eq!(found.event_hub("t").unwrap(), "orders");
        assert_eq!(of("bootstrap_servers").unwrap(), "shop.servicebus.windows.net:9093");
        assert_eq!(of("kafka.security.protocol").unwrap(), "SASL_SSL");
        assert_eq!(of("kafka.sasl.username").unwrap(), "$ConnectionString");
        assert_eq!(of("kafka.sasl.password").unwrap(), with_path);
        assert_eq!(of("kafka.connections.max.idle.ms").unwrap(), "180000");
        let emulator = "Endpoint=sb://localhost;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true;";
        let found = connection(&[("connection_string", emulator), ("event_hub", "h")]).unwrap();
        assert_eq!(property(&found, "bootstrap_servers").unwrap(), "localhost:9092");
        assert_eq!(property(&found, "kafka.security.protocol").unwrap(), "SASL_PLAINTEXT");
    }

    #[test]
    fn entra_id_gives_tokens_for_the_namespace() {
        let namespace = ("namespace", "shop.servicebus.windows.net");
        let application = [namespace, ("tenant_id", "t1"), ("client_id", "c1"), ("client_secret", "s3ntinel")];
        let found = connection(&application).unwrap();
        let of = |name| property(&found, name);
        let url = "https://login.microsoftonline.com/t1/oauth2/v2.0/token";
        assert_eq!(of("kafka.sasl.oauthbearer.token.endpoint.url").unwrap(), url);
        assert_eq!(of("kafka.sasl.oauthbearer.scope").unwrap(), "https://shop.servicebus.windows.net/.default");
        let found = connection(&[namespace, ("managed_identity", "true"), ("client_id", "c1")]).unwrap();
        let query = "query=api-version=2018-02-01&resource=https://shop.servicebus.windows.net&client_id=c1";
        assert_eq!(property(&found, "kafka.sasl.oauthbearer.config").unwrap(), query);
        assert!(found.event_hub("t").is_err());
    }

    #[test]
    fn properties_of_the_user_go_over_ours() {
        let user = [("connection_string", KEYED), ("kafka.connections.max.idle.ms", "60000"), ("event_hub", "h")];
        let checked: Vec<_> = user.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        let options = Options::check("source 'eventhubs'", &[DESCRIPTION.options], &checked).unwrap();
        let given = Connection::of("t", &options).unwrap().given(&options);
        let of = |name: &str| -> Vec<&str> {
            given.iter().filter(|option| option.key == name).map(|option| option.value.as_str()).collect()
        };
        assert_eq!(of("kafka.connections.max.idle.ms"), ["60000"]);
        assert_eq!(of("kafka.metadata.max.age.ms"), ["180000"]);
        assert!(connection(&[user[0], ("kafka.sasl.password", "x")]).is_err());
    }

    #[test]
    fn what_is_missing_is_named_and_keys_are_not_shown() {
        let no_key = KEYED.replace(";SharedAccessKey=", ";Key=");
        for (given, says) in [
            (&[][..], "needs one of the options"),
            (&[("connection_string", no_key.as_str())], "has no SharedAccessKey"),
            (&[("connection_string", "c2VjcmV0PQ==")], "has no Endpoint"),
            (&[("namespace", "n")], "needs either 'client_secret' or managed_identity"),
            (&[("namespace", "n"), ("client_secret", "c2VjcmV0PQ=="), ("client_id", "c")], "'tenant_id' with it"),
        ] {
            let error = connection(given).unwrap_err().report();
            assert!(error.contains(says) && !error.contains("c2VjcmV0"), "{error}");
        }
        let other = format!("{KEYED};EntityPath=a");
        let error = connection(&[("connection_string", &other), ("event_hub", "b")]).unwrap_err();
        assert!(error.to_string().contains("event hub 'a', and 'event_hub' is 'b'"), "{error}");
    }
}
