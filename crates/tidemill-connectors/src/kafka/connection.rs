//! The client of a source, which can be exchanged for a new one.

use super::client::{Context, gather_troubles};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use std::sync::{Arc, Mutex, PoisonError};

/// The client library's consumer, shared by all who ask it or read through it.
pub(crate) type SharedConsumer = Arc<BaseConsumer<Context>>;

/// How to reach the brokers, and the consumer that does.
pub(crate) struct Connection {
    config: ClientConfig,
    consumer: Mutex<SharedConsumer>,
}

impl Connection {
    /// Makes the first consumer; nothing is asked yet.
    ///
    /// # Errors
    /// A wrong property.
    pub(crate) fn open(config: ClientConfig) -> KafkaResult<Connection> {
        let consumer = Mutex::new(made(&config)?);
        Ok(Connection { config, consumer })
    }

    /// The consumer of the moment.
    pub(crate) fn consumer(&self) -> SharedConsumer {
        self.consumer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One that knows no broker but those it is configured with.
    pub(crate) fn fresh(&self) -> KafkaResult<SharedConsumer> {
        made(&self.config)
    }

    /// From now on `fresh` is the consumer.
    pub(crate) fn exchange(&self, fresh: SharedConsumer) {
        *self.consumer.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        self.opened();
    }

    /// The consumer has been of use: its troubles are logged from now on.
    pub(crate) fn opened(&self) {
        let consumer = self.consumer();
        gather_troubles(&consumer);
        consumer.client().context().0.opened();
    }
}

fn made(config: &ClientConfig) -> KafkaResult<SharedConsumer> {
    config.create_with_context(Context::default()).map(Arc::new)
}
