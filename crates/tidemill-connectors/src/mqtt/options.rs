//! The options of the sink `mqtt`.

use super::connection;
use rumqttc::v5::mqttbytes::QoS;
use tidemill_core::Options;
use tidemill_core::describe::{OptionKind, OptionSpec};

/// Options of the sink.
pub(super) const OPTIONS: &[OptionSpec] = &[
    connection::URL,
    OptionSpec::new("topic", OptionKind::Text, "the topic of all messages").aliases(&["mqtt.topic"]),
    OptionSpec::new(
        "topic_column",
        OptionKind::Text,
        "the column that names the topic of each row; without a format a column 'topic' does, unless 'topic' is set",
    ),
    OptionSpec::new(
        "qos",
        OptionKind::Choice(&["0", "1", "2"]),
        "quality of service: 0 sends and forgets, 1 and 2 wait until the broker has acknowledged each message",
    )
    .default("1")
    .aliases(&["mqtt.qos"]),
    OptionSpec::new(
        "retain",
        OptionKind::Boolean,
        "the broker keeps the last message of each topic for new subscribers",
    )
    .default("false")
    .aliases(&["retained", "mqtt.retained"]),
    OptionSpec::new("client_id", OptionKind::Text, "name of the client; default: tidemill-<query>-<table>")
        .aliases(&["mqtt.client.id"]),
    connection::USERNAME,
    connection::PASSWORD,
    OptionSpec::new(
        "user_properties",
        OptionKind::Text,
        "a column, map from string to string: properties of the message",
    ),
    OptionSpec::new("content_type", OptionKind::Text, "content type of all messages, such as application/json"),
    OptionSpec::new(
        "message_expiry_interval",
        OptionKind::Duration,
        "the broker drops messages nobody got for so long",
    ),
    OptionSpec::new(
        "epoch_properties",
        OptionKind::Boolean,
        "messages have user properties 'tidemill-writer' and 'tidemill-epoch', by which a repeat can be told",
    )
    .default("true"),
    OptionSpec::new(
        "marker_topic",
        OptionKind::Text,
        "a retained message here remembers the newest epoch; default: tidemill/<query>/<table>; '' for none",
    ),
    OptionSpec::new("marker_timeout", OptionKind::Duration, "how long that message is waited for at a start")
        .default("1 second"),
    OptionSpec::new(
        "session_expiry_interval",
        OptionKind::Duration,
        "the broker keeps the session of a lost connection for so long, which is then gone on with; 0s: a new session",
    )
    .default("5 minutes"),
    OptionSpec::new("inflight_max", OptionKind::Integer, "most messages that are sent and not acknowledged")
        .default("100")
        .aliases(&["receive_maximum"]),
    connection::KEEP_ALIVE,
    connection::CONNECT_TIMEOUT,
    OptionSpec::new(
        "retry_timeout",
        OptionKind::Duration,
        "how long a broker that is away is waited for before the query stops",
    )
    .default("60 seconds"),
    connection::CA,
    connection::CERTIFICATE,
    connection::KEY,
];

/// The quality of service.
pub(super) fn quality(options: &Options) -> QoS {
    match options.text("qos").map(str::trim) {
        Some("0") => QoS::AtMostOnce,
        Some("2") => QoS::ExactlyOnce,
        _ => QoS::AtLeastOnce,
    }
}
