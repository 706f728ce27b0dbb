//! The writer's side of one partition: its segments, of which the last grows.

use super::batch::Builder;
use super::segment::{Segment, list, name};
use super::writer::cut;
use crate::durable::Disk;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use tidemill_core::{Error, Result};

/// What is kept of a partition.
#[derive(Debug)]
pub(crate) struct Keeping {
    /// Segments whose last record was appended before may go; `None`: none for their age.
    pub(crate) oldest: Option<i64>,
    /// The oldest segments beyond so many bytes may go; `None`: none for their size.
    pub(crate) bytes: Option<u64>,
    /// Records from this offset on stay.
    pub(crate) floor: u64,
}

/// One partition, open for appending.
#[derive(Debug)]
pub(crate) struct Partition {
    directory: PathBuf,
    /// Base offset and bytes of every segment; the last is open.
    segments: VecDeque<(u64, u64)>,
    open: File,
    /// Offset after the last record.
    pub(crate) end: u64,
}

impl Partition {
    /// Opens the partition whose committed end is `end`; deletes and cuts off what stands behind it.
    ///
    /// # Errors
    /// The newest segment is damaged or ends before `end`.
    pub(crate) fn open(directory: PathBuf, end: u64) -> Result<Partition> {
        let mut bases = list(&directory)?;
        // an append that was not committed may have begun segments of its own
        while bases.last().is_some_and(|base| *base > end) {
            bases.pop().map_or(Ok(()), |base| delete(&directory, base))?;
        }
        let Some(newest) = bases.last().copied() else {
            if end > 0 {
                return Err(Error::invalid(format!(
                    "{}: the segment before offset {end} is gone",
                    directory.display()
                )));
            }
            let open = create(&directory, 0)?;
            return Ok(Partition { directory, segments: VecDeque::from([(0, 0)]), open, end });
        };
        let position = verify(&directory, newest, end)?;
        let open = cut(&directory.join(name(newest)), position)?;
        let sized = bases.iter().map(|base| -> Result<(u64, u64)> {
            let segment = Segment::open(&directory, *base)?;
            Ok((*base, segment.map_or(Ok(0), |segment| segment.len())?))
        });
        let segments = sized.collect::<Result<_>>()?;
        Ok(Partition { directory, segments, open, end })
    }

    /// Writes a batch; it is neither durable nor committed yet. True when a new segment was begun.
    pub(crate) fn append(
        &mut self,
        batch: &Builder,
        now_micros: i64,
        marker: Option<(&str, u64)>,
        segment_bytes_max: u64,
    ) -> Result<bool> {
        let frame = batch.seal(self.end, now_micros, marker);
        let used = self.segments.back().map_or(0, |(_, bytes)| *bytes);
        let roll = used > 0 && used + frame.len() as u64 > segment_bytes_max;
        if roll {
            self.sync()?;
            self.open = create(&self.directory, self.end)?;
            self.segments.push_back((self.end, 0));
        }
        self.open.write_all(&frame).map_err(|cause| self.failed("write", cause))?;
        if let Some((_, bytes)) = self.segments.back_mut() {
            *bytes += frame.len() as u64;
        }
        self.end += u64::from(batch.count);
        Ok(roll)
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> Result<()> {
        let synced = self.open.sync_data();
        synced.map_err(|cause| Error::unsynced(format!("cannot sync {}", self.newest().display()), cause))
    }

    /// Deletes the oldest segments that nothing keeps.
    pub(crate) fn retain(&mut self, keeping: &Keeping) -> Result<()> {
        let mut deleted = false;
        while let [(base, _), (next, _), ..] = *self.segments.make_contiguous() {
            let total: u64 = self.segments.iter().map(|(_, bytes)| bytes).sum();
            let is_too_much = keeping.bytes.is_some_and(|most| total > most);
            // the first batch of the next segment is younger than the last one of this
            let is_too_old = match keeping.oldest {
                Some(oldest) => begun(&self.directory, next)?.is_some_and(|appended| appended < oldest),
                None => false,
            };
            if next > keeping.floor || !(is_too_much || is_too_old) {
                break;
            }
            delete(&self.directory, base)?;
            self.segments.pop_front();
            deleted = true;
        }
        if deleted { Disk::default().sync_directory(&self.directory) } else { Ok(()) }
    }

    fn failed(&self, what: &str, cause: std::io::Error) -> Error {
        Error::io(format!("cannot {what} {}", self.newest().display()), cause)
    }

    /// The file that is written to.
    fn newest(&self) -> PathBuf {
        self.directory.join(name(self.segments.back().map_or(0, |(base, _)| *base)))
    }
}

/// When the first batch of a segment was appended.
fn begun(directory: &Path, base: u64) -> Result<Option<i64>> {
    let head = Segment::open(directory, base)?.map(|segment| segment.first()).transpose()?.flatten();
    Ok(head.map(|head| head.appended_micros))
}

/// Checks every batch of the newest segment up to `end`; returns where that is in the file.
fn verify(directory: &Path, base: u64, end: u64) -> Result<u64> {
    let Some(segment) = Segment::open(directory, base)? else {
        return Err(Error::invalid(format!("{} vanished", directory.join(name(base)).display())));
    };
    let (mut offset, mut position) = (base, 0);
    while offset < end {
        let loaded = segment.load(position, end)?;
        for batch in &loaded.batches {
            if batch.head.base != offset {
                return Err(segment.damaged(position, "a batch that does not follow the one before"));
            }
            offset = batch.head.end();
        }
        if loaded.batches.is_empty() {
            return Err(segment.damaged(position, &format!("it ends at offset {offset}, and {end} are committed")));
        }
        position = loaded.next;
    }
    match offset == end {
        true => Ok(position),
        false => Err(segment.damaged(position, "a batch goes on beyond what is committed")),
    }
}

fn create(directory: &Path, base: u64) -> Result<File> {
    let path = directory.join(name(base));
    let created = OpenOptions::new().append(true).create(true).open(&path);
    let file = created.map_err(|cause| Error::io(format!("cannot make {}", path.display()), cause))?;
    Disk::default().sync_directory(directory)?;
    Ok(file)
}

fn delete(directory: &Path, base: u64) -> Result<()> {
    let path = directory.join(name(base));
    fs::remove_file(&path).map_err(|cause| Error::io(format!("cannot delete {}", path.display()), cause))
}
