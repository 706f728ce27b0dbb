//! The log as a sink: an epoch's rows and its number in one append.

use super::batch::LogRecord;
use super::writer::{Append, Durability, LogWriter, TopicOptions};
use crate::marker;
use crate::topics::headers;
use crate::topics::key::KEY_FORMAT;
use crate::topics::payload::{HEADERS, RecordEncoder};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::sink::{Marker, Sink, SinkConnector, SinkRequest, Writer};
use tidemill_core::{Clock, Epoch, Error, Kind, Options, Result, ResultExt, SystemClock};

static DESCRIPTION: Description = Description {
    name: "log",
    role: Role::Sink,
    summary: "appends records to a topic of the embedded durable log",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new("path", OptionKind::Location, "the directory of the log; made when it is not there").required(),
        OptionSpec::new("topic", OptionKind::Text, "the topic to write; made when it is not there").required(),
        OptionSpec::new(
            "partitions",
            OptionKind::Integer,
            "number of partitions, fixed when the topic is made (1 when not given)",
        ),
        OptionSpec::new(
            "key",
            OptionKind::Text,
            "the column that becomes the record's key, or several with commas between: then a JSON object of them; \
             its hash chooses the partition",
        ),
        KEY_FORMAT,
        OptionSpec::new(
            "durability",
            OptionKind::Choice(&["synced", "cached"]),
            "what a committed epoch survives: synced a power cut; cached only a killed process, and several times faster",
        )
        .default("synced"),
        OptionSpec::new("segment_bytes", OptionKind::Bytes, "size at which the next file is begun").default("64MiB"),
        HEADERS,
        OptionSpec::new(
            "retention",
            OptionKind::Duration,
            "how long records are kept, and longer while a reader has not committed them; for ever when not given",
        ),
        OptionSpec::new(
            "retention_bytes",
            OptionKind::Bytes,
            "bytes a partition keeps, the newest ones, and more while a reader has not committed them; all when not given",
        ),
        OptionSpec::new(
            "reader_expiry",
            OptionKind::Duration,
            "a reader that has not run for so long is waited for no more",
        )
        .default("7 days"),
    ],
    example: "connector = 'log', path = 'data/log', topic = 'results', key = 'user_id', format = 'json'",
};

/// Opens the log as a sink.
pub struct LogSinkConnector {
    clock: Arc<dyn Clock>,
}

impl LogSinkConnector {
    /// With a clock for the records' timestamps and for retention.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        LogSinkConnector { clock }
    }
}

impl Default for LogSinkConnector {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock::new()))
    }
}

#[async_trait]
impl SinkConnector for LogSinkConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn local_directory(&self, options: &Options) -> Option<PathBuf> {
        options.text("path").map(PathBuf::from)
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let encoder = RecordEncoder::new(&request)?;
        encoder.prepare().await?;
        let options = &request.options;
        let path = options.required("path")?.to_owned();
        let topic = options.required("topic")?.to_owned();
        let topic_options = topic_options(options)?;
        let writer = blocking(move || LogWriter::open(Path::new(&path), &topic, topic_options)).await?;
        Ok(Box::new(LogSink {
            writer: Arc::new(Mutex::new(writer)),
            encoder,
            who: request.writer,
            clock: self.clock.clone(),
        }))
    }
}

fn topic_options(options: &Options) -> Result<TopicOptions> {
    let partitions = options.integer("partitions").map(u32::try_from).transpose();
    let usual = TopicOptions::default();
    Ok(TopicOptions {
        partitions: partitions.map_err(|_| Error::invalid("option 'partitions' is too large"))?,
        segment_bytes_max: options.bytes("segment_bytes").unwrap_or(usual.segment_bytes_max),
        retention: options.duration("retention"),
        retention_bytes: options.bytes("retention_bytes"),
        reader_expiry: options.duration("reader_expiry").unwrap_or(usual.reader_expiry),
        durability: match options.required("durability")?.to_ascii_lowercase().as_str() {
            "cached" => Durability::Cached,
            _ => Durability::Synced,
        },
        internal: usual.internal,
    })
}

struct LogSink {
    writer: Arc<Mutex<LogWriter>>,
    encoder: RecordEncoder,
    who: Writer,
    clock: Arc<dyn Clock>,
}

impl LogSink {
    fn encode(&self, append: &mut Append, rows: &RecordBatch) -> Result<()> {
        let encoded = self.encoder.encode(rows)?;
        let mut packed = Vec::new();
        (0..encoded.count).try_for_each(|at| {
            packed.clear();
            let headers = encoded.headers(at).map(|list| headers::pack(list, &mut packed));
            let record = LogRecord {
                key: encoded.key(at),
                value: encoded.value(at),
                timestamp: None,
                headers: headers.map(|()| packed.as_slice()),
            };
            match encoded.partition(at) {
                Some(partition) => append.push(partition as u32, &record),
                None => append.push_by_key(&record),
            }
        })
    }
}

#[async_trait]
impl Sink for LogSink {
    async fn marker(&mut self) -> Result<Marker> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(marker::find(&self.who, writer.writers()))
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let mut append = self.writer.lock().unwrap_or_else(PoisonError::into_inner).begin(epoch.0);
        rows.iter().try_for_each(|rows| self.encode(&mut append, rows))?;
        let (writer, id, now) = (self.writer.clone(), self.who.id(), self.clock.now_micros());
        blocking(move || {
            writer.lock().unwrap_or_else(PoisonError::into_inner).commit(append, Some((&id, epoch.0)), now)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context(Kind::Bug, || "the thread that writes the log ended early".into())?
}
