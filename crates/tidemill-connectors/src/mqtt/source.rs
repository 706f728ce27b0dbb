//! MQTT as a source.

use super::arrival;
use super::connection;
use super::listener::{Listener, Subscription, session_lost};
use crate::intake::options as kept;
use crate::intake::options::Keeping;
use crate::intake::source;
use crate::topics::columns;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use rumqttc::v5::mqttbytes::{QoS, valid_filter};
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::source::{Source, SourceConnector, SourceRequest};
use tidemill_core::{Clock, Error, Options, Result, SystemClock};

/// Options of the source.
const OPTIONS: &[OptionSpec] = &[
    connection::URL,
    OptionSpec::new("topic", OptionKind::Text, "the filter of topics to receive, such as plant/+/temperature, or several with commas between")
        .aliases(&["topics", "mqtt.topic"])
        .required(),
    OptionSpec::new(
        "client_id",
        OptionKind::Text,
        "name of the client, under which the broker keeps the session: the same at every start, and of no other client",
    )
    .aliases(&["mqtt.client.id"])
    .required(),
    OptionSpec::new(
        "qos",
        OptionKind::Choice(&["1", "2"]),
        "quality of service that is subscribed with; messages that are published with 0 come with 0, and may be lost",
    )
    .default("1")
    .aliases(&["mqtt.qos"]),
    connection::USERNAME,
    connection::PASSWORD,
    OptionSpec::new(
        "idempotency_property",
        OptionKind::Text,
        "the user property with the key of a message, which is kept once however often it comes",
    ),
    kept::WINDOW,
    kept::KEYS_MAX,
    kept::LOG,
    kept::TOPIC,
    OptionSpec::new(
        "session_expiry_interval",
        OptionKind::Duration,
        "how long the broker keeps the session, and the messages for it, while the query does not run",
    )
    .default("7 days"),
    OptionSpec::new("inflight_max", OptionKind::Integer, "most messages that the broker sends before they are acknowledged")
        .default("1000")
        .aliases(&["receive_maximum"]),
    OptionSpec::new("message_bytes_max", OptionKind::Bytes, "largest message; a broker drops larger ones for us").default("16MiB"),
    connection::KEEP_ALIVE,
    connection::CONNECT_TIMEOUT,
    OptionSpec::new(
        "retry_timeout",
        OptionKind::Duration,
        "how long a broker that is away is waited for before the query stops; connections are tried with random pauses",
    )
    .default("10 minutes"),
    connection::CA,
    connection::CERTIFICATE,
    connection::KEY,
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
        "stop when the broker has lost the session, or records that were not read yet are gone from the log; false goes on \
         with a warning",
    )
    .default("true"),
];

static DESCRIPTION: Description = Description {
    name: "mqtt",
    role: Role::Source,
    summary: "Receives messages from a broker of MQTT 5 in a session that the broker keeps. A message is acknowledged when it \
              is durable in the embedded log, from which the query reads it exactly once. What the broker sends again after \
              a crash is kept twice, unless 'idempotency_property' tells it is the same.",
    guarantee: Guarantee::ExactlyOnce,
    options: OPTIONS,
    example: "connector = 'mqtt', url = 'mqtt://localhost:1883', topic = 'plant/+/temperature', client_id = 'tidemill-plant', \
              log = 'data/log', format = 'json'",
};

/// Opens MQTT as a source.
pub struct MqttSourceConnector {
    clock: Arc<dyn Clock>,
}

impl Default for MqttSourceConnector {
    fn default() -> Self {
        MqttSourceConnector { clock: Arc::new(SystemClock::new()) }
    }
}

#[async_trait]
impl SourceConnector for MqttSourceConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    /// What a broker sends again after a crash is recognised by its key alone.
    fn guarantee(&self, options: &Options) -> Guarantee {
        match options.text("idempotency_property") {
            Some(_) => DESCRIPTION.guarantee,
            None => Guarantee::AtLeastOnce,
        }
    }

    fn default_schema(&self, _options: &Options) -> Option<SchemaRef> {
        Some(arrival::default_schema())
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        let (table, options) = (&request.table, &request.options);
        let keeping = Keeping::new(table, options)?;
        let subscription = subscription(table, options)?;
        let mut target = connection::target(table, options, "")?;
        let session = format!("mqtt-session/{}", target.options.client_id());
        let expiry = options.duration("session_expiry_interval").unwrap_or(Duration::from_secs(7 * 24 * 3600));
        let bytes_max = options.bytes("message_bytes_max").unwrap_or(16 << 20);
        target
            .options
            .set_clean_start(false)
            .set_manual_acks(true)
            .set_session_expiry_interval(Some(u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX)))
            .set_receive_maximum(Some(target.inflight_max))
            .set_max_packet_size(Some(u32::try_from(bytes_max).unwrap_or(u32::MAX).clamp(1024, 64 << 20)));
        let rows: Option<crate::log::source::Rows> = match &request.framing {
            None => {
                columns::check(table, &request.schema, &arrival::default_schema())?;
                let schema = request.schema.clone();
                Some(Box::new(move |records, _, partition| arrival::rows(&schema, records, partition)))
            }
            Some(_) => None,
        };
        let mut log = source::open_log(&keeping, &*self.clock).await?;
        let had_session = log.writers().any(|(known, _)| known == session);
        let (fails, broker) = (subscription.fail_on_data_loss, target.shown.clone());
        let mut listener = Listener::new(target, subscription, self.clock.clone());
        let (was_kept, early) = listener.open(had_session).await?;
        if !had_session {
            let append = log.begin(0);
            log.commit(append, Some((&session, 0)), self.clock.now_micros())?;
        } else if !was_kept {
            session_lost(&broker, fails)?;
        }
        let opened = source::open(log, &keeping, &request, rows, self.clock.clone())?;
        let intake = opened.intake.clone();
        Ok(Box::new(opened.with(tokio::spawn(listener.run(early, intake)))))
    }
}

fn subscription(table: &str, options: &Options) -> Result<Subscription> {
    let filters: Vec<String> = options
        .required("topic")?
        .split(',')
        .map(str::trim)
        .filter(|filter| !filter.is_empty())
        .map(str::to_owned)
        .collect();
    if filters.is_empty() {
        return Err(Error::invalid(format!("option 'topic' of table '{table}' names no topic")));
    }
    if let Some(wrong) = filters.iter().find(|filter| !valid_filter(filter)) {
        return Err(Error::invalid(format!("option 'topic' of table '{table}': '{wrong}' is no filter of topics"))
            .help("'+' stands for a whole level, '#' for all that are left: plant/+/temperature, plant/#"));
    }
    Ok(Subscription {
        filters,
        quality: if options.text("qos") == Some("2") { QoS::ExactlyOnce } else { QoS::AtLeastOnce },
        key_property: options.text("idempotency_property").map(str::to_owned),
        fail_on_data_loss: options.boolean("fail_on_data_loss"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemill_core::options::GivenOption;

    fn filters(topic: &str) -> Result<Vec<String>> {
        let given = [("url", "a"), ("client_id", "c"), ("log", "l"), ("topic", topic)];
        let given: Vec<_> = given.iter().map(|(key, value)| GivenOption::new(*key, *value)).collect();
        Ok(subscription("t", &Options::check("source 'mqtt'", &[OPTIONS], &given)?)?.filters)
    }

    #[test]
    fn filters_are_lists_and_checked() {
        assert_eq!(filters("a/+/b, $share/g/c/#").unwrap(), ["a/+/b", "$share/g/c/#"]);
        for wrong in [" ", "a/#/b", "a+", ","] {
            assert!(filters(wrong).is_err(), "{wrong}");
        }
    }
}
