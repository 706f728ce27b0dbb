//! What every client of ours has: the last trouble it reported, for messages, and errors in our words.

use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::topic_partition_list::TopicPartitionList;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidemill_core::{Error, Kind};

/// Longest text of the client library that goes into an error, in characters.
const TROUBLE_CHARS_MAX: usize = 300;
/// Events that are looked at for the reason of one error.
pub(crate) const EVENTS_MAX: usize = 100;

/// What the client library has reported of itself.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    last: Mutex<Option<(RDKafkaErrorCode, String)>>,
    undelivered: Mutex<Option<KafkaError>>,
    is_open: AtomicBool,
    is_uneasy: AtomicBool,
    pub(crate) shown: Shown,
}

/// Whether the consumer group knows what it was told.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    asked: AtomicU64,
    answered: AtomicU64,
    is_refused: AtomicBool,
}

impl Shown {
    /// The group is being told something.
    pub(crate) fn asked(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// It has answered. That it may not be written is said once: progress is only for dashboards.
    pub(crate) fn answered(&self, result: Result<(), &KafkaError>) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = result
            && !self.is_refused.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "cannot show the progress in the consumer group; reading goes on");
        }
    }

    /// True when nothing is on its way.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed) >= self.asked.load(Ordering::Relaxed)
    }
}

impl Troubles {
    /// The newest trouble.
    pub(crate) fn last(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The client has done what it was opened for. Trouble before that is in the error that ends the
    /// opening, and is not logged as well.
    pub(crate) fn opened(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    /// Brokers may be out of reach: whether any is left is to be looked at.
    pub(crate) fn set_uneasy(&self, is_uneasy: bool) {
        self.is_uneasy.store(is_uneasy, Ordering::Relaxed);
    }

    /// True since a broker did not answer, until someone has looked.
    pub(crate) fn is_uneasy(&self) -> bool {
        self.is_uneasy.load(Ordering::Relaxed)
    }

    /// The first record since the last call that could not be delivered.
    pub(crate) fn take_undelivered(&self) -> Option<KafkaError> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Receives the client library's callbacks.
#[derive(Clone, Default)]
pub(crate) struct Context(pub(crate) Arc<Troubles>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let is_chatter = matches!(level, RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice);
        if is_chatter || !self.0.is_open.load(Ordering::Relaxed) {
            tracing::debug!(facility, message, "kafka client");
        } else {
            tracing::warn!(facility, message, "kafka client");
        }
    }

    fn stats(&self, statistics: Statistics) {
        tell_throttling(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client reports trouble");
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if is_silence(code) {
            self.0.set_uneasy(true);
        }
        // a source's group is never joined, so it does no harm when it may not be used
        if code == RDKafkaErrorCode::GroupAuthorizationFailed {
            return;
        }
        let reason: String = plain(reason).chars().take(TROUBLE_CHARS_MAX).collect();
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        // "all brokers are down" follows the reason why, and says less
        if code != RDKafkaErrorCode::AllBrokersDown || last.is_none() {
            *last = Some((code, reason));
        }
    }
}

/// Says that the brokers hold this client back. To a reader that looks as if there were nothing new.
fn tell_throttling(statistics: &Statistics) {
    for broker in statistics.brokers.values() {
        let longest = broker.throttle.as_ref().map_or(0, |throttle| throttle.max);
        if longest > 0 {
            tracing::warn!(
                broker = broker.nodename,
                longest_ms = longest,
                "the brokers throttle this client: what there is comes later"
            );
        }
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        self.0.shown.answered(result.as_ref().copied());
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, delivery: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = delivery {
            let mut undelivered = self.0.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
            undelivered.get_or_insert_with(|| error.clone());
        }
    }
}

/// The client library's reason without what only its makers can read: the broker's internal name before
/// it, the state of the connection behind it.
fn plain(reason: &str) -> String {
    let text = reason.split(" (after ").next().unwrap_or(reason);
    let text = match text.split_once(": ") {
        Some((broker, rest)) if broker.contains('/') => rest,
        _ => text,
    };
    text.replace("ipv4#", "").replace("ipv6#", "")
}

/// Has the consumer hand over what it has to report.
pub(crate) fn gather_troubles(consumer: &BaseConsumer<Context>) {
    for _ in 0..EVENTS_MAX {
        // says nothing both when there is no event and when it served one
        let _ = consumer.poll(Duration::ZERO);
    }
}

/// The error for a client that cannot be made from its configuration.
pub(crate) fn misconfigured(table: &str, error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, why, property, _) => {
            Error::invalid(format!("table '{table}': the client property 'kafka.{property}' is wrong: {why}"))
        }
        other => Error::invalid(format!("table '{table}': cannot make a Kafka client")).caused_by(other),
    }
}

/// The error for a request that failed: refused access, or a system that did not answer.
pub(crate) fn failed(what: &str, brokers: &str, error: &KafkaError, troubles: &Troubles) -> Error {
    let trouble = troubles.last();
    let code = error.rdkafka_error_code();
    let denied = [code, trouble.as_ref().map(|(code, _)| *code)].into_iter().flatten().any(is_denied);
    let kind = if denied { Kind::Denied } else { Kind::Again };
    let why = match trouble {
        Some((_, reason)) if code.is_none_or(is_silence) => reason,
        _ => error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string()),
    };
    let error = Error::new(kind, format!("{what} at {brokers}: {why}"));
    match kind {
        Kind::Denied => error.help("check the user, the password and what the user may do on the brokers"),
        _ => error.help("check that the brokers run and can be reached from here, and try again"),
    }
}

/// True when no broker answered.
pub(crate) fn is_silence(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::BrokerTransportFailure | Code::OperationTimedOut | Code::AllBrokersDown | Code::Resolve)
}

/// True when access was refused.
pub(crate) fn is_denied(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::SSL
    )
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn reasons_are_for_people() {
        let refused = "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in \
                       state CONNECT, 1 identical error(s) suppressed)";
        assert_eq!(plain(refused), "Connect to 127.0.0.1:1 failed: Connection refused");
        assert_eq!(plain("Local: All broker connections are down"), "Local: All broker connections are down");
    }
}
