//! The files source: picks up what appears in a directory and reads every file once. A split is a file,
//! by its path in the directory; a position is a byte.
//!
//! Files are taken to be whole when they appear: write them elsewhere (or under a name that begins with
//! `.` or `_`) and move them in, or set `min_age`. Bytes added to a file of lines later are read as new
//! lines; any other change of a file that has been read is not noticed.

mod listing;
mod plan;
mod read;
#[cfg(test)]
mod tests;
mod watch;

use super::location::local_path;
use async_trait::async_trait;
use listing::{Directory, glob_pattern};
use plan::{Limits, plan};
use std::sync::Arc;
use tidemill_core::describe::{Description, Guarantee, OptionKind, OptionSpec, Role};
use tidemill_core::format::Framing;
use tidemill_core::source::{Ask, Chunk, Source, SourceConnector, SourceRequest};
use tidemill_core::{Clock, Error, Kind, Offsets, Options, Result, ResultExt, SplitRange, SystemClock};
use watch::Watch;

static DESCRIPTION: Description = Description {
    name: "files",
    role: Role::Source,
    summary: "New files in a directory, in the order of their modification time. Put files in place by moving them.",
    guarantee: Guarantee::ExactlyOnce,
    options: &[
        OptionSpec::new("path", OptionKind::Location, "a directory, a file, or a pattern such as 'in/2026-*/*.json'")
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
        OptionSpec::new("poll_interval", OptionKind::Duration, "how often to look where changes are not announced")
            .default("100ms"),
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
        let path = local_path(options.required("path")?)?;
        let min_age = options.duration("min_age").unwrap_or_default();
        let name_filter = options.text("path_glob_filter").map(glob_pattern).transpose()?;
        let recursive = options.boolean("recursive");
        let directory = blocking(move || Directory::open(path, recursive, name_filter, min_age)).await?;
        let watch =
            Watch::new(directory.root(), directory.is_deep(), options.duration("poll_interval"), !min_age.is_zero());
        let limits = limits(options)?;
        Ok(Box::new(Files { directory: Arc::new(directory), watch, limits, lines, clock: self.clock.clone() }))
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

/// An open directory.
struct Files {
    directory: Arc<Directory>,
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
        let (directory, now) = (self.directory.clone(), self.clock.now_micros());
        blocking(move || Ok(Offsets(directory.list(now)?.into_iter().map(|file| (file.split, file.bytes)).collect())))
            .await
    }

    async fn plan(&mut self, from: &Offsets, ask: &Ask) -> Result<Vec<SplitRange>> {
        let (directory, now) = (self.directory.clone(), self.clock.now_micros());
        let (from, ask, limits, lines) = (from.clone(), ask.clone(), self.limits, self.lines);
        blocking(move || {
            let files = directory.list(now)?;
            plan(files, &from, &ask, &limits, lines, |file, at| {
                read::line_end(&directory.path_of(&file.split), at, file.bytes)
            })
        })
        .await
    }

    async fn read(&self, range: &SplitRange) -> Result<Vec<Chunk>> {
        let (path, range, lines) = (self.directory.path_of(&range.split), range.clone(), self.lines);
        blocking(move || read::read(&path, &range, lines)).await
    }

    async fn wait(&mut self) {
        self.watch.wait().await;
    }
}
