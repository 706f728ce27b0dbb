//! The files source: picks up what appears in a directory or a folder of an object store, and reads every file once.
//! A split is a file, by its path there; a position is a byte.
//!
//! Files are taken to be whole when they appear, which objects are: write them elsewhere (or under a name that begins
//! with `.` or `_`) and move them in, or set `min_age`. Bytes added to a file of lines later are read as new
//! lines; any other change of a file that has been read is not noticed. Compressed files are read whole.

mod compression;
mod listing;
mod plan;
mod read;
mod store;
#[cfg(test)]
mod tests;
mod watch;

use super::location::local_path;
use async_trait::async_trait;
use listing::{Directory, FileInfo, glob_pattern};
use plan::{Limits, plan};
use std::sync::Arc;
use std::time::Duration;
use store::Folder;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::format::Framing;
use tidemill_core::source::{Ask, Chunk, Source, SourceConnector, SourceRequest};
use tidemill_core::{Clock, Error, Kind, Offsets, Options, Result, ResultExt, Split, SplitRange, SystemClock};
use tidemill_objects::is_object_store;
use tidemill_objects::open::{PREFIX, STORAGE};
use watch::Watch;

/// How often a folder of an object store is listed when the user does not say.
const POLL_STORE: Duration = Duration::from_secs(5);

static DESCRIPTION: Description = Description {
    name: "files",
    role: Role::Source,
    summary: "New files in a directory or an object store (s3://, abfss://, az://, gs://), in the order of their \
              modification time; compressed ones (.gz, .bz2, .zst, .xz) too. Put files in place by moving them.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new(
            "path",
            OptionKind::Location,
            "a directory, a file, or a pattern such as 'in/2026-*/*.json'; or a URL of an object store",
        )
        .required(),
        OptionSpec::new("recursive", OptionKind::Boolean, "look into directories below, too")
            .default("false")
            .aliases(&["recursive_file_lookup"]),
        OptionSpec::new("path_glob_filter", OptionKind::Text, "read only files whose name matches, such as '*.json'"),
        OptionSpec::new("max_files_per_trigger", OptionKind::Integer, "most files of one epoch, each of them whole"),
        OptionSpec::new("max_bytes_per_trigger", OptionKind::Bytes, "about how many bytes one epoch reads"),
        OptionSpec::new("latest_first", OptionKind::Boolean, "read the newest files first").default("false"),
        OptionSpec::new("min_age", OptionKind::Duration, "leave a file alone until it was not changed for so long")
            .default("0s"),
        OptionSpec::new(
            "max_file_age",
            OptionKind::Duration,
            "ignore unread files that are so much older than the newest one read; not with latest_first",
        )
        .default("7 days"),
        OptionSpec::new(
            "poll_interval",
            OptionKind::Duration,
            "how often to look where changes are not announced; default: 100ms, and 5s in an object store",
        ),
        STORAGE[0],
        STORAGE[1],
        STORAGE[2],
        STORAGE[3],
        STORAGE[4],
        STORAGE[5],
    ],
    example: "connector = 'files', path = 'in', format = 'json', max_files_per_trigger = '100'",
};

/// The source `files`.
pub struct FilesSource {
    clock: Arc<dyn Clock>,
}

impl FilesSource {
    /// A source that judges the age of files by `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        FilesSource { clock }
    }
}

impl Default for FilesSource {
    /// A source that judges the age of files by the machine's clock.
    fn default() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }
}

#[async_trait]
impl SourceConnector for FilesSource {
    fn describe(&self) -> &'static Description {
        &DESCRIPTION
    }

    async fn open(&self, request: SourceRequest) -> Result<Box<dyn Source>> {
        let options = &request.options;
        let lines = match request.framing {
            Some(Framing::Lines) => true,
            Some(Framing::Whole) => false,
            Some(Framing::Payloads) => {
                return Err(Error::invalid(format!(
                    "table '{}' reads files, and its format is not for files",
                    request.table
                ))
                .help("use a format such as 'json', 'csv' or 'parquet'"));
            }
            None => {
                return Err(Error::invalid(format!("table '{}' reads files and needs a format", request.table))
                    .help("add format = 'json', 'csv' or 'parquet'"));
            }
        };
        let path = options.required("path")?;
        let min_age = options.duration("min_age").unwrap_or_default();
        let name_filter = options.text("path_glob_filter").map(glob_pattern).transpose()?;
        let recursive = options.boolean("recursive");
        let poll_interval = options.duration("poll_interval");
        let (place, watch) = if is_object_store(path.trim()) {
            let given: Vec<_> = options.with_prefix(PREFIX).collect();
            let folder = Folder::open(path, &given, recursive, name_filter, min_age).await?;
            (Place::Store(Arc::new(folder)), Watch::unannounced(poll_interval.unwrap_or(POLL_STORE)))
        } else {
            let path = local_path(path)?;
            let directory = blocking(move || Directory::open(path, recursive, name_filter, min_age)).await?;
            let watch = Watch::new(directory.root(), directory.is_deep(), poll_interval, !min_age.is_zero());
            (Place::Local(Arc::new(directory)), watch)
        };
        let limits = limits(options)?;
        Ok(Box::new(Files { place, watch, limits, lines, clock: self.clock.clone() }))
    }
}

fn limits(options: &Options) -> Result<Limits> {
    for name in ["max_files_per_trigger", "max_bytes_per_trigger"] {
        if options.bytes(name) == Some(0) {
            return Err(Error::invalid(format!(
                "source 'files': option '{name}' is 0, and nothing would ever be read"
            )));
        }
    }
    Ok(Limits {
        files_max: options.integer("max_files_per_trigger"),
        bytes_max: options.bytes("max_bytes_per_trigger"),
        latest_first: options.boolean("latest_first"),
        age_max: options.duration("max_file_age").map_or(i64::MAX, |age| age.as_micros() as i64),
    })
}

/// Where the files are.
#[derive(Clone)]
enum Place {
    /// A directory of this machine.
    Local(Arc<Directory>),
    /// A folder in an object store.
    Store(Arc<Folder>),
}

impl Place {
    /// All files, in no order.
    async fn list(&self, now: i64) -> Result<Vec<FileInfo>> {
        match self {
            Place::Local(directory) => {
                let directory = directory.clone();
                blocking(move || directory.list(now)).await
            }
            Place::Store(folder) => folder.list(now).await,
        }
    }

    /// Where the first line ends that ends at `at` or after it; `end` when none does before.
    async fn line_end(&self, split: &Split, at: u64, end: u64) -> Result<u64> {
        match self {
            Place::Local(directory) => {
                let path = directory.path_of(split);
                blocking(move || read::line_end(&path, at, end)).await
            }
            Place::Store(folder) => folder.line_end(split, at, end).await,
        }
    }

    /// What a planned range holds.
    async fn read(&self, range: &SplitRange, lines: bool) -> Result<Vec<Chunk>> {
        let range = range.clone();
        match self {
            Place::Local(directory) => {
                let path = directory.path_of(&range.split);
                blocking(move || read::chunks(read::local(&path, &range)?, &range, lines)).await
            }
            Place::Store(folder) => {
                let bytes = read::remote(folder, &range).await?;
                blocking(move || read::chunks(bytes, &range, lines)).await
            }
        }
    }
}

/// Files that are read.
struct Files {
    place: Place,
    watch: Watch,
    limits: Limits,
    /// Records are lines, so that files may be read in pieces.
    lines: bool,
    clock: Arc<dyn Clock>,
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context(Kind::Bug, || "the files source broke off".into())?
}

#[async_trait]
impl Source for Files {
    async fn latest(&mut self) -> Result<Offsets> {
        let files = self.place.list(self.clock.now_micros()).await?;
        Ok(files.into_iter().map(|file| (file.split, file.bytes)).collect())
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        let files = self.place.list(self.clock.now_micros()).await?;
        let mut planned = plan(files, from, ask, &self.limits, self.lines);
        if let (Some(end), Some(last)) = (planned.cut, planned.ranges.last_mut()) {
            last.to = self.place.line_end(&last.split, last.to, end).await?;
        }
        Ok(planned.ranges)
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        self.place.read(range, self.lines).await
    }

    async fn wait(&mut self) {
        self.watch.wait().await;
    }
}
