//! Appends to a topic: all partitions and the writer's marker in one atomic, durable step.
//!
//! After a failed append the outcome is unknown and the writer refuses further ones: opening the topic
//! again settles it.

use super::batch::{Builder, LogRecord};
use super::commits::{self, Committed, Follower};
use super::partition::{Keeping, Partition};
use super::published;
use super::readers;
use super::segment::{list, name};
use super::topic::{Identity, Paths};
use crate::durable::Disk;
use crate::names;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidemill_core::{Error, Kind, Result};

/// A batch is closed when its records reach this size, so that readers need little memory.
const BATCH_BYTES: usize = 1 << 20;
const WRITER_ID_BYTES_MAX: usize = 1024;
/// Key and value of one record together.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// How much an acknowledged append survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut.
    Synced,
    /// A killed process, but no power cut, which may leave the topic damaged: several times faster.
    Cached,
}

/// How a topic is made and kept.
#[derive(Debug, Clone)]
pub struct TopicOptions {
    /// Number of partitions, fixed when the topic is made; `None`: 1, or as many as there are.
    pub partitions: Option<u32>,
    /// A segment beyond this size is followed by a new one.
    pub segment_bytes_max: u64,
    /// Segments whose newest record is older than this are deleted.
    pub retention: Option<Duration>,
    /// The oldest segments of a partition beyond this size are deleted.
    pub retention_bytes: Option<u64>,
    /// A reader that has not run for so long no longer keeps segments from being deleted.
    pub reader_expiry: Duration,
    /// How much an acknowledged append survives.
    pub durability: Durability,
    /// Partitions behind the others that no reader is told of, fixed when the topic is made; each is kept for the
    /// time beside it, whatever `retention` says.
    pub internal: Vec<Duration>,
}

impl Default for TopicOptions {
    fn default() -> Self {
        TopicOptions {
            partitions: None,
            segment_bytes_max: 64 << 20,
            retention: None,
            retention_bytes: None,
            reader_expiry: Duration::from_secs(7 * 24 * 3600),
            internal: Vec::new(),
            durability: Durability::Synced,
        }
    }
}

/// Records of one append, by partition.
#[derive(Debug)]
pub struct Append {
    partitions: Vec<Vec<Builder>>,
    /// How many of them are not internal.
    open: u32,
    next: u64,
}

impl Append {
    /// Adds a record to `partition`.
    ///
    /// # Errors
    /// A record of more than 64 MiB, or no such partition.
    pub fn push(&mut self, partition: u32, record: &LogRecord<'_>) -> Result<()> {
        let count = self.open;
        if partition >= count {
            return Err(Error::new(
                Kind::Data,
                format!("a record is for partition {partition} of a topic with {count} partitions"),
            ));
        }
        self.add(partition, record)
    }

    fn add(&mut self, partition: u32, record: &LogRecord<'_>) -> Result<()> {
        let bytes = record.len();
        if bytes > RECORD_BYTES_MAX {
            return Err(Error::new(Kind::Data, format!("a record of {bytes} bytes is too large for the log"))
                .help(format!("a record may have {RECORD_BYTES_MAX} bytes")));
        }
        let batches = self.partitions.get_mut(partition as usize);
        let batches =
            batches.ok_or_else(|| Error::bug(format!("an append to partition {partition}, which is none")))?;
        match batches.last_mut() {
            Some(batch) if batch.len() + bytes <= BATCH_BYTES && batch.takes(record) => batch.push(record),
            _ => {
                let mut batch = Builder::like(record);
                batch.push(record);
                batches.push(batch);
            }
        }
        Ok(())
    }

    /// Adds a record to the partition that its key's hash names (CRC-32), or in turn when it has no key.
    ///
    /// # Errors
    /// As [`Append::push`].
    pub fn push_by_key(&mut self, record: &LogRecord<'_>) -> Result<()> {
        let turn = match record.key {
            Some(key) => u64::from(crc32fast::hash(key)),
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        self.push((turn % u64::from(self.open)) as u32, record)
    }

    /// Adds a record to an internal partition.
    ///
    /// # Errors
    /// As [`Append::push`].
    pub(crate) fn push_internal(&mut self, number: u32, record: &LogRecord<'_>) -> Result<()> {
        self.add(self.open + number, record)
    }
}

/// The one writer of a topic.
#[derive(Debug)]
pub struct LogWriter {
    paths: Paths,
    options: TopicOptions,
    partitions: Vec<Partition>,
    /// How many of them are not internal.
    open: u32,
    committed: Committed,
    commits: File,
    commits_path: PathBuf,
    commits_bytes: u64,
    published: File,
    boot: [u8; 16],
    failed: bool,
    _lock: File,
}

impl LogWriter {
    /// Opens `topic` in the log at `root` for writing; makes it if it is not there. Cuts off what an
    /// earlier writer began and did not commit.
    ///
    /// # Errors
    /// [`Kind::Fenced`] when another process writes the topic; a damaged topic; no room or permission.
    pub fn open(root: &Path, topic: &str, options: TopicOptions) -> Result<LogWriter> {
        let paths = Paths::new(root, topic)?;
        Disk::default().create_directory(&paths.directory())?;
        let lock = lock(&paths)?;
        let identity = match Identity::read(&paths)? {
            Some(identity) => identity,
            None => make(&paths, options.partitions.unwrap_or(1), options.internal.len() as u32)?,
        };
        if identity.internal as usize != options.internal.len() {
            return Err(Error::invalid(format!(
                "topic '{topic}' was made by another kind of table, which alone writes it"
            ))
            .help("name another topic"));
        }
        if let Some(wanted) = options.partitions.filter(|wanted| *wanted != identity.partitions) {
            let there = identity.partitions;
            return Err(Error::invalid(format!("topic '{topic}' has {there} partitions, not {wanted}"))
                .help("the number of partitions is fixed when a topic is made"));
        }
        let mut follower = Follower::new(paths.commits());
        let newest = published_sequence(&paths)?;
        follower.advance(None)?;
        let committed = follower.state().clone();
        if newest.is_some_and(|newest| newest > committed.sequence) {
            follower.advance(newest)?;
        }
        let (commits_path, commits_bytes) = match follower.position() {
            Some((path, end)) if committed.ends.len() == identity.all() => (path.to_owned(), end),
            _ => return Err(Error::invalid(format!("{} does not fit topic.json", paths.commits().display()))),
        };
        let commits = cut(&commits_path, commits_bytes)?;
        let partitions = committed.ends.iter().zip(0..);
        let partitions =
            partitions.map(|(end, at)| Partition::open(paths.partition(at), *end)).collect::<Result<_>>()?;
        let published = open_published(&paths)?;
        let mut writer = LogWriter {
            paths,
            options,
            partitions,
            open: identity.partitions,
            committed,
            commits,
            commits_path,
            commits_bytes,
            published,
            boot: published::boot(),
            failed: false,
            _lock: lock,
        };
        writer.publish()?;
        Ok(writer)
    }

    /// Number of partitions.
    pub fn partitions(&self) -> u32 {
        self.open
    }

    /// End offset of every partition.
    pub fn ends(&self) -> &[u64] {
        &self.committed.ends[..self.open as usize]
    }

    /// Every writer that has committed with a marker, and its newest epoch.
    pub fn writers(&self) -> impl Iterator<Item = (&str, u64)> {
        self.committed.writers.iter().map(|(id, epoch)| (id.as_str(), *epoch))
    }

    /// An append without records. Records without a key go round the partitions, beginning with that
    /// of number `first` (any number will do).
    pub fn begin(&self, first: u64) -> Append {
        Append { partitions: self.partitions.iter().map(|_| Vec::new()).collect(), open: self.open, next: first }
    }

    /// Appends all records and the marker (id and epoch) in one atomic step, and returns when they are
    /// durable and readers see them. An append without records keeps the marker.
    ///
    /// # Errors
    /// The disk failed or is full. The outcome is unknown then, and further appends are refused.
    pub fn commit(&mut self, append: Append, marker: Option<(&str, u64)>, now_micros: i64) -> Result<()> {
        if self.failed {
            return Err(Error::new(
                Kind::Io,
                format!("an earlier append to {} failed", self.paths.directory().display()),
            )
            .help("open the topic again: that settles what is in it"));
        }
        if marker.is_some_and(|(id, _)| id.len() > WRITER_ID_BYTES_MAX) {
            return Err(Error::invalid(format!(
                "the names of query and sink have more than {WRITER_ID_BYTES_MAX} bytes"
            )));
        }
        self.failed = true;
        let rolled = self.write(&append, marker, now_micros)?;
        self.publish()?;
        if rolled {
            self.retain(now_micros)?;
        }
        self.failed = false;
        Ok(())
    }

    /// Deletes the segments that the retention options no longer keep and every reader has committed; the newest
    /// segment of a partition always stays.
    ///
    /// # Errors
    /// A segment cannot be deleted.
    pub fn retain(&mut self, now_micros: i64) -> Result<()> {
        let before = |age: Duration| now_micros.saturating_sub(age.as_micros() as i64);
        let TopicOptions { retention, retention_bytes, reader_expiry, internal, .. } = &self.options;
        if retention.is_none() && retention_bytes.is_none() && internal.is_empty() {
            return Ok(());
        }
        let needed = readers::needed(&self.paths, self.open, *reader_expiry, now_micros)?;
        let open = self.partitions.iter_mut().zip(needed);
        open.map(|(partition, floor)| {
            (partition, Keeping { oldest: retention.map(before), bytes: *retention_bytes, floor })
        })
        .try_for_each(|(partition, keeping)| partition.retain(&keeping))?;
        self.partitions[self.open as usize..].iter_mut().zip(internal).try_for_each(|(partition, age)| {
            partition.retain(&Keeping { oldest: Some(before(*age)), bytes: None, floor: u64::MAX })
        })
    }

    /// Everything but the publishing; true when a segment was begun.
    fn write(&mut self, append: &Append, marker: Option<(&str, u64)>, now_micros: i64) -> Result<bool> {
        if self.commits_bytes > commits::FILE_BYTES_MAX {
            self.roll_commits()?;
        }
        let synced = self.options.durability == Durability::Synced;
        let segment_bytes_max = self.options.segment_bytes_max;
        let mut rolled = false;
        for (partition, batches) in self.partitions.iter_mut().zip(&append.partitions) {
            for batch in batches {
                rolled |= partition.append(batch, now_micros, marker, segment_bytes_max)?;
            }
        }
        let touched = self.partitions.iter().zip(&append.partitions).filter(|(_, batches)| !batches.is_empty());
        if synced {
            sync_all(&touched.map(|(partition, _)| partition).collect::<Vec<_>>())?;
        }
        self.committed.sequence += 1;
        self.committed.ends = self.partitions.iter().map(|partition| partition.end).collect();
        if let Some((id, epoch)) = marker {
            self.committed.writers.insert(id.to_owned(), epoch);
        }
        let changed = marker.and_then(|(id, _)| self.committed.writers.get_key_value(id));
        let frame = self.committed.seal(changed.into_iter());
        let path = self.commits_path.display();
        self.commits.write_all(&frame).map_err(|cause| Error::io(format!("cannot write {path}"), cause))?;
        if synced {
            self.commits.sync_data().map_err(|cause| Error::unsynced(format!("cannot sync {path}"), cause))?;
        }
        self.commits_bytes += frame.len() as u64;
        Ok(rolled)
    }

    fn publish(&mut self) -> Result<()> {
        let written = published::write(&self.published, self.boot, self.committed.sequence);
        written.map_err(|cause| Error::io(format!("cannot write {}", self.paths.published().display()), cause))
    }

    /// Starts a new file of commits and deletes those that no reader can still be at.
    fn roll_commits(&mut self) -> Result<()> {
        let directory = self.paths.commits();
        let path = directory.join(name(self.committed.sequence));
        let frame = self.committed.seal(self.committed.writers.iter());
        if !names::create(&path, &frame)? {
            return Err(Error::bug(format!("{} is there before its first commit", path.display())));
        }
        (self.commits, self.commits_bytes) = (cut(&path, frame.len() as u64)?, frame.len() as u64);
        let old = std::mem::replace(&mut self.commits_path, path);
        for base in list(&directory)? {
            let stale = directory.join(name(base));
            if stale != self.commits_path && stale != old {
                fs::remove_file(&stale)
                    .map_err(|cause| Error::io(format!("cannot delete {}", stale.display()), cause))?;
            }
        }
        Ok(())
    }
}

/// Syncs the partitions side by side: a sync waits for the disk, not for a processor.
fn sync_all(partitions: &[&Partition]) -> Result<()> {
    match partitions {
        [] => Ok(()),
        [one] => one.sync(),
        many => std::thread::scope(|scope| {
            let syncs: Vec<_> = many.iter().map(|partition| scope.spawn(|| partition.sync())).collect();
            syncs.into_iter().try_for_each(|sync| {
                sync.join().unwrap_or_else(|_| Err(Error::bug("the thread that syncs a partition ended early")))
            })
        }),
    }
}

fn lock(paths: &Paths) -> Result<File> {
    let path = paths.lock();
    let failed = |cause| Error::io(format!("cannot lock {}", path.display()), cause);
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
            Ok(file)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut owner = String::new();
            file.read_to_string(&mut owner).map_err(failed)?;
            let topic = &paths.topic;
            Err(Error::new(
                Kind::Fenced,
                format!("process {owner} already writes topic '{topic}' in {}", paths.root.display()),
            )
            .help("one process at a time writes a topic: stop that one, or write to another topic"))
        }
        Err(cause) => Err(failed(cause.into())),
    }
}

/// Makes the parts of a new topic; `topic.json` comes last and makes it real.
fn make(paths: &Paths, partitions: u32, internal: u32) -> Result<Identity> {
    let identity = Identity::mint(partitions, internal)?;
    for partition in 0..identity.all() as u32 {
        Disk::default().create_directory(&paths.partition(partition))?;
    }
    Disk::default().create_directory(&paths.commits())?;
    let nothing = Committed { ends: vec![0; identity.all()], ..Committed::default() };
    let first = paths.commits().join(name(0));
    if !names::create(&first, &nothing.seal(nothing.writers.iter()))? {
        // an earlier attempt got this far, perhaps with another number of partitions
        fs::remove_file(&first).map_err(|cause| Error::io(format!("cannot delete {}", first.display()), cause))?;
        names::create(&first, &nothing.seal(nothing.writers.iter()))?;
    }
    let published = open_published(paths)?;
    let written = published::write(&published, published::boot(), 0).and_then(|()| published.sync_all());
    written.map_err(|cause| Error::io(format!("cannot write {}", paths.published().display()), cause))?;
    Disk::default().sync_directory(&paths.directory())?;
    identity.write(paths)?;
    Ok(identity)
}

fn open_published(paths: &Paths) -> Result<File> {
    let path = paths.published();
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    opened.map_err(|cause| Error::io(format!("cannot open {}", path.display()), cause))
}

/// What the last writer published in this boot; `None` when that cannot be known.
fn published_sequence(paths: &Paths) -> Result<Option<u64>> {
    let path = paths.published();
    match File::open(&path) {
        // a damaged file is no harm here: it is written anew
        Ok(file) => Ok(published::read(&file, &path, published::boot()).unwrap_or(None)),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::io(format!("cannot open {}", path.display()), cause)),
    }
}

/// Opens a file for appending behind `bytes`, and cuts off what stands there.
pub(crate) fn cut(path: &Path, bytes: u64) -> Result<File> {
    let failed = |cause| Error::io(format!("cannot cut {} to {bytes} bytes", path.display()), cause);
    let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() != bytes {
        file.set_len(bytes).map_err(failed)?;
    }
    file.sync_all().map_err(|cause| Error::unsynced(format!("cannot sync {}", path.display()), cause))?;
    Ok(file)
}
