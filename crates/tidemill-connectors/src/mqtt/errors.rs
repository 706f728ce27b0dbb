//! What a refusal of a broker means for the query: try again for a while, or stop and tell whom it concerns.

use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode, PubAckReason, PubRecReason};
use rumqttc::v5::{ConnectionError, StateError};
use tidemill_core::retry::{Class, Failure};
use tidemill_core::{Error, Kind};

/// The failure of a connection to `broker`.
pub(super) fn lost(broker: &str, error: ConnectionError) -> Failure {
    let (class, kind, help) = match &error {
        ConnectionError::ConnectionRefused(code) => refused(*code),
        ConnectionError::Tls(cause) if !is_outage(cause) => {
            (Class::Permanent, Kind::Invalid, "see options 'url' and 'ssl_ca_location'")
        }
        ConnectionError::MqttState(StateError::OutgoingPacketTooLarge { .. }) => {
            (Class::Permanent, Kind::Data, "raise the broker's limit of the size of packets")
        }
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => match reason_code {
            DisconnectReasonCode::SessionTakenOver => (
                Class::Permanent,
                Kind::Fenced,
                "another client has the same id: stop it, or give this one its own 'client_id'",
            ),
            DisconnectReasonCode::NotAuthorized => (Class::Permanent, Kind::Denied, "see the broker's access rules"),
            _ => (Class::Transient, Kind::Again, ""),
        },
        ConnectionError::NotConnAck(_) => {
            (Class::Permanent, Kind::Invalid, "see option 'url': is it a broker of MQTT 5?")
        }
        _ => (Class::Transient, Kind::Again, "the query goes on where it stopped when the broker is back"),
    };
    let told = Error::new(kind, format!("the MQTT broker at {broker} cannot be used"));
    let told = if help.is_empty() { told } else { told.help(help) };
    Failure::new(class, told.caused_by(error))
}

/// A connection that ended while TLS was agreed on; a certificate that is not trusted comes as invalid data.
fn is_outage(cause: &rumqttc::TlsError) -> bool {
    matches!(cause, rumqttc::TlsError::Io(cause) if cause.kind() != std::io::ErrorKind::InvalidData)
}

fn refused(code: ConnectReturnCode) -> (Class, Kind, &'static str) {
    use ConnectReturnCode as Code;
    match code {
        Code::BadUserNamePassword | Code::BadAuthenticationMethod | Code::NotAuthorized | Code::Banned => {
            (Class::Permanent, Kind::Denied, "see options 'username' and 'password'")
        }
        Code::ServerBusy | Code::ConnectionRateExceeded | Code::QuotaExceeded => (Class::Throttled, Kind::Again, ""),
        Code::ServerUnavailable | Code::ServiceUnavailable | Code::UnspecifiedError => {
            (Class::Transient, Kind::Again, "")
        }
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => {
            (Class::Permanent, Kind::Invalid, "the broker must speak MQTT 5")
        }
        _ => (Class::Permanent, Kind::Invalid, "see the options of the table"),
    }
}

/// The error of a message to `topic` that the broker does not take; `None` when it has taken it.
pub(super) fn not_taken(broker: &str, topic: &str, reason: PubAckReason) -> Option<Error> {
    let (kind, help) = match reason {
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => return None,
        PubAckReason::NotAuthorized => (Kind::Denied, "see the broker's access rules"),
        PubAckReason::QuotaExceeded => (Kind::Again, "see the broker's limits"),
        PubAckReason::TopicNameInvalid | PubAckReason::PayloadFormatInvalid => (Kind::Data, "see the broker's rules"),
        _ => (Kind::Again, "see the broker's log"),
    };
    let text = format!("the MQTT broker at {broker} does not take a message to '{topic}': {reason:?}");
    Some(Error::new(kind, text).help(help))
}

/// The same reason in the answer of QoS 2.
pub(super) fn as_ack(reason: PubRecReason) -> PubAckReason {
    match reason {
        PubRecReason::Success => PubAckReason::Success,
        PubRecReason::NoMatchingSubscribers => PubAckReason::NoMatchingSubscribers,
        PubRecReason::NotAuthorized => PubAckReason::NotAuthorized,
        PubRecReason::TopicNameInvalid => PubAckReason::TopicNameInvalid,
        PubRecReason::QuotaExceeded => PubAckReason::QuotaExceeded,
        PubRecReason::PayloadFormatInvalid => PubAckReason::PayloadFormatInvalid,
        _ => PubAckReason::UnspecifiedError,
    }
}
