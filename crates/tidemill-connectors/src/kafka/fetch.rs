//! The thread that moves fetched records from librdkafka's queues into our buffers.
//!
//! librdkafka has a queue for each partition and fetches into it in the background, up to a bound. The
//! thread empties the queues as long as there is room in the buffer of the partition, and sleeps until
//! librdkafka calls that a queue is no longer empty. It alone positions partitions, so that no record
//! of an old position can slip behind a new one.

use super::buffer::{Buffer, Headers as Kept};
use super::client::Context;
use super::connection::{Connection, SharedConsumer};
use super::rescue::Rescue;
use crate::topics::{headers, topic_partition};
use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message, Timestamp};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;
use tidemill_core::{Clock, Error, Kind, Result, ResultExt, Split};
use tokio::sync::Notify;

/// The thread looks at everything again after this time, whatever it was told.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Records that are moved before a reader gets a turn.
const RECORDS_A_TURN: usize = 2_000;
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);

/// One partition, shared by the thread and the source.
pub(crate) struct Part {
    pub(crate) split: Split,
    buffer: Mutex<Buffer>,
    /// Counts positionings that were carried out.
    generation: AtomicU64,
    /// Kafka's number of the timestamps' meaning: 0 when made, 1 when appended.
    pub(crate) timestamp_type: AtomicI32,
    failure: Mutex<Option<RDKafkaErrorCode>>,
    /// Wakes readers of this partition.
    pub(crate) changed: Notify,
    /// librdkafka's queue may hold something.
    ready: AtomicBool,
}

impl Part {
    /// The buffer.
    pub(crate) fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts positionings that were carried out; 0 before the first.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Why fetching stopped, if it did.
    pub(crate) fn failure(&self) -> Option<RDKafkaErrorCode> {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says why fetching cannot go on.
    pub(crate) fn set_failure(&self, failure: Option<RDKafkaErrorCode>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

struct Shared {
    positions: Mutex<Vec<(Arc<Part>, u64)>>,
    parts: Mutex<BTreeMap<Split, Arc<Part>>>,
    stop: AtomicBool,
    bytes_max: usize,
    keeps_headers: bool,
}

/// Handle of the thread; dropping it ends the thread.
pub(crate) struct Fetcher {
    /// Wakes the source: something was fetched, or failed.
    pub(crate) news: Arc<Notify>,
    shared: Arc<Shared>,
    thread: Thread,
}

impl Fetcher {
    /// Starts the thread. The buffers of all partitions together take about `bytes_max`; headers are kept only
    /// when someone reads them.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(
        connection: Arc<Connection>,
        bytes_max: usize,
        keeps_headers: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Fetcher> {
        let shared = Arc::new(Shared {
            positions: Mutex::default(),
            parts: Mutex::default(),
            stop: AtomicBool::new(false),
            bytes_max,
            keeps_headers,
        });
        let news = Arc::new(Notify::new());
        let worker = Worker {
            consumer: connection.consumer(),
            rescue: Rescue::new(connection.clone(), clock),
            connection,
            shared: shared.clone(),
            news: news.clone(),
            queues: BTreeMap::new(),
        };
        let spawned = thread::Builder::new().name("kafka-fetch".into()).spawn(move || worker.run());
        let handle = spawned.context(Kind::Io, || "cannot start the thread that fetches from Kafka".into())?;
        Ok(Fetcher { news, shared, thread: handle.thread().clone() })
    }

    /// The partition, made known if it was not.
    pub(crate) fn part(&self, split: &Split) -> Arc<Part> {
        let mut parts = self.shared.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Part {
                split: split.clone(),
                buffer: Mutex::default(),
                generation: AtomicU64::new(0),
                timestamp_type: AtomicI32::new(0),
                failure: Mutex::default(),
                changed: Notify::new(),
                ready: AtomicBool::new(false),
            })
        };
        parts.entry(split.clone()).or_insert_with(new).clone()
    }

    /// Has the thread fetch the partition from `position` on.
    pub(crate) fn position(&self, part: &Arc<Part>, position: u64) {
        let mut positions = self.shared.positions.lock().unwrap_or_else(PoisonError::into_inner);
        positions.retain(|(other, _)| other.split != part.split);
        positions.push((part.clone(), position));
        drop(positions);
        self.thread.unpark();
    }

    /// The same, and waits until it is done: nothing that was fetched before is left. False when that takes longer than
    /// `patience`.
    pub(crate) async fn repositioned(&self, part: &Arc<Part>, position: u64, patience: Duration) -> bool {
        let begun = part.generation();
        let done = async {
            loop {
                let changed = part.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if part.generation() > begun {
                    return;
                }
                changed.await;
            }
        };
        self.position(part, position);
        tokio::time::timeout(patience, done).await.is_ok()
    }

    /// Has the thread go on after a reader has made room.
    pub(crate) fn room(&self) {
        self.thread.unpark();
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

struct Worker {
    connection: Arc<Connection>,
    consumer: SharedConsumer,
    rescue: Rescue,
    shared: Arc<Shared>,
    news: Arc<Notify>,
    queues: BTreeMap<Split, (Arc<Part>, PartitionQueue<Context>)>,
}

impl Worker {
    fn run(mut self) {
        // after every sleep all queues are looked at, in case a call was missed
        let mut looks_at_all = true;
        while !self.shared.stop.load(Ordering::Acquire) {
            self.carry_out_positions();
            self.serve_client();
            self.leave_a_lost_client();
            let bytes_max = self.shared.bytes_max / self.queues.len().max(1);
            let mut moved = false;
            for (part, queue) in self.queues.values() {
                let is_ready = looks_at_all || part.ready.load(Ordering::Acquire);
                if is_ready && part.buffer().bytes() < bytes_max {
                    moved |= drain(part, queue, self.shared.keeps_headers);
                }
            }
            looks_at_all = !moved;
            if moved {
                self.news.notify_one();
            } else {
                thread::park_timeout(LOOK_AGAIN);
            }
        }
        // the queues must go before the client they belong to
        self.queues.clear();
    }

    fn carry_out_positions(&mut self) {
        let positions = std::mem::take(&mut *self.shared.positions.lock().unwrap_or_else(PoisonError::into_inner));
        for (part, position) in positions {
            // the buffer is emptied first: what still comes from the old position is then older or dropped
            part.buffer().reset(position);
            if let Err(error) = self.position(&part, position) {
                tracing::warn!(split = %part.split, position, %error, "cannot position a Kafka partition, trying again");
                self.shared.positions.lock().unwrap_or_else(PoisonError::into_inner).push((part, position));
                thread::park_timeout(LOOK_AGAIN);
                continue;
            }
            part.set_failure(None);
            part.generation.fetch_add(1, Ordering::AcqRel);
            part.changed.notify_waiters();
        }
    }

    /// Goes on with a new client when the present one has lost the brokers. What is in the buffers stays there.
    fn leave_a_lost_client(&mut self) {
        let Some((topic, _)) = self.queues.keys().next().and_then(|split| place(split).ok()) else { return };
        let Some(fresh) = self.rescue.replacement(topic) else { return };
        tracing::warn!("the client of Kafka has lost all brokers and does not find back: going on with a new one");
        let parts: Vec<Arc<Part>> = std::mem::take(&mut self.queues).into_values().map(|(part, _)| part).collect();
        self.connection.exchange(fresh.clone());
        let lost = std::mem::replace(&mut self.consumer, fresh);
        // its end waits for connections that nobody answers
        thread::spawn(move || drop(lost));
        for part in parts {
            let next = part.buffer().next;
            if let Err(error) = self.position(&part, next) {
                tracing::warn!(split = %part.split, next, %error, "cannot go on with a Kafka partition, trying again");
                self.shared.positions.lock().unwrap_or_else(PoisonError::into_inner).push((part, next));
            }
        }
    }

    fn position(&mut self, part: &Arc<Part>, position: u64) -> KafkaResult<()> {
        let (topic, partition) = place(&part.split)?;
        let offset = Offset::Offset(position as i64);
        if self.queues.contains_key(&part.split) {
            if self.consumer.seek(topic, partition, offset, SEEK_TIMEOUT).is_ok() {
                return Ok(());
            }
            // not being fetched at the moment: assign it anew
            self.queues.remove(&part.split);
            let mut gone = TopicPartitionList::new();
            gone.add_partition(topic, partition);
            self.consumer.incremental_unassign(&gone)?;
        }
        let queue = self.consumer.split_partition_queue(topic, partition);
        let mut queue = queue.ok_or_else(|| KafkaError::Subscription(format!("no queue for {}", part.split)))?;
        let (ready, thread) = (part.clone(), thread::current());
        queue.set_nonempty_callback(move || {
            ready.ready.store(true, Ordering::Release);
            thread.unpark();
        });
        part.ready.store(true, Ordering::Release);
        let mut new = TopicPartitionList::new();
        new.add_partition_offset(topic, partition, offset)?;
        self.consumer.incremental_assign(&new)?;
        self.queues.insert(part.split.clone(), (part.clone(), queue));
        Ok(())
    }

    /// Serves the client's own events; records never come here, their queues are split off.
    fn serve_client(&self) {
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            if let Err(error) = event {
                tracing::debug!(%error, "kafka client reports an error");
            }
        }
    }
}

/// Moves records, for one turn; false when there was nothing.
fn drain(part: &Part, queue: &PartitionQueue<Context>, keeps_headers: bool) -> bool {
    // cleared before the look, so that a call during it is not lost
    part.ready.store(false, Ordering::Release);
    let mut buffer = part.buffer();
    for turn in 0..RECORDS_A_TURN {
        let Some(event) = queue.poll(Duration::ZERO) else {
            drop(buffer);
            if turn > 0 {
                part.changed.notify_waiters();
            }
            return turn > 0;
        };
        match event {
            Ok(message) => push(part, &mut buffer, &message, keeps_headers),
            Err(KafkaError::PartitionEOF(_)) => buffer.at_end = true,
            Err(error) => note(part, &error),
        }
    }
    drop(buffer);
    part.ready.store(true, Ordering::Release);
    part.changed.notify_waiters();
    true
}

fn push(part: &Part, buffer: &mut Buffer, message: &BorrowedMessage<'_>, keeps_headers: bool) {
    let (kind, millis) = match message.timestamp() {
        Timestamp::CreateTime(millis) => (0, millis),
        Timestamp::LogAppendTime(millis) => (1, millis),
        Timestamp::NotAvailable => (0, 0),
    };
    part.timestamp_type.store(kind, Ordering::Relaxed);
    let packed = message.headers().filter(|_| keeps_headers).map(|all| {
        let mut packed = Vec::new();
        headers::pack(all.iter().map(|header| (header.key, header.value)), &mut packed);
        packed
    });
    let kept = if keeps_headers { Kept::Kept(packed.as_deref()) } else { Kept::Left };
    let offset = message.offset().max(0) as u64;
    buffer.push(offset, message.key(), message.payload(), millis.saturating_mul(1_000), kept);
}

/// Keeps the errors that end the fetching; librdkafka tries again after the others by itself.
fn note(part: &Part, error: &KafkaError) {
    use RDKafkaErrorCode as Code;
    let Some(code) = error.rdkafka_error_code() else { return };
    match code {
        Code::OffsetOutOfRange
        | Code::AutoOffsetReset
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::TopicAuthorizationFailed => part.set_failure(Some(code)),
        _ => tracing::debug!(split = %part.split, %error, "fetching goes on after an error"),
    }
}

fn place(split: &Split) -> KafkaResult<(&str, i32)> {
    topic_partition(split)
        .map(|(topic, partition)| (topic, partition as i32))
        .map_err(|error: Error| KafkaError::Subscription(error.to_string()))
}
