//! One life of a transactional producer, and the marker it leaves.
//!
//! The marker is the metadata of an offset that our own group (named as the transactional id) commits
//! on partition 0 of a topic, in the same transaction as the rows: `{"writer": ..., "epoch": ..., "process": ...}`.
//! Brokers forget the offsets of a group that has committed nothing for `offsets.retention.minutes`
//! (7 days unless set): a query that stood longer finds no marker, and says so.
//!
//! Order matters: [`Session::open`] fences every earlier life of the producer and lets the broker settle
//! what that left open; only then the marker is read.
//!
//! A transaction is begun when the rows are there, so it lasts as long as sending them, not as the epoch.
//!
//! Blocking, each call with a timeout; callers move it to a blocking thread.

use super::client::{Context, EVENTS_MAX, failed, is_denied, misconfigured};
use super::note::{Note, name};
use crate::topics::payload::Encoded;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tidemill_core::sink::Writer;
use tidemill_core::{Clock, Error, Kind, Result};

/// The producer's queue is looked at again after this time.
const POLL: Duration = Duration::from_millis(1);
/// A topic that is being made, or a group that moves, is looked for again after this time.
const TOPIC_POLL: Duration = Duration::from_millis(50);
/// How long a look at the note may take that another look will follow.
const PEEK_TIMEOUT: Duration = Duration::from_secs(2);

/// What every life of the producer needs.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) table: String,
    pub(crate) brokers: String,
    /// Topic for records that name none.
    pub(crate) topic: Option<String>,
    /// Home of the marker; there is one when writing is transactional.
    pub(crate) marker_topic: Option<String>,
    pub(crate) writer: Writer,
    /// A name that no other process has.
    pub(crate) process: String,
    pub(crate) producer: ClientConfig,
    /// Reads the marker.
    pub(crate) consumer: ClientConfig,
    pub(crate) timeout: Duration,
    /// After this time the brokers abort a transaction.
    pub(crate) transaction_timeout: Duration,
    /// How long an epoch is tried while the brokers are away.
    pub(crate) write_timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    /// False: at least once, without transactions and marker.
    pub(crate) is_transactional: bool,
}

impl Settings {
    /// Of the lives to come.
    pub(crate) fn set_transaction_timeout(&mut self, timeout: Duration) {
        self.transaction_timeout = timeout;
        self.producer.set("transaction.timeout.ms", timeout.as_millis().to_string());
    }

    /// Another process writes in our name.
    pub(crate) fn fenced(&self) -> Error {
        let (name, table) = (name(&self.writer), &self.table);
        Error::new(Kind::Fenced, format!("another process writes as '{name}': table '{table}'"))
    }
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
    /// Nothing of it is or ever will be visible, or that is unknown: ask a new session's note. `is_late`: it took
    /// longer than the brokers wait.
    Unclear { error: KafkaError, is_late: bool },
}

impl Session {
    /// Connects, fences every earlier life, and waits until what that left open is settled.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a topic that is not there or a transaction timeout that the brokers do not allow.
    pub(crate) fn open(settings: &Settings) -> Result<Session> {
        let context = Context::default();
        let table = &settings.table;
        let producer: BaseProducer<Context> =
            settings.producer.create_with_context(context.clone()).map_err(|error| misconfigured(table, error))?;
        let consumer: BaseConsumer<Context> =
            settings.consumer.create_with_context(context.clone()).map_err(|error| misconfigured(table, error))?;
        for topic in [&settings.topic, &settings.marker_topic].into_iter().flatten() {
            find_topic(&producer, settings, topic)?;
        }
        if settings.is_transactional {
            producer.init_transactions(settings.timeout).map_err(|error| cannot_begin(settings, error, &context))?;
        }
        // what was reported meanwhile comes only when it is asked for
        for _ in 0..EVENTS_MAX {
            producer.poll(Duration::ZERO);
        }
        context.0.opened();
        Ok(Session { settings: settings.clone(), producer, consumer })
    }

    /// What the group holds.
    pub(crate) fn note(&self) -> Result<Option<Note>> {
        self.read_note(self.settings.timeout)
    }

    /// The same for a session whose transaction may still be open: it does not wait long for its end.
    pub(crate) fn peek(&self) -> Result<Option<Note>> {
        self.read_note(self.settings.timeout.min(PEEK_TIMEOUT))
    }

    fn read_note(&self, timeout: Duration) -> Result<Option<Note>> {
        let Some(topic) = &self.settings.marker_topic else { return Ok(None) };
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, 0);
        let failure = |error| self.failed("cannot read the group's offset", &error);
        let committed = self.committed(&asked, timeout).map_err(failure)?;
        let Some(entry) = committed.find_partition(topic, 0) else { return Ok(None) };
        entry.error().map_err(failure)?;
        match entry.offset() {
            Offset::Offset(_) => Note::parse(&self.settings.writer, topic, entry.metadata()).map(Some),
            _ => Ok(None),
        }
    }

    /// The group's offsets. Brokers that have just started still move the group about, and ask to wait.
    fn committed(&self, asked: &TopicPartitionList, timeout: Duration) -> KafkaResult<TopicPartitionList> {
        let begun = self.settings.clock.elapsed();
        loop {
            let committed = self.consumer.committed_offsets(asked.clone(), timeout);
            let waited = self.settings.clock.elapsed().saturating_sub(begun);
            match committed {
                Err(error) if is_moving(&error) && waited < timeout => self.producer.poll(TOPIC_POLL),
                other => return other,
            };
        }
    }

    /// Writes the records and the note in one transaction.
    ///
    /// # Errors
    /// [`Kind::Fenced`] when another process has taken over; [`Kind::Data`] when the brokers refuse a
    /// record for good.
    pub(crate) fn commit(&self, note: &Note, records: &[Encoded]) -> Result<Ending> {
        let begun = self.settings.clock.elapsed();
        let ended = self.transaction(note, records);
        let took = self.settings.clock.elapsed().saturating_sub(begun);
        let is_late = took >= self.settings.transaction_timeout;
        match ended {
            Ok(()) => {
                self.warn_if_slow(took);
                Ok(Ending::Committed)
            }
            // brokers that abort for lateness answer as if a newer life existed
            Err(error) if is_fenced(&error) && !is_late => Err(self.settings.fenced().caused_by(error)),
            Err(error) if is_refused(&error) => {
                Err(Error::new(Kind::Data, format!("the brokers refuse a record of table '{}'", self.settings.table))
                    .help(advice(&error))
                    .caused_by(error))
            }
            Err(error) => Ok(Ending::Unclear { error, is_late }),
        }
    }

    /// A transaction that needs half of its time now is late when the brokers are busy.
    fn warn_if_slow(&self, took: Duration) {
        if took > self.settings.transaction_timeout / 2 {
            let (took, of) = (took.as_secs_f64(), self.settings.transaction_timeout.as_secs_f64());
            let table = &self.settings.table;
            tracing::warn!(table, took, of, "a transaction took more than half of transaction_timeout");
        }
    }

    fn transaction(&self, note: &Note, records: &[Encoded]) -> KafkaResult<()> {
        self.producer.begin_transaction()?;
        let mut offsets = TopicPartitionList::new();
        if let Some(topic) = &self.settings.marker_topic {
            let text = serde_json::to_string(note).map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
            let mut entry = offsets.add_partition(topic, 0);
            entry.set_offset(Offset::Offset(note.offset()))?;
            entry.set_metadata(text);
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

    /// Sends some of the records, by their number over all batches, in a transaction that is aborted.
    pub(super) fn sent_and_aborted(&self, records: &[Encoded], wanted: &Range<usize>) -> KafkaResult<()> {
        self.producer.begin_transaction()?;
        let mut number = 0;
        for batch in records {
            for at in 0..batch.count {
                if wanted.contains(&number) {
                    self.send_one(batch, at)?;
                }
                number += 1;
            }
        }
        self.deliver()?;
        self.producer.abort_transaction(self.settings.timeout)
    }

    /// Writes the records without a transaction; they are delivered when it returns.
    pub(crate) fn write(&self, records: &[Encoded]) -> Result<()> {
        self.send(records).and_then(|()| self.deliver()).map_err(|error| self.failed("cannot write records", &error))
    }

    fn send(&self, records: &[Encoded]) -> KafkaResult<()> {
        for batch in records {
            for at in 0..batch.count {
                self.send_one(batch, at)?;
            }
        }
        Ok(())
    }

    fn send_one(&self, batch: &Encoded, at: usize) -> KafkaResult<()> {
        let topic = self.settings.topic.as_deref().or_else(|| batch.topic(at));
        let topic = topic.ok_or_else(|| KafkaError::ClientCreation("a row names no topic".into()))?;
        let mut record = BaseRecord::<[u8], [u8]>::to(topic);
        (record.key, record.payload) = (batch.key(at), batch.value(at));
        (record.partition, record.headers) = (batch.partition(at), headers(batch, at));
        while let Err((error, refused)) = self.producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error);
            }
            self.producer.poll(POLL);
            record = refused;
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

    pub(super) fn failed(&self, what: &str, error: &KafkaError) -> Error {
        failed(what, &self.settings.brokers, error, &self.producer.context().0)
    }
}

fn headers(batch: &Encoded, at: usize) -> Option<OwnedHeaders> {
    let all = batch.headers(at)?;
    let empty = OwnedHeaders::new_with_capacity(all.len());
    Some(all.fold(empty, |headers, (key, value)| headers.insert(Header { key, value })))
}

/// The error of a producer that is not let in.
fn cannot_begin(settings: &Settings, error: KafkaError, context: &Context) -> Error {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::InvalidTransactionTimeout) {
        let (table, seconds) = (&settings.table, settings.transaction_timeout.as_secs_f64());
        let message = format!("table '{table}': the brokers allow no transaction of {seconds} s (transaction_timeout)");
        return Error::invalid(message)
            .help("lower transaction_timeout, or raise transaction.max.timeout.ms of the brokers");
    }
    failed("cannot begin to write transactions", &settings.brokers, &error, &context.0)
}

/// Waits for a topic, which the brokers may have to make first.
fn find_topic(producer: &BaseProducer<Context>, settings: &Settings, topic: &str) -> Result<()> {
    let client = producer.client();
    let mut waited = Duration::ZERO;
    loop {
        let metadata = client.fetch_metadata(Some(topic), settings.timeout);
        let metadata = metadata.map_err(|error| {
            producer.poll(TOPIC_POLL);
            failed("cannot reach Kafka", &settings.brokers, &error, &producer.context().0)
        })?;
        let about = metadata.topics().iter().find(|about| about.name() == topic);
        let Some(trouble) = about.and_then(|about| about.error()) else { return Ok(()) };
        if waited >= settings.timeout {
            let error = KafkaError::MetadataFetch(trouble.into());
            let kind = match error.rdkafka_error_code() {
                Some(code) if is_denied(code) => Kind::Denied,
                Some(RDKafkaErrorCode::LeaderNotAvailable) => Kind::Again,
                _ => Kind::Invalid,
            };
            return Err(Error::new(kind, format!("cannot write topic '{topic}' at {}", settings.brokers))
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
pub(super) fn is_refused(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::MessageSizeTooLarge | Code::InvalidRecord | Code::InvalidTopic | Code::UnknownPartition))
}

fn advice(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownPartition) => "the column 'partition' names one that the topic has not",
        _ => "a record that is too large needs a larger kafka.message.max.bytes, here and on the brokers",
    }
}
