//! The files sink: an epoch's rows become files that are published whole, by a manifest.

mod commit;
mod contents;
#[cfg(test)]
mod tests;

use super::location::local_path;
use crate::durable::Disk;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::properties::WriterProperties;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use commit::Directory;
use contents::Contents;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::format::Framing;
use tidemill_core::sink::{Marker, Sink, SinkConnector, SinkRequest};
use tidemill_core::{Epoch, Error, Options, Result, ResultExt};

static DESCRIPTION: Description = Description {
    name: "files",
    role: Role::Sink,
    summary: "Files in a directory, Parquet or JSON lines, published whole: rows and epoch by one manifest. In \
              update mode every change is one more row.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new("path", OptionKind::Location, "the directory").required(),
        OptionSpec::new("compression", OptionKind::Choice(&["snappy", "zstd", "none"]), "compression of Parquet files")
            .default("snappy"),
        OptionSpec::new("max_records_per_file", OptionKind::Integer, "most rows of a file; 0: no limit").default("0"),
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
}

#[async_trait]
impl SinkConnector for FilesSink {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    fn commit_interval(&self, _options: &Options) -> Duration {
        Duration::from_secs(1)
    }

    async fn open(&self, request: SinkRequest) -> Result<Box<dyn Sink>> {
        let options = &request.options;
        let contents = contents(&request)?;
        let rows_max = options.integer("max_records_per_file").filter(|rows| *rows > 0);
        let path = local_path(options.required("path")?)?;
        let disk = self.disk.clone();
        let directory = blocking(move || Directory::open(disk, path, request, contents, rows_max)).await?;
        Ok(Box::new(Files { directory: Arc::new(Mutex::new(directory)) }))
    }
}

/// What the table's format and options ask to be written.
fn contents(request: &SinkRequest) -> Result<Contents> {
    let Some(format) = request.format.as_ref().filter(|format| format.describe().name != "parquet") else {
        let compression = match request.options.required("compression")?.to_ascii_lowercase().as_str() {
            "zstd" => Compression::ZSTD(ZstdLevel::default()),
            "none" => Compression::UNCOMPRESSED,
            _ => Compression::SNAPPY,
        };
        let properties = WriterProperties::builder().set_compression(compression).build();
        return Ok(Contents::Parquet(Box::new(properties)));
    };
    let name = format.describe().name;
    let encoder = match format.framing() {
        Framing::Lines => format.encoder(request.schema.clone(), &request.options)?,
        Framing::Whole | Framing::Payloads => None,
    };
    let encoder = encoder.ok_or_else(|| {
        Error::invalid(format!("sink 'files' of '{}' cannot write format '{name}'", request.table))
            .help("use format = 'parquet' or 'json'")
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
