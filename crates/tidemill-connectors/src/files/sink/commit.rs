//! How an epoch gets into the directory:
//!
//! 1. its rows are written to `_tidemill/staging/` and synced; in an object store, to their last name;
//! 2. the files are moved into the directory, where no log names them yet, and the directory is synced;
//! 3. the manifest is created if its number is free, and its directory is synced. This is the commit.
//!
//! After a crash before 3 the files of 1 and 2 are nobody's: the next start removes those that carry
//! our incarnation. Rows and epoch are published by one file, so there is nothing in between.

use super::contents::Contents;
use super::partition::Partitioning;
use crate::files::manifest::{Log, Manifest, Publication, PublishedFile};
use crate::files::place::Place;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use std::collections::HashSet;
use tidemill_core::sink::{Marker, OutputMode, SinkRequest, Writer};
use tidemill_core::types::{name, parse_schema, schema_ddl};
use tidemill_core::{Epoch, Error, Kind, Result, ResultExt};

/// How often another writer may take the next number before we give up.
const NUMBER_TAKEN_MAX: usize = 100;

/// A directory that is written to.
pub(super) struct Directory {
    place: Place,
    table: String,
    writer: Writer,
    schema: SchemaRef,
    mode: Publication,
    contents: Contents,
    partitioning: Partitioning,
    rows_max: Option<u64>,
    log: Log,
    /// A commit failed, so what is on disk is not known.
    failed: bool,
}

impl Directory {
    /// Opens the place or makes it, and removes what a crash of ours has left in it.
    ///
    /// # Errors
    /// A place that cannot be written, a damaged log, other columns than were written before.
    pub fn open(
        place: Place,
        request: SinkRequest,
        contents: Contents,
        partitioning: Partitioning,
        rows_max: Option<u64>,
    ) -> Result<Self> {
        place.prepare()?;
        let directory = Directory {
            log: Log::open(place.clone())?,
            place,
            table: request.table,
            writer: request.writer,
            schema: request.schema,
            mode: match request.mode {
                OutputMode::Append | OutputMode::Update => Publication::Append,
                OutputMode::Complete => Publication::Overwrite,
            },
            contents,
            partitioning,
            rows_max,
            failed: false,
        };
        directory.check_schema()?;
        directory.contents.check(directory.partitioning.file_schema(), &directory.table)?;
        directory.remove_leftovers()?;
        Ok(directory)
    }

    /// What the log says of our writer, read again.
    pub fn marker(&mut self) -> Result<Marker> {
        self.log.refresh()?;
        Ok(self.log.marker(&self.writer))
    }

    /// Publishes the rows of `epoch`.
    ///
    /// # Errors
    /// After an error this directory takes no more commits.
    pub fn commit(&mut self, epoch: Epoch, rows: &[RecordBatch]) -> Result<()> {
        if self.failed {
            return Err(Error::new(Kind::Io, format!("sink '{}' takes no epoch after one that failed", self.table)));
        }
        if let Marker::At(held) = self.log.marker(&self.writer)
            && held >= epoch
        {
            return Err(Error::bug(format!("sink '{}' holds epoch {held} and was given epoch {epoch}", self.table)));
        }
        self.failed = true;
        let files = self.write(epoch, rows)?;
        self.publish(epoch, files)?;
        self.failed = false;
        self.remove_replaced();
        Ok(())
    }

    /// Steps 1 and 2: the files lie in the directory, durable and not published.
    fn write(&self, epoch: Epoch, rows: &[RecordBatch]) -> Result<Vec<PublishedFile>> {
        let total: usize = rows.iter().map(RecordBatch::num_rows).sum();
        if total == 0 {
            return Ok(Vec::new());
        }
        let rows = rows.iter().map(|batch| self.named(batch)).collect::<Result<Vec<_>>>()?;
        let mut files = Vec::new();
        for (partition, rows) in self.partitioning.split(&rows)? {
            for batches in pieces(&rows, self.rows_max) {
                let (number, mark) = (files.len(), self.own_mark());
                let name = format!("{partition}part-{epoch}-{number}-{mark}.{}", self.contents.extension());
                files.push(self.stage(name, &batches)?);
            }
        }
        self.place.release(files.iter().map(|file| file.name.as_str()))?;
        Ok(files)
    }

    /// The rows under the names of our columns.
    fn named(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        RecordBatch::try_new(self.schema.clone(), batch.columns().to_vec()).map_err(|error| {
            Error::bug(format!("rows for sink '{}' do not have its columns", self.table)).caused_by(error)
        })
    }

    fn stage(&self, name: String, batches: &[RecordBatch]) -> Result<PublishedFile> {
        let mut rows = 0;
        let bytes = self.place.write(&name, |file| {
            let context = || format!("cannot write '{name}' in '{}'", self.place.name());
            rows = self.contents.write(file, self.partitioning.file_schema(), batches).context(Kind::Io, context)?;
            Ok(())
        })?;
        Ok(PublishedFile { name, bytes, rows })
    }

    /// Step 3. Other queries may write here too, and take a number before us; our own query may not.
    fn publish(&mut self, epoch: Epoch, files: Vec<PublishedFile>) -> Result<()> {
        let schema = schema_ddl(&self.schema);
        let manifest = Manifest::new(self.writer.clone(), epoch, self.mode, schema, files);
        let staged = format!("manifest-{epoch}-{}.json", self.own_mark());
        let before = self.log.marker(&self.writer);
        for _ in 0..NUMBER_TAKEN_MAX {
            if self.log.publish(&staged, &manifest)? {
                return Ok(());
            }
            self.log.refresh()?;
            if self.log.marker(&self.writer) != before {
                let query = &self.writer.query;
                return Err(Error::new(
                    Kind::Fenced,
                    format!("another process writes query '{query}' to '{}'", self.place.name()),
                )
                .help("two processes run the same query: stop one of them"));
            }
            self.check_schema()?;
        }
        let place = self.place.name();
        Err(Error::new(Kind::Again, format!("other queries write to '{place}' so often that no manifest got through")))
    }

    /// The columns are fixed by the first commit.
    fn check_schema(&self) -> Result<()> {
        let Some(written) = &self.log.schema else { return Ok(()) };
        let written = parse_schema(written)?;
        match difference(&written, &self.schema) {
            None => Ok(()),
            Some(difference) => Err(Error::invalid(format!(
                "sink '{}' has other columns than '{}' holds: {difference}",
                self.table,
                self.place.name()
            ))
            .help("write to another directory, or select the columns as they were")),
        }
    }

    /// Removes what we have written and not published, and what was published once and is replaced.
    fn remove_leftovers(&self) -> Result<()> {
        let published: HashSet<&str> = self.log.published.iter().map(|file| file.name.as_str()).collect();
        let replaced: HashSet<&str> = self.log.replaced.iter().map(String::as_str).collect();
        let mark = format!("-{}.", self.own_mark());
        self.place.remove_staged(&mark)?;
        for name in self.place.files()? {
            let file = name.rsplit('/').next().unwrap_or(&name);
            let ours = file.starts_with("part-") && file.contains(&mark);
            if replaced.contains(name.as_str()) || (ours && !published.contains(name.as_str())) {
                self.place.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Removes the files that this commit has replaced. They are nobody's already: if it fails, the next
    /// start removes them.
    fn remove_replaced(&mut self) {
        for name in std::mem::take(&mut self.log.replaced) {
            if let Err(error) = self.place.remove(&name) {
                tracing::warn!(file = %name, error = %error.chain(), "a replaced file could not be removed");
            }
        }
    }

    /// What marks files as ours: the beginning of our incarnation.
    fn own_mark(&self) -> &str {
        let incarnation = &self.writer.incarnation.0;
        incarnation.get(..8).unwrap_or(incarnation)
    }
}

/// The rows in pieces of at most `rows_max`.
fn pieces(rows: &[RecordBatch], rows_max: Option<u64>) -> Vec<Vec<RecordBatch>> {
    let limit = rows_max.map_or(usize::MAX, |rows_max| usize::try_from(rows_max).unwrap_or(usize::MAX));
    let mut pieces = vec![Vec::new()];
    let mut room = limit;
    for batch in rows {
        let mut start = 0;
        while start < batch.num_rows() {
            if room == 0 {
                pieces.push(Vec::new());
                room = limit;
            }
            let length = room.min(batch.num_rows() - start);
            if let Some(piece) = pieces.last_mut() {
                piece.push(batch.slice(start, length));
            }
            (start, room) = (start + length, room - length);
        }
    }
    pieces
}

/// How the columns of `now` differ from those of `written`, in names, types or order; whether they may be
/// NULL does not count.
fn difference(written: &Schema, now: &Schema) -> Option<String> {
    let column = |schema: &Schema, index: usize| {
        schema.fields().get(index).map(|field| format!("{} {}", field.name(), name(field.data_type())))
    };
    let count = written.fields().len().max(now.fields().len());
    (0..count).find_map(|index| match (column(written, index), column(now, index)) {
        (Some(was), Some(is)) if was == is => None,
        (Some(was), Some(is)) => Some(format!("column {} was '{was}' and is '{is}'", index + 1)),
        (Some(was), None) => Some(format!("column '{was}' is missing")),
        (None, Some(is)) => Some(format!("column '{is}' is new")),
        (None, None) => None,
    })
}
