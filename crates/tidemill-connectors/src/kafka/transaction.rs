//! One life of a transactional producer, and the marker it leaves.
//!
//! The marker is the metadata of an offset that our own group (named as the transactional id) commits
//! on partition 0 of the topic, in the same transaction as the rows: `{"writer": ..., "epoch": ...}`.
//! Brokers forget the offsets of a group that has committed nothing for `offsets.retention.minutes`
//! (7 days unless set): a query that stood longer finds no marker, and says so.
//!
//! Order matters: [`Session::open`] fences every earlier life of the producer and lets the broker settle
//! what that left open; only then the marker is read. After an unclear error the session is thrown away
//! and this starts again.
//!
//! Blocking, each call with a timeout; callers move it to a blocking thread.

use super::client::{Context, EVENTS_MAX, failed, is_denied, misconfigured};
use crate::marker;
use crate::topics::payload::Encoded;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::sink::{Marker, Writer};
use tidemill_core::{Clock, Epoch, Error, Kind, Result};

/// The producer's queue is looked at again after this time.
const POLL: Duration = Duration::from_millis(1);
/// A topic that is being made, or a group that moves, is looked for again after this time.
const TOPIC_POLL: Duration = Duration::from_millis(50);

/// What every life of the producer needs.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) table: String,
    pub(crate) brokers: String,
    /// Topic for records that name none, and home of the marker.
    pub(crate) topic: Option<String>,
    pub(crate) writer: Writer,
    pub(crate) producer: ClientConfig,
    /// Reads the marker.
    pub(crate) consumer: ClientConfig,
    pub(crate) timeout: Duration,
    /// After this time the brokers abort a transaction.
    pub(crate) transaction_timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    /// False: at least once, without transactions and marker.
    pub(crate) is_transactional: bool,
}

/// Name of the transactional id and of the group; the same for all incarnations of a query's sink.
pub(crate) fn name(writer: &Writer) -> String {
    format!("tidemill-{}-{}", writer.query, writer.sink)
}

/// The metadata of the marker's offset.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    writer: String,
    epoch: u64,
}

/// One life of the producer.
pub(crate) struct Session {
    settings: Settings,
    producer: BaseProducer<Context>,
    consumer: BaseConsumer<Context>,
}

/// How a transaction ended.
pub(crate) enum Ending {
    /// It is committed.
    Committed,
    /// Nothing of it is or ever will be visible, or that is unknown: ask a new session's marker.
    Unclear(KafkaError),
}

impl Session {
    /// Connects, fences every earlier life, and waits until what that left open is settled.
    pub(crate) fn open(settings: &Settings) -> Result<Session> {
        let context = Context::default();
        let table = &settings.table;
        let producer: BaseProducer<Context> =
            settings.producer.create_with_context(context.clone()).map_err(|error| misconfigured(table, error))?;
        let consumer: BaseConsumer<Context> =
            settings.consumer.create_with_context(context.clone()).map_err(|error| misconfigured(table, error))?;
        find_topic(&producer, settings)?;
        if settings.is_transactional {
            let begun = producer.init_transactions(settings.timeout);
            begun
                .map_err(|error| failed("cannot begin to write transactions", &settings.brokers, &error, &context.0))?;
        }
        // what was reported meanwhile comes only when it is asked for
        for _ in 0..EVENTS_MAX {
            producer.poll(Duration::ZERO);
        }
        context.0.opened();
        Ok(Session { settings: settings.clone(), producer, consumer })
    }

    /// What the group holds.
    pub(crate) fn marker(&self) -> Result<Marker> {
        let Some(topic) = self.settings.topic.as_deref().filter(|_| self.settings.is_transactional) else {
            return Ok(Marker::Unsupported);
        };
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, 0);
        let failure = |error| self.failed("cannot read the group's offset", &error);
        let committed = self.committed(&asked).map_err(failure)?;
        let Some(entry) = committed.find_partition(topic, 0) else { return Ok(Marker::Absent) };
        entry.error().map_err(failure)?;
        if !matches!(entry.offset(), Offset::Offset(_)) {
            return Ok(Marker::Absent);
        }
        let (writer, group) = (&self.settings.writer, name(&self.settings.writer));
        match serde_json::from_str::<Note>(entry.metadata()) {
            Ok(note) if note.writer.starts_with(&writer.prefix()) => {
                Ok(marker::find(writer, [(note.writer.as_str(), note.epoch)]))
            }
            _ => Err(Error::invalid(format!(
                "group '{group}' holds an offset of topic '{topic}' that is not of this query"
            ))
            .help("the group is written by Tidemill alone: rename the query or the sink, or delete the group")),
        }
    }

    /// The group's offsets. Brokers that have just started still move the group about, and ask to wait.
    fn committed(&self, asked: &TopicPartitionList) -> KafkaResult<TopicPartitionList> {
        let begun = self.settings.clock.elapsed();
        loop {
            let committed = self.consumer.committed_offsets(asked.clone(), self.settings.timeout);
            let waited = self.settings.clock.elapsed().saturating_sub(begun);
            match committed {
                Err(error) if is_moving(&error) && waited < self.settings.timeout => self.producer.poll(TOPIC_POLL),
                other => return other,
            };
        }
    }

    /// Writes the records and the marker in one transaction.
    ///
    /// # Errors
    /// [`Kind::Fenced`] when another process has taken over; [`Kind::Data`] when the brokers refuse a
    /// record for good.
    pub(crate) fn commit(&self, epoch: Epoch, records: &[Encoded]) -> Result<Ending> {
        let begun = self.settings.clock.elapsed();
        match self.transaction(epoch, records) {
            Ok(()) => Ok(Ending::Committed),
            // brokers that abort for lateness answer as if a newer life existed
            Err(error) if is_fenced(&error) && !self.is_late(begun) => Err(Error::new(
                Kind::Fenced,
                format!("another process writes as '{}': table '{}'", name(&self.settings.writer), self.settings.table),
            )
            .caused_by(error)),
            Err(error) if is_refused(&error) => {
                Err(Error::new(Kind::Data, format!("the brokers refuse a record of table '{}'", self.settings.table))
                    .caused_by(error)
                    .help("a record that is too large needs a larger kafka.message.max.bytes, here and on the brokers"))
            }
            Err(error) => Ok(Ending::Unclear(error)),
        }
    }

    fn transaction(&self, epoch: Epoch, records: &[Encoded]) -> KafkaResult<()> {
        self.producer.begin_transaction()?;
        let mut offsets = TopicPartitionList::new();
        if let Some(topic) = &self.settings.topic {
            let note = Note { writer: self.settings.writer.id(), epoch: epoch.0 };
            let note = serde_json::to_string(&note).map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
            let mut entry = offsets.add_partition(topic, 0);
            entry.set_offset(Offset::Offset(epoch.0.saturating_add(1) as i64))?;
            entry.set_metadata(note);
        }
        let group = self.consumer.group_metadata();
        let group = group.ok_or_else(|| KafkaError::ClientCreation("the consumer has no group".into()))?;
        // first, because it soon tries again while the brokers still write the end of the last
        // transaction; records would wait 20 ms for that
        self.producer.send_offsets_to_transaction(&offsets, &group, self.settings.timeout)?;
        self.send(records)?;
        self.deliver()?;
        self.producer.commit_transaction(self.settings.timeout)
    }

    /// Writes the records without a transaction; they are delivered when it returns.
    pub(crate) fn write(&self, records: &[Encoded]) -> Result<()> {
        self.send(records).and_then(|()| self.deliver()).map_err(|error| self.failed("cannot write records", &error))
    }

    fn send(&self, records: &[Encoded]) -> KafkaResult<()> {
        for batch in records {
            for at in 0..batch.count {
                let topic = self.settings.topic.as_deref().or_else(|| batch.topic(at));
                let topic = topic.ok_or_else(|| KafkaError::ClientCreation("a row names no topic".into()))?;
                let mut record = BaseRecord::<[u8], [u8]>::to(topic);
                (record.key, record.payload) = (batch.key(at), batch.value(at));
                while let Err((error, refused)) = self.producer.send(record) {
                    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                        return Err(error);
                    }
                    self.producer.poll(POLL);
                    record = refused;
                }
            }
        }
        Ok(())
    }

    /// Waits until every record is delivered. (`flush` of the client would sleep 100 ms at a time.)
    fn deliver(&self) -> KafkaResult<()> {
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(POLL);
        }
        self.producer.context().0.take_undelivered().map_or(Ok(()), Err)
    }

    fn is_late(&self, begun: Duration) -> bool {
        self.settings.clock.elapsed().saturating_sub(begun) >= self.settings.transaction_timeout
    }

    fn failed(&self, what: &str, error: &KafkaError) -> Error {
        failed(what, &self.settings.brokers, error, &self.producer.context().0)
    }
}

/// Waits for the topic, which the brokers may have to make first.
fn find_topic(producer: &BaseProducer<Context>, settings: &Settings) -> Result<()> {
    let (client, topic) = (producer.client(), settings.topic.as_deref());
    let mut waited = Duration::ZERO;
    loop {
        let metadata = client.fetch_metadata(topic, settings.timeout);
        let metadata = metadata.map_err(|error| {
            producer.poll(TOPIC_POLL);
            failed("cannot reach Kafka", &settings.brokers, &error, &producer.context().0)
        })?;
        let about = metadata.topics().iter().find(|about| Some(about.name()) == topic);
        let Some(trouble) = about.and_then(|about| about.error()) else { return Ok(()) };
        if waited >= settings.timeout {
            let error = KafkaError::MetadataFetch(trouble.into());
            let what = format!("cannot write topic '{}'", topic.unwrap_or_default());
            let denied = error.rdkafka_error_code().is_some_and(is_denied);
            let kind = if denied { Kind::Denied } else { Kind::Invalid };
            return Err(Error::new(kind, format!("{what} at {}", settings.brokers))
                .caused_by(error)
                .help("make the topic first, or let the brokers make topics by themselves"));
        }
        producer.poll(TOPIC_POLL);
        waited += TOPIC_POLL;
    }
}

/// True when the group's coordinator is not ready yet.
fn is_moving(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::NotCoordinator | Code::CoordinatorNotAvailable | Code::CoordinatorLoadInProgress))
}

/// True when a newer life of the producer exists.
fn is_fenced(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(error.rdkafka_error_code(), Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch))
}

/// True when the same record would be refused again.
fn is_refused(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::MessageSizeTooLarge | Code::InvalidRecord | Code::InvalidTopic))
}
