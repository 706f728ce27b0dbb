//! Kafka as a sink.

use super::lives::Lives;
use super::note::name;
use super::options::{
    self as given, BOOTSTRAP, CONNECT_TIMEOUT, KEY_PASSWORD, KEY_PEM, OAUTH_ASSERTION_KEY, OAUTH_ASSERTION_PASSPHRASE,
    OAUTH_SECRET, PASSED_ON, PASSWORD,
};
use super::transaction::Settings;
use crate::topics::key::{KEY, KEY_FORMAT};
use crate::topics::payload::{HEADERS, PARTITION, RecordEncoder};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::sink::{Marker, Refused, Sink, SinkConnector, SinkRequest};
use tidemill_core::{Clock, Epoch, Error, Kind, Options, Result, ResultExt, SystemClock};

/// The shortest transaction timeout that the client takes.
const TRANSACTION_TIMEOUT_MIN: Duration = Duration::from_secs(1);

const PARTITIONER: OptionSpec = OptionSpec::new(
    "partitioner",
    OptionKind::Choice(&[
        "murmur2_random",
        "murmur2",
        "consistent_random",
        "consistent",
        "fnv1a_random",
        "fnv1a",
        "random",
    ]),
    "how a key chooses its partition; murmur2_random as Java's producers and Spark do, consistent_random as \
     librdkafka's do. Records without a key are spread, except by murmur2, consistent and fnv1a",
)
.aliases(&["kafka.partitioner"]);
const COMPRESSION: OptionSpec = OptionSpec::new(
    "compression",
    OptionKind::Choice(&["none", "gzip", "snappy", "lz4", "zstd"]),
    "how batches of records are compressed",
)
.aliases(&["kafka.compression.type", "kafka.compression.codec"]);
pub(crate) const TRANSACTION_TIMEOUT: OptionSpec = OptionSpec::new(
    "transaction_timeout",
    OptionKind::Duration,
    "the brokers abort a transaction that takes longer; it lasts as long as sending an epoch's records. At most what \
     they allow (transaction.max.timeout.ms, 15 minutes). One that was late is tried again with twice the time",
);

pub(crate) const WRITE_TIMEOUT: OptionSpec = OptionSpec::new(
    "write_timeout",
    OptionKind::Duration,
    "how long an epoch is tried again while the brokers are away, before the query stops",
);

pub(crate) static DESCRIPTION: Description = Description {
    name: "kafka",
    role: Role::Sink,
    summary: "writes records to topics of Apache Kafka and of systems that speak its protocol",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        BOOTSTRAP,
        OptionSpec::new(
            "topic",
            OptionKind::Text,
            "the topic to write; without it (and without a format) a column 'topic' names it for each row",
        ),
        KEY,
        KEY_FORMAT,
        HEADERS,
        PARTITION,
        PARTITIONER.default("murmur2_random"),
        COMPRESSION.default("none"),
        OptionSpec::new(
            "delivery",
            OptionKind::Choice(&["exactly-once", "at-least-once"]),
            "exactly-once writes an epoch in one transaction that readers of committed records see whole or not at all",
        )
        .default("exactly-once"),
        OptionSpec::new(
            "marker_topic",
            OptionKind::Text,
            "the topic on whose partition 0 the query's group holds the epoch; needed for exactly-once when rows name \
             their topics (otherwise: topic)",
        ),
        TRANSACTION_TIMEOUT.default("60 seconds"),
        WRITE_TIMEOUT.default("5 minutes"),
        CONNECT_TIMEOUT,
        PASSWORD,
        OAUTH_SECRET,
        OAUTH_ASSERTION_KEY,
        OAUTH_ASSERTION_PASSPHRASE,
        KEY_PEM,
        KEY_PASSWORD,
        PASSED_ON,
    ],
    example: "connector = 'kafka', bootstrap_servers = 'localhost:9092', topic = 'results', key = 'user_id', format = 'json'",
};

/// Opens Kafka as a sink.
pub struct KafkaSinkConnector {
    clock: Arc<dyn Clock>,
}

impl KafkaSinkConnector {
    /// With a clock that tells how long a transaction took.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        KafkaSinkConnector { clock }
    }
}

impl Default for KafkaSinkConnector {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock::new()))
    }
}

#[async_trait]
impl SinkConnector for KafkaSinkConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn guarantee(&self, options: &Options) -> Guarantee {
        if is_transactional(options) { DESCRIPTION.guarantee } else { Guarantee::AtLeastOnce }
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let encoder = RecordEncoder::new(&request)?;
        encoder.prepare().await?;
        let settings = settings(&request, &encoder, self.clock.clone())?;
        let is_transactional = settings.is_transactional;
        let lives = blocking(move || Lives::begin(settings)).await?;
        Ok(Box::new(KafkaSink { is_transactional, encoder, lives: Arc::new(Mutex::new(lives)) }))
    }
}

/// True unless the user asks for less than exactly once.
fn is_transactional(options: &Options) -> bool {
    !options.text("delivery").is_some_and(|delivery| delivery.eq_ignore_ascii_case("at-least-once"))
}

fn settings(request: &SinkRequest, encoder: &RecordEncoder, clock: Arc<dyn Clock>) -> Result<Settings> {
    let (table, options) = (&request.table, &request.options);
    let topic = options.text("topic").map(str::to_owned);
    let is_transactional = is_transactional(options);
    let marker_topic = options.text("marker_topic").map(str::to_owned).or_else(|| topic.clone());
    if topic.is_none() && !encoder.has_topic_column() {
        return Err(Error::invalid(format!("table '{table}' needs option 'topic', or a column 'topic' and no format")));
    }
    if marker_topic.is_none() && is_transactional {
        return Err(Error::invalid(format!(
            "table '{table}' takes the topic from its rows, so it has no place for the epoch"
        ))
        .help("name a topic that is there with option 'marker_topic', or set delivery = 'at-least-once'"));
    }
    let name = name(&request.writer);
    let transaction_timeout = options.duration(TRANSACTION_TIMEOUT.name).unwrap_or(Duration::from_secs(60));
    if transaction_timeout < TRANSACTION_TIMEOUT_MIN {
        return Err(Error::invalid(format!("table '{table}': transaction_timeout must be at least 1 second")));
    }
    let transaction = transaction_timeout.as_millis().to_string();
    let mut ours = vec![
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("partitioner", options.required(PARTITIONER.name)?),
        ("compression.type", options.required(COMPRESSION.name)?),
        // an epoch is sent at once; what gathers meanwhile makes the next request larger
        ("linger.ms", "1"),
        // the brokers still write the end of the last transaction when the next begins, and ask to wait
        ("retry.backoff.ms", "4"),
        ("queue.buffering.max.kbytes", "131072"),
        ("reconnect.backoff.max.ms", "2000"),
        ("socket.keepalive.enable", "true"),
    ];
    if is_transactional {
        ours.extend([("transactional.id", name.as_str()), ("transaction.timeout.ms", &transaction)]);
    }
    let producer = given::configure(table, options, &ours)?;
    let marker = [("group.id", name.as_str()), ("enable.auto.commit", "false"), ("allow.auto.create.topics", "false")];
    let mut consumer = given::configure(table, options, &marker)?;
    // whatever the user says of it: an offset whose transaction is open is waited for
    consumer.set("isolation.level", "read_committed");
    Ok(Settings {
        table: table.clone(),
        brokers: given::brokers(options)?,
        topic,
        marker_topic: marker_topic.filter(|_| is_transactional),
        writer: request.writer.clone(),
        process: uuid::Uuid::new_v4().to_string(),
        producer,
        consumer,
        timeout: options.duration("connect_timeout").unwrap_or(Duration::from_secs(10)),
        transaction_timeout,
        write_timeout: options.duration("write_timeout").unwrap_or(Duration::from_secs(300)),
        clock,
        is_transactional,
    })
}

struct KafkaSink {
    is_transactional: bool,
    encoder: RecordEncoder,
    lives: Arc<Mutex<Lives>>,
}

#[async_trait]
impl Sink for KafkaSink {
    async fn marker(&mut self) -> Result<Marker> {
        let lives = self.lives.clone();
        blocking(move || lives.lock().unwrap_or_else(PoisonError::into_inner).marker()).await
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let records = rows.iter().map(|rows| self.encoder.encode(rows)).collect::<Result<Vec<_>>>()?;
        let (lives, is_transactional) = (self.lives.clone(), self.is_transactional);
        blocking(move || {
            let mut lives = lives.lock().unwrap_or_else(PoisonError::into_inner);
            if is_transactional { lives.commit(epoch, &records) } else { lives.write(&records) }
        })
        .await
    }

    async fn refused(&mut self, _epoch: Epoch, rows: &[RecordBatch]) -> Result<Vec<Refused>> {
        if !self.is_transactional {
            return Ok(vec![]);
        }
        let records = rows.iter().map(|rows| self.encoder.encode(rows)).collect::<Result<Vec<_>>>()?;
        let lives = self.lives.clone();
        blocking(move || lives.lock().unwrap_or_else(PoisonError::into_inner).refused(&records)).await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context(Kind::Bug, || "the thread that writes to Kafka ended early".into())?
}
