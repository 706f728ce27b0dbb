//! Archives as Azure Event Hubs Capture makes them: an Avro file a partition and window of time or size, under
//! names that Azure's own tools expect.
//!
//! Read in this order: `event` (rows become events), `window` (which archive they go to), `commit` (how they get
//! there exactly once), `container` (Avro).

mod bag;
mod commit;
mod container;
mod event;
mod name;
mod place;
#[cfg(test)]
mod tests;
mod window;

use crate::durable::Disk;
use arrow::record_batch::RecordBatch;
use arrow_avro::compression::CompressionCodec;
use async_trait::async_trait;
use commit::{Capture, Settings};
use event::Events;
use name::ArchiveNames;
use place::Place;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::sink::{Marker, OutputMode, Sink, SinkConnector, SinkRequest};
use tidemill_core::{Clock, Epoch, Error, Kind, Options, Result, ResultExt, SystemClock};
use tidemill_objects::open::{PREFIX, STORAGE};
use tidemill_objects::{Objects, is_object_store};
use tokio::task::JoinHandle;
use window::Limits;

/// How often windows are looked at whose time may be over.
const LOOK: Duration = Duration::from_millis(500);
const INTERVAL_SECONDS_MAX: u64 = 900;
const SIZE_BYTES_MIN: u64 = 64 << 10;
const SIZE_BYTES_MAX: u64 = 500 << 20;

static DESCRIPTION: Description = Description {
    name: "capture",
    role: Role::Sink,
    summary: "Avro files as Azure Event Hubs Capture makes them (record EventData), in a directory or an object store \
              (s3://, abfss://, az://, gs://): one for each partition and window of time or size, whichever is full \
              first. Rows and epoch by one manifest; an archive appears whole, and once. A query that ends publishes \
              its open windows.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new("path", OptionKind::Location, "the directory, or a URL of an object store").required(),
        OptionSpec::new("namespace", OptionKind::Text, "{Namespace} of the archives' names").required(),
        OptionSpec::new("event_hub", OptionKind::Text, "{EventHub} of the archives' names")
            .required()
            .aliases(&["eventhub", "event_hub_name"]),
        OptionSpec::new(
            "archive_name_format",
            OptionKind::Text,
            "names of archives below 'path', without '.avro'; the time is that of the window's beginning, in UTC",
        )
        .default(name::DEFAULT),
        OptionSpec::new(
            "interval_in_seconds",
            OptionKind::Integer,
            "a window is over after so long; 1 to 900 (Azure: from 60)",
        )
        .default("300"),
        OptionSpec::new(
            "size_limit_in_bytes",
            OptionKind::Bytes,
            "a window is full with so many bytes of events; 64 KiB to 500 MiB (Azure: from 10 MiB)",
        )
        .default("314572800"),
        OptionSpec::new(
            "skip_empty_archives",
            OptionKind::Boolean,
            "a window without events has no archive; 'false', as in Azure: it has one, while the query runs",
        )
        .default("false"),
        OptionSpec::new("encoding", OptionKind::Choice(&["Avro", "AvroDeflate"]), "plain, or compressed with deflate")
            .default("Avro"),
        OptionSpec::new(
            "partition",
            OptionKind::Text,
            "the column that names the partition; without a format a column 'partition' does; otherwise it is 0",
        ),
        STORAGE[0],
        STORAGE[1],
        STORAGE[2],
        STORAGE[3],
        STORAGE[4],
        STORAGE[5],
    ],
    example: "connector = 'capture', path = 'captured', namespace = 'shop', event_hub = 'orders', format = 'json'",
};

/// The sink `capture`.
pub struct CaptureSinkConnector {
    disk: Disk,
    clock: Arc<dyn Clock>,
}

impl CaptureSinkConnector {
    /// A sink that writes through `disk` and has its time from `clock`.
    pub fn new(disk: Disk, clock: Arc<dyn Clock>) -> Self {
        CaptureSinkConnector { disk, clock }
    }

    fn place(&self, options: &Options) -> Result<Place> {
        let path = options.required("path")?.trim();
        if is_object_store(path) {
            let objects = Objects::open(path, options.with_prefix(PREFIX))?;
            return Ok(Place::Store { objects, runtime: tokio::runtime::Handle::current() });
        }
        match path.split_once("://") {
            None => Ok(Place::Local { disk: self.disk.clone(), root: PathBuf::from(path) }),
            Some(("file", path)) => Ok(Place::Local { disk: self.disk.clone(), root: PathBuf::from(path) }),
            Some((scheme, _)) => Err(Error::invalid(format!("connector 'capture' cannot write to {scheme}://"))
                .help("give a path of this machine, or s3://, abfss://, az:// or gs://")),
        }
    }
}

impl Default for CaptureSinkConnector {
    fn default() -> Self {
        Self::new(Disk::default(), Arc::new(SystemClock::new()))
    }
}

#[async_trait]
impl SinkConnector for CaptureSinkConnector {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn modes(&self) -> &'static [OutputMode] {
        // an archive is not changed
        &[OutputMode::Append, OutputMode::Update]
    }

    fn commit_interval(&self, _options: &Options) -> Duration {
        Duration::from_secs(1)
    }

    fn local_directory(&self, options: &Options) -> Option<PathBuf> {
        let path = options.text("path")?.trim();
        match path.split_once("://") {
            None => Some(PathBuf::from(path)),
            Some((scheme, path)) => (scheme == "file").then(|| PathBuf::from(path)),
        }
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let settings = settings(&request, self.clock.clone())?;
        settings.events.prepare().await?;
        let place = self.place(&request.options)?;
        let capture = Arc::new(Mutex::new(blocking(move || Capture::open(place, settings)).await?));
        let tending = tokio::spawn(tend(Arc::downgrade(&capture), request.table));
        Ok(Box::new(CaptureSink { capture, tending }))
    }
}

fn settings(request: &SinkRequest, clock: Arc<dyn Clock>) -> Result<Settings> {
    let (table, options) = (&request.table, &request.options);
    let number = |option: &str, value: u64, least: u64, most: u64| {
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        Err(Error::invalid(format!("option '{option}' of table '{table}' is {value}; it must be {least} to {most}")))
    };
    let interval = options.integer("interval_in_seconds").unwrap_or(300);
    let interval = number("interval_in_seconds", interval, 1, INTERVAL_SECONDS_MAX)? as i64;
    let bytes = options.bytes("size_limit_in_bytes").unwrap_or(300 << 20);
    let bytes = number("size_limit_in_bytes", bytes, SIZE_BYTES_MIN, SIZE_BYTES_MAX)?;
    let names = ArchiveNames::new(
        table,
        options.required("archive_name_format")?,
        options.required("namespace")?,
        options.required("event_hub")?,
    )?;
    let is_compressed = options.required("encoding")?.eq_ignore_ascii_case("AvroDeflate");
    Ok(Settings {
        table: table.clone(),
        writer: request.writer.clone(),
        events: Events::new(request)?,
        names,
        limits: Limits { interval, bytes, skip_empty: options.boolean("skip_empty_archives") },
        codec: is_compressed.then_some(CompressionCodec::Deflate),
        clock,
    })
}

/// An open capture.
struct CaptureSink {
    capture: Arc<Mutex<Capture>>,
    tending: JoinHandle<()>,
}

impl Drop for CaptureSink {
    fn drop(&mut self) {
        self.tending.abort();
    }
}

#[async_trait]
impl Sink for CaptureSink {
    async fn marker(&mut self) -> Result<Marker> {
        with(self.capture.clone(), Capture::marker).await
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let rows = rows.to_vec();
        with(self.capture.clone(), move |capture| capture.commit(epoch, &rows)).await
    }

    async fn finish(&mut self) -> Result<()> {
        with(self.capture.clone(), Capture::finish).await
    }
}

/// Publishes windows whose time is over while no rows come. What fails is told by the next commit, too.
async fn tend(capture: Weak<Mutex<Capture>>, table: String) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(capture) = capture.upgrade() else { return };
        if let Err(error) = with(capture, Capture::tend).await {
            tracing::error!(table, error = %error.chain(), "windows whose time is over could not be published");
            return;
        }
    }
}

/// Works on the capture on a thread that may block.
async fn with<T: Send + 'static>(
    capture: Arc<Mutex<Capture>>,
    work: impl FnOnce(&mut Capture) -> Result<T> + Send + 'static,
) -> Result<T> {
    blocking(move || match capture.lock() {
        Ok(mut capture) => work(&mut capture),
        Err(_) => Err(Error::bug("the capture sink stopped in the middle of a commit")),
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context(Kind::Bug, || "the capture sink broke off".into())?
}
