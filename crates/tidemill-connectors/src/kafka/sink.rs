//! Kafka as a sink.

use super::options::{
    self as given, BOOTSTRAP, CONNECT_TIMEOUT, KEY_PASSWORD, KEY_PEM, OAUTH_SECRET, PASSED_ON, PASSWORD,
};
use super::transaction::{Ending, Session, Settings, name};
use crate::topics::payload::{Encoded, RecordEncoder};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use rdkafka::error::KafkaError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::sink::{Marker, Sink, SinkConnector, SinkRequest};
use tidemill_core::{Clock, Epoch, Error, Kind, Options, Result, ResultExt, SystemClock};

/// A transaction whose end is unclear and that turns out to be aborted is tried this often in all.
const ATTEMPTS_MAX: u32 = 3;

static DESCRIPTION: Description = Description {
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
        OptionSpec::new("key", OptionKind::Text, "the column that becomes the record's key"),
        OptionSpec::new(
            "delivery",
            OptionKind::Choice(&["exactly-once", "at-least-once"]),
            "exactly-once writes an epoch in one transaction that readers of committed records see whole or not at all",
        )
        .default("exactly-once"),
        OptionSpec::new(
            "transaction_timeout",
            OptionKind::Duration,
            "a transaction that takes longer is aborted by the brokers; at most what they allow (15 minutes)",
        )
        .default("60 seconds"),
        CONNECT_TIMEOUT,
        PASSWORD,
        OAUTH_SECRET,
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
        let settings = settings(&request, &encoder, self.clock.clone())?;
        let opening = settings.clone();
        let session = blocking(move || Session::open(&opening)).await?;
        Ok(Box::new(KafkaSink { settings, encoder, session: Arc::new(Mutex::new(Some(session))) }))
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
    if topic.is_none() && !encoder.has_topic_column() {
        return Err(Error::invalid(format!("table '{table}' needs option 'topic', or a column 'topic' and no format")));
    }
    if topic.is_none() && is_transactional {
        return Err(Error::invalid(format!(
            "table '{table}' takes the topic from its rows, so it has no place for the epoch"
        ))
        .help("set option 'topic', or delivery = 'at-least-once'"));
    }
    let name = name(&request.writer);
    let transaction_timeout = options.duration("transaction_timeout").unwrap_or(Duration::from_secs(60));
    let transaction = transaction_timeout.as_millis().to_string();
    let mut ours = vec![
        ("enable.idempotence", "true"),
        ("acks", "all"),
        // Java's partitioner, and so Spark's: the same key goes to the same partition
        ("partitioner", "murmur2_random"),
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
    let marker = [
        ("group.id", name.as_str()),
        ("enable.auto.commit", "false"),
        ("isolation.level", "read_committed"),
        ("allow.auto.create.topics", "false"),
    ];
    Ok(Settings {
        table: table.clone(),
        brokers: given::brokers(options)?,
        topic,
        writer: request.writer.clone(),
        producer,
        consumer: given::configure(table, options, &marker)?,
        timeout: options.duration("connect_timeout").unwrap_or(Duration::from_secs(10)),
        transaction_timeout,
        clock,
        is_transactional,
    })
}

struct KafkaSink {
    settings: Settings,
    encoder: RecordEncoder,
    /// Absent after an unclear error.
    session: Arc<Mutex<Option<Session>>>,
}

#[async_trait]
impl Sink for KafkaSink {
    async fn marker(&mut self) -> Result<Marker> {
        let (session, settings) = (self.session.clone(), self.settings.clone());
        blocking(move || {
            let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
            with_session(&mut session, &settings)?.marker()
        })
        .await
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let records = rows.iter().map(|rows| self.encoder.encode(rows)).collect::<Result<Vec<_>>>()?;
        let (session, settings) = (self.session.clone(), self.settings.clone());
        blocking(move || {
            let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
            match settings.is_transactional {
                true => commit(&mut session, &settings, epoch, &records),
                false => with_session(&mut session, &settings)?.write(&records),
            }
        })
        .await
    }
}

/// Commits the epoch; when the outcome is unclear, fences, reads the marker and decides.
fn commit(session: &mut Option<Session>, settings: &Settings, epoch: Epoch, records: &[Encoded]) -> Result<()> {
    let mut trouble: Option<KafkaError> = None;
    for _ in 0..ATTEMPTS_MAX {
        if session.is_none() && with_session(session, settings)?.marker()? == Marker::At(epoch) {
            return Ok(());
        }
        // taken out, so that an error leaves no session behind whose state is unknown
        let Some(current) = session.take() else { continue };
        match current.commit(epoch, records)? {
            Ending::Committed => {
                *session = Some(current);
                return Ok(());
            }
            Ending::Unclear(error) => {
                tracing::warn!(table = settings.table, %epoch, %error, "the end of a Kafka transaction is unclear");
                trouble = Some(error);
            }
        }
    }
    let error = Error::new(Kind::Again, format!("epoch {epoch} could not be written to Kafka at {}", settings.brokers));
    Err(match trouble {
        Some(trouble) => error.caused_by(trouble),
        None => error,
    })
}

fn with_session<'a>(session: &'a mut Option<Session>, settings: &Settings) -> Result<&'a Session> {
    let opened = match session.take() {
        Some(open) => open,
        None => Session::open(settings)?,
    };
    Ok(session.insert(opened))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context(Kind::Bug, || "the thread that writes to Kafka ended early".into())?
}
