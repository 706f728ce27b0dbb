//! The files sink: an epoch's rows become files that are published whole, by a manifest.

mod commit;
mod contents;
mod partition;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;

use super::location::local_path;
use super::place::Place;
use crate::durable::Disk;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::properties::WriterProperties;
use arrow::record_batch::RecordBatch;
use arrow_avro::compression::CompressionCodec;
use async_trait::async_trait;
use commit::Directory;
use contents::Contents;
use partition::Partitioning;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::format::Framing;
use tidemill_core::sink::{Marker, Sink, SinkConnector, SinkRequest};
use tidemill_core::{Epoch, Error, Options, Result, ResultExt};
use tidemill_objects::open::{PREFIX, STORAGE};
use tidemill_objects::{Objects, is_object_store};

static DESCRIPTION: Description = Description {
    name: "files",
    role: Role::Sink,
    summary: "Files in a directory or an object store (s3://, abfss://, az://, gs://), Parquet, Avro, JSON lines or \
              CSV, published whole: rows and epoch by one manifest. In update mode every change is one more row.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new("path", OptionKind::Location, "the directory, or a URL of an object store").required(),
        OptionSpec::new(
            "compression",
            OptionKind::Choice(&["snappy", "zstd", "lz4", "deflate", "none"]),
            "compression: Parquet takes snappy, zstd, lz4; Avro takes snappy, zstd, deflate; default: snappy for both, \
             none for lines",
        ),
        OptionSpec::new(
            "partition_by",
            OptionKind::Text,
            "columns, with commas between, whose values name directories, as Hive: day=2026-01-01/",
        )
        .default(""),
        OptionSpec::new("max_records_per_file", OptionKind::Integer, "most rows of a file; 0: no limit").default("0"),
        STORAGE[0],
        STORAGE[1],
        STORAGE[2],
        STORAGE[3],
        STORAGE[4],
        STORAGE[5],
    ],
    example: "connector = 'files', path = 'out', format = 'parquet', compression = 'zstd'",
};

/// The sink `files`.
#[derive(Default)]
pub struct FilesSink {
    disk: Disk,
}

impl FilesSink {
    /// A sink that writes through `disk`.
    pub fn with_disk(disk: Disk) -> Self {
        FilesSink { disk }
    }

    /// The place that the options name.
    fn place(&self, options: &Options) -> Result<Place> {
        let path = options.required("path")?.trim();
        if !is_object_store(path) {
            return Ok(Place::local(self.disk.clone(), local_path(path)?));
        }
        let objects = Objects::open(path, options.with_prefix(PREFIX))?;
        Ok(Place::Store { objects, runtime: tokio::runtime::Handle::current() })
    }
}

#[async_trait]
impl SinkConnector for FilesSink {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn commit_interval(&self, _options: &Options) -> Duration {
        Duration::from_secs(1)
    }

    fn local_directory(&self, options: &Options) -> Option<PathBuf> {
        let path = options.text("path").filter(|path| !is_object_store(path.trim()))?;
        local_path(path).ok()
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let options = &request.options;
        let contents = contents(&request)?;
        let rows_max = options.integer("max_records_per_file").filter(|rows| *rows > 0);
        let names = options.required("partition_by")?;
        let partitioning = Partitioning::new(names, &request.schema, &request.table)?;
        let place = self.place(options)?;
        let opened = blocking(move || Directory::open(place, request, contents, partitioning, rows_max));
        let directory = opened.await?;
        Ok(Box::new(Files { directory: Arc::new(Mutex::new(directory)) }))
    }
}

/// What the table's format and options ask to be written.
fn contents(request: &SinkRequest) -> Result<Contents> {
    let name = request.format.as_ref().map_or("parquet", |format| format.describe().name);
    let given = request.options.text("compression").map(str::to_ascii_lowercase);
    let refused = |known: &str| {
        let given = given.as_deref().unwrap_or_default();
        Error::invalid(format!("sink 'files' of '{}' cannot compress {name} with '{given}'", request.table))
            .help(format!("use one of {known}"))
    };
    if name == "parquet" {
        let compression = match given.as_deref() {
            None | Some("snappy") => Compression::SNAPPY,
            Some("zstd") => Compression::ZSTD(ZstdLevel::default()),
            Some("lz4") => Compression::LZ4_RAW,
            Some("none") => Compression::UNCOMPRESSED,
            Some(_) => return Err(refused("snappy, zstd, lz4, none")),
        };
        let properties = WriterProperties::builder().set_compression(compression).build();
        return Ok(Contents::Parquet(Box::new(properties)));
    }
    if name == "avro" {
        return Ok(Contents::Avro(match given.as_deref() {
            None | Some("snappy") => Some(CompressionCodec::Snappy),
            Some("zstd") => Some(CompressionCodec::ZStandard),
            Some("deflate") => Some(CompressionCodec::Deflate),
            Some("none") => None,
            Some(_) => return Err(refused("snappy, zstd, deflate, none")),
        }));
    }
    if given.as_deref().is_some_and(|given| given != "none") {
        return Err(refused("none"));
    }
    lines(request, name)
}

/// A payload of the format a line.
fn lines(request: &SinkRequest, name: &'static str) -> Result<Contents> {
    let partition_by = request.options.required("partition_by")?;
    let schema = Partitioning::new(partition_by, &request.schema, &request.table)?.file_schema().clone();
    let encoder = match &request.format {
        Some(format) if format.framing() == Framing::Lines => format.encoder(schema, &request.options)?,
        _ => None,
    };
    let encoder = encoder.ok_or_else(|| {
        Error::invalid(format!("sink 'files' of '{}' cannot write format '{name}'", request.table))
            .help("use format = 'parquet', 'avro', 'json' or 'csv'")
    })?;
    Ok(Contents::Lines { encoder, extension: name })
}

/// An open directory.
struct Files {
    directory: Arc<Mutex<Directory>>,
}

impl Files {
    /// Works on the directory on a thread that may block.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Directory) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let directory = self.directory.clone();
        blocking(move || match directory.lock() {
            Ok(mut directory) => work(&mut directory),
            Err(_) => Err(Error::bug("the files sink stopped in the middle of a commit")),
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context(tidemill_core::Kind::Bug, || "the files sink broke off".into())?
}

#[async_trait]
impl Sink for Files {
    async fn marker(&mut self) -> Result<Marker> {
        self.with(Directory::marker).await
    }

    async fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        let rows = rows.to_vec();
        self.with(move |directory| directory.commit(epoch, &rows)).await
    }
}
