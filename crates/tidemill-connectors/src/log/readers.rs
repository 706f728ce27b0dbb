//! What the readers of a topic have committed. Retention deletes no segment that one of them still needs.
//!
//! A reader has a file `readers/<name>`, which it holds (flock) while it runs and writes in place:
//! ```text
//! count     u32    number of partitions
//! positions u64    of each: the offset after the last record that is committed
//! checksum  u32    CRC-32 of the bytes before
//! ```
//! Nothing is synced: a position of the past keeps more than is needed, and no position (a torn file) keeps all.

use super::frame::Fields;
use super::segment::list_names;
use super::topic::Paths;
use crate::durable::Disk;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};
use tidemill_core::{Error, Result};

/// Readers of one name that run at a time.
const SAME_NAME_MAX: u32 = 64;

/// A reader that runs.
#[derive(Debug)]
pub(crate) struct Registration {
    path: PathBuf,
    file: File,
}

impl Registration {
    /// Registers a reader called `name`; another one of the name that runs gives this one a number.
    ///
    /// # Errors
    /// The file cannot be made or locked.
    pub(crate) fn open(paths: &Paths, name: &str) -> Result<Registration> {
        Disk::default().create_directory(&paths.readers())?;
        let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
        let name: String = name.chars().take(100).map(plain).collect();
        for number in 1..=SAME_NAME_MAX {
            let path = paths.readers().join(if number == 1 { name.clone() } else { format!("{name}.{number}") });
            let failed = |cause| Error::io(format!("cannot register a reader in {}", path.display()), cause);
            let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let file = opened.map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Registration { path, file }),
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(cause) => return Err(failed(cause.into())),
            }
        }
        let topic = &paths.topic;
        Err(Error::invalid(format!("{SAME_NAME_MAX} readers called '{name}' read topic '{topic}' already"))
            .help("give each query a 'reader' of its own"))
    }

    /// Notes what is committed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn note(&self, positions: &[u64]) -> Result<()> {
        let mut bytes = (positions.len() as u32).to_le_bytes().to_vec();
        positions.iter().for_each(|position| bytes.extend_from_slice(&position.to_le_bytes()));
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        self.file
            .write_all_at(&bytes, 0)
            .map_err(|cause| Error::io(format!("cannot write {}", self.path.display()), cause))
    }
}

/// A reader, as the topic knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownReader {
    /// Its name.
    pub name: String,
    /// What it has committed, by partition; empty when that cannot be read.
    pub positions: Vec<u64>,
    /// True while it runs.
    pub is_running: bool,
    /// When it last committed, in microseconds since 1970-01-01T00:00:00Z.
    pub seen_micros: i64,
}

/// The readers of a topic.
///
/// # Errors
/// The directory or a file in it cannot be read.
pub(crate) fn known(paths: &Paths) -> Result<Vec<KnownReader>> {
    let mut readers = Vec::new();
    for name in list_names(&paths.readers())? {
        let path = paths.readers().join(&name);
        let failed = |cause| Error::io(format!("cannot read {}", path.display()), cause);
        let mut file = File::open(&path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let changed = file.metadata().and_then(|data| data.modified()).map_err(failed)?;
        let seen = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
        let is_running = flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK);
        readers.push(KnownReader {
            name,
            positions: positions(&bytes).unwrap_or_default(),
            is_running,
            seen_micros: seen.as_micros() as i64,
        });
    }
    Ok(readers)
}

/// The offset from which on each partition must stay, for readers that run or ran within `expiry`.
///
/// # Errors
/// As [`known`].
pub(crate) fn needed(paths: &Paths, partitions: u32, expiry: Duration, now_micros: i64) -> Result<Vec<u64>> {
    let mut floors = vec![u64::MAX; partitions as usize];
    let oldest = now_micros.saturating_sub(i64::try_from(expiry.as_micros()).unwrap_or(i64::MAX));
    for reader in known(paths)?.iter().filter(|reader| reader.is_running || reader.seen_micros >= oldest) {
        for (at, floor) in floors.iter_mut().enumerate() {
            *floor = (*floor).min(reader.positions.get(at).copied().unwrap_or(0));
        }
    }
    Ok(floors)
}

/// Forgets a reader that does not run; false when there is none of the name.
///
/// # Errors
/// The file cannot be removed.
pub(crate) fn forget(paths: &Paths, name: &str) -> Result<bool> {
    let Some(reader) = known(paths)?.into_iter().find(|reader| reader.name == name) else { return Ok(false) };
    if reader.is_running {
        return Err(Error::invalid(format!("reader '{name}' of topic '{}' runs", paths.topic)).help("stop it first"));
    }
    let path = paths.readers().join(name);
    fs::remove_file(&path).map_err(|cause| Error::io(format!("cannot remove {}", path.display()), cause))?;
    Ok(true)
}

fn positions(bytes: &[u8]) -> Option<Vec<u64>> {
    let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    (crc32fast::hash(content).to_le_bytes() == checksum).then_some(())?;
    let mut fields = Fields(content);
    let count = fields.u32()?;
    (0..count).map(|_| fields.u64()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_needs_stays_until_it_has_been_away_for_long() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path(), "t").unwrap();
        let hour = Duration::from_secs(3600);
        assert_eq!(needed(&paths, 2, hour, i64::MAX).unwrap(), [u64::MAX; 2], "nobody reads");
        let (one, two) = (Registration::open(&paths, "q").unwrap(), Registration::open(&paths, "q").unwrap());
        one.note(&[5, 9]).unwrap();
        two.note(&[7, 3]).unwrap();
        assert_eq!(needed(&paths, 2, hour, i64::MAX).unwrap(), [5, 3], "who runs is waited for");
        drop(two);
        let away = known(&paths).unwrap().remove(1);
        assert_eq!((away.name.as_str(), away.is_running), ("q.2", false));
        assert_eq!(needed(&paths, 2, hour, away.seen_micros + 1).unwrap(), [5, 3]);
        assert_eq!(needed(&paths, 2, hour, away.seen_micros + 3_600_000_001).unwrap(), [5, 9]);
        fs::write(paths.readers().join("q.2"), b"torn").unwrap();
        assert_eq!(needed(&paths, 2, hour, away.seen_micros).unwrap(), [0, 0], "nothing is known of it");
        assert!(forget(&paths, "q").is_err() && forget(&paths, "q.2").unwrap() && !forget(&paths, "q.2").unwrap());
        assert_eq!(needed(&paths, 2, hour, away.seen_micros).unwrap(), [5, 9]);
    }
}
