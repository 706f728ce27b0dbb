//! One error type for the whole project.
//!
//! Two questions shape it: who can mend this (the [`Kind`], which is also the exit code), and where
//! is it (the [`Place`]). The engine reads the kind, never the text. Causes are chained and printed
//! once, by [`Error::report`].

use std::error::Error as StdError;
use std::fmt::{self, Write as _};

/// Result with the project's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who can mend an error, and whether trying again is worth it. Each has one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The command line was wrong.
    Usage,
    /// Going on would lose or falsify data: rows that break the schema or an expression, offsets that are gone.
    Data,
    /// Our own mistake: a broken invariant.
    Bug,
    /// The disk or another local resource failed.
    Io,
    /// An outside system did not answer; the same command may work later.
    Again,
    /// Another process owns the checkpoint or the sink. Do not restart.
    Fenced,
    /// The operating system or an outside system refused access.
    Denied,
    /// The pipeline, its configuration or its checkpoint is not valid.
    Invalid,
}

impl Kind {
    /// Exit code of the process, after sysexits.h where it has one.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage => 64,
            Kind::Data => 65,
            Kind::Bug => 70,
            Kind::Io => 74,
            Kind::Again => 75,
            Kind::Fenced => 76,
            Kind::Denied => 77,
            Kind::Invalid => 78,
        }
    }
}

/// Where an error is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A position in a text the user wrote; `line` and `column` count from 1, `length` in characters.
    Text { file: String, line: u64, column: u64, length: u64, text: String },
    /// A record of a source.
    Record { source: String, partition: String, offset: u64 },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Text { file, line, column, .. } => write!(f, "{file}:{line}:{column}"),
            Place::Record { source, partition, offset } => {
                write!(f, "{source}, partition {partition}, offset {offset}")
            }
        }
    }
}

struct Inner {
    kind: Kind,
    class: Option<String>,
    message: String,
    place: Option<Place>,
    help: Option<String>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    /// What the disk holds is not known: nothing is tried again.
    unsynced: bool,
}

/// What went wrong, where, why, and what to do.
///
/// `Display` prints the message alone, lower case and without a full stop, so that errors nest well.
pub struct Error(Box<Inner>);

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Error(Box::new(Inner { kind, class: None, message, place: None, help: None, cause: None, unsynced: false }))
    }

    /// The pipeline, its configuration or its checkpoint is not valid.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// A broken invariant of ours.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Kind::Bug, message)
    }

    /// An input or output error, classed by its cause: permission refused is [`Kind::Denied`].
    pub fn io(message: impl Into<String>, cause: std::io::Error) -> Self {
        let kind = match cause.kind() {
            std::io::ErrorKind::PermissionDenied => Kind::Denied,
            _ => Kind::Io,
        };
        Self::new(kind, message).caused_by(cause)
    }

    /// A sync of a file or directory that failed. The kernel may have dropped what it could not write, so that a
    /// second sync would succeed without it: whoever gets this stops, and finds out at the next start.
    pub fn unsynced(message: impl Into<String>, cause: std::io::Error) -> Self {
        let mut error = Self::io(message, cause);
        error.0.unsynced = true;
        error
    }

    /// True when a write found no room: the disk is full, a quota is used up, or it is mounted read-only. What was
    /// to be written may be written again when there is room; after a failed sync it may not.
    pub fn is_no_room(&self) -> bool {
        self.0.kind == Kind::Io && no_room(self).unwrap_or_else(|| says_no_room(&self.chain()))
    }

    /// Sets Spark's error class, such as `UNRESOLVED_COLUMN.WITH_SUGGESTION`.
    #[must_use]
    pub fn class(mut self, class: impl Into<String>) -> Self {
        self.0.class = Some(class.into());
        self
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }

    /// Says where, unless a nearer place is already known.
    #[must_use]
    pub fn at_if_unplaced(mut self, place: Option<Place>) -> Self {
        if self.0.place.is_none() {
            self.0.place = place;
        }
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Chains the cause.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Who can mend it.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Spark's error class, where it has one.
    pub fn error_class(&self) -> Option<&str> {
        self.0.class.as_deref()
    }

    /// Where it is.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// What to do about it.
    pub fn help_text(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The message and every cause, on one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(inner) = cause {
            let inner_text = inner.to_string();
            if !text.contains(&inner_text) {
                let _ = write!(text, ": {inner_text}");
            }
            cause = inner.source();
        }
        text
    }

    /// The whole report, as printed once at the top of a program: the message, the place with the
    /// text and a caret, the causes, and what to do.
    pub fn report(&self) -> String {
        let mut out = match self.error_class() {
            Some(class) if !class.starts_with('_') => format!("error[{class}]: {}", self.chain()),
            _ => format!("error: {}", self.chain()),
        };
        if let Some(place) = self.place() {
            let _ = write!(out, "\n  --> {place}");
            if let Place::Text { line, column, length, text, .. } = place {
                let gutter = " ".repeat(line.to_string().len());
                let indent = " ".repeat(column.saturating_sub(1) as usize);
                let caret = "^".repeat((*length).max(1) as usize);
                let _ = write!(out, "\n{gutter} |\n{line} | {text}\n{gutter} | {indent}{caret}");
            }
        }
        if let Some(help) = self.help_text() {
            let _ = write!(out, "\n  = help: {help}");
        }
        out
    }
}

/// What the causes say: the nearest failed sync or error of the operating system decides; `None` when there is none.
fn no_room(error: &(dyn StdError + 'static)) -> Option<bool> {
    if error.downcast_ref::<Error>().is_some_and(|ours| ours.0.unsynced) {
        return Some(false);
    }
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        // one that wraps another does not give it as its source
        if let Some(inner) = io.get_ref() {
            return no_room(inner);
        }
        use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        return Some(matches!(io.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem));
    }
    error.source().and_then(no_room)
}

/// Libraries that give a text in place of a cause give the operating system's.
fn says_no_room(text: &str) -> bool {
    ["No space left on device", "Disk quota exceeded", "Read-only file system"].iter().any(|words| text.contains(words))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        match error {
            arrow::error::ArrowError::ExternalError(inner) => match inner.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(other) => Error::bug("a columnar operation failed").caused_by(other),
            },
            other => Error::bug("a columnar operation failed").caused_by(other),
        }
    }
}

/// Adds what was attempted to an error of another library.
pub trait ResultExt<T> {
    /// Wraps the error as the cause of a new one.
    fn context(self, kind: Kind, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> ResultExt<T> for std::result::Result<T, E> {
    fn context(self, kind: Kind, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::new(kind, message()).caused_by(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_where_why_and_what_to_do() {
        let error = Error::invalid("no column named `user_idd`")
            .class("UNRESOLVED_COLUMN.WITH_SUGGESTION")
            .at(Place::Text {
                file: "pipeline.sql".into(),
                line: 12,
                column: 8,
                length: 8,
                text: "SELECT user_idd FROM events".into(),
            })
            .help("did you mean `user_id`?");
        assert_eq!(
            error.report(),
            "error[UNRESOLVED_COLUMN.WITH_SUGGESTION]: no column named `user_idd`\n  --> pipeline.sql:12:8\n   |\n\
             12 | SELECT user_idd FROM events\n   |        ^^^^^^^^\n  = help: did you mean `user_id`?"
        );
        assert_eq!(error.kind().exit_code(), 78);
    }

    #[test]
    fn a_refused_permission_is_denied_and_other_failures_are_io() {
        let denied = Error::io("cannot open x", std::io::ErrorKind::PermissionDenied.into());
        let missing = Error::io("cannot open x", std::io::ErrorKind::NotFound.into());
        assert_eq!((denied.kind(), missing.kind()), (Kind::Denied, Kind::Io));
    }
    #[test]
    fn a_full_disk_is_told_from_one_that_fails() {
        let os = |code: i32| std::io::Error::from_raw_os_error(code);
        let (no_space, read_only, failing) = (28, 30, 5);
        assert!(Error::io("cannot write x", os(no_space)).is_no_room());
        assert!(Error::io("cannot write x", os(read_only)).is_no_room());
        assert!(Error::io("cannot write x", std::io::Error::other(os(no_space))).is_no_room(), "wrapped");
        let library = std::io::Error::other("IO error: No space left on device: While appending");
        assert!(Error::new(Kind::Io, "the store failed").caused_by(library.to_string()).is_no_room(), "as text");
        assert!(!Error::io("cannot write x", os(failing)).is_no_room());
        let unsynced = Error::unsynced("cannot sync x", os(no_space));
        assert!(!unsynced.is_no_room(), "after a failed sync nothing is known");
        assert!(!Error::new(Kind::Io, "cannot commit").caused_by(unsynced).is_no_room());
    }
}
